use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const KEY: &str = "document:42";
const BEGAN: u64 = 1_790_000_000_000;

#[test]
fn a_drop_of_20_seconds_changes_nothing_and_one_of_41_is_a_leave() {
    for is_reset in [false, true] {
        let mut world = World::new(1, BEGAN);
        let (alice, bob) = (open(&mut world, "alice"), open(&mut world, "bob"));
        pass(&mut world, 1_000);
        assert_eq!(names(&world, alice), ["alice", "bob"]);
        assert_eq!(names(&world, bob), ["alice", "bob"]);

        world.drop_network(bob, is_reset);
        pass(&mut world, 20_000);
        assert_eq!(names(&world, alice), ["alice", "bob"]);
        assert_eq!(world.state(bob), "reconnecting");
        world.restore_network(bob);
        pass(&mut world, 5_000);
        assert_eq!(names(&world, alice), ["alice", "bob"]);
        assert_eq!(world.state(bob), "live");
        pass(&mut world, 60_000);
        assert_eq!(names(&world, alice), ["alice", "bob"]);

        world.drop_network(bob, is_reset);
        pass(&mut world, 29_000);
        assert_eq!(names(&world, alice), ["alice", "bob"]);
        pass(&mut world, 12_000);
        assert_eq!(names(&world, alice), ["alice"]);
        world.restore_network(bob);
        pass(&mut world, 5_000);
        assert_eq!(names(&world, alice), ["alice", "bob"]);
    }
}

#[test]
fn who_closes_a_page_is_gone_at_once() {
    let mut world = World::new(1, BEGAN);
    let (alice, bob) = (open(&mut world, "alice"), open(&mut world, "bob"));
    let second = open(&mut world, "bob");
    pass(&mut world, 1_000);
    world.close_tab(bob);
    pass(&mut world, 100);
    assert_eq!(names(&world, alice), ["alice", "bob"], "bob has another tab");
    assert_eq!(world.members(bob), json!([]));
    world.close_tab(second);
    pass(&mut world, 100);
    assert_eq!(names(&world, alice), ["alice"]);
}

#[test]
fn a_restart_of_the_relay_is_noticed_by_nobody() {
    let mut world = World::new(1, BEGAN);
    let (alice, bob) = (open(&mut world, "alice"), open(&mut world, "bob"));
    pass(&mut world, 5_000);
    let since = world.members(alice)[1]["since"].clone();
    world.stop_relay();
    pass(&mut world, 10_000);
    assert_eq!(world.state(alice), "reconnecting");
    assert_eq!(names(&world, alice), ["alice", "bob"]);
    world.start_relay();
    pass(&mut world, 5_000);
    assert_eq!(world.state(alice), "live");
    assert_eq!(names(&world, bob), ["alice", "bob"]);
    assert_eq!(world.members(alice)[1]["since"], since, "his presence is the same one");
}

