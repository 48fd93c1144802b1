//! Tells an application's server who comes and goes: signed, once it is certain, and until it has heard.
//!
//! The core says what there is to tell. A thread keeps it in an [`Outbox`] and a few others send it, so that
//! nothing waits for a disk or for that server. What was delivered twice has the same id.

mod flags;
mod outbox;
mod secret;
mod tally;

pub use flags::WebhookFlags;
pub use outbox::Outbox;
pub use secret::{WebhookSecret, WebhookSecretError};
pub(crate) use tally::Tally;

use crate::auth::Address;
use crate::clock::wall;
use outbox::Delivery;
use presence_core::Time;
use presence_core::relay::{KeyPattern, Notice, NoticeRules};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{debug, info, warn};

/// A webhook that fails, or for which too much waits, is warned of no more often.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How many are sent at a time.
const SENDERS: usize = 4;
/// Most of what waits for the disk.
const MAX_WAITING: usize = 10_000;
/// How often is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);

/// Where to tell what, and where it is kept until it is told.
#[derive(Debug)]
pub struct Webhooks {
    /// Of these keys.
    pub(crate) keys: Vec<KeyPattern>,
    pub(crate) address: Address,
    pub(crate) secret: WebhookSecret,
    pub(crate) outbox: Outbox,
}

/// What waits for the thread.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    news: Condvar,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What there is to tell, and when it happened.
    notices: VecDeque<(Notice, Time)>,
    n_dropped: usize,
    /// What has become of deliveries, by their numbers.
    results: Vec<(i64, bool)>,
    /// How many the thread has taken to keep, and hasn't kept yet.
    n_taken: usize,
    /// How many were being sent when it last looked.
    n_on_their_way: usize,
    is_over: bool,
}

impl Mailbox {
    /// Adds something to tell. Quick: the core's lock is held.
    pub(crate) fn add(&self, notice: Notice) {
        let mut waiting = self.lock();
        // The oldest are told first and may be on their way to the disk, so the newest is lost.
        if waiting.notices.len() >= MAX_WAITING {
            waiting.n_dropped += 1;
            return;
        }
        waiting.notices.push_back((notice, wall()));
        self.news.notify_one();
    }

    /// What couldn't be kept comes first again, and is tried the next time.
    fn put_back(&self, mut notices: VecDeque<(Notice, Time)>) {
        let mut waiting = self.lock();
        notices.append(&mut waiting.notices);
        waiting.n_dropped += notices.len().saturating_sub(MAX_WAITING);
        notices.truncate(MAX_WAITING);
        waiting.notices = notices;
        waiting.n_taken = 0;
    }

    fn kept(&self) {
        self.lock().n_taken = 0;
    }

    fn report(&self, number: i64, is_delivered: bool) {
        self.lock().results.push((number, is_delivered));
        self.news.notify_one();
    }

    /// Waits for something to do, but no longer than until something may be due. Of a relay that stops only
    /// what is on its way can bring something.
    fn take(&self, n_on_their_way: usize) -> Waiting {
        let idle = |it: &mut Waiting| {
            let is_end = it.is_over && n_on_their_way == 0;
            it.notices.is_empty() && it.results.is_empty() && !is_end
        };
        let waiting = self.news.wait_timeout_while(self.lock(), LOOK, idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner).0;
        let (n_taken, is_over) = (waiting.notices.len(), waiting.is_over);
        let rest = Waiting { n_taken, n_on_their_way, is_over, ..Waiting::default() };
        std::mem::replace(&mut *waiting, rest)
    }

