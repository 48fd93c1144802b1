//! Claims about what an application's servers are told of who comes and goes.

use super::*;
use crate::relay::{Notice, NoticeEvent, NoticeRules};

const GRACE: u64 = 30_000;

#[test]
fn who_comes_is_told_at_once_and_who_leaves_after_the_grace() {
    let mut shell = telling(None);
    let alice = shell.visit("alice", DOC);
    assert_eq!(told(&mut shell), ["document:42 occupied", "document:42 joined alice"]);
    let bob = shell.visit("bob", DOC);
    assert_eq!(told(&mut shell), ["document:42 joined bob"]);
    shell.close_tab(&bob);
    waits(&mut shell, GRACE - 100);
    assert_eq!(told(&mut shell), NOTHING);
    waits(&mut shell, WINDOW + 100);
    assert_eq!(told(&mut shell), ["document:42 left bob"]);
    shell.close_tab(&alice);
    waits(&mut shell, GRACE + WINDOW);
    assert_eq!(told(&mut shell), ["document:42 left alice", "document:42 vacated"]);
}

#[test]
fn a_reload_a_second_tab_and_a_redial_are_no_news() {
    let mut shell = telling(None);
    let alice = shell.visit("alice", DOC);
    told(&mut shell);
    for _ in 0..5 {
        shell.close_tab(&alice);
        waits(&mut shell, GRACE - 5_000);
        let second = shell.visit("alice", DOC);
        let third = shell.visit("alice", DOC);
        shell.close_tab(&second);
        waits(&mut shell, 5_000);
        shell.reset(&third);
        waits(&mut shell, 10_000);
        shell.visit("alice", DOC);
        waits(&mut shell, GRACE + 20_000);
        for it in shell.entries(DOC) {
            assert_eq!(it.user.name(), "alice");
        }
    }
    assert_eq!(told(&mut shell), NOTHING);
}

#[test]
fn who_is_lost_is_told_when_the_grace_is_over_and_not_later() {
    let mut shell = telling(None);
    let alice = shell.visit("alice", DOC);
    told(&mut shell);
    shell.reset(&alice);
    waits(&mut shell, GRACE - 100);
    assert_eq!(told(&mut shell), NOTHING);
    waits(&mut shell, WINDOW + 100);
    assert_eq!(told(&mut shell), ["document:42 left alice", "document:42 vacated"]);
}

#[test]
fn who_is_put_out_is_told_at_once() {
    let mut shell = telling(None);
    shell.visit("alice", DOC);
    told(&mut shell);
    let alice = UserId::parse("alice").unwrap();
    shell.relay.kick(shell.now, &alice, Some(&parse(DOC)), Duration::ZERO).unwrap();
    waits(&mut shell, WINDOW);
    assert_eq!(told(&mut shell), ["document:42 left alice", "document:42 vacated"]);
}

#[test]
fn who_only_looks_on_is_told_to_nobody() {
    let mut shell = telling(None);
    let eve = shell.page("eve");
    let look = Command::Observe { key: parse(DOC), grant: None, invisible: false };
    shell.frame(eve.conn, look);
    shell.close_tab(&eve);
    waits(&mut shell, 2 * GRACE);
    assert_eq!(told(&mut shell), NOTHING);
}

#[test]
fn nothing_is_told_of_other_keys() {
    let mut shell = Shell::new();
    let keys = vec![KeyPattern::parse(OTHER).unwrap()];
    shell.relay.keep_notices(shell.now, NoticeRules { keys, told: None });
    shell.visit("alice", DOC);
    shell.visit("alice", OTHER);
    assert_eq!(told(&mut shell), ["document:43 occupied", "document:43 joined alice"]);
}

#[test]
fn after_a_restart_only_who_stays_away_is_told() {
    let known = |name: &str| (parse(DOC), named(name, name).user);
    let mut shell = telling(Some(vec![known("alice"), known("bob")]));
    let alice = shell.visit("alice", DOC);
    shell.visit("carol", DOC);
    assert_eq!(told(&mut shell), ["document:42 joined carol"], "the key was occupied");
    waits(&mut shell, GRACE + 9_000);
    assert_eq!(told(&mut shell), NOTHING);
    waits(&mut shell, 1_000);
    assert_eq!(told(&mut shell), ["document:42 left bob"]);
    shell.close_tab(&alice);
    waits(&mut shell, GRACE + WINDOW);
    assert_eq!(told(&mut shell), ["document:42 left alice"]);
}

