//! Claims about those who look at a key without being in it: they see, and nobody can tell.

use super::*;
use crate::relay::{LastSeenRules, Request};

#[test]
fn who_observes_sees_everything_and_nobody_sees_them() {
    let (mut shell, alice, bob) = two_in(DOC);
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    assert_eq!(shell.sees(&eve), ["= alice bob"]);
    shell.pass(1_000);
    shell.update(&bob, DOC, r#"{"a":1}"#);
    shell.pass(1_000);
    shell.pulse(&bob, "typing", Some("1"));
    shell.pass(1_000);
    shell.close_tab(&bob);
    assert_eq!(shell.sees(&eve), [r#"bob {"a":1}"#, "bob typing 1", "-bob left"]);
    assert_eq!(shell.sees(&alice), [r#"bob {"a":1}"#, "bob typing 1", "-bob left"]);
    shell.leave(&eve, DOC);
    shell.pass(60_000);
    assert_eq!(shell.sees(&alice), NOTHING);
    let carol = shell.visit("carol", DOC);
    assert_eq!(shell.sees(&carol), ["= alice carol"]);
}

#[test]
fn however_an_observer_goes_nobody_is_told() {
    type Go = fn(&mut Shell<MemoryBackplane>, &Page);
    let ways: [Go; 6] = [
        |shell, eve| shell.leave(eve, DOC),
        |shell, eve| shell.close_tab(eve),
        |shell, eve| shell.reset(eve),
        |shell, eve| shell.fall_silent(eve),
        |shell, eve| {
            shell.reset(eve);
            let eve = shell.resume(eve);
            shell.observe(&eve, DOC);
        },
        |shell, eve| {
            shell.reset(eve);
            shell.beacon(eve, eve.dial, &[DOC]);
        },
    ];
    for (way, go) in ways.into_iter().enumerate() {
        let (mut shell, alice, bob) = two_in(DOC);
        let (rev, encoded) = (shell.rev(&alice, DOC), shell.encoded());
        let eve = shell.page("eve");
        shell.observe(&eve, DOC);
        shell.attention(&eve, true);
        go(&mut shell, &eve);
        shell.pass(60_000);
        assert_eq!((shell.sees(&alice), shell.sees(&bob)), (list(&[]), list(&[])), "{way}");
        shell.beat(&alice);
        assert_eq!(shell.sees(&alice), [format!("heartbeat {DOC}@{}", rev.0)], "{way}");
        assert_eq!(shell.roster(DOC), ["alice", "bob"], "{way}");
        assert!(shell.encoded() < encoded + 10, "{way}");
    }
}

#[test]
fn a_key_that_is_only_looked_at_is_empty_and_goes_with_who_looks() {
    let mut shell = Shell::new();
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    assert_eq!(shell.sees(&eve), ["= "]);
    assert_eq!(shell.relay.roster(&parse(DOC)), []);
    let rosters = shell.relay.rosters_after(None, 100);
    assert!(rosters.iter().all(|(_, it)| it.is_empty()), "{rosters:?}");
    let alice = shell.visit("alice", DOC);
    assert_eq!(shell.sees(&eve), ["+alice"]);
    shell.close_tab(&alice);
    shell.pass(20);
    assert_eq!(shell.sees(&eve), ["-alice left"]);
    shell.reset(&eve);
    assert_eq!((shell.relay.keys(), shell.relay.stats().observers), (0, 0));
}

#[test]
fn what_is_done_alone_is_done_the_same_with_an_observer() {
    let [alone, observed] = [false, true].map(|is_observed| {
        let mut shell = Shell::new();
        let eve = shell.page("eve");
        if is_observed {
            shell.observe(&eve, DOC);
        }
        let alice = shell.visit("alice", DOC);
        for step in 0..100 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{step}}}"#));
            shell.pass(7);
            shell.pulse(&alice, "cursor", Some("1"));
            shell.beat(&alice);
        }
        shell.pass(10_000);
        shell.sees(&alice)
    });
    assert_eq!(alone, observed);
}

#[test]
fn who_observes_says_nothing_and_goes_on_looking() {
    let (mut shell, _, bob) = two_in(DOC);
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.sees(&eve);
    shell.update(&eve, DOC, r#"{"a":1}"#);
    shell.pulse(&eve, "typing", Some("1"));
    shell.pulse(&eve, "typing", None);
    assert_eq!(shell.sees(&eve), vec!["error not_allowed document:42"; 3]);
    shell.resync(&eve, DOC);
    assert_eq!(shell.sees(&eve), ["= alice bob"]);
    shell.pass(10_000);
    assert_eq!(shell.sees(&bob), NOTHING);
    shell.update(&bob, DOC, r#"{"a":2}"#);
    assert_eq!(shell.sees(&eve), [r#"bob {"a":2}"#]);
}

#[test]
fn who_was_a_member_leaves_and_who_joins_is_seen_to() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.observe(&alice, DOC);
    assert_eq!(shell.sees(&bob), ["-alice left"]);
    shell.pass(1_000);
    assert_eq!(shell.sees(&alice), ["= bob"]);
    shell.observe(&alice, DOC);
    shell.pass(1_000);
    assert_eq!(shell.sees(&bob), NOTHING);
    shell.sees(&alice);
    shell.join(&alice, DOC);
    assert_eq!(shell.sees(&bob), ["+alice"]);
    shell.pass(1_000);
    assert_eq!(shell.sees(&alice), ["= alice bob"]);
    shell.reset(&alice);
    shell.pass(30_000);
    let told = shell.sees(&bob);
    assert_eq!(told, ["alice reconnecting", "-alice timeout"], "a member as any other");
}

#[test]
fn whoever_changes_its_mind_all_the_time_gets_no_snapshot_for_it_and_misses_nothing() {
    let (mut shell, alice, bob) = two_in(DOC);
    for _ in 0..50 {
        shell.observe(&alice, DOC);
        shell.pass(30);
        shell.join(&alice, DOC);
        shell.pass(30);
    }
    let snapshots = |seen: &[String]| seen.iter().filter(|it| it.starts_with('=')).count();
    assert!(snapshots(&shell.sees(&alice)) <= 4);
    assert_eq!(shell.sees(&bob).len(), 100);
    assert_eq!(shell.roster(DOC), ["alice", "bob"]);
}

#[test]
fn what_an_earlier_dial_has_left_behind_goes_when_its_page_looks_on() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.reset(&alice);
    shell.pass(12_000);
    shell.sees(&bob);
    let back = shell.resume(&alice);
    shell.observe(&back, DOC);
    assert_eq!(shell.sees(&bob), ["-alice left"]);
    assert_eq!(shell.sees(&back), ["= bob"]);
    shell.pass(60_000);
    assert_eq!(shell.sees(&bob), NOTHING);
}

#[test]
fn who_looks_on_over_a_restart_is_still_unseen() {
    let mut shell = Shell::new();
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.relay.drain(shell.now, Duration::from_secs(1));
    shell.drain();
    assert_eq!(shell.sees(&eve).last().unwrap(), "close restarting");
    let mut shell = shell.restart();
    let bob = shell.visit("bob", DOC);
    let eve = shell.resume(&eve);
    shell.observe(&eve, DOC);
    shell.pass(60_000);
    assert_eq!(shell.sees(&bob), ["= bob"]);
    assert_eq!(shell.sees(&eve), ["= bob"]);
}

#[test]
fn looking_on_takes_a_token_that_allows_it() {
    let cases: [(&[&str], bool, &str); 6] = [
        (&["observe"], false, "= "),
        (&["invisible"], true, "= "),
        (&["join", "invisible", "pulse"], false, "error key_denied document:42"),
        (&["join", "observe", "pulse"], true, "error key_denied document:42"),
        (&[], false, "error key_denied document:42"),
        (&[], true, "error key_denied document:42"),
    ];
    for (names, invisible, answer) in cases {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.greet(conn, Ok(able("eve", names)), None, Dial(1));
        let key = parse(DOC);
        shell.frame(conn, Command::Observe { key: key.clone(), grant: None, invisible });
        assert_eq!(shell.reads(conn), ["welcome", answer], "{names:?} {invisible}");

        // Also by a token of its own.
        let conn = shell.open();
        shell.greet(conn, Ok(only("eve", OTHER)), None, Dial(1));
        let grant = Some(Ok(able("eve", names)));
        shell.frame(conn, Command::Observe { key, grant, invisible });
        assert_eq!(shell.reads(conn), ["welcome", answer], "{names:?} {invisible}");
    }
}

#[test]
fn somebody_elses_or_an_old_token_allows_nothing() {
    for (token, error) in [
        (Ok(grant("mallory")), "error key_denied document:42"),
        (Err(Refusal::Denied), "error key_denied document:42"),
        (Err(Refusal::Expired), "error key_expired document:42"),
    ] {
        let mut shell = Shell::new();
        let eve = shell.page("eve");
        let (key, grant) = (parse(DOC), Some(token));
        shell.frame(eve.conn, Command::Observe { key, grant, invisible: false });
        assert_eq!(shell.sees(&eve), [error]);
        assert_eq!(shell.relay.keys(), 0);
    }
}

#[test]
fn who_may_not_be_unseen_is_not_left_where_everybody_sees_them() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.frame(alice.conn, Command::Observe { key: parse(DOC), grant: None, invisible: true });
    assert_eq!(shell.sees(&alice), ["error key_denied document:42"]);
    assert_eq!(shell.sees(&bob), ["-alice left"]);
    shell.beat(&alice);
    assert_eq!(shell.sees(&alice), ["heartbeat"]);
    assert!(!shell.is_viewer(&alice));
}

#[test]
fn observers_are_bounded_and_keep_nobody_out() {
    let mut shell = Shell::with(RelayConfig {
        max_presences_per_key: 2,
        max_presences_per_user: 1,
        ..RelayConfig::default()
    });
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.observe(&eve, DOC);
    let second = shell.page("eve");
    shell.observe(&second, DOC);
    assert_eq!(shell.sees(&second), ["error key_full document:42"], "twice the same person");
    let frank = shell.page("frank");
    shell.observe(&frank, DOC);
    let grace = shell.page("grace");
    shell.observe(&grace, DOC);
    assert_eq!(shell.sees(&grace), ["error key_full document:42"]);
    shell.visit("alice", DOC);
    let bob = shell.visit("bob", DOC);
    assert_eq!(shell.sees(&bob), ["= alice bob"]);
    shell.reset(&eve);
    shell.observe(&grace, DOC);
    assert_eq!(shell.sees(&grace), ["= alice bob"]);
}

#[test]
fn observers_count_among_those_that_a_relay_may_hold() {
    let mut shell = Shell::with(RelayConfig { max_presences: 2, ..RelayConfig::default() });
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    let alice = shell.visit("alice", DOC);
    let bob = shell.visit("bob", OTHER);
    assert_eq!(shell.sees(&bob), ["error key_full document:43"]);
    let frank = shell.page("frank");
    shell.observe(&frank, OTHER);
    assert_eq!(shell.sees(&frank), ["error key_full document:43"]);
    assert_eq!(shell.relay.keys(), 1);
    // To change sides takes no room.
    shell.observe(&alice, DOC);
    shell.join(&eve, DOC);
    shell.pass(20);
    assert_eq!(shell.roster(DOC), ["eve"]);
    shell.leave(&alice, DOC);
    shell.join(&bob, OTHER);
    assert_eq!(shell.sees(&bob), ["= bob"]);
}

#[test]
fn observed_keys_count_among_those_of_a_connection() {
    let mut shell =
        Shell::with(RelayConfig { max_keys_per_connection: 1, ..RelayConfig::default() });
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.observe(&eve, OTHER);
    assert_eq!(shell.sees(&eve), ["= ", "error too_many_keys document:43"]);
}

#[test]
fn it_is_never_kept_that_somebody_looked_on_but_they_may_ask() {
    let mut shell = Shell::new();
    let keys = vec![KeyPattern::parse("*").unwrap()];
    shell.relay.keep_last_seen(shell.now, LastSeenRules::new(keys, Duration::from_secs(7_200)));
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    for _ in 0..20 {
        shell.pass(10_000);
        shell.attention(&eve, true);
        shell.attention(&eve, false);
    }
    shell.frame(eve.conn, Command::LastSeen { key: parse(DOC) });
    shell.close_tab(&eve);
    let requests: Vec<_> = core::iter::from_fn(|| shell.relay.poll_request()).collect();
    assert!(!requests.iter().any(|it| matches!(it, Request::Keep(_))), "{requests:?}");
    assert!(requests.iter().any(|it| matches!(it, Request::LookUp(_))), "{requests:?}");
}

#[test]
fn of_who_stops_being_seen_it_is_kept_until_then() {
    let mut shell = Shell::new();
    let keys = vec![KeyPattern::parse("*").unwrap()];
    shell.relay.keep_last_seen(shell.now, LastSeenRules::new(keys, Duration::from_secs(7_200)));
    let alice = shell.visit("alice", DOC);
    shell.pass(5_000);
    let at = shell.now;
    shell.observe(&alice, DOC);
    shell.pass(5_000);
    shell.close_tab(&alice);
    let kept = core::iter::from_fn(|| shell.relay.poll_request());
    let kept =
        kept.filter_map(|it| if let Request::Keep(view) = it { Some(view.at) } else { None });
    assert_eq!(kept.max(), Some(at));
}

#[test]
fn an_observer_that_lags_behind_gets_a_snapshot() {
    let (mut shell, alice, _) = two_in(DOC);
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.sees(&eve);
    shell.block(&eve);
    for value in 0..100 {
        shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
        shell.pass(50);
    }
    shell.unblock(&eve);
    assert_eq!(shell.sees(&eve), ["= alice bob"]);
}

#[test]
fn a_newer_dial_at_another_relay_fences_an_observer_as_a_member() {
    let log: Rc<RefCell<Vec<(Key, Change)>>> = Rc::default();
    let over = |log: &Rc<RefCell<_>>, seed| {
        Shell::over(RelayConfig::default(), SharedLog(log.clone()), seed, log.clone())
    };
    let (mut here, mut there) = (over(&log, 1), over(&log, 2));
    let alice = here.page("alice");
    let moved = there.adopt(&alice, Dial(3));
    there.join(&moved, DOC);
    here.catch_up();
    here.observe(&alice, DOC);
    assert_eq!(here.sees(&alice), ["close replaced"]);
    assert_eq!(here.roster(DOC), ["alice"]);
}

#[test]
fn an_empty_key_is_the_same_whether_somebody_looks_on_or_not() {
    type Come = fn(&mut Shell<MemoryBackplane>, &Page);
    let ways: [(u64, Come); 5] = [
        (100, |shell, alice| shell.observe(alice, DOC)),
        (0, |shell, alice| shell.observe(alice, DOC)),
        (100, |shell, alice| shell.join(alice, DOC)),
        // Within the window that the leave would have begun.
        (5, |shell, alice| shell.join(alice, DOC)),
        (1, |shell, alice| shell.join(alice, DOC)),
    ];
    for (pause, come) in ways {
        let [alone, observed] = [false, true].map(|is_observed| {
            let mut shell = Shell::new();
            let (eve, alice) = (shell.page("eve"), shell.page("alice"));
            if is_observed {
                shell.observe(&eve, DOC);
            }
            shell.join(&alice, DOC);
            shell.pass(1_000);
            shell.leave(&alice, DOC);
            shell.pass(pause);
            let server = UserId::parse("server").unwrap();
            let watcher = shell.relay.watch(shell.now, &parse(DOC), &server).unwrap();
            let told = shell.relay.told(shell.now, &parse(DOC), watcher);
            shell.frames(&alice);
            come(&mut shell, &alice);
            shell.beat(&alice);
            let at_once = shell.frames(&alice);
            shell.pass(1_000);
            shell.beat(&alice);
            (told, at_once, shell.frames(&alice))
        });
        assert_eq!(alone, observed, "{pause}");
        assert!(alone.1.iter().any(|it| matches!(**it, ServerFrame::Snapshot(_))), "{pause}");
    }
}

#[test]
fn who_looks_on_follows_a_key_that_empties_and_fills() {
    let mut shell = Shell::new();
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.sees(&eve);
    for _ in 0..3 {
        let alice = shell.visit("alice", DOC);
        shell.close_tab(&alice);
        shell.pass(1_000);
        shell.beat(&eve);
        assert_eq!(shell.sees(&eve), ["+alice", "-alice left", "heartbeat document:42@0"]);
    }
}

#[test]
fn who_is_denied_to_look_on_is_not_left_in_sight_by_an_earlier_socket() {
    type Try = fn(&mut Shell<MemoryBackplane>, &Page);
    let ways: [(Try, &str); 4] = [
        (|shell, back| looks(shell, back, None, true), "error key_denied document:42"),
        (
            |shell, back| looks(shell, back, Some(Refusal::Denied), false),
            "error key_denied document:42",
        ),
        (
            |shell, back| looks(shell, back, Some(Refusal::Expired), false),
            "error key_expired document:42",
        ),
        (
            |shell, back| {
                let other = shell.page("alice");
                shell.observe(&other, DOC);
                shell.observe(back, DOC);
            },
            "error key_full document:42",
        ),
    ];
    for (way, error) in ways {
        let config = RelayConfig { max_presences_per_user: 1, ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let (alice, bob) = (shell.visit("alice", DOC), shell.visit("bob", DOC));
        shell.reset(&alice);
        shell.pass(1_000);
        let back = shell.resume(&alice);
        shell.sees(&bob);
        way(&mut shell, &back);
        assert_eq!(shell.sees(&back), [error]);
        shell.pass(20);
        assert_eq!(shell.sees(&bob), ["-alice left"], "{error}");
    }
}

#[test]
fn who_wants_to_be_unseen_with_an_old_token_is_not_left_in_sight() {
    let (mut shell, alice, bob) = two_in(DOC);
    looks(&mut shell, &alice, Some(Refusal::Expired), false);
    assert_eq!(shell.sees(&alice), ["error key_expired document:42"]);
    assert_eq!(shell.sees(&bob), ["-alice left"]);
    shell.frame(bob.conn, join_with(DOC, Err(Refusal::Expired)));
    shell.pass(1_000);
    assert_eq!(shell.roster(DOC), ["bob"], "who wants to be seen is");
}

fn looks(shell: &mut Shell<MemoryBackplane>, page: &Page, token: Option<Refusal>, invisible: bool) {
    let (key, grant) = (parse(DOC), token.map(Err));
    shell.frame(page.conn, Command::Observe { key, grant, invisible });
}