    /// What has become of everything.
    pub(crate) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Postman {
    mailbox: Arc<Mailbox>,
    ended: oneshot::Receiver<()>,
}

impl Postman {
    /// Starts them.
    pub(crate) fn start(
        mailbox: Arc<Mailbox>,
        address: Address,
        secret: WebhookSecret,
        outbox: Outbox,
    ) -> std::io::Result<Self> {
        let (tell_end, ended) = oneshot::channel();
        let (send, sent) = sync_channel(SENDERS);
        let (sent, address) = (Arc::new(Mutex::new(sent)), Arc::new((address, secret)));
        let health = Arc::<Mutex<Health>>::default();
        for n in 0..SENDERS {
            let (sent, address, mailbox) =
                (Arc::clone(&sent), Arc::clone(&address), Arc::clone(&mailbox));
            let health = Arc::clone(&health);
            let run = move || {
                let (address, secret) = &*address;
                while let Some(delivery) = next(&sent) {
                    let answer = deliver(address, secret, &delivery);
                    let news = health
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .note(Instant::now(), answer.is_ok());
                    tell(news, &answer);
                    mailbox.count(|it| match &answer {
                        Ok(()) => it.taken += 1,
                        Err(Failure::Refused(_)) => it.refused += 1,
                        Err(Failure::Silent(_)) => it.unanswered += 1,
                    });
                    mailbox.report(delivery.number, answer.is_ok());
                }
            };
            thread::Builder::new().name(format!("webhooks-{n}")).spawn(run)?;
        }
        let served = Arc::clone(&mailbox);
        let run = move || {
            serve(&served, outbox, &send);
            let _ = tell_end.send(());
        };
        thread::Builder::new().name("webhooks".to_owned()).spawn(run)?;
        Ok(Self { mailbox, ended })
    }

    /// Has kept what there is to tell, and waits for what is on its way, for as long as a relay that stops
    /// can wait.
    pub(crate) async fn end(self, patience: Duration) {
        self.mailbox.lock().is_over = true;
        self.mailbox.news.notify_one();
        if timeout(patience, self.ended).await.is_ok() {
            return;
        }
        let waiting = self.mailbox.lock();
        let n_lost = waiting.notices.len() + waiting.n_taken;
        if n_lost > 0 {
            warn!(
                n = n_lost,
                "these events couldn't be kept, so the webhook is never told of them"
            );
        }
        if waiting.n_on_their_way > 0 {
            warn!("what is on its way to the webhook may be told once more after the next start");
        }
    }
}

/// What the core needs to know to begin with.
pub(crate) fn rules(keys: Vec<KeyPattern>, outbox: &Outbox) -> NoticeRules {
    NoticeRules { told: outbox.told(&keys), keys }
}

fn next(sent: &Mutex<Receiver<Delivery>>) -> Option<Delivery> {
    sent.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Keeps what there is to tell, and hands out what is due, until the relay stops.
fn serve(mailbox: &Mailbox, mut outbox: Outbox, send: &SyncSender<Delivery>) {
    let mut is_well = true;
    // What has become of deliveries, until that is written.
    let mut results = VecDeque::new();
    loop {
        let work = mailbox.take(outbox.n_on_their_way());
        if work.n_dropped > 0 {
            mailbox.count(|it| it.disk += work.n_dropped as u64);
            warn!(
                n = work.n_dropped,
                "the disk is too slow to keep all that the webhook is to be told"
            );
        }
        let mut kept = Ok(());
        match outbox.add(&work.notices) {
            Ok(n_lost) => {
                mailbox.kept();
                mailbox.count(|it| it.queue_full += n_lost as u64);
            }
            Err(error) => {
                mailbox.put_back(work.notices);
                kept = Err(error);
            }
        }
        results.extend(work.results);
        while let Some((number, is_delivered)) = results.front() {
            match outbox.settle(*number, *is_delivered, wall()) {
                Ok(is_given_up) => mailbox.count(|it| it.given_up += u64::from(is_given_up)),
                Err(error) => {
                    kept = Err(error);
                    break;
                }
            }
            results.pop_front();
        }
        match outbox.n_waiting() {
            Ok(n) => mailbox.count(|it| it.waiting = n),
            Err(error) => kept = Err(error),
        }
        if work.is_over && outbox.n_on_their_way() == 0 && kept.is_ok() {
            return;
        }
        let due = if work.is_over { Ok(Vec::new()) } else { outbox.due(wall(), SENDERS) };
        match due {
            Ok(due) => {
                for it in due {
                    // There is room for as many as there are senders.
                    let _ = send.send(it);
                }
            }
            Err(error) => kept = Err(error),
        }
        if let Err(error) = &kept
            && is_well
        {
            warn!(%error, "what the webhook is to be told can't be kept for the moment");
        }
        is_well = kept.is_ok();
        if !is_well {
            thread::sleep(LOOK);
        }
    }
}

/// Whether the webhook takes what it is told, said in the log once when that changes, and not more often than
/// [`WARN_EVERY`] by one that takes every other event.
#[derive(Debug, Default)]
struct Health {
    warned: Option<Instant>,
    /// True from a warning until it is said that all is well again.
    is_told: bool,
}

/// What there is to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Fails,
    TakesAgain,
}

impl Health {
    fn note(&mut self, now: Instant, is_taken: bool) -> Option<News> {
        if is_taken {
            return core::mem::take(&mut self.is_told).then_some(News::TakesAgain);
        }
        let is_due = self.warned.is_none_or(|it| now.duration_since(it) >= WARN_EVERY);
        if self.is_told || !is_due {
            return None;
        }
        self.warned = Some(now);
        self.is_told = true;
        Some(News::Fails)
    }
}

fn tell(news: Option<News>, answer: &Result<(), Failure>) {
    if let Err(failure) = answer {
        debug!(%failure, "the webhook didn't take what it was told");
    }
    match (news, answer) {
        (Some(News::Fails), Err(failure)) => warn!(
            %failure,
            "the webhook doesn't take what it is told; each event is tried for about six hours"
        ),
        (Some(News::TakesAgain), _) => info!("the webhook takes what it is told again"),
        _ => {}
    }
}

/// Why an event wasn't taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it answers {0}")]
    Refused(u16),
    #[error("it doesn't answer: {0}")]
    Silent(String),
}

