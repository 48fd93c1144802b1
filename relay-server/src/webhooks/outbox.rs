//! What a webhook is still to be told, and who it was told is there: in a folder or in memory.

use super::WARN_EVERY;
use crate::store::files;
use presence_core::Time;
use presence_core::relay::{KeyPattern, Notice, NoticeEvent};
use presence_protocol::{AvatarUrl, Color, Key, User, UserId};
use rusqlite::{Connection, Row, Transaction, params};
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tracing::warn;

/// The database's name in its folder.
const FILE: &str = "webhooks.db";
/// Most events that wait to be delivered. Beyond this the oldest are lost.
const MAX_QUEUED: i64 = 10_000;
/// How often an event is sent before it is given up: about six hours.
const MAX_TRIES: u32 = 18;
/// How long it takes from the first try to the second; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS queue (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        due INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX IF NOT EXISTS queue_of_key ON queue (key, number);
    CREATE TABLE IF NOT EXISTS told (
        key TEXT NOT NULL,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        color TEXT NOT NULL,
        avatar TEXT,
        PRIMARY KEY (key, user)
    ) STRICT, WITHOUT ROWID;
";

/// A queue in a `SQLite` database.
#[derive(Debug)]
pub struct Outbox {
    connection: Connection,
    /// True if it outlives the process.
    is_kept: bool,
    /// What is being sent, by its number.
    on_their_way: BTreeSet<i64>,
    /// How many were lost since that was last warned of.
    n_lost: usize,
    warned: Option<Instant>,
}

/// An event to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) body: String,
}

