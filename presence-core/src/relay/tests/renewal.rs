//! Claims about a new token on a live connection.

use super::*;

#[test]
fn a_connection_goes_on_with_a_new_token_and_nobody_is_told() {
    let (mut shell, alice, bob) = two_in(DOC);
    for _ in 0..10 {
        for _ in 0..8 {
            shell.pass(10_000);
            shell.beat(&alice);
            shell.beat(&bob);
        }
        let seen = renew(&mut shell, &alice, lasting("alice", 60));
        assert!(seen.starts_with("token "), "{seen}");
        shell.sees(&alice);
    }
    shell.sees(&bob);
    shell.pass(1_000);
    assert_eq!(shell.sees(&bob), NOTHING);
    assert_eq!(shell.roster(DOC), ["alice", "bob"]);
}

#[test]
fn the_answer_says_when_it_expires_and_how_to_claim_the_session() {
    let (mut shell, alice, _bob) = two_in(DOC);
    let seen = renew(&mut shell, &alice, lasting("alice", 60));
    let [_, resume, expires_in, _] = seen.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{seen}")
    };
    assert_eq!(expires_in, "60000");
    let claims = shell.host.sealed.borrow()[resume.parse::<usize>().unwrap()].clone();
    assert_eq!(claims, alice.claims, "the same session of the same person");
    shell.pass(89_999);
    assert!(!shell.sees(&alice).contains(&"close expired".to_owned()));
}

#[test]
fn everybody_is_told_whose_token_it_is_and_nobody_elses() {
    let (mut shell, alice, bob) = two_in(DOC);
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    for page in [&alice, &bob, &eve] {
        let user_id = shell.welcome(page.conn).user_id.unwrap();
        assert_eq!(user_id.as_str(), page.user);
    }
    for name in ["eve", "mallory"] {
        let seen = renew(&mut shell, &eve, lasting(name, 60));
        assert_eq!(seen.split(' ').next_back(), Some(name), "{seen}");
    }
}

#[test]
fn a_token_that_ends_sooner_ends_the_connection_sooner() {
    let (mut shell, alice, _bob) = two_in(DOC);
    renew(&mut shell, &alice, lasting("alice", 5));
    shell.pass(34_999);
    assert_eq!(shell.sees(&alice), NOTHING);
    shell.pass(1);
    assert_eq!(shell.sees(&alice), ["close expired"]);
}

#[test]
fn a_further_token_of_a_join_still_ends_the_connection() {
    let mut shell = Shell::new();
    let alice = shell.page("alice");
    shell.frame(alice.conn, join_with(OTHER, Ok(lasting("alice", 7))));
    renew(&mut shell, &alice, lasting("alice", 3_600));
    shell.sees(&alice);
    shell.pass(37_000);
    assert_eq!(shell.sees(&alice), ["close expired"]);
}

#[test]
fn a_token_of_a_key_that_was_left_ends_nothing() {
    let mut shell = Shell::new();
    let alice = shell.page("alice");
    shell.frame(alice.conn, join_with(OTHER, Ok(lasting("alice", 7))));
    shell.join(&alice, DOC);
    shell.leave(&alice, OTHER);
    for _ in 0..5 {
        shell.pass(10_000);
        shell.beat(&alice);
    }
    // Closed it would be held for a while, and so be in the roster still.
    assert!(!shell.sees(&alice).contains(&"close expired".to_owned()));
    assert!(shell.is_viewer(&alice));
}

#[test]
fn expired_and_denied_are_told_apart_and_the_connection_goes_on() {
    let (mut shell, alice, bob) = two_in(DOC);
    for (refusal, code) in
        [(Refusal::Expired, "error token_expired"), (Refusal::Denied, "error token_denied")]
    {
        shell.frame(alice.conn, Command::Token { grant: Err(refusal) });
        assert_eq!(shell.sees(&alice), [code]);
    }
    shell.update(&alice, DOC, r#"{"a":1}"#);
    assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
}

#[test]
fn who_brings_wrong_tokens_without_end_is_closed() {
    let (mut shell, alice, _bob) = two_in(DOC);
    shell.block(&alice);
    for _ in 0..100 {
        shell.frame(alice.conn, Command::Token { grant: Err(Refusal::Denied) });
    }
    shell.unblock(&alice);
    assert_eq!(shell.sees(&alice).last().unwrap(), "close busy");
}

#[test]
fn a_connection_leaves_the_keys_that_the_new_token_does_not_allow() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.join(&alice, OTHER);
    shell.pass(20);
    shell.sees(&alice);
    let only_other = Grant { keys: vec![KeyPattern::parse(OTHER).unwrap()], ..grant("alice") };
    let seen = renewed(&mut shell, &alice, only_other);
    assert!(seen[0].starts_with("token "));
    assert_eq!(seen[1..], ["error key_denied document:42"]);
    shell.pass(1_000);
    assert_eq!(shell.sees(&bob), ["-alice left"]);
    assert_eq!((shell.roster(DOC), shell.roster(OTHER)), (list(&["bob"]), list(&["alice"])));
    shell.join(&alice, DOC);
    assert_eq!(shell.sees(&alice), ["error key_denied document:42"]);
}

