use super::*;
use presence_protocol::{AvatarUrl, Color, User};
use rusqlite::Connection;

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
    assert_eq!(store.forget_user(&UserId::parse("bob").unwrap()).unwrap(), 2);
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
    store.forget_user(&UserId::parse("bob-once").unwrap()).unwrap();
    assert!(!is_on_disk("bob-once"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_later_view_is_not_replaced_by_what_is_found_out_about_before() {
    let mut waiting = Waiting::default();
    for at in [9, 5] {
        waiting.add(Request::Keep(view("doc:1", "alice", at)));
    }
    assert!(waiting.views.values().all(|it| it.at == Time::from_millis(9)));
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
    assert_eq!(waiting.views.len(), 1);
    assert_eq!(waiting.views.values().next().unwrap().at.as_millis(), 999);
    assert!(!waiting.is_urgent(), "a batch can wait");
    for it in 0..MAX_WAITING + 5 {
        waiting.add(Request::Keep(view("doc:2", &format!("{it}"), 0)));
    }
    assert_eq!((waiting.views.len(), waiting.n_dropped), (MAX_WAITING, 6));
    waiting.add(Request::Keep(view("doc:1", "alice", 1_001)));
    assert_eq!(waiting.n_dropped, 6, "one that waits already takes no more room");
}

const NOTHING: [&str; 0] = [];

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