impl Outbox {
    /// The one of this folder, or one that ends with the process.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn open(folder: Option<&Path>) -> rusqlite::Result<Self> {
        let connection = match folder {
            Some(folder) => {
                let file = folder.join(FILE);
                files::keep_private(&file);
                Connection::open(file)?
            }
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        files::write_ahead(&connection)?;
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "journal_size_limit", 4 * 1024 * 1024)?;
        // Who was where is nobody's business once it is told.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            connection,
            is_kept: folder.is_some(),
            on_their_way: BTreeSet::new(),
            n_lost: 0,
            warned: None,
        })
    }

    /// How many events wait in a folder, without changing anything; `None` if nothing is kept there.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn count(folder: &Path) -> rusqlite::Result<Option<usize>> {
        let connection = files::look(&folder.join(FILE))?;
        connection.map(|it| files::count(&it, "queue")).transpose()
    }

    /// Removes what is kept in a folder, if there is anything.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn remove(folder: &Path) -> std::io::Result<()> {
        files::remove(&folder.join(FILE))
    }

    /// Who was told to be where when the relay last ran; `None` if that is not kept. Those in keys of which
    /// nothing is told any more are forgotten.
    pub(super) fn told(&self, keys: &[KeyPattern]) -> Option<Vec<(Key, Arc<User>)>> {
        let read = || {
            let mut select =
                self.connection.prepare("SELECT key, user, name, color, avatar FROM told")?;
            let rows = select.query_map([], |row| Ok(member(row)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = self.is_kept.then(read)?;
        let rows = rows.inspect_err(|error| {
            warn!(%error, "who the webhook was told is there can't be read");
        });
        let told = rows.ok()?.into_iter().flatten();
        let (told, rest): (Vec<_>, Vec<_>) =
            told.partition(|(key, _)| keys.iter().any(|it| it.matches(key)));
        for (key, _) in rest {
            let forgotten =
                self.connection.execute("DELETE FROM told WHERE key = ?1", [key.as_str()]);
            if let Err(error) = forgotten {
                warn!(%error, "who the webhook was told is there can't be forgotten");
                break;
            }
        }
        Some(told)
    }

    /// Keeps what there is to tell. Returns how many were lost for that.
    pub(super) fn add(&mut self, notices: &VecDeque<(Notice, Time)>) -> rusqlite::Result<usize> {
        if notices.is_empty() {
            return Ok(0);
        }
        let transaction = self.connection.transaction()?;
        for (Notice { key, event }, at) in notices {
            transaction.execute(
                "INSERT INTO queue (id, key, body) VALUES (?1, ?2, ?3)",
                params![new_id(), key.as_str(), body(key, event, *at)],
            )?;
            note(&transaction, key, event)?;
        }
        let beyond = count(&transaction)? - MAX_QUEUED;
        if beyond > 0 {
            // What is on its way stays: the next of its key would overtake it.
            let sent: Vec<_> = self.on_their_way.iter().map(i64::to_string).collect();
            let oldest = format!(
                "DELETE FROM queue WHERE number IN (SELECT number FROM queue
                    WHERE number NOT IN ({}) ORDER BY number LIMIT ?1)",
                sent.join(",")
            );
            transaction.execute(&oldest, [beyond])?;
        }
        transaction.commit()?;
        let n_lost = usize::try_from(beyond).unwrap_or_default();
        self.n_lost += n_lost;
        self.warn_of_lost();
        Ok(n_lost)
    }

    /// How many wait, those included that are on their way.
    pub(super) fn n_waiting(&self) -> rusqlite::Result<u64> {
        Ok(u64::try_from(count(&self.connection)?).unwrap_or_default())
    }

    /// Too much comes in bursts of many small batches, which would fill the log as well.
    fn warn_of_lost(&mut self) {
        if self.n_lost > 0 && self.warned.is_none_or(|it| it.elapsed() >= WARN_EVERY) {
            warn!(n = self.n_lost, "too much waits for the webhook, so the oldest is lost");
            (self.n_lost, self.warned) = (0, Some(Instant::now()));
        }
    }

    /// Takes what is due, as long as no more than so many are on their way. Of each key one at a time, in the
    /// order in which it happened.
    pub(super) fn due(&mut self, now: Time, most: usize) -> rusqlite::Result<Vec<Delivery>> {
        let room = most.saturating_sub(self.on_their_way.len());
        if room == 0 {
            return Ok(Vec::new());
        }
        let mut select = self.connection.prepare(
            "SELECT number, id, body FROM queue AS it WHERE due <= ?1 AND NOT EXISTS
                 (SELECT 1 FROM queue WHERE key = it.key AND number < it.number)
             ORDER BY number LIMIT ?2",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = select.query_map(params![millis(now), most], |row| {
            Ok(Delivery { number: row.get(0)?, id: row.get(1)?, body: row.get(2)? })
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let new = rows.into_iter().filter(|it| !self.on_their_way.contains(&it.number));
        let due: Vec<_> = new.take(room).collect();
        self.on_their_way.extend(due.iter().map(|it| it.number));
        Ok(due)
    }

    /// What has become of a delivery: done, due again, or given up. It is on its way until that is written.
    /// Returns true if it was given up.
    pub(super) fn settle(
        &mut self,
        number: i64,
        is_delivered: bool,
        now: Time,
    ) -> rusqlite::Result<bool> {
        let select = "SELECT tries FROM queue WHERE number = ?1";
        let tries = self.connection.query_row(select, [number], |row| row.get::<_, u32>(0));
        let tries = match tries {
            // Somebody else has removed it.
            Err(rusqlite::Error::QueryReturnedNoRows) => {
                self.on_their_way.remove(&number);
                return Ok(false);
            }
            it => it? + 1,
        };
        let is_given_up = !is_delivered && tries >= MAX_TRIES;
        if is_delivered || is_given_up {
            self.connection.execute("DELETE FROM queue WHERE number = ?1", [number])?;
            if is_given_up {
                warn!(tries, "the webhook doesn't take an event, which is given up");
            }
        } else {
            self.connection.execute(
                "UPDATE queue SET tries = ?2, due = ?3 WHERE number = ?1",
                params![number, tries, millis(now + pause(tries, random_byte()))],
            )?;
        }
        self.on_their_way.remove(&number);
        Ok(is_given_up)
    }

    pub(super) fn n_on_their_way(&self) -> usize {
        self.on_their_way.len()
    }
}

/// How long to wait after so many tries: longer each time, and not all at the same moment.
fn pause(tries: u32, random: u8) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + f64::from(random) / 255.0)
}

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM queue", [], |row| row.get(0))
}

