//! Claims about what an application's own servers do to who is there.

use super::*;
use crate::relay::PlaceError;

const WHILE: Duration = Duration::from_secs(300);
/// Until all that happened in a small key is told.
const WINDOW: u64 = 20;

#[test]
fn who_is_put_out_of_a_key_is_gone_with_all_sessions_and_may_not_come_back_for_a_while() {
    let (mut shell, alice, bob) = two_in(DOC);
    let other = shell.visit("bob", DOC);
    shell.join(&bob, OTHER);
    let lost = shell.visit("bob", DOC);
    shell.end(lost.conn, Closed::Lost);
    for page in [&alice, &bob, &other] {
        shell.sees(page);
    }
    assert_eq!(kick(&mut shell, "bob", Some(DOC)), 3);
    assert_eq!(shell.sees(&alice).join(", "), "-bob kicked, -bob kicked, -bob kicked");
    for page in [&bob, &other] {
        assert_eq!(shell.sees(page), ["error kicked document:42"]);
        shell.frame(page.conn, join(DOC));
        shell.frame(page.conn, observe(DOC));
        assert_eq!(shell.sees(page), ["error kicked document:42", "error kicked document:42"]);
    }
    shell.frame(bob.conn, Command::Update { key: parse(OTHER), meta: meta(r#"{"n":1}"#) });
    assert_eq!(shell.sees(&bob).len(), 1, "the other key is as it was");
    assert_eq!(shell.sees(&alice), NOTHING);

    for _ in 0..31 {
        shell.pass(10_000);
        shell.beat(&bob);
    }
    shell.sees(&bob);
    shell.join(&bob, DOC);
    assert_eq!(shell.roster(DOC), ["alice", "bob"]);
}

#[test]
fn who_is_put_out_of_all_keys_is_closed_and_not_let_in() {
    let (mut shell, alice, bob) = two_in(DOC);
    let lost = shell.visit("bob", OTHER);
    shell.end(lost.conn, Closed::Lost);
    shell.sees(&alice);
    assert_eq!(kick(&mut shell, "bob", None), 1);
    assert_eq!(shell.sees(&alice), ["-bob kicked"]);
    assert_eq!(shell.sees(&bob), ["close kicked"]);
    let bob = parse_user("bob");
    assert_eq!(shell.relay.kick_lost(shell.now, &bob, None, 1), (0, Some(parse(DOC))));
    let next = shell.relay.kick_lost(shell.now, &bob, Some(&parse(DOC)), 1);
    assert_eq!(next, (1, Some(parse(OTHER))));
    assert_eq!(shell.relay.kick_lost(shell.now, &bob, Some(&parse(OTHER)), 1), (0, None));
    assert_eq!(shell.relay.roster(&parse(OTHER)).len(), 0);

    let conn = shell.open();
    shell.greet(conn, Ok(grant("bob")), None, Dial(1));
    assert_eq!(shell.reads(conn), ["close kicked"]);
    shell.end(conn, Closed::Lost);
    shell.pass(300_000);
    shell.visit("bob", DOC);
}

#[test]
fn nobody_comes_back_by_a_new_token_on_a_live_socket() {
    let (mut shell, alice, bob) = two_in(DOC);
    kick(&mut shell, "carol", Some(DOC));
    shell.sees(&alice);
    shell.frame(bob.conn, Command::Token { grant: Ok(grant("carol")) });
    assert!(shell.sees(&bob).contains(&"error kicked document:42".to_owned()));
    assert_eq!(shell.roster(DOC), ["alice"]);
    kick(&mut shell, "dave", None);
    shell.frame(alice.conn, Command::Token { grant: Ok(grant("dave")) });
    assert_eq!(shell.sees(&alice).last().unwrap(), "close kicked");
}

#[test]
fn who_only_looks_on_is_put_out_as_well_and_nobody_hears_of_it() {
    let (mut shell, alice, _bob) = two_in(DOC);
    let eve = shell.page("eve");
    shell.frame(eve.conn, observe(DOC));
    shell.sees(&eve);
    assert_eq!(kick(&mut shell, "eve", Some(DOC)), 0, "not even the application");
    assert_eq!(shell.sees(&eve), ["error kicked document:42"]);
    assert_eq!(shell.sees(&alice), NOTHING);
}

#[test]
fn to_be_kept_out_for_no_time_is_to_be_put_out_only() {
    let (mut shell, _alice, bob) = two_in(DOC);
    let (user, key) = (parse_user("bob"), parse(DOC));
    shell.relay.kick(shell.now, &user, Some(&key), Duration::ZERO).unwrap();
    shell.sees(&bob);
    shell.join(&bob, DOC);
    assert_eq!(shell.relay.roster(&parse(DOC)).len(), 2);
}

#[test]
fn nobody_is_let_in_sooner_for_being_put_out_again() {
    let (mut shell, _alice, bob) = two_in(DOC);
    let (user, key) = (parse_user("bob"), parse(DOC));
    shell.relay.kick(shell.now, &user, Some(&key), Duration::from_secs(60)).unwrap();
    for again in [1, 0] {
        shell.relay.kick(shell.now, &user, Some(&key), Duration::from_secs(again)).unwrap();
    }
    for (millis, n) in [(30_000, 1), (30_000, 2)] {
        shell.pass(millis);
        shell.beat(&bob);
        shell.sees(&bob);
        shell.join(&bob, DOC);
        assert_eq!(shell.relay.roster(&parse(DOC)).len(), n);
    }
}

#[test]
fn who_is_kept_out_may_come_back_once_that_is_lifted() {
    let (mut shell, _alice, bob) = two_in(DOC);
    let (user, key) = (parse_user("bob"), parse(DOC));
    let lift = |shell: &mut Shell<_>, key| shell.relay.lift_kick(shell.now, &user, key);
    assert!(!lift(&mut shell, Some(&key)), "they aren't kept out");
    shell.relay.kick(shell.now, &user, Some(&key), WHILE).unwrap();
    assert!(!lift(&mut shell, None), "of one key only");
    shell.join(&bob, DOC);
    assert_eq!(shell.relay.roster(&key).len(), 1);
    assert!(lift(&mut shell, Some(&key)));
    shell.join(&bob, DOC);
    assert_eq!(shell.relay.roster(&key).len(), 2);
    shell.relay.kick(shell.now, &user, None, Duration::from_secs(1)).unwrap();
    shell.pass(1_000);
    assert!(!lift(&mut shell, None), "it was over");
}

#[test]
fn the_number_of_those_kept_out_is_bounded() {
    let (mut shell, _alice, _bob) = two_in(DOC);
    for n in 0..10_000 {
        let user = parse_user(&format!("u{n}"));
        shell.relay.kick(shell.now, &user, None, WHILE).unwrap();
    }
    let one_more = parse_user("one-more");
    assert!(shell.relay.kick(shell.now, &one_more, None, WHILE).is_err());
    assert!(shell.relay.kick(shell.now, &one_more, None, Duration::ZERO).is_ok());
    let known = parse_user("u1");
    assert!(shell.relay.kick(shell.now, &known, None, WHILE).is_ok(), "that is not one more");
    for (user, key, n_left) in [("alice", Some(parse(DOC)), 1), ("bob", None, 0)] {
        assert!(shell.relay.kick(shell.now, &parse_user(user), key.as_ref(), WHILE).is_err());
        assert_eq!(shell.relay.roster(&parse(DOC)).len(), n_left, "who is put out nevertheless");
    }
    shell.pass(300_000);
    assert!(shell.relay.kick(shell.now, &one_more, None, WHILE).is_ok());
}

#[test]
fn a_servers_member_is_like_any_other_until_it_is_not_renewed() {
    let (mut shell, alice, _bob) = two_in(DOC);
    let session = place(&mut shell, "robot", r#"{"n":1}"#).unwrap();
    assert_eq!(shell.sees(&alice), ["+robot"]);
    shell.pass(40_000);
    assert_eq!(place(&mut shell, "robot", r#"{"n":1}"#), Ok(session));
    shell.beat(&alice);
    shell.sees(&alice);
    assert_eq!(place(&mut shell, "robot", r#"{"n":2}"#), Ok(session));
    assert_eq!(shell.sees(&alice), [r#"robot {"n":2}"#]);
    shell.pass(59_999 - WINDOW);
    assert_eq!(shell.roster(DOC), ["alice", "bob", "robot"]);
    shell.pass(1);
    assert_eq!(shell.roster(DOC), ["alice", "bob"]);
}

#[test]
fn a_servers_member_ends_at_once_when_it_is_withdrawn_or_not_renewed() {
    let (mut shell, alice, _bob) = two_in(DOC);
    place(&mut shell, "robot", "{}").unwrap();
    shell.sees(&alice);
    let (key, robot) = (parse(DOC), parse_user("robot"));
    assert!(shell.relay.withdraw(shell.now, &key, &robot));
    shell.drain();
    shell.pass(WINDOW);
    shell.drain();
    assert_eq!(shell.sees(&alice), ["-robot left"]);
    assert!(!shell.relay.withdraw(shell.now, &key, &robot));
    let user = named("robot", "robot").user;
    let lasting = Duration::from_secs(5);
    shell.relay.place(shell.now, &key, &user, Meta::empty(), lasting).unwrap();
    shell.drain();
    shell.pass(WINDOW);
    shell.drain();
    shell.sees(&alice);
    shell.pass(5_000);
    assert_eq!(shell.sees(&alice), ["-robot timeout"]);
}

#[test]
fn a_servers_member_can_be_put_out_and_counts_for_the_bounds() {
    let (mut shell, alice, _bob) = two_in(DOC);
    place(&mut shell, "robot", "{}").unwrap();
    shell.sees(&alice);
    assert_eq!(kick(&mut shell, "robot", Some(DOC)), 1);
    assert_eq!(shell.sees(&alice), ["-robot kicked"]);
    assert_eq!(place(&mut shell, "robot", "{}"), Err(PlaceError::Kicked));
    shell.pass(300_000);
    place(&mut shell, "robot", "{}").unwrap();
    let full = [
        RelayConfig { max_presences_per_key: 1, ..RelayConfig::default() },
        RelayConfig { max_presences: 1, ..RelayConfig::default() },
    ];
    for config in full {
        let mut shell = Shell::with(config);
        shell.visit("alice", DOC);
        assert_eq!(place(&mut shell, "robot", "{}"), Err(PlaceError::Full));
    }
}

#[test]
fn the_number_of_servers_members_is_bounded_and_those_that_are_there_are_renewed() {
    let mut shell = Shell::new();
    let (user, lasting) = (named("robot", "robot").user, Duration::from_secs(60));
    let put = |shell: &mut Shell<MemoryBackplane>, n: usize| {
        let (key, meta) = (parse(&format!("document:{n}")), Meta::empty());
        shell.relay.place(shell.now, &key, &user, meta, lasting)
    };
    let first = put(&mut shell, 0);
    // A robot may be in more keys than a person.
    assert!((1..10_000).all(|n| put(&mut shell, n).is_ok()));
    assert_eq!(put(&mut shell, 10_000), Err(PlaceError::Full));
    assert_eq!(put(&mut shell, 0), first);
    assert!(shell.relay.withdraw(shell.now, &parse("document:1"), user.id()));
    assert!(put(&mut shell, 10_000).is_ok());
}

fn kick(shell: &mut Shell<MemoryBackplane>, user: &str, key: Option<&str>) -> usize {
    let (user, key) = (parse_user(user), key.map(parse));
    let n = shell.relay.kick(shell.now, &user, key.as_ref(), WHILE).unwrap();
    shell.drain();
    shell.pass(WINDOW);
    shell.drain();
    n
}

fn place(
    shell: &mut Shell<MemoryBackplane>,
    user: &str,
    json: &str,
) -> Result<SessionId, PlaceError> {
    let user = named(user, user).user;
    let lasting = Duration::from_secs(60);
    let placed = shell.relay.place(shell.now, &parse(DOC), &user, meta(json), lasting);
    shell.drain();
    shell.pass(WINDOW);
    shell.drain();
    placed
}

fn observe(key: &str) -> Command {
    Command::Observe { key: parse(key), grant: None, invisible: false }
}

fn parse_user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}
