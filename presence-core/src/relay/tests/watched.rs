//! Claims about what servers that watch a key are told.

use super::*;
use crate::relay::{News, Told, WatchError, WatcherId};

#[test]
fn what_is_told_follows_on_the_roster_and_adds_up_to_it() {
    use proptest::test_runner::TestRunner;
    let moves = proptest::collection::vec((0..6_usize, 0..4_u64), 1..50);
    // A crowd makes what is told wait, and be told as one.
    let crowd = proptest::sample::select(vec![0, 60]);
    TestRunner::deterministic()
        .run(&(moves, crowd), |(moves, crowd)| {
            let mut shell = Shell::new();
            for _ in 0..crowd {
                let id = watch(&mut shell, "crowd");
                told(&mut shell, id);
            }
            let mut pages: BTreeMap<usize, Page> = BTreeMap::new();
            let mut watcher = None;
            for (n, (who, pause)) in moves.into_iter().enumerate() {
                match pages.remove(&who) {
                    Some(page) if pause == 3 => {
                        let meta = meta(&format!("{{\"n\":{n},\"large\":\"{:4000}\"}}", ""));
                        shell.frame(page.conn, Command::Update { key: parse(DOC), meta });
                        pages.insert(who, page);
                    }
                    Some(page) if pause == 2 => shell.reset(&page),
                    Some(page) => shell.close_tab(&page),
                    None => {
                        let page = shell.page(["alice", "bob", "carol"][who % 3]);
                        shell.frame(page.conn, join(DOC));
                        pages.insert(who, page);
                    }
                }
                // Inside a window as well as after it.
                shell.pass(pause * 7);
                if n == 5 {
                    watcher = Some((watch(&mut shell, "server"), None));
                }
                follow(&mut shell, &mut watcher);
            }
            shell.pass(60_000);
            follow(&mut shell, &mut watcher);
            if let Some((_, copy)) = watcher {
                let mut there = BTreeMap::new();
                for name in shell.roster(DOC) {
                    *there.entry(name).or_default() += 1;
                }
                assert_eq!(copy, Some(there));
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn nothing_is_kept_of_a_key_that_nobody_watches_any_more() {
    let mut shell = Shell::new();
    let first = watch(&mut shell, "server");
    let second = watch(&mut shell, "server");
    shell.relay.unwatch(&parse(DOC), first);
    shell.visit("alice", DOC);
    assert_eq!(told(&mut shell, second), ["alice"]);
    assert_eq!(told(&mut shell, first), ["kicked"], "who is gone isn't told anything");
    assert_eq!(told(&mut shell, second), NOTHING);
    shell.relay.unwatch(&parse(DOC), second);
    assert!(shell.relay.watched.is_idle());
    core::iter::from_fn(|| shell.relay.poll_watcher()).count();
    shell.visit("bob", DOC);
    shell.visit("bob", OTHER);
    assert_eq!(shell.relay.poll_watcher(), None);
}

#[test]
fn a_watcher_is_woken_when_there_is_something_for_it() {
    let mut shell = Shell::new();
    let watcher = watch(&mut shell, "server");
    assert_eq!(told(&mut shell, watcher), NOBODY);
    shell.visit("alice", OTHER);
    assert_eq!(shell.relay.poll_watcher(), None);
    let alice = shell.visit("alice", DOC);
    assert_eq!(shell.relay.poll_watcher(), Some(watcher));
    assert_eq!(told(&mut shell, watcher), ["+alice"]);
    shell.close_tab(&alice);
    shell.pass(WINDOW);
    assert_eq!(told(&mut shell, watcher), ["-alice left"]);
}

#[test]
fn who_falls_behind_gets_the_roster_and_holds_no_more_than_the_log() {
    let mut shell = Shell::new();
    let alice = shell.visit("alice", DOC);
    let (slow, other) = (watch(&mut shell, "server"), watch(&mut shell, "server"));
    assert_eq!(told(&mut shell, slow), ["alice"]);
    let large = "x".repeat(4000);
    for n in 0..200 {
        shell.update(&alice, DOC, &format!("{{\"n\":{n},\"large\":\"{large}\"}}"));
        shell.pass(WINDOW);
        told(&mut shell, other);
        assert!(shell.relay.watched.bytes() <= 256 * 1024 + 5000);
    }
    assert_eq!(told(&mut shell, slow), ["alice"], "one roster instead of 200 updates");
    assert_eq!(told(&mut shell, slow), NOTHING);
    shell.update(&alice, DOC, "{}");
    shell.pass(WINDOW);
    assert!(shell.relay.watched.bytes() < 2000, "what all have read is forgotten");
}

#[test]
fn one_who_has_much_to_tell_fills_no_line_and_is_told_in_the_end() {
    const WATCHERS: usize = 20;
    let mut shell = Shell::new();
    let pages = crowd_of_one(&mut shell);
    let watchers = [(); WATCHERS].map(|()| watch(&mut shell, "server"));
    for it in watchers {
        told(&mut shell, it);
    }
    let (mut bytes, mut texts) = (0, 0);
    let mut take = |shell: &mut Shell<MemoryBackplane>| {
        let mut last = String::new();
        for it in watchers {
            while let Some(told) = shell.relay.told(shell.now, &parse(DOC), it) {
                let Told::News(tidings) = told else { panic!("{told:?}") };
                let text = tidings.text(|_, news| {
                    texts += 1;
                    let mut text = String::new();
                    for it in news.iter().flat_map(|it| &it.sessions) {
                        text += it.meta.as_str();
                    }
                    text.into_bytes()
                });
                bytes += text.len();
                last = String::from_utf8(text.to_vec()).unwrap();
            }
        }
        last
    };
    let began = shell.now;
    let mut bob = None;
    for n in 0..500 {
        shell.update(&pages[0], DOC, &format!("{{\"n\":{n}}}"));
        if n == 300 {
            bob = Some(shell.visit("bob", DOC));
        }
        shell.pass(WINDOW);
        take(&mut shell);
    }
    shell.update(bob.as_ref().unwrap(), DOC, "{\"here\":true}");
    shell.update(&pages[0], DOC, "{\"n\":500}");
    shell.pass(5_000);
    let last = take(&mut shell);
    assert!(last.contains("{\"n\":500}") && last.contains("{\"here\":true}"), "what is so now");
    let millis = usize::try_from(shell.now.millis_since(began).0).unwrap();
    assert!(bytes <= 4 * 1024 * 1024 * millis / 1000, "{bytes} bytes in {millis} ms");
    assert!(bytes >= 1024 * 1024 * millis / 1000, "nor are they kept waiting: {bytes}");
    assert_eq!(bytes % WATCHERS, 0, "all are told the same");
    assert!((3..20).contains(&texts), "which is written once: {texts}");
}

#[test]
fn nobody_waits_for_longer_than_5_seconds_however_many_are_told_how_much() {
    let mut shell = Shell::new();
    let pages = crowd_of_one(&mut shell);
    let watchers: Vec<_> = (0..200).map(|_| watch(&mut shell, "server")).collect();
    let first = watchers[0];
    told(&mut shell, first);
    shell.update(&pages[0], DOC, "{}");
    shell.pass(WINDOW);
    assert_eq!(told(&mut shell, first), ["mallory"], "80 MB for all of them, which is 20 s");
    shell.update(&pages[0], DOC, "{\"n\":1}");
    shell.pass(5_000 - 2 * WINDOW);
    assert_eq!(told(&mut shell, first), NOTHING);
    shell.pass(2 * WINDOW);
    assert_eq!(told(&mut shell, first), ["mallory"]);
}

#[test]
fn who_begins_is_told_who_is_there_within_a_second_and_so_are_the_others() {
    let mut shell = Shell::new();
    let pages = crowd_of_one(&mut shell);
    let watchers: Vec<_> = (0..200).map(|_| watch(&mut shell, "server")).collect();
    let first = watchers[0];
    told(&mut shell, first);
    shell.update(&pages[0], DOC, "{}");
    shell.pass(WINDOW);
    assert_eq!(told(&mut shell, first), ["mallory"], "what is next would wait for 5 s");
    for is_pending in [false, true] {
        if is_pending {
            shell.update(&pages[0], DOC, "{\"n\":1}");
            shell.pass(1_000);
            assert_eq!(told(&mut shell, first), NOTHING);
        }
        let late = watch(&mut shell, "late");
        shell.update(&pages[0], DOC, "{\"n\":2}");
        shell.pass(WINDOW);
        assert_eq!(told(&mut shell, late), NOTHING);
        shell.pass(1_000 - WINDOW);
        assert_eq!(told(&mut shell, late).len(), pages.len());
        assert_eq!(told(&mut shell, late), NOTHING, "and nothing twice");
        assert_eq!(told(&mut shell, first), ["mallory"]);
    }
}

#[test]
fn another_snapshot_has_its_price_as_well() {
    let mut shell = Shell::new();
    let pages = crowd_of_one(&mut shell);
    let [slow, other] = [(); 2].map(|()| watch(&mut shell, "server"));
    for it in [slow, other] {
        told(&mut shell, it);
    }
    for n in 0..3 {
        shell.update(&pages[0], DOC, &format!("{{\"n\":{n}}}"));
        shell.pass(1_000);
        assert_eq!(told(&mut shell, other), ["mallory"], "the first costs nobody anything");
    }
    assert_eq!(told(&mut shell, slow).len(), pages.len(), "it has fallen behind");
    shell.update(&pages[0], DOC, "{}");
    shell.pass(WINDOW);
    let late = watch(&mut shell, "server");
    for it in [slow, other, late] {
        assert_eq!(shell.relay.owed(&parse(DOC), it), 0);
        assert_eq!(told(&mut shell, it), NOTHING);
    }
    shell.pass(200);
    assert_eq!(told(&mut shell, late).len(), pages.len(), "everybody as they were told of");
    for it in [slow, other] {
        assert_eq!(told(&mut shell, it), ["mallory"]);
    }
    assert_eq!(told(&mut shell, late), NOTHING);
}

#[test]
fn what_a_watcher_is_owed_is_about_what_it_is_told() {
    let mut shell = Shell::new();
    let watcher = watch(&mut shell, "server");
    let key = parse(DOC);
    assert_eq!(shell.relay.owed(&key, watcher), 0, "nobody is there");
    let alice = shell.visit("alice", DOC);
    shell.visit("bob", DOC);
    let large = format!("{{\"large\":\"{}\"}}", "x".repeat(4000));
    shell.update(&alice, DOC, &large);
    shell.pass(WINDOW);
    let everybody = 4000 + 2 * 256;
    let owed = shell.relay.owed(&key, watcher);
    assert!((everybody..everybody + 100).contains(&owed), "{owed}");
    told(&mut shell, watcher);
    assert_eq!(shell.relay.owed(&key, watcher), 0, "it has been told all");
    shell.visit("bob", DOC);
    let owed = shell.relay.owed(&key, watcher);
    assert!((256..2000).contains(&owed), "the news of one: {owed}");
    let late = watch(&mut shell, "server");
    // The first is told at once, and the other at its window's end.
    shell.update(&alice, DOC, &large.replace("xx", "xy"));
    shell.update(&alice, DOC, "{}");
    let owed = shell.relay.owed(&key, late);
    assert!(owed > everybody, "everybody as they were told of, not as they are: {owed}");
    shell.relay.unwatch(&key, watcher);
    assert_eq!(shell.relay.owed(&key, watcher), 0);
}

#[test]
fn ages_are_those_of_the_moment_that_is_told_of() {
    let mut shell = Shell::new();
    shell.visit("alice", DOC);
    let watcher = watch(&mut shell, "server");
    shell.pass(5_000);
    let Some(Told::Roster(at, roster)) = shell.relay.told(shell.now, &parse(DOC), watcher) else {
        panic!("everybody is told to begin with");
    };
    assert_eq!(at.age(&roster[0]), 5_000 + WINDOW);
}

#[test]
fn who_is_put_out_may_not_watch_either() {
    let mut shell = Shell::new();
    let [server, robot] = ["server", "robot"].map(|it| watch(&mut shell, it));
    told(&mut shell, server);
    let other = shell.relay.watch(shell.now, &parse(OTHER), &id("server")).unwrap();
    kick(&mut shell, Some(DOC), 60);
    assert_eq!(shell.relay.poll_watcher(), Some(server));
    assert_eq!(told(&mut shell, server), ["kicked"]);
    assert_eq!(told(&mut shell, robot), NOBODY);
    assert!(shell.relay.told(shell.now, &parse(OTHER), other) != Some(Told::Kicked));
    assert_eq!(shell.relay.watch(shell.now, &parse(DOC), &id("server")), Err(WatchError::Kicked));
    shell.pass(60_000);
    let again = watch(&mut shell, "server");
    kick(&mut shell, None, 60);
    assert_eq!(told(&mut shell, again), ["kicked"]);
    assert_eq!(shell.relay.told(shell.now, &parse(OTHER), other), Some(Told::Kicked));
    assert_eq!(shell.relay.watch(shell.now, &parse(DOC), &id("server")), Err(WatchError::Kicked));
}

#[test]
fn no_more_watch_than_may_and_of_one_user_fewer() {
    let config = RelayConfig { max_connections_per_user: 300, ..RelayConfig::default() };
    let mut shell = Shell::with(config);
    let mut watchers = Vec::new();
    for (user, most, refusal) in [
        ("a", 300, WatchError::TooMany),
        ("b", 300, WatchError::TooMany),
        ("c", 300, WatchError::TooMany),
        ("d", 100, WatchError::Full),
    ] {
        watchers.extend((0..most).map(|_| watch(&mut shell, user)));
        assert_eq!(shell.relay.watch(shell.now, &parse(DOC), &id(user)), Err(refusal));
    }
    shell.relay.unwatch(&parse(DOC), watchers[0]);
    watch(&mut shell, "d");
}

type Known = BTreeMap<String, usize>;

/// Changes what a watcher knows as it is told to, which must make sense each time.
fn follow(shell: &mut Shell<MemoryBackplane>, watcher: &mut Option<(WatcherId, Option<Known>)>) {
    let Some((id, known)) = watcher else { return };
    while let Some(told) = shell.relay.told(shell.now, &parse(DOC), *id) {
        match (told, &mut *known) {
            (Told::Roster(_, roster), None) => {
                let members = known.insert(Known::new());
                for it in roster {
                    *members.entry(it.user.name().to_owned()).or_default() += 1;
                }
            }
            (Told::News(tidings), Some(known)) => {
                for it in &tidings.news {
                    let name = it.user.name().to_owned();
                    let was = if it.left.is_some() {
                        assert!(it.sessions.is_empty());
                        known.remove(&name)
                    } else {
                        known.insert(name, it.sessions.len())
                    };
                    assert_eq!(was.is_some(), it.was_here, "{}", it.user.name());
                }
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

/// As many pages as one user may have in a key, each with a large meta.
fn crowd_of_one(shell: &mut Shell<MemoryBackplane>) -> Vec<Page> {
    let mut pages = Vec::new();
    for _ in 0..100 {
        let page = shell.visit("mallory", DOC);
        shell.update(&page, DOC, &format!("{{\"large\":\"{:4000}\"}}", ""));
        pages.push(page);
    }
    shell.pass(1_000);
    pages
}

fn watch(shell: &mut Shell<MemoryBackplane>, user: &str) -> WatcherId {
    shell.relay.watch(shell.now, &parse(DOC), &id(user)).unwrap()
}

/// What a watcher is told next; of a roster the names.
fn told(shell: &mut Shell<MemoryBackplane>, watcher: WatcherId) -> Vec<String> {
    match shell.relay.told(shell.now, &parse(DOC), watcher) {
        None => Vec::new(),
        Some(Told::Kicked) => vec!["kicked".to_owned()],
        Some(Told::Roster(_, roster)) if roster.is_empty() => vec!["nobody".to_owned()],
        Some(Told::Roster(_, roster)) => {
            roster.iter().map(|it| it.user.name().to_owned()).collect()
        }
        Some(Told::News(tidings)) => {
            let tell = |it: &News| match (it.left, it.was_here) {
                (Some(reason), _) => format!("-{} {}", it.user.name(), reason.name()),
                (None, true) => it.user.name().to_owned(),
                (None, false) => format!("+{}", it.user.name()),
            };
            tidings.news.iter().map(tell).collect()
        }
    }
}

fn kick(shell: &mut Shell<MemoryBackplane>, key: Option<&str>, seconds: u64) {
    core::iter::from_fn(|| shell.relay.poll_watcher()).count();
    let (key, lasting) = (key.map(parse), Duration::from_secs(seconds));
    shell.relay.kick(shell.now, &id("server"), key.as_ref(), lasting).unwrap();
}

fn id(user: &str) -> UserId {
    UserId::parse(user).unwrap()
}

const NOBODY: [&str; 1] = ["nobody"];
/// Until all that happened in a small key is told.
const WINDOW: u64 = 20;