#[test]
fn if_nobody_has_kept_what_was_told_who_comes_back_from_before_is_no_news() {
    let (mut shell, alice, _bob) = two_in(DOC);
    shell.pass(20_000);
    let mut shell = shell.restart();
    let keys = vec![KeyPattern::parse("*").unwrap()];
    shell.relay.keep_notices(shell.now, NoticeRules { keys, told: None });
    shell.pass(1_000);
    let alice = shell.resume(&alice);
    shell.join_as(&alice, DOC, "{}", Some(21_000));
    assert_eq!(told(&mut shell), NOTHING);
    shell.close_tab(&alice);
    waits(&mut shell, GRACE + WINDOW);
    assert_eq!(told(&mut shell), ["document:42 left alice", "document:42 vacated"]);
}

#[test]
fn what_is_told_always_adds_up() {
    use proptest::test_runner::TestRunner;
    let moves = proptest::collection::vec((0..4_usize, 0..3_u64), 1..60);
    TestRunner::deterministic()
        .run(&moves, |moves| {
            let mut shell = telling(None);
            let mut pages: BTreeMap<usize, Page> = BTreeMap::new();
            let mut known = BTreeSet::new();
            for (who, pause) in moves {
                match pages.remove(&who) {
                    Some(page) if pause == 0 => shell.reset(&page),
                    Some(page) => shell.close_tab(&page),
                    None => {
                        let user = if who % 2 == 0 { "alice" } else { "bob" };
                        pages.insert(who, shell.visit(user, DOC));
                    }
                }
                waits(&mut shell, pause * 14_000);
                add_up(&mut known, told(&mut shell));
            }
            waits(&mut shell, 3 * GRACE);
            add_up(&mut known, told(&mut shell));
            let there: BTreeSet<_> = shell.roster(DOC).into_iter().collect();
            assert_eq!(known, there, "in the end they know who is there");
            Ok(())
        })
        .unwrap();
}

/// Holds that nobody joins or leaves twice, and that a key is occupied before and vacated after all others.
fn add_up(known: &mut BTreeSet<String>, told: Vec<String>) {
    let mut is_occupied = !known.is_empty();
    for it in told {
        let mut words = it.split(' ').skip(1);
        match (words.next().unwrap(), words.next()) {
            ("occupied", None) => assert!(!core::mem::replace(&mut is_occupied, true)),
            ("vacated", None) => {
                assert!(core::mem::replace(&mut is_occupied, false) && known.is_empty());
            }
            ("joined", Some(name)) => assert!(is_occupied && known.insert(name.to_owned())),
            ("left", Some(name)) => assert!(known.remove(name)),
            _ => panic!("{it}"),
        }
    }
    assert_eq!(is_occupied, !known.is_empty());
}

#[test]
fn of_a_key_that_is_not_told_of_any_more_nobody_is_told_as_gone() {
    let mut shell = Shell::new();
    let keys = vec![KeyPattern::parse("document:*").unwrap()];
    let told_before =
        ["document:1", "page:1"].map(|key| (parse(key), Arc::clone(&grant("alice").user))).to_vec();
    shell.relay.keep_notices(shell.now, NoticeRules { keys, told: Some(told_before) });
    waits(&mut shell, 60_000);
    assert_eq!(told(&mut shell), ["document:1 left alice", "document:1 vacated"]);
}

/// A relay that tells servers, and what it has told before.
fn telling(told: Option<Vec<(Key, Arc<User>)>>) -> Shell<MemoryBackplane> {
    let mut shell = Shell::new();
    let keys = vec![KeyPattern::parse("*").unwrap()];
    shell.relay.keep_notices(shell.now, NoticeRules { keys, told });
    shell
}

/// Lets time pass while all pages beat.
fn waits(shell: &mut Shell<MemoryBackplane>, millis: u64) {
    shell.drain();
    shell.pass(millis);
    shell.drain();
}

fn told(shell: &mut Shell<MemoryBackplane>) -> Vec<String> {
    shell.pass(WINDOW);
    let all = core::iter::from_fn(|| shell.relay.poll_notice());
    all.map(|Notice { key, event }| match event {
        NoticeEvent::Occupied => format!("{key} occupied"),
        NoticeEvent::Joined(user) => format!("{key} joined {}", user.name()),
        NoticeEvent::Left(user) => format!("{key} left {}", user.name()),
        NoticeEvent::Vacated => format!("{key} vacated"),
    })
    .collect()
}

/// Until all that happened in a small key is told.
const WINDOW: u64 = 20;