/// Who was told to be there from now on.
fn note(transaction: &Transaction<'_>, key: &Key, event: &NoticeEvent) -> rusqlite::Result<()> {
    match event {
        NoticeEvent::Joined(user) => transaction.execute(
            "INSERT OR REPLACE INTO told (key, user, name, color, avatar)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                key.as_str(),
                user.id().as_str(),
                user.name(),
                user.color().to_string(),
                user.avatar().map(AvatarUrl::as_str),
            ],
        ),
        NoticeEvent::Left(user) => transaction.execute(
            "DELETE FROM told WHERE key = ?1 AND user = ?2",
            [key.as_str(), user.id().as_str()],
        ),
        NoticeEvent::Occupied | NoticeEvent::Vacated => Ok(0),
    }?;
    Ok(())
}

fn body(key: &Key, event: &NoticeEvent, at: Time) -> String {
    let (kind, user) = match event {
        NoticeEvent::Occupied => ("key.occupied", None),
        NoticeEvent::Joined(user) => ("joined", Some(user)),
        NoticeEvent::Left(user) => ("left", Some(user)),
        NoticeEvent::Vacated => ("key.vacated", None),
    };
    let mut data = json!({ "key": key.as_str() });
    if let Some(user) = user {
        let (id, name, color) = (user.id().as_str(), user.name(), user.color().to_string());
        let mut person = json!({ "id": id, "name": name, "color": color });
        if let Some(avatar) = user.avatar() {
            insert(&mut person, "avatar", avatar.as_str());
        }
        if let Value::Object(data) = &mut data {
            data.insert("user".to_owned(), person);
        }
    }
    let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.as_millis()));
    json!({ "type": kind, "timestamp": at.to_string(), "data": data }).to_string()
}

fn insert(object: &mut Value, name: &str, text: &str) {
    if let Value::Object(it) = object {
        it.insert(name.to_owned(), text.into());
    }
}

fn member(row: &Row<'_>) -> Option<(Key, Arc<User>)> {
    let text = |index| row.get::<_, String>(index).ok();
    let user = User::new(UserId::parse(&text(1)?)?, &text(2)?, Color::parse(&text(3)?)?).ok()?;
    let avatar: Option<String> = row.get(4).ok()?;
    let user = user.with_avatar(avatar.as_deref().and_then(AvatarUrl::parse));
    Some((Key::parse(&text(0)?)?, Arc::new(user)))
}

fn new_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness it is its time that tells it from others, which is good enough to go on.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes = u128::from(crate::clock::wall().as_millis()).to_be_bytes();
    }
    let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
    format!("msg_{hex}")
}

