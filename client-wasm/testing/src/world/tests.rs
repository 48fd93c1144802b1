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
        let tab = world.open(token(&claims), KEY, "{}").unwrap();
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

fn open(world: &mut World, user: &str) -> u32 {
    let exp = BEGAN / 1000 + 3600;
    let claims = json!({"sub": user, "keys": ["*"], "exp": exp});
    let tab = world.open(token(&claims), KEY, "{}").unwrap();
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