#[test]
fn metas_are_patched_and_merged() {
    let mut world = World::new(1, BEGAN);
    let (alice, bob) = (open(&mut world, "alice"), open(&mut world, "bob"));
    world.update(bob, r#"{"section":"goals","n":1}"#).unwrap();
    pass(&mut world, 1_000);
    let second = open(&mut world, "bob");
    world.update(second, r#"{"n":2,"m":null}"#).unwrap();
    pass(&mut world, 1_000);
    assert_eq!(world.members(alice)[1]["meta"], json!({"section": "goals", "n": 2}));
    assert_eq!(world.update(bob, r#"{"n":"#), Err("bad_meta"));
    assert_eq!(world.update(bob, &format!(r#"{{"n":"{}"}}"#, "x".repeat(5000))), Err("bad_meta"));
}

#[test]
fn a_token_is_read_as_the_relay_reads_it() {
    let mut world = World::new(1, BEGAN);
    let alice = open(&mut world, "alice");
    let exp = BEGAN / 1000 + 3600;
    let keys = json!([KEY]);
    let mut enter = |claims: Value| {
        let tab = world.open(token(&claims), KEY, "{}", "join").unwrap();
        pass(&mut world, 100);
        (world.state(tab), world.members(tab))
    };
    // printf bob | sha1sum
    let (state, members) = enter(json!({"sub": "b", "name": "bob", "keys": keys, "exp": exp}));
    assert_eq!(state, "live");
    assert_eq!(members[1]["color"], "#48181a");
    assert_eq!(members[1]["userId"], "b");
    let (_, members) = enter(json!({"sub": "c", "color": "#00ff7f", "keys": keys, "exp": exp}));
    assert_eq!(members[2]["color"], "#00ff7f");
    let expired = enter(json!({"sub": "d", "keys": keys, "exp": BEGAN / 1000}));
    assert_ne!(expired.0, "live");
    for denied in [
        json!({"sub": "", "keys": keys, "exp": exp}),
        json!({"sub": "e", "keys": ["document:43"], "exp": exp}),
        json!({"sub": "e", "keys": ["**"], "exp": exp}),
        json!({"sub": "e", "keys": keys}),
    ] {
        assert_eq!(enter(denied.clone()).0, "stopped", "{denied}");
    }
    assert_eq!(names(&world, alice), ["alice", "bob", "c"]);
}

#[test]
fn a_tab_that_is_hidden_is_away_and_says_nothing() {
    let mut world = World::new(1, BEGAN);
    let (alice, bob) = (open(&mut world, "alice"), open(&mut world, "bob"));
    pass(&mut world, 1_000);
    let state = |world: &World| world.members(alice)[1]["state"].clone();
    world.hide_tab(bob, true);
    pass(&mut world, 1_000);
    assert_eq!(state(&world), "away");
    // The network goes meanwhile, and when it is back he is still away.
    world.drop_network(bob, true);
    pass(&mut world, 5_000);
    world.restore_network(bob);
    pass(&mut world, 5_000);
    assert_eq!(state(&world), "away");
    world.hide_tab(bob, false);
    pass(&mut world, 1_000);
    assert_eq!(state(&world), "active");
}

#[test]
fn a_pulse_is_held_to_the_rules_of_the_sdk() {
    let mut world = World::new(1, BEGAN);
    let bob = open(&mut world, "bob");
    for name in ["", "Typing", "averyveryverylong"] {
        assert_eq!(world.pulse(bob, name, Some("1")), Err("bad_pulse"), "{name}");
    }
    assert_eq!(world.pulse(bob, "a", Some(&"1".repeat(513))), Err("bad_pulse"));
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert_eq!(world.pulse(bob, name, Some("1")), Ok(()));
    }
    assert_eq!(world.pulse(bob, "i", Some("1")), Err("bad_pulse"), "there are eight");
    world.close_tab(bob);
    assert_eq!(world.pulse(bob, "i", Some("1")), Ok(()), "nobody is there to say it");
}

#[test]
fn who_is_kicked_stays_out_for_that_long() {
    for key in [None, Some(KEY)] {
        let mut world = World::new(1, BEGAN);
        let (alice, bob) = (open(&mut world, "alice"), open(&mut world, "bob"));
        let lost = open(&mut world, "bob");
        pass(&mut world, 1_000);
        world.drop_network(lost, true);
        pass(&mut world, 100);
        world.kick("bob", key, Duration::from_secs(60)).unwrap();
        pass(&mut world, 100);
        assert_eq!(names(&world, alice), ["alice"], "{key:?}: also of a tab that was lost");
        assert_eq!(world.state(bob), "stopped");
        open(&mut world, "bob");
        pass(&mut world, 59_000);
        assert_eq!(names(&world, alice), ["alice"]);
        pass(&mut world, 1_000);
        open(&mut world, "bob");
        assert_eq!(names(&world, alice), ["alice", "bob"]);
    }
    let mut world = World::new(1, BEGAN);
    assert_eq!(world.kick("", None, Duration::ZERO), Err("bad_user"));
    assert_eq!(world.kick("bob", Some("no key"), Duration::ZERO), Err("bad_key"));
    world.stop_relay();
    assert_eq!(world.kick("bob", None, Duration::ZERO), Err("no_relay"));
}

fn open(world: &mut World, user: &str) -> u32 {
    let exp = BEGAN / 1000 + 3600;
    let claims = json!({"sub": user, "keys": ["*"], "exp": exp});
    let tab = world.open(token(&claims), KEY, "{}", "join").unwrap();
    pass(world, 1);
    tab
}

fn token(claims: &Value) -> String {
    format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn pass(world: &mut World, millis: u64) {
    world.run(world.now + millis);
}

fn names(world: &World, tab: u32) -> Vec<String> {
    let members = world.members(tab);
    let name = |it: &Value| it["name"].as_str().unwrap().to_owned();
    members.as_array().unwrap().iter().map(name).collect()
}