#[test]
fn a_connection_can_do_what_the_new_token_allows_and_no_more() {
    let (mut shell, alice, bob) = two_in(DOC);
    let can = Capabilities::parse(["join"]);
    renew(&mut shell, &alice, Grant { can, ..grant("alice") });
    shell.sees(&alice);
    shell.pulse(&alice, "cursor", Some("1"));
    assert_eq!(shell.sees(&alice), ["error not_allowed document:42"]);
    renew(&mut shell, &alice, grant("alice"));
    shell.pulse(&alice, "cursor", Some("1"));
    shell.pass(20);
    assert_eq!(shell.sees(&bob), ["alice cursor 1"]);
    let can = Capabilities::parse(["pulse"]);
    let seen = renewed(&mut shell, &alice, Grant { can, ..grant("alice") });
    assert_eq!(seen[1..], ["error key_denied document:42"]);
    assert_eq!(shell.roster(DOC), ["bob"]);
}

#[test]
fn what_a_joins_own_token_allows_is_not_lost() {
    let mut shell = Shell::new();
    let alice = shell.page("alice");
    let narrow = Grant { keys: vec![], ..grant("alice") };
    shell.frame(alice.conn, join_with(DOC, Ok(grant("alice"))));
    renew(&mut shell, &alice, narrow.clone());
    assert_eq!(shell.roster(DOC), ["alice"]);
    // But it is the former person's.
    renew(&mut shell, &alice, Grant { user: grant("bob").user, ..narrow });
    assert!(shell.roster(DOC).is_empty());
}

#[test]
fn another_name_is_told_as_such_and_not_as_a_leave() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.pulse(&alice, "typing", Some("1"));
    shell.pass(1_000);
    let since = shell.since(&alice, DOC);
    shell.sees(&bob);
    renew(&mut shell, &alice, Grant { user: user("alice", "Alice B."), ..grant("alice") });
    shell.pass(20);
    assert_eq!(shell.sees(&bob), ["+Alice B."], "one frame that replaces the presence");
    assert_eq!(shell.since(&alice, DOC), since, "it hasn't come anew");
    shell.pass(3_000);
    assert_eq!(shell.sees(&bob), NOTHING, "it is typing still");
    shell.pass(2_000);
    assert_eq!(shell.sees(&bob), ["Alice B. typing ended"]);
}

