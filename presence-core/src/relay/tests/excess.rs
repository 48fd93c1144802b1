//! Claims about those who say more than they may.

use super::*;

#[test]
fn of_updates_beyond_the_rate_the_last_is_told_once_a_second() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    for n in 0..30 {
        shell.update_in_excess(&bob, DOC, &format!(r#"{{"n":{n}}}"#));
        shell.pass(100);
    }
    shell.pass(1_000);
    let told = shell.sees(&alice);
    assert_eq!(told.last().unwrap(), r#"bob {"n":29}"#, "nothing is lost in the end");
    assert_eq!(told.len(), 3, "{told:?}");
    let (n_received, n_dropped) = {
        let stats = shell.relay.stats();
        (stats.received.of(Received::Update), stats.dropped.of(Dropped::Rate))
    };
    assert_eq!((n_received, n_dropped), (30, 27));
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), NOTHING, "and each is told once");
}

#[test]
fn of_looks_beyond_the_rate_the_last_is_told_once_a_second() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    for n in 0..31 {
        shell.excess(bob.conn, Command::Attention { away: n % 2 == 0 });
        shell.pass(100);
    }
    shell.pass(1_000);
    let told = shell.sees(&alice);
    assert!(told.len() <= 4, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("bob away"), "nothing is lost in the end");
    shell.excess(bob.conn, Command::Attention { away: false });
    shell.frame(bob.conn, Command::Attention { away: true });
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), NOTHING, "one within the rate overtakes it");
    shell.excess(bob.conn, Command::Attention { away: false });
    shell.frame(bob.conn, join_and_look(true));
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), NOTHING, "and so does what a join says");
    shell.excess(bob.conn, Command::Attention { away: false });
    shell.join(&bob, OTHER);
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), ["bob active"], "but none that says nothing of it");
}

#[test]
fn joins_tell_of_looks_no_more_often() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    for n in 0..31 {
        shell.excess(bob.conn, join_and_look(n % 2 == 0));
        shell.pass(100);
    }
    shell.pass(1_000);
    let told = shell.sees(&alice);
    assert!(told.len() <= 4, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("bob away"), "nothing is lost in the end");
}

fn join_and_look(away: bool) -> Command {
    let (key, meta) = (parse(OTHER), Meta::empty());
    Command::Join { key, grant: None, meta, age: None, away: Some(away) }
}

#[test]
fn who_is_lost_looks_or_not_as_they_last_said() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    shell.excess(bob.conn, Command::Attention { away: true });
    shell.reset(&bob);
    shell.pass(100);
    assert_eq!(shell.sees(&alice), ["bob away"]);
}

#[test]
fn an_update_within_the_rate_overtakes_the_one_that_waits() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    shell.update_in_excess(&bob, DOC, r#"{"n":1}"#);
    shell.update(&bob, DOC, r#"{"n":2}"#);
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), [r#"bob {"n":2}"#]);
}

#[test]
fn what_waits_goes_with_its_presence() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    shell.update_in_excess(&bob, DOC, r#"{"n":1}"#);
    shell.leave(&bob, DOC);
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), ["-bob left"]);
    assert_eq!(shell.sees(&bob), NOTHING, "and is no error");
    shell.join(&bob, DOC);
    shell.update_in_excess(&bob, DOC, r#"{"n":2}"#);
    shell.join(&bob, DOC);
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), ["+bob"], "a join brings the whole meta");
}

#[test]
fn each_key_has_its_own_last_update() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.join(&alice, OTHER);
    shell.join(&bob, OTHER);
    shell.pass(1_000);
    shell.sees(&alice);
    shell.update_in_excess(&bob, DOC, r#"{"n":1}"#);
    shell.update_in_excess(&bob, OTHER, r#"{"n":2}"#);
    shell.pass(1_100);
    let mut told = shell.sees(&alice);
    told.sort();
    assert_eq!(told, [r#"bob {"n":1}"#, r#"bob {"n":2}"#]);
}

#[test]
fn pulses_beyond_the_rate_are_dropped_and_their_ends_are_not() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    shell.pulse(&bob, "typing", Some("1"));
    shell.pass(100);
    shell.pulse_in_excess(&bob, "cursor", Some("1"));
    shell.pulse_in_excess(&bob, "typing", None);
    shell.pass(1_000);
    assert_eq!(shell.sees(&alice), ["bob typing 1", "bob typing ended"]);
    assert_eq!(shell.relay.stats().dropped.of(Dropped::Rate), 1);
}

#[test]
fn who_says_too_much_is_there_all_the_same() {
    let (mut shell, alice, bob) = two_in(DOC);
    for _ in 0..120 {
        shell.pass(1_000);
        shell.beat(&alice);
        shell.pulse_in_excess(&bob, "cursor", Some("1"));
    }
    let told = shell.sees(&alice);
    assert!(told.iter().all(|it| it.starts_with("heartbeat ")), "{told:?}");
}

#[test]
fn before_a_hello_and_outside_of_a_key_it_is_what_it_always_is() {
    let mut shell = Shell::new();
    let early = shell.open();
    shell.excess(early, Command::Heartbeat);
    assert_eq!(shell.reads(early), ["close bad_frame"]);
    let early = shell.open();
    let update = || Command::Update { key: parse(DOC), meta: meta("{}") };
    shell.excess(early, update());
    assert_eq!(shell.reads(early), ["close bad_frame"]);
    let page = shell.page("alice");
    shell.excess(page.conn, update());
    assert_eq!(shell.reads(page.conn).last().unwrap(), "error not_joined document:42");
}

#[test]
fn what_waits_is_told_of_who_is_lost() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pass(1_000);
    shell.update_in_excess(&bob, DOC, r#"{"n":1}"#);
    shell.reset(&bob);
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), [r#"bob {"n":1}"#]);
}