fn random_byte() -> u8 {
    let mut byte = [128];
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

fn millis(at: Time) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    #[test]
    fn events_of_a_key_are_told_in_order_and_of_several_at_once() {
        let mut outbox = Outbox::open(None).unwrap();
        let a = [occupied("a"), joined("a", "alice"), joined("b", "bob")];
        outbox.add(&a.into()).unwrap();
        let due = outbox.due(NOW, 4).unwrap();
        assert_eq!(kinds(&due), ["key.occupied a", "joined b"]);
        assert_eq!(outbox.due(NOW, 4).unwrap(), [], "nothing is sent twice at a time");
        outbox.settle(due[0].number, true, NOW).unwrap();
        assert_eq!(kinds(&outbox.due(NOW, 4).unwrap()), ["joined a"]);
    }

    #[test]
    fn no_more_are_on_their_way_than_may_be() {
        let mut outbox = Outbox::open(None).unwrap();
        outbox.add(&(0..9).map(|it| joined(&format!("k{it}"), "alice")).collect()).unwrap();
        let due = outbox.due(NOW, 4).unwrap();
        assert_eq!(due.len(), 4);
        outbox.settle(due[3].number, true, NOW).unwrap();
        assert_eq!(kinds(&outbox.due(NOW, 4).unwrap()), ["joined k4"]);
        // What has to wait is due again while later ones are on their way.
        for it in &due[..2] {
            outbox.settle(it.number, false, NOW).unwrap();
        }
        let later = NOW + LONGEST_PAUSE;
        assert_eq!(kinds(&outbox.due(NOW, 4).unwrap()), ["joined k5", "joined k6"]);
        outbox.settle(due[2].number, true, NOW).unwrap();
        assert_eq!(kinds(&outbox.due(later, 4).unwrap()), ["joined k0"]);
    }

    #[test]
    fn what_fails_is_tried_again_later_and_given_up_at_last() {
        let mut outbox = Outbox::open(None).unwrap();
        outbox.add(&[joined("a", "alice"), left("a", "alice")].into()).unwrap();
        let (mut now, mut ids) = (NOW, BTreeSet::new());
        for tries in 1..=MAX_TRIES {
            let due = outbox.due(now, 4).unwrap();
            assert_eq!(kinds(&due), ["joined a"], "the later one waits");
            ids.insert(due[0].id.clone());
            let is_given_up = outbox.settle(due[0].number, false, now).unwrap();
            assert_eq!(is_given_up, tries == MAX_TRIES);
            if tries < MAX_TRIES {
                assert_eq!(outbox.due(now, 4).unwrap(), []);
            }
            now += LONGEST_PAUSE * 2;
        }
        assert_eq!(ids.len(), 1, "it has the same id each time");
        assert_eq!(kinds(&outbox.due(now, 4).unwrap()), ["left a"]);
    }

    #[test]
    fn pauses_become_longer_and_differ() {
        assert_eq!(pause(1, 0), Duration::from_millis(500));
        assert_eq!(pause(1, 255), Duration::from_millis(1500));
        assert_eq!(pause(4, 0), Duration::from_secs(4));
        assert_eq!(pause(u32::MAX, 255), LONGEST_PAUSE.mul_f64(1.5));
        let all: Duration = (1..MAX_TRIES).map(|it| pause(it, 128)).sum();
        assert!((6..10).contains(&(all.as_secs() / 3600)), "{all:?}");
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_are_lost() {
        let mut outbox = Outbox::open(None).unwrap();
        let batch = (0..5_000).map(|it| joined(&format!("k{it}"), "alice")).collect();
        let lost: Vec<_> = (0..3).map(|_| outbox.add(&batch).unwrap()).collect();
        assert_eq!(lost, [0, 0, 5_000]);
        let number = |sql| outbox.connection.query_row(sql, [], |it| it.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT count(*) FROM queue"), MAX_QUEUED);
        assert_eq!(number("SELECT min(number) FROM queue"), 15_001 - MAX_QUEUED);
    }

    #[test]
    fn what_is_on_its_way_is_not_lost_lest_the_next_of_its_key_overtakes_it() {
        let mut outbox = Outbox::open(None).unwrap();
        outbox.add(&[joined("a", "alice")].into()).unwrap();
        let due = outbox.due(NOW, 4).unwrap();
        for _ in 0..2 {
            outbox.add(&(0..6_000).map(|_| joined("a", "bob")).collect()).unwrap();
        }
        assert_eq!(outbox.due(NOW, 4).unwrap(), [], "they wait for the first one");
        outbox.settle(due[0].number, true, NOW).unwrap();
        let next = outbox.due(NOW, 4).unwrap();
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].number, 12_001 - (MAX_QUEUED - 1) + 1, "those between are lost");
    }

    #[test]
    fn what_was_delivered_is_not_sent_again_before_that_is_written() {
        let mut outbox = Outbox::open(None).unwrap();
        outbox.add(&[joined("a", "alice")].into()).unwrap();
        let number = outbox.due(NOW, 4).unwrap()[0].number;
        let full = "CREATE TEMP TRIGGER full BEFORE DELETE ON queue
            BEGIN SELECT RAISE(ABORT, 'full'); END";
        outbox.connection.execute_batch(full).unwrap();
        assert!(outbox.settle(number, true, NOW).is_err());
        assert_eq!(outbox.due(NOW, 4).unwrap(), []);
        outbox.connection.execute_batch("DROP TRIGGER full").unwrap();
        outbox.settle(number, true, NOW).unwrap();
        assert_eq!((outbox.n_on_their_way(), outbox.due(NOW, 4).unwrap()), (0, Vec::new()));
    }

    #[test]
    fn it_outlives_the_process_with_what_was_told() {
        let folder = std::env::temp_dir().join(format!("whoshere-outbox-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut outbox = Outbox::open(Some(&folder)).unwrap();
        let events = [joined("a", "alice"), joined("a", "bob"), left("a", "bob")];
        outbox.add(&events.into()).unwrap();
        assert_eq!(outbox.due(NOW, 4).unwrap().len(), 1);
        drop(outbox);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "who was where is nobody else's business");
        }
        let mut outbox = Outbox::open(Some(&folder)).unwrap();
        let keys = |text| vec![KeyPattern::parse(text).unwrap()];
        let told = outbox.told(&keys("*")).unwrap();
        let names: Vec<_> = told.iter().map(|(key, it)| format!("{key} {}", it.name())).collect();
        assert_eq!(names, ["a alice"]);
        assert_eq!(kinds(&outbox.due(NOW, 4).unwrap()), ["joined a"], "nobody knows if it arrived");
        assert_eq!(outbox.told(&keys("b")).unwrap(), [], "of this key nothing is told any more");
        assert_eq!(outbox.told(&keys("*")).unwrap(), [], "nor is it kept");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(Outbox::open(None).unwrap().told(&keys("*")), None);
    }

    #[test]
    fn an_event_says_what_when_and_who() {
        let (Notice { key, event }, at) = joined("document:1", "alice");
        assert_eq!(
            serde_json::from_str::<Value>(&body(&key, &event, at)).unwrap(),
            json!({
                "type": "joined",
                "timestamp": "2023-11-14T22:13:20.000Z",
                "data": {
                    "key": "document:1",
                    "user": { "id": "alice", "name": "alice", "color": "#010203" },
                },
            })
        );
    }

    fn kinds(due: &[Delivery]) -> Vec<String> {
        let kind = |it: &Delivery| {
            let body: Value = serde_json::from_str(&it.body).unwrap();
            let text = |it: &Value| it.as_str().unwrap().to_owned();
            format!("{} {}", text(&body["type"]), text(&body["data"]["key"]))
        };
        due.iter().map(kind).collect()
    }

    fn occupied(key: &str) -> (Notice, Time) {
        notice(key, NoticeEvent::Occupied)
    }

    fn joined(key: &str, user: &str) -> (Notice, Time) {
        notice(key, NoticeEvent::Joined(person(user)))
    }

    fn left(key: &str, user: &str) -> (Notice, Time) {
        notice(key, NoticeEvent::Left(person(user)))
    }

    fn notice(key: &str, event: NoticeEvent) -> (Notice, Time) {
        (Notice { key: Key::parse(key).unwrap(), event }, NOW)
    }

    fn person(name: &str) -> Arc<User> {
        Arc::new(User::new(UserId::parse(name).unwrap(), name, Color([1, 2, 3])).unwrap())
    }
}