#[test]
fn somebody_else_takes_the_place_of_who_was_there() {
    let (mut shell, alice, bob) = two_in(DOC);
    shell.update(&alice, DOC, r#"{"a":1}"#);
    shell.pulse(&alice, "typing", Some("1"));
    shell.pass(1_000);
    let since = shell.since(&alice, DOC);
    shell.sees(&bob);
    let seen = renew(&mut shell, &alice, grant("carol"));
    shell.pass(20);
    assert_eq!(shell.sees(&bob), ["+carol, carol typing ended"], "in one frame, without a gap");
    assert_eq!(shell.roster(DOC), ["bob", "carol"]);
    assert!(shell.since(&alice, DOC) > since, "carol has come just now");
    let resume = seen.split(' ').nth(1).unwrap();
    let claims = shell.host.sealed.borrow()[resume.parse::<usize>().unwrap()].clone();
    assert_eq!((claims.session, claims.user.as_str()), (alice.session, "carol"));

    // The session is carol's, whoever shows an older claim to it.
    let carol = Page { user: "carol".to_owned(), claims, ..alice };
    shell.reset(&carol);
    let back = shell.resume(&carol);
    shell.join_as(&back, DOC, r#"{"a":1}"#, None);
    shell.pass(60_000);
    assert_eq!(shell.sees(&bob), NOTHING);
}

#[test]
fn the_former_users_goodbye_is_none_of_who_is_there_now() {
    let (mut shell, alice, bob) = two_in(DOC);
    renew(&mut shell, &alice, grant("carol"));
    shell.pass(1_000);
    shell.sees(&bob);
    for dial in [1, 2] {
        shell.beacon(&alice, Dial(dial), &[DOC]);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }
    assert_eq!(shell.sees(&alice), NOTHING, "the socket goes on");
    shell.reset(&alice);
    shell.beacon(&alice, Dial(2), &[DOC]);
    shell.pass(1_000);
    assert_eq!(shell.roster(DOC), ["bob", "carol"], "also while it is lost");
    renew(&mut shell, &bob, grant("dave"));
    renew(&mut shell, &bob, grant("bob"));
    shell.beacon(&bob, Dial(2), &[DOC]);
    assert_eq!(shell.roster(DOC), ["carol"], "who is there again says goodbye as ever");
}

#[test]
fn the_former_user_does_not_resume_the_session_of_who_is_there_now() {
    let (mut shell, alice, bob) = two_in(DOC);
    renew(&mut shell, &alice, grant("carol"));
    shell.pass(1_000);
    shell.sees(&bob);
    let conn = shell.open();
    shell.hello(conn, "alice", Some(alice.claims.clone()), Dial(2));
    let welcome = shell.welcome(conn);
    assert!(!welcome.resumed && welcome.session != alice.session, "a session of its own");
    assert_eq!(shell.sees(&alice), NOTHING, "and carol's socket goes on");
    shell.pass(1_000);
    assert_eq!(shell.sees(&bob), NOTHING);
}

#[test]
fn somebody_else_counts_for_what_one_person_may_have() {
    let config = RelayConfig { max_connections_per_user: 2, ..RelayConfig::default() };
    let mut shell = Shell::with(config);
    let (alice, _, _) = (shell.page("alice"), shell.page("bob"), shell.page("bob"));
    shell.frame(alice.conn, Command::Token { grant: Ok(grant("bob")) });
    assert_eq!(shell.sees(&alice), ["close busy"], "as a hello would be");
    // Who became somebody else has made room.
    let (first, _second) = (shell.page("carol"), shell.page("carol"));
    renew(&mut shell, &first, grant("dave"));
    shell.page("carol");
    let conn = shell.open();
    shell.hello(conn, "carol", None, Dial(1));
    assert_eq!(shell.reads(conn), ["close busy"]);
}

#[test]
fn somebody_else_leaves_a_key_that_has_too_many_of_them() {
    let mut shell =
        Shell::with(RelayConfig { max_presences_per_user: 1, ..RelayConfig::default() });
    let (alice, bob) = (shell.visit("alice", DOC), shell.visit("bob", DOC));
    shell.sees(&alice);
    let seen = renewed(&mut shell, &alice, grant("bob"));
    assert_eq!(seen[1..], ["error key_full document:42"]);
    assert_eq!(shell.roster(DOC), ["bob"]);
    shell.leave(&bob, DOC);
    shell.pass(20);
    shell.join(&alice, DOC);
    assert_eq!(shell.roster(DOC), ["bob"]);
}

#[test]
fn somebody_else_leaves_the_keys_that_are_too_many_for_them() {
    let most = RelayConfig { max_presences_per_user_in_all: 2, ..RelayConfig::default() };
    let mut shell = Shell::with(most);
    let alice = shell.visit("alice", DOC);
    shell.join(&alice, OTHER);
    shell.visit("bob", "document:44");
    shell.sees(&alice);
    let seen = renewed(&mut shell, &alice, grant("bob"));
    assert_eq!(seen[1..], ["error key_full document:43", "+bob"], "and is in the other");
    assert_eq!(shell.roster(DOC), ["bob"]);
    assert_eq!(shell.relay.count(&parse(OTHER)), (0, 0));
    // The same person under another name needs no more room.
    assert_eq!(renewed(&mut shell, &alice, grant("bob")).len(), 1);
}

#[test]
fn who_only_looks_on_goes_on_as_the_new_token_says() {
    let (mut shell, alice, _bob) = two_in(DOC);
    let eve = shell.page("eve");
    shell.observe(&eve, DOC);
    shell.pass(1_000);
    renew(&mut shell, &eve, grant("mallory"));
    shell.update(&alice, DOC, r#"{"a":1}"#);
    assert_eq!(shell.sees(&eve), [r#"alice {"a":1}"#]);
    let can = Capabilities::parse(["join"]);
    let seen = renewed(&mut shell, &eve, Grant { can, ..grant("mallory") });
    assert_eq!(seen[1..], ["error key_denied document:42"]);
    shell.pass(1_000);
    shell.sees(&alice);
    shell.update(&alice, DOC, r#"{"a":2}"#);
    assert_eq!(shell.sees(&eve), NOTHING);
    assert_eq!(shell.sees(&alice), [r#"alice {"a":2}"#], "and of all that nobody was told");
}

#[test]
fn what_comes_on_a_socket_that_was_taken_over_changes_nobody() {
    let (mut shell, alice, bob) = two_in(DOC);
    let back = shell.resume(&alice);
    shell.join(&back, DOC);
    shell.pass(1_000);
    shell.sees(&bob);
    shell.frame(alice.conn, Command::Token { grant: Ok(grant("mallory")) });
    shell.pass(1_000);
    assert_eq!(shell.sees(&bob), NOTHING);
    assert_eq!(shell.roster(DOC), ["alice", "bob"]);
}

fn lasting(user: &str, secs: u64) -> Grant {
    Grant { expires_in: Duration::from_secs(secs), ..grant(user) }
}

/// The first answer.
fn renew(shell: &mut Shell<MemoryBackplane>, page: &Page, grant: Grant) -> String {
    renewed(shell, page, grant).remove(0)
}

fn renewed(shell: &mut Shell<MemoryBackplane>, page: &Page, grant: Grant) -> Vec<String> {
    shell.sees(page);
    shell.frame(page.conn, Command::Token { grant: Ok(grant) });
    shell.sees(page)
}

fn user(id: &str, name: &str) -> Arc<User> {
    let id = UserId::parse(id).unwrap();
    Arc::new(User::new(id, name, Color([1, 2, 3])).unwrap())
}