/// Sends one, which is taken unless that fails.
fn deliver(address: &Address, secret: &WebhookSecret, delivery: &Delivery) -> Result<(), Failure> {
    let Delivery { id, body, .. } = delivery;
    let timestamp = (wall().as_millis() / 1000).to_string();
    let signature = secret.sign(id, &timestamp, body);
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ];
    match address.post(&headers, body) {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(Failure::Refused(status)),
        Err(error) => Err(Failure::Silent(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use presence_core::relay::NoticeEvent;
    use presence_protocol::Key;
    use rusqlite::Connection;

    #[test]
    fn what_can_not_be_kept_is_tried_again_in_order() {
        let folder = std::env::temp_dir().join(format!("whoshere-webhooks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mailbox = Arc::<Mailbox>::default();
        // Nobody listens there.
        let address = Address::parse("http://127.0.0.1:1/hook", None).unwrap();
        let secret = format!("whsec_{}", "QUFB".repeat(10));
        let secret = WebhookSecret::parse(&secret.into()).unwrap();
        let outbox = Outbox::open(Some(&folder)).unwrap();
        let disk = Connection::open(folder.join("webhooks.db")).unwrap();
        disk.busy_timeout(Duration::from_secs(5)).unwrap();
        let run = |sql: &str| disk.execute_batch(sql).unwrap();
        let _postman = Postman::start(Arc::clone(&mailbox), address, secret, outbox).unwrap();

        run("ALTER TABLE queue RENAME TO elsewhere");
        mailbox.add(occupied("a"));
        thread::sleep(Duration::from_millis(200));
        mailbox.add(occupied("b"));
        run("ALTER TABLE elsewhere RENAME TO queue");
        let keys = || {
            let mut select = disk.prepare("SELECT key FROM queue ORDER BY number").unwrap();
            let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.collect::<Result<Vec<_>, _>>().unwrap()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while keys().len() < 2 {
            assert!(Instant::now() < deadline, "they are never kept");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(keys(), ["a", "b"]);
        mailbox.lock().is_over = true;
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_waits_when_the_relay_stops_is_kept() {
        let folder = std::env::temp_dir().join(format!("whoshere-stops-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mailbox = Arc::<Mailbox>::default();
        mailbox.add(occupied("a"));
        mailbox.lock().is_over = true;
        serve(&mailbox, Outbox::open(Some(&folder)).unwrap(), &sync_channel(SENDERS).0);
        let due = Outbox::open(Some(&folder)).unwrap().due(wall(), SENDERS).unwrap();
        assert_eq!(due.len(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_relay_that_stops_tries_again_to_keep_what_waits() {
        let folder = std::env::temp_dir().join(format!("whoshere-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let outbox = Outbox::open(Some(&folder)).unwrap();
        let disk = Connection::open(folder.join("webhooks.db")).unwrap();
        disk.busy_timeout(Duration::from_secs(5)).unwrap();
        disk.execute_batch("ALTER TABLE queue RENAME TO elsewhere").unwrap();
        let mailbox = Arc::<Mailbox>::default();
        mailbox.add(occupied("a"));
        mailbox.lock().is_over = true;
        let served = Arc::clone(&mailbox);
        let serving = thread::spawn(move || serve(&served, outbox, &sync_channel(SENDERS).0));
        // Long enough to see it fail; if that takes longer, it is kept at the first try.
        thread::sleep(Duration::from_millis(300));
        disk.execute_batch("ALTER TABLE elsewhere RENAME TO queue").unwrap();
        serving.join().unwrap();
        let due = Outbox::open(Some(&folder)).unwrap().due(wall(), SENDERS).unwrap();
        assert_eq!(due.len(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_waits_for_the_disk_is_bounded_and_the_oldest_stay() {
        let mailbox = Mailbox::default();
        for n in 0..MAX_WAITING + 2 {
            mailbox.add(occupied(&n.to_string()));
        }
        let work = mailbox.take(0);
        assert_eq!((work.notices.len(), work.n_dropped), (MAX_WAITING, 2));
        assert_eq!(mailbox.lock().n_taken, MAX_WAITING, "which would be lost now");
        mailbox.add(occupied("later"));
        mailbox.put_back(work.notices);
        let work = mailbox.take(0);
        assert_eq!((work.notices.len(), work.n_dropped), (MAX_WAITING, 1));
        assert_eq!(work.notices.front().unwrap().0, occupied("0"));
    }

    #[test]
    fn a_relay_that_stops_sleeps_until_what_is_on_its_way_has_arrived() {
        let mailbox = Arc::<Mailbox>::default();
        mailbox.lock().is_over = true;
        let reporting = Arc::clone(&mailbox);
        let later = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            reporting.report(7, true);
        });
        assert_eq!(mailbox.take(1).results, [(7, true)]);
        later.join().unwrap();
        assert!(mailbox.take(0).results.is_empty(), "and ends at once if there is nothing");
    }

    #[test]
    fn each_outage_is_told_once_and_flapping_once_a_while() {
        let (start, mut health) = (Instant::now(), Health::default());
        let mut at =
            |seconds, is_taken| health.note(start + Duration::from_secs(seconds), is_taken);
        assert_eq!(at(0, true), None);
        assert_eq!(at(1, false), Some(News::Fails));
        assert_eq!(at(2, false), None);
        assert_eq!(at(3, true), Some(News::TakesAgain));
        // It fails again too soon after that to be told at once, and is told as soon as it may be.
        assert_eq!(at(4, false), None);
        assert_eq!(at(5, true), None, "nobody was told that it failed");
        assert_eq!(at(6, false), None);
        assert_eq!(at(1 + WARN_EVERY.as_secs(), false), Some(News::Fails));
        assert_eq!(at(2 + WARN_EVERY.as_secs(), true), Some(News::TakesAgain));
    }

    fn occupied(key: &str) -> Notice {
        Notice { key: Key::parse(key).unwrap(), event: NoticeEvent::Occupied }
    }
}
