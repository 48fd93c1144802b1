//! Several connections and their keys, whatever they say in whatever order.

use crate::servers::{Ledger, Servers};
use presence_core::relay::{
    Closed, ConnId, KeyPattern, LastSeenRules, NoticeRules, Outgoing, Request, View,
};
use presence_protocol::{
    Delta, ErrorCode, Key, Meta, Presence, Rev, ServerFrame, SessionId, UserId, decode_client,
};
use simulation::relay::{Running, unseal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const KEYS: [&str; 3] = ["a", "b", "c"];
/// Whom servers put out, place and watch for: people, and one whom only they know.
const USERS: [&str; 5] = ["u0", "u1", "u2", "u9", "bot"];
const METAS: [&str; 3] = ["{}", "{\"x\":1}", "{\"y\":[2]}"];

/// What a viewer knows of a key.
#[derive(Debug, PartialEq)]
struct Known {
    rev: Rev,
    presences: BTreeMap<SessionId, Presence<Meta>>,
}

/// A page, as simple as one can be: it believes what it is told.
#[derive(Default)]
struct Page {
    conn: Option<ConnId>,
    resume: Option<String>,
    dial: u32,
    keys: BTreeMap<Key, Known>,
}

struct World {
    running: Running,
    now: u64,
    pages: Vec<Page>,
    /// What a store would keep.
    views: BTreeMap<(Key, UserId), View>,
    servers: Servers,
    /// What servers were told.
    ledger: Ledger,
    /// How many lives the relay has had.
    n_lives: u64,
}

/// Two bytes are a step: who does it and what, and with what.
pub(crate) fn run(data: &[u8]) {
    let mut world = World {
        running: Running::start(0, 0),
        now: 0,
        pages: std::iter::repeat_with(Page::default).take(4).collect(),
        views: BTreeMap::new(),
        servers: Servers::default(),
        ledger: Ledger::default(),
        n_lives: 0,
    };
    world.start();
    for step in data.chunks_exact(2) {
        if let [who, with] = step {
            world.step(usize::from(who & 3), who >> 2, usize::from(*with));
            let now = world.running.now(world.now);
            world.servers.check(&world.running.relay, now);
        }
    }
    world.settle();
}

impl World {
    /// The relay's process begins, and knows what of its last life is kept.
    fn start(&mut self) {
        self.n_lives += 1;
        self.running = Running::start(self.now, 6 + self.n_lives);
        let now = self.running.now(self.now);
        let all = || KeyPattern::parse("*").into_iter().collect();
        let last_seen = LastSeenRules::new(all(), Duration::from_secs(300));
        self.running.relay.keep_last_seen(now, last_seen);
        let told = Some(self.ledger.all());
        self.running.relay.keep_notices(now, NoticeRules { keys: all(), told });
    }

    fn restart(&mut self, is_a_crash: bool) {
        if !is_a_crash {
            let now = self.running.now(self.now);
            self.running.relay.drain(now, Duration::from_secs(5));
            self.read();
        }
        for page in &mut self.pages {
            page.conn = None;
            page.keys.clear();
        }
        self.servers = Servers::default();
        self.start();
    }

    fn step(&mut self, who: usize, what: u8, with: usize) {
        let key = pick(&KEYS, with);
        let meta = pick(&METAS, with / 3);
        let Some(page) = self.pages.get(who) else { return };
        let frame = match what % 32 {
            0 => return self.dial(who),
            1 => return self.hang_up(who, Closed::Lost),
            2 => return self.hang_up(who, Closed::Leave),
            3 => return self.pass(with as u64),
            4 => return self.pass(with as u64 * 250),
            5 => return self.beacon(who, key),
            6 | 7 => format!(r#"{{"join":{{"key":"{key}","meta":{meta},"away":{}}}}}"#, with > 99),
            8 => format!(r#"{{"join":{{"key":"{key}","age":{},"token":"u{who} *"}}}}"#, with * 999),
            9 => format!(r#"{{"update":{{"key":"{key}","meta":{meta}}}}}"#),
            10 => format!(r#"{{"leave":{{"key":"{key}"}}}}"#),
            11 => format!(r#"{{"resync":{{"key":"{key}"}}}}"#),
            12 => format!(r#"{{"attention":{{"away":{}}}}}"#, with > 99),
            13 => format!(r#"{{"pulse":{{"key":"{key}","name":"{}"}}}}"#, pick(&["a", "b"], with)),
            14 => format!(
                r#"{{"pulse":{{"key":"{key}","name":"{0}","value":"1"}}}}"#,
                pick(&["a", "b", "c", "d", "e", "f", "g", "h", "i"], with)
            ),
            15 => format!(r#"{{"observe":{{"key":"{key}","invisible":{}}}}}"#, with > 99),
            16 => format!(r#"{{"last_seen":{{"key":"{key}"}}}}"#),
            17 => format!(
                r#"{{"token":{{"token":"{}"}}}}"#,
                pick(&["u0 *", "u2 a", "u9 b", "x"], with)
            ),
            20..29 => return self.serve(who, what % 32, with),
            29 => return self.restart(with > 99),
            _ => r#"{"heartbeat":{}}"#.to_owned(),
        };
        if let Some(conn) = page.conn {
            self.say(conn, &frame);
        }
        self.read();
        // What comes after a leave is about a presence that no longer is.
        if what % 32 == 10
            && let Some(page) = self.pages.get_mut(who)
        {
            page.keys.retain(|it, _| it.as_str() != key);
        }
    }

    /// A server of the application does something.
    fn serve(&mut self, who: usize, what: u8, with: usize) {
        let now = self.running.now(self.now);
        let (servers, relay) = (&mut self.servers, &mut self.running.relay);
        let Some(key) = Key::parse(pick(&KEYS, with)) else { return };
        let Some(user) = UserId::parse(pick(&USERS, with / 3)) else { return };
        let lasting = Duration::from_secs([0, 1, 8, 30].get(who).copied().unwrap_or_default());
        match what {
            20 => servers.kick(relay, now, &user, &key, lasting),
            21 => servers.kick_everywhere(relay, now, &user, lasting, 1 + with / 32),
            22 => servers.lift(relay, now, &user, (who < 2).then_some(&key)),
            23 => servers.place(relay, now, &key, &user, pick(&METAS, with / 15), lasting),
            24 => servers.withdraw(relay, now, &key, &user),
            25 => servers.watch(relay, now, &key, &user),
            26 => servers.unwatch(relay, with),
            27 => servers.hear_one(relay, now, with),
            _ => servers.hear_all(relay, now),
        }
        self.read();
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let frame = decode_client(text).unwrap_or_else(|it| panic!("{text}: {it:?}"));
        let now = self.running.now(self.now);
        self.running.receive(now, conn, frame);
    }

    fn dial(&mut self, who: usize) {
        let now = self.running.now(self.now);
        let Some(page) = self.pages.get_mut(who) else { return };
        if let Some(conn) = page.conn.take() {
            self.running.relay.closed(now, conn, Closed::Lost);
        }
        let Ok(conn) = self.running.relay.connect(now) else { return };
        page.dial += 1;
        page.conn = Some(conn);
        page.keys.clear();
        let resume = page.resume.as_ref().map(|it| format!(r#","resume":"{it}""#));
        let (dial, resume) = (page.dial, resume.unwrap_or_default());
        // The third and the fourth are one person, and the fourth may not go everywhere.
        let token = pick(&["u0 *", "u1 *", "u2 *", "u2 a"], who);
        self.say(conn, &format!(r#"{{"hello":{{"token":"{token}","dial":{dial}{resume}}}}}"#));
        self.read();
    }

    fn hang_up(&mut self, who: usize, how: Closed) {
        let now = self.running.now(self.now);
        if let Some(page) = self.pages.get_mut(who)
            && let Some(conn) = page.conn.take()
        {
            page.keys.clear();
            self.running.relay.closed(now, conn, how);
            self.read();
        }
    }

    fn beacon(&mut self, who: usize, key: &str) {
        let now = self.running.now(self.now);
        let Some(page) = self.pages.get(who) else { return };
        if let Some(claims) = page.resume.as_deref().and_then(unseal)
            && let Some(key) = Key::parse(key)
        {
            let dial = presence_protocol::Dial(page.dial);
            self.running.relay.beacon(now, &claims, dial, &[key]);
            self.read();
        }
    }

    /// Time goes by in steps that are no stalls, and everybody beats if they want to.
    fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            let now = self.running.now(self.now);
            let due = self.running.relay.poll_timeout();
            let wait = due.map_or(500, |it| it.as_millis().saturating_sub(now.as_millis()));
            self.now = (self.now + wait.clamp(1, 500)).min(end);
            let now = self.running.now(self.now);
            if due.is_some_and(|it| it <= now) {
                self.running.relay.handle_timeout(now);
                let next = self.running.relay.poll_timeout();
                assert!(next.is_none_or(|it| it > now), "a deadline that stays due");
                self.read();
            }
        }
    }

    fn read(&mut self) {
        let now = self.running.now(self.now);
        self.serve_store();
        while let Some(notice) = self.running.relay.poll_notice() {
            self.ledger.take(&notice);
        }
        self.servers.wake(&mut self.running.relay);
        let mut out = Vec::new();
        while let Some(conn) = self.running.relay.poll_wake() {
            while self.running.relay.collect(now, conn, 1000, &mut out) {}
            let page = self.pages.iter_mut().find(|it| it.conn == Some(conn));
            let Some(page) = page else { continue };
            let mut is_closed = false;
            for it in out.drain(..) {
                match it {
                    Outgoing::Frame(frame) => page.hear(&frame),
                    Outgoing::Ping => {}
                    Outgoing::Close(_) => is_closed = true,
                }
            }
            if is_closed {
                page.conn = None;
                page.keys.clear();
                self.running.relay.closed(now, conn, Closed::Lost);
            }
        }
    }

    fn serve_store(&mut self) {
        let now = self.running.now(self.now);
        while let Some(request) = self.running.relay.poll_request() {
            match request {
                Request::Keep(view) => {
                    self.views.insert((view.key.clone(), view.user.id().clone()), view);
                }
                Request::LookUp(asked) => {
                    let found = self.views.values().filter(|it| it.key == asked.key).cloned();
                    // Of one key there is never an answer.
                    let answer = (asked.key.as_str() != "c")
                        .then(|| Arc::new(asked.answer(now, found.collect())));
                    self.running.relay.last_seen(now, asked, answer);
                }
                Request::ForgetBefore(before) => self.views.retain(|_, it| it.at >= before),
                Request::ForgetUser { user, keys } => self
                    .views
                    .retain(|(key, of), _| *of != user || !keys.iter().any(|it| it.matches(key))),
            }
        }
    }

    /// When all is quiet, all who are in a key know the same, and it is what a newcomer is told.
    fn settle(&mut self) {
        let now = self.running.now(self.now);
        let Ok(conn) = self.running.relay.connect(now) else { return };
        self.pages.push(Page { conn: Some(conn), ..Page::default() });
        self.say(conn, r#"{"hello":{"token":"last *","dial":1}}"#);
        for key in KEYS {
            self.say(conn, &format!(r#"{{"join":{{"key":"{key}"}}}}"#));
        }
        self.read();
        self.pass(1000);
        let Some((last, first)) = self.pages.split_last() else { return };
        for (key, known) in first.iter().flat_map(|it| &it.keys) {
            let told = last.keys.get(key).unwrap_or_else(|| panic!("no snapshot of {key:?}"));
            assert_eq!(known, told, "in {key:?}");
        }
        self.settle_servers();
    }

    /// Servers know it too, and are told of the end of all.
    fn settle_servers(&mut self) {
        self.servers.check_sums(&self.running.relay);
        for (key, roster) in self.running.relay.rosters_after(None, usize::MAX) {
            for it in roster {
                assert!(self.ledger.has(&key, it.user.id()), "nobody was told of {it:?}");
            }
        }
        // What watchers are told has its own pace.
        for _ in 0..50 {
            let now = self.running.now(self.now);
            self.servers.hear_all(&mut self.running.relay, now);
            if self.servers.differ(&self.running.relay).is_none() {
                break;
            }
            self.pass(100);
        }
        let differ = self.servers.differ(&self.running.relay);
        assert!(differ.is_none(), "a watcher doesn't know who is here: {differ:?}");
        // Nobody says anything any more: all are lost, and those who have left aren't back.
        self.pass(90_000);
        let rest = self.running.relay.rosters_after(None, usize::MAX);
        assert!(rest.iter().all(|(_, it)| it.is_empty()), "they stay for ever: {rest:?}");
        assert!(self.ledger.all().is_empty(), "nobody was told that {:?} left", self.ledger);
        self.servers.check_sums(&self.running.relay);
    }
}

fn pick<'a>(list: &[&'a str], with: usize) -> &'a str {
    list.get(with % list.len()).copied().unwrap_or_default()
}

/// After such an error the connection isn't in the key.
const fn puts_out(code: ErrorCode) -> bool {
    use ErrorCode::{KeyDenied, KeyExpired, KeyFull, Kicked, TooManyKeys};
    matches!(code, KeyDenied | KeyExpired | KeyFull | Kicked | TooManyKeys)
}

impl Page {
    fn hear(&mut self, frame: &ServerFrame<Meta>) {
        match frame {
            ServerFrame::Welcome(it) => self.resume = Some(it.resume.clone()),
            ServerFrame::Token { resume, .. } => self.resume = Some(resume.clone()),
            ServerFrame::Error { code, key: Some(key), .. } if puts_out(*code) => {
                self.keys.remove(key);
            }
            ServerFrame::Snapshot(it) => {
                let presences = it.presences.iter().map(|it| (it.session, it.clone())).collect();
                self.keys.insert(it.key.clone(), Known { rev: it.rev, presences });
            }
            ServerFrame::Delta(it) => self.follow(it),
            ServerFrame::Heartbeat { revs } => {
                for (key, rev) in revs {
                    let known = self.keys.get(key).map(|it| it.rev);
                    assert_eq!(known, Some(*rev), "a heartbeat's rev of {key:?}");
                }
            }
            _ => {}
        }
    }

    fn follow(&mut self, delta: &Delta<Meta>) {
        let known = self.keys.get_mut(&delta.key);
        let known = known.unwrap_or_else(|| panic!("a delta before the snapshot"));
        assert_eq!(delta.from, known.rev, "a gap");
        assert!(delta.to > delta.from || delta.to.0 == 0, "a key that empties begins anew");
        known.rev = delta.to;
        for it in &delta.joined {
            known.presences.insert(it.session, it.clone());
        }
        for it in &delta.left {
            known.presences.remove(&it.session);
        }
        for it in &delta.updated {
            let presence = known.presences.get_mut(&it.session);
            let presence = presence.unwrap_or_else(|| panic!("an update of one who isn't here"));
            presence.state = it.state.unwrap_or(presence.state);
            if let Some(meta) = &it.meta {
                presence.meta = meta.clone();
            }
        }
    }
}
