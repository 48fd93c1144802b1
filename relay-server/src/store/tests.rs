use super::waiting::{MAX_QUESTIONS, MAX_WAITING, on_the_wall};
use super::*;
use crate::host::WireHost;
use crate::resume::ResumeKey;
use presence_core::relay::{
    Capabilities, Command, Grant, LastSeenRules, MemoryBackplane, Relay, RelayConfig, Request,
};
use presence_protocol::{AvatarUrl, Color, Dial, Epoch, Meta, User};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Instant;

const LATER: Time = Time::from_millis(1_000_000);

#[test]
fn the_latest_view_of_each_user_is_kept() {
    let mut store = SqliteStore::in_memory().unwrap();
    store
        .keep(&[view("doc:1", "alice", 5), view("doc:1", "bob", 7), view("doc:2", "bob", 9)])
        .unwrap();
    store.keep(&[view("doc:1", "alice", 8), view("doc:1", "bob", 6)]).unwrap();
    assert_eq!(seen(&mut store, "doc:1", 0), ["alice 8", "bob 7"]);
    assert_eq!(seen(&mut store, "doc:1", 8), ["alice 8"]);
    assert_eq!(store.views(&key("doc:1"), Time::default(), 1).unwrap().len(), 1);
    assert_eq!(seen(&mut store, "doc:3", 0), NOTHING);
}

#[test]
fn a_user_comes_back_as_they_went_in() {
    let mut store = SqliteStore::in_memory().unwrap();
    let avatar = AvatarUrl::parse("/bob\"s.svg");
    let user = User::new(UserId::parse("\"b'ob").unwrap(), "Бо́б 👩‍👩‍👧", Color([0, 255, 127])).unwrap();
    let view = View { key: key("a"), user: Arc::new(user.with_avatar(avatar)), at: LATER };
    store.keep(std::slice::from_ref(&view)).unwrap();
    assert_eq!(store.views(&view.key, Time::default(), 9).unwrap(), [view]);
}

#[test]
fn what_is_too_old_or_a_users_is_forgotten() {
    let mut store = SqliteStore::in_memory().unwrap();
    store
        .keep(&[view("doc:1", "alice", 5), view("doc:1", "bob", 7), view("doc:2", "bob", 9)])
        .unwrap();
    store.forget_before(Time::from_millis(6)).unwrap();
    assert_eq!(seen(&mut store, "doc:1", 0), ["bob 7"]);
    assert_eq!(store.forget_user(&UserId::parse("bob").unwrap(), &all()).unwrap(), 2);
    assert_eq!(seen(&mut store, "doc:1", 0), NOTHING);
    assert_eq!(seen(&mut store, "doc:2", 0), NOTHING);
}

#[test]
fn what_is_forgotten_is_not_on_the_disk_while_the_store_is_open() {
    let folder = std::env::temp_dir().join(format!("whoshere-erased-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut store = SqliteStore::open(&folder).unwrap();
    store.keep(&[view("doc:1", "alice-once", 5), view("doc:1", "bob-once", 7)]).unwrap();
    let is_on_disk = |name: &str| {
        let files = std::fs::read_dir(&folder).unwrap();
        let read =
            |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.unwrap().path()).unwrap();
        files.map(read).any(|it| it.windows(name.len()).any(|it| it == name.as_bytes()))
    };
    assert!(is_on_disk("alice-once") && is_on_disk("bob-once"));
    store.forget_before(Time::from_millis(6)).unwrap();
    assert!(!is_on_disk("alice-once"));
    store.forget_user(&UserId::parse("bob-once").unwrap(), &all()).unwrap();
    assert!(!is_on_disk("bob-once"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_later_view_is_not_replaced_by_what_is_found_out_about_before() {
    let mut waiting = Waiting::default();
    for at in [9, 5] {
        waiting.add(Request::Keep(view("doc:1", "alice", at)));
    }
    assert_eq!(waits(&waiting), ["alice doc:1 9"]);
}

#[test]
fn it_outlives_the_process_and_is_nobody_elses() {
    let folder = std::env::temp_dir().join(format!("whoshere-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    SqliteStore::open(&folder).unwrap().keep(&[view("doc:1", "alice", 5)]).unwrap();
    assert_eq!(seen(&mut SqliteStore::open(&folder).unwrap(), "doc:1", 0), ["alice 5"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.join("whoshere.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(SqliteStore::open(&folder).is_err(), "there is no such folder");
}

#[test]
fn a_full_store_forgets_the_oldest() {
    let small = 200 * 1024;
    let mut store = SqliteStore::prepare(Connection::open_in_memory().unwrap(), small).unwrap();
    for at in 0..20_u64 {
        let views: Vec<_> =
            (0..100).map(|it| view("doc:1", &format!("user{it}of{at}"), at)).collect();
        store.keep(&views).unwrap();
        assert_eq!(seen(&mut store, "doc:1", at).len(), 100, "the newest are there");
    }
    let kept = store.views(&key("doc:1"), Time::default(), usize::MAX).unwrap().len();
    assert!((100..2_000).contains(&kept), "{kept} of 2000");
}

#[test]
fn what_waits_is_bounded_by_people_and_keys() {
    let mut waiting = Waiting::default();
    for at in 0..1_000 {
        waiting.add(Request::Keep(view("doc:1", "alice", at)));
    }
    assert_eq!(waits(&waiting), ["alice doc:1 999"]);
    assert!(!waiting.is_urgent(), "a batch can wait");
    for it in 0..MAX_WAITING + 5 {
        waiting.add(Request::Keep(view("doc:2", &format!("{it}"), 0)));
    }
    assert_eq!((waiting.n_views, waiting.n_dropped), (MAX_WAITING, 6));
    waiting.add(Request::Keep(view("doc:1", "alice", 1_001)));
    assert_eq!(waiting.n_dropped, 6, "one that waits already takes no more room");
}

#[test]
fn nobody_pushes_out_what_is_kept_of_others() {
    let mut waiting = Waiting::default();
    for it in 0..MAX_VIEWS_PER_USER + 100 {
        waiting.add(Request::Keep(view(&format!("mine:{it}"), "mallory", 5)));
    }
    assert_eq!((waiting.n_views, waiting.n_dropped), (MAX_VIEWS_PER_USER, 100));

    let small = 800 * 1024;
    let mut store = SqliteStore::prepare(Connection::open_in_memory().unwrap(), small).unwrap();
    store.keep(&[view("doc:1", "alice", 1)]).unwrap();
    for at in 0..30_u64 {
        let views = (0..1000).map(|it| view(&format!("mine:{at}:{it}"), "mallory", at + 2));
        store.keep(&views.collect::<Vec<_>>()).unwrap();
    }
    assert_eq!(seen(&mut store, "doc:1", 0), ["alice 1"]);
    assert_eq!(seen(&mut store, "mine:29:7", 0), ["mallory 31"], "the newest of one's own stay");
    assert_eq!(seen(&mut store, "mine:20:7", 0), NOTHING);
    let n_kept = store.forget_user(&UserId::parse("mallory").unwrap(), &all()).unwrap();
    assert_eq!(n_kept, MAX_VIEWS_PER_USER);
}

#[test]
fn a_user_is_forgotten_in_the_keys_that_are_meant_also_before_it_is_written() {
    let mut store = SqliteStore::in_memory().unwrap();
    let views = [view("doc:1", "alice", 5), view("team:1", "alice", 5), view("doc:1", "bob", 5)];
    store.keep(&views).unwrap();
    let (alice, keys) = (UserId::parse("alice").unwrap(), patterns(&["doc:*"]));
    assert_eq!(store.forget_user(&alice, &keys).unwrap(), 1);
    assert_eq!(seen(&mut store, "doc:1", 0), ["bob 5"]);
    assert_eq!(seen(&mut store, "team:1", 0), ["alice 5"]);

    let mut waiting = Waiting::default();
    for view in views {
        waiting.add(Request::Keep(view));
    }
    waiting.add(Request::ForgetUser { user: alice.clone(), keys: keys.clone() });
    waiting.add(Request::ForgetUser { user: alice, keys });
    assert_eq!(waits(&waiting), ["alice team:1 5", "bob doc:1 5"]);
    assert_eq!((waiting.n_views, waiting.n_forgetting), (2, 1), "twice the same is once");
}

#[test]
fn what_is_kept_of_keys_that_are_asked_for_no_longer_is_forgotten() {
    let mut store = SqliteStore::in_memory().unwrap();
    let many = (0..1200).map(|it| view("team:1", &format!("u{it}"), 5));
    store.keep(&many.collect::<Vec<_>>()).unwrap();
    store.keep(&[view("doc:1", "alice", 5), view("doc:2", "alice", 5)]).unwrap();
    assert!(store.forget_others(&patterns(&["doc:1", "nowhere:*"])).unwrap() > 0);
    assert_eq!(seen(&mut store, "doc:1", 0), ["alice 5"]);
    for gone in ["doc:2", "team:1"] {
        assert_eq!(seen(&mut store, gone, 0), NOTHING);
    }
}

#[test]
fn the_log_counts_for_the_bound_also_while_room_is_made() {
    let folder = std::env::temp_dir().join(format!("whoshere-bound-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("whoshere.db");
    let most = 6 * 1024 * 1024;
    let mut store = SqliteStore::prepare(Connection::open(file).unwrap(), most).unwrap();
    let size = || {
        let files = std::fs::read_dir(&folder).unwrap();
        files.map(|it| it.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    for at in 0..4_u64 {
        let views = (0..20_000).map(|it| view("doc:1", &format!("{}", it * 7919 + at), at));
        store.keep(&views.collect::<Vec<_>>()).unwrap();
        assert!(size() <= (most + sqlite::LOG_BYTES / 4).unsigned_abs(), "{} bytes", size());
    }
    assert_eq!(seen(&mut store, "doc:1", 3).len(), 100, "the newest are there");
    store.forget_before(LATER).unwrap();
    assert!(size() <= (most + sqlite::LOG_BYTES / 4).unsigned_abs(), "{} bytes", size());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_kept_has_the_time_of_the_wall_whatever_the_relays_clock_says() {
    let at = Time::from_millis;
    // The process stood still for an hour.
    let (now, wall) = (at(10_000_000), at(13_600_000));
    let moved = on_the_wall(Request::Keep(view("doc:1", "alice", 9_990_000)), now, wall);
    assert_eq!(moved, Request::Keep(view("doc:1", "alice", 13_590_000)));
    let moved = on_the_wall(Request::ForgetBefore(at(10_000_500)), now, wall);
    assert_eq!(moved, Request::ForgetBefore(at(13_600_500)));
}

#[test]
fn questions_that_wait_are_bounded() {
    let inbox = Inbox::default();
    let refused = inbox.add(LATER, vec![question(); MAX_QUESTIONS + 3]);
    assert_eq!(refused.len(), 3);
    assert_eq!(inbox.overdue(Duration::from_secs(60)).len(), 0);
    assert_eq!(inbox.overdue(Duration::ZERO).len(), MAX_QUESTIONS, "and none waits for ever");
    assert!(inbox.next_question(u64::MAX).is_none());
}

#[test]
fn what_was_viewed_before_a_question_is_written_before_its_answer() {
    let inbox = Inbox::default();
    inbox.add(LATER, vec![question()]);
    let work = inbox.take();
    inbox.add(LATER, vec![Request::Keep(view("doc:1", "alice", 5)), question()]);
    assert!(inbox.next_question(work.n_questions).is_some());
    assert!(inbox.next_question(work.n_questions).is_none(), "its view is not taken yet");
    let work = inbox.take();
    assert_eq!(work.n_views, 1);
    assert!(inbox.next_question(work.n_questions).is_some());
}

#[test]
fn a_store_that_fails_has_no_answer_rather_than_nobody() {
    let inbox = Arc::new(Inbox::default());
    let (tell, told) = mpsc::channel();
    let answer = move |_, found: Option<Vec<View>>| tell.send(found).unwrap();
    let keeper = Keeper::start(Arc::clone(&inbox), Box::new(Broken), answer).unwrap();
    inbox.add(LATER, vec![question()]);
    assert_eq!(told.recv().unwrap(), None);
    block_on(async {
        let looked_up = inbox.run(|it| it.views(&key("doc:1"), LATER, 1)).await;
        assert!(looked_up.is_err(), "nor has the API");
        keeper.end(Duration::from_secs(60)).await;
    });
}

#[test]
fn a_disk_that_hangs_keeps_nobody_waiting_and_no_relay_from_stopping() {
    let inbox = Arc::new(Inbox::default());
    let (free, is_free) = mpsc::channel();
    let keeper = Keeper::start(Arc::clone(&inbox), Box::new(Hung(is_free)), |_, _| {}).unwrap();
    inbox.add(LATER, vec![Request::Keep(view("doc:1", "alice", 5))]);
    // The thread takes what there is and hangs; what comes later waits.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !inbox.is_idle() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
    inbox.add(LATER, vec![question()]);
    assert_eq!(inbox.overdue(Duration::ZERO).len(), 1);
    block_on(keeper.end(Duration::from_millis(10)));
    free.send(()).unwrap();
}

/// A store whose disk has failed.
#[derive(Debug)]
struct Broken;

impl Store for Broken {
    fn keep(&mut self, _: &[View]) -> Result<(), StoreError> {
        Err(broken())
    }
    fn views(&mut self, _: &Key, _: Time, _: usize) -> Result<Vec<View>, StoreError> {
        Err(broken())
    }
    fn forget_before(&mut self, _: Time) -> Result<(), StoreError> {
        Err(broken())
    }
    fn forget_user(&mut self, _: &UserId, _: &[KeyPattern]) -> Result<usize, StoreError> {
        Err(broken())
    }
    fn forget_others(&mut self, _: &[KeyPattern]) -> Result<usize, StoreError> {
        Err(broken())
    }
}

fn broken() -> StoreError {
    StoreError::from(rusqlite::Error::InvalidQuery)
}

/// A store that hangs until it is told not to.
#[derive(Debug)]
struct Hung(mpsc::Receiver<()>);

impl Store for Hung {
    fn keep(&mut self, _: &[View]) -> Result<(), StoreError> {
        self.0.recv().unwrap();
        Ok(())
    }
    fn views(&mut self, _: &Key, _: Time, _: usize) -> Result<Vec<View>, StoreError> {
        Ok(Vec::new())
    }
    fn forget_before(&mut self, _: Time) -> Result<(), StoreError> {
        Ok(())
    }
    fn forget_user(&mut self, _: &UserId, _: &[KeyPattern]) -> Result<usize, StoreError> {
        Ok(0)
    }
    fn forget_others(&mut self, _: &[KeyPattern]) -> Result<usize, StoreError> {
        Ok(0)
    }
}

const NOTHING: [&str; 0] = [];

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// What waits to be kept.
fn waits(waiting: &Waiting) -> Vec<String> {
    let views = waiting.views.values().flat_map(BTreeMap::values);
    views.map(|it| format!("{} {} {}", it.user.name(), it.key, it.at.as_millis())).collect()
}

/// What a connection of a core asks.
fn question() -> Request {
    let host = WireHost::new(ResumeKey::derive(&"a secret".to_owned().into()));
    let backplane = MemoryBackplane::new(Epoch::new(1), Time::default());
    let mut core = Relay::new(RelayConfig::default(), host, backplane, 1);
    core.keep_last_seen(LATER, LastSeenRules::new(all(), Duration::from_secs(60)));
    let conn = core.connect(LATER).unwrap();
    let grant = Grant {
        user: view("doc:1", "alice", 0).user,
        keys: all(),
        can: Capabilities::OF_A_PAGE,
        expires_in: Duration::from_secs(60),
        last_seen: true,
    };
    core.hello(LATER, conn, Ok(grant), None, Dial(1));
    let (key, meta) = (key("doc:1"), Meta::empty());
    let join = Command::Join { key: key.clone(), grant: None, meta, age: None, away: None };
    core.frame(LATER, conn, join);
    core.frame(LATER, conn, Command::LastSeen { key });
    let mut requests = std::iter::from_fn(|| core.poll_request());
    requests.find(|it| matches!(it, Request::LookUp(_))).unwrap()
}

fn patterns(texts: &[&str]) -> Vec<KeyPattern> {
    texts.iter().map(|it| KeyPattern::parse(it).unwrap()).collect()
}

fn all() -> Vec<KeyPattern> {
    patterns(&["*"])
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn view(name: &str, user: &str, at: u64) -> View {
    let id = UserId::parse(user).unwrap();
    let user = Arc::new(User::new(id, user, Color([1, 2, 3])).unwrap());
    View { key: key(name), user, at: Time::from_millis(at) }
}

fn seen(store: &mut SqliteStore, name: &str, since: u64) -> Vec<String> {
    let views = store.views(&key(name), Time::from_millis(since), 100).unwrap();
    views.iter().map(|it| format!("{} {}", it.user.name(), it.at.as_millis())).collect()
}
