//! Situations that must never show anything wrong, one by one.

use simulation::World;
use simulation::network::Carriage;
use simulation::page::{News, Tab};
use simulation::truth::{converged, shown_users};
use std::collections::BTreeSet;

#[test]
fn a_drop_of_29_seconds_is_noticed_by_nobody() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    world.pages[bob].offline_until = world.now + 27_000;
    world.reset(bob);
    world.run_for(29_000);
    world.run_for(60_000);

    assert_eq!(told(&world, alice), NOTHING);
    assert_eq!(told(&world, bob), NOTHING);
    all_well(&world);
}

#[test]
fn a_token_that_expires_on_a_live_page_is_noticed_by_nobody() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);
    let links = world.links.len();

    // The tokens of this world live for 100 s.
    world.run_for(1_000_000);
    assert_eq!(world.links.len(), links, "nobody has dialed again");

    // Without another token a connection outlives its own by the grace, and is then lost.
    world.pages[bob].tokenless_until = world.now + 300_000;
    world.run_for(400_000);
    assert_eq!(told(&world, alice), ["bob left: timeout", "bob joined"]);
    all_well(&world);
}

#[test]
fn a_longer_drop_is_one_leave_and_one_join() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    let dropped_at = world.now;
    world.pages[bob].offline_until = world.now + 60_000;
    world.reset(bob);
    world.run_for(120_000);

    assert_eq!(told(&world, alice), ["bob left: timeout", "bob joined"]);
    let left_after = world.pages[alice].told[0].at - dropped_at;
    assert!((30_000..41_000).contains(&left_after), "{left_after}");
    assert_eq!(told(&world, bob), NOTHING, "away for longer than the grace: in silence");
    all_well(&world);
}

#[test]
fn a_silent_drop_is_counted_from_the_first_missed_beat() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    let dropped_at = world.now;
    world.crash(bob);
    world.run_for(60_000);

    assert_eq!(told(&world, alice), ["bob left: timeout"]);
    let left_after = world.pages[alice].told[0].at - dropped_at;
    assert!((30_000..41_000).contains(&left_after), "{left_after}");
}

#[test]
fn a_lost_welcome_costs_nothing() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    // Each socket that bob dials dies right after his hello has arrived, three times.
    world.reset(bob);
    for _ in 0..3 {
        run_until(&mut world, |world| {
            let link = world.pages[bob].link;
            link.is_some_and(|it| world.links[it].conn.is_some())
        });
        world.run_for(30);
        world.cut(bob);
        world.run_for(5_000);
    }
    world.run_for(60_000);

    assert_eq!(told(&world, alice), NOTHING);
    assert_eq!(told(&world, bob), NOTHING);
    all_well(&world);
}

#[test]
fn a_resume_may_overtake_the_close_of_its_old_socket() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    // The old socket's last words, its close among them, arrive long after the new socket has joined.
    world.update(bob, 1);
    world.hold(bob, 25_000);
    world.update(bob, 2);
    world.run_for(90_000);

    assert_eq!(told(&world, alice), NOTHING);
    assert_eq!(world.pages[bob].meta.as_str(), "{\"n\":2}");
    all_well(&world);
}

#[test]
fn what_a_dead_page_said_for_the_moment_is_over_within_five_seconds() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);

    world.pulse(bob, Some(1));
    world.run_for(60_000);
    assert_eq!(heard(&world, alice), ["1"], "it is sent again as long as it holds");
    assert_eq!(heard(&world, bob), NOTHING);
    world.crash(bob);
    let crashed_at = world.now;
    run_until(&mut world, |world| heard(world, alice).is_empty());
    assert!(world.now - crashed_at <= 5_100, "{}", world.now - crashed_at);
}

#[test]
fn who_reads_slowly_hears_the_latest() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);

    let link = world.pages[alice].link.unwrap();
    world.links[link].blocked_until = world.now + 8_000;
    for value in 0..160 {
        world.pulse(bob, Some(value));
        world.run_for(50);
    }
    // A snapshot takes the place of what was too much; the pulse is there with its renewal.
    world.run_for(3_100);
    assert_eq!(heard(&world, alice), ["159"]);
    all_well(&world);
}

#[test]
fn a_busy_key_causes_no_resync() {
    let mut world = quiet_world();
    let pages: Vec<_> = (0..6).map(|it| world.open(&format!("user-{it}"), KEY)).collect();
    world.run_for(1_000);

    for round in 0..3_000 {
        let page = pages[world.random.usize(0..pages.len())];
        world.update(page, round);
        let wait = world.random.u64(1..25);
        world.run_for(wait);
    }
    world.run_for(15_000);

    for page in pages {
        assert_eq!(world.pages[page].resyncs, 0);
    }
    all_well(&world);
}

#[test]
fn whoever_comes_in_the_middle_of_a_busy_window_misses_nothing() {
    let mut world = quiet_world();
    let busy: Vec<_> = (0..4).map(|it| world.open(&format!("user-{it}"), KEY)).collect();
    world.run_for(1_000);

    for round in 0..400 {
        for page in &busy {
            world.update(*page, round);
        }
        if round % 20 == 0 {
            world.open(&format!("late-{round}"), KEY);
        }
        world.run_for(7);
    }
    world.run_for(15_000);

    assert!(world.pages.iter().all(|it| it.resyncs == 0));
    all_well(&world);
}

#[test]
fn a_lost_delta_heals() {
    let mut world = quiet_world();
    let alice = world.open("alice", KEY);
    world.run_for(5_000);

    let link = world.pages[alice].link.expect("alice is connected");
    world.links[link].lose_delta = true;
    world.open("bob", KEY);
    world.run_for(1_000);
    assert_eq!(shown_users(&world.pages[alice]), users(&["alice"]), "the delta was lost");
    world.run_for(12_000);

    assert_eq!(shown_users(&world.pages[alice]), users(&["alice", "bob"]));
    assert_eq!(world.pages[alice].resyncs, 1);
}

#[test]
fn a_relay_that_stood_still_for_40_seconds_lets_nobody_go() {
    let mut world = quiet_world();
    let names = ["alice", "bob", "carol", "dave"];
    let pages: Vec<_> = names.map(|it| world.open(it, KEY)).to_vec();
    world.run_for(5_000);
    forget(&mut world);

    world.stall_relay(40_000);
    world.run_for(20_000);
    world.close(pages[3]);
    world.run_for(80_000);

    for page in &pages[..3] {
        let told = told(&world, *page);
        assert!(told.iter().all(|it| it.starts_with("dave left")), "{told:?}");
        assert!(!shown_users(&world.pages[*page]).contains("dave"));
    }
    all_well(&world);
}

#[test]
fn a_restart_of_the_relay_is_invisible() {
    let mut world = quiet_world();
    let pages = ["alice", "bob", "carol"].map(|it| world.open(it, KEY));
    world.run_for(5_000);
    forget(&mut world);

    world.kill_relay(4_000);
    world.run_for(90_000);

    for page in pages {
        assert_eq!(told(&world, page), NOTHING);
    }
    all_well(&world);
}

#[test]
fn a_deploy_sends_a_crowd_away_and_back_in_turns_and_nobody_sees_it() {
    let mut world = quiet_world();
    let pages: Vec<_> = (0..300)
        .map(|it| world.open(&format!("user{it}"), &format!("document:{}", it / 10)))
        .collect();
    world.run_for(15_000);
    forget(&mut world);

    world.deploy_relay(300);
    world.run_for(400);
    let is_live = |world: &World, page: &usize| world.pages[*page].live_since.is_some();
    let n_early = pages.iter().filter(|it| is_live(&world, it)).count();
    assert!(n_early < 150, "{n_early} of 300 are back before their turn");
    world.run_for(3_600);
    assert!(pages.iter().all(|it| is_live(&world, it)), "not all are back after 4 s");
    world.run_for(86_000);

    for page in pages {
        assert_eq!(told(&world, page), NOTHING);
    }
    all_well(&world);
}

#[test]
fn who_does_not_come_back_after_a_restart_leaves_once() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    let killed_at = world.now;
    world.kill_relay(4_000);
    world.crash(bob);
    world.run_for(90_000);

    assert_eq!(told(&world, alice), ["bob left: timeout"]);
    let left_after = world.pages[alice].told[0].at - killed_at;
    assert!((29_000..41_000).contains(&left_after), "{left_after}");
}

#[test]
fn who_first_comes_while_others_resume_sees_nobody_join() {
    let mut world = quiet_world();
    let pages = ["alice", "bob", "carol"].map(|it| world.open(it, KEY));
    world.run_for(5_000);
    // They come back one after the other, well after the newcomer.
    for page in pages {
        world.pages[page].offline_until = world.now + 5_000 + 4_000 * page as u64;
    }
    world.kill_relay(1_000);
    world.run_for(1_500);

    let newcomer = world.open("dave", KEY);
    world.run_for(60_000);

    let loud: Vec<_> = world.pages[newcomer].told.iter().filter(|it| !it.quiet).collect();
    assert!(loud.is_empty(), "{loud:?}");
    assert_eq!(shown_users(&world.pages[newcomer]), users(&["alice", "bob", "carol", "dave"]));
    all_well(&world);
}

#[test]
fn three_tabs_are_one_join_and_one_leave() {
    let mut world = quiet_world();
    let alice = world.open("alice", KEY);
    world.run_for(1_000);
    let tabs = [0, 1, 2].map(|_| {
        world.run_for(500);
        world.open("bob", KEY)
    });
    world.run_for(2_000);
    for tab in tabs {
        world.close(tab);
        world.run_for(500);
    }

    assert_eq!(told(&world, alice), ["bob joined", "bob left: left"]);
}

#[test]
fn a_reload_withdraws_its_flash_and_causes_no_other() {
    let mut world = quiet_world();
    let alice = world.open("alice", KEY);
    let bob = world.open("bob", KEY);
    world.run_for(10_000);
    // Alice may have been there before him.
    world.pages[alice].said.clear();

    world.close(bob);
    world.run_for(300);
    assert_eq!(world.pages[alice].shown.len(), 1, "bob left");
    world.open("bob", KEY);
    world.run_for(1_000);

    assert!(world.pages[alice].shown.is_empty(), "{:?}", world.pages[alice].shown);
    world.run_for(10_000);
    assert_eq!(said(&world, alice), NOTHING);
}

#[test]
fn those_who_come_and_go_within_a_second_are_one_sentence_each_way() {
    let mut world = quiet_world();
    let alice = world.open("alice", KEY);
    world.run_for(2_000);
    let tabs = ["bob", "carol", "dave"].map(|user| {
        world.run_for(200);
        world.open(user, KEY)
    });
    world.run_for(300);
    assert_eq!(world.pages[alice].shown.len(), 1, "{:?}", world.pages[alice].shown);
    world.run_for(5_000);
    for tab in tabs {
        world.run_for(200);
        world.close(tab);
    }
    world.run_for(10_000);

    assert_eq!(said(&world, alice), ["bob, carol, dave Joined", "bob, carol, dave Left"]);
    assert!(world.pages[alice].shown.is_empty());
    all_well(&world);
}

#[test]
fn a_hidden_tab_stays_for_an_hour() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    world.pages[bob].tab = Tab::Hidden;
    world.run_for(3_600_000);

    assert_eq!(told(&world, alice), NOTHING);
    assert_eq!(world.pages[bob].resyncs, 0);
}

#[test]
fn put_away_and_restored_is_a_leave_and_a_join() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    world.put_away(bob);
    world.run_for(20_000);
    world.restore(bob);
    world.run_for(20_000);

    assert_eq!(told(&world, alice), ["bob left: left", "bob joined"]);
    assert_eq!(told(&world, bob), NOTHING);
    all_well(&world);
}

#[test]
fn a_goodbye_without_a_socket_arrives_by_beacon() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    let link = world.pages[bob].link.expect("bob is connected");
    world.reset(bob);
    run_until(&mut world, |world| world.pages[bob].live_since.is_none());
    world.close(bob);
    world.run_for(1_000);

    assert_eq!(world.links[link].carriage, Carriage::Gone);
    assert_eq!(told(&world, alice), ["bob left: left"]);
}

#[test]
fn a_slow_reader_loses_deltas_but_not_its_place() {
    let mut world = quiet_world();
    let (alice, bob) = (world.open("alice", KEY), world.open("bob", KEY));
    world.run_for(5_000);
    forget(&mut world);

    let link = world.pages[alice].link.expect("alice is connected");
    world.links[link].blocked_until = world.now + 8_000;
    for round in 0..150 {
        world.update(bob, round);
        world.run_for(50);
    }
    world.run_for(15_000);

    assert_eq!(told(&world, bob), NOTHING, "alice never left");
    assert_eq!(told(&world, alice), NOTHING);
    assert_eq!(world.pages[alice].resyncs, 0, "the snapshot came unasked");
    all_well(&world);
}

const KEY: &str = "document:1";
const NOTHING: [&str; 0] = [];

/// A world in which nothing happens by chance but the network's delays.
fn quiet_world() -> World {
    let mut world = World::new(1);
    world.latency = 20;
    world
}

fn said(world: &World, page: usize) -> Vec<String> {
    let text = |(kind, who): &(_, Vec<String>)| format!("{} {kind:?}", who.join(", "));
    world.pages[page].said.iter().map(text).collect()
}

/// What a page was told, in words.
fn told(world: &World, page: usize) -> Vec<String> {
    let word = |told: &simulation::page::Told| match told.news {
        News::Joined => format!("{} joined", told.member),
        News::Left(reason) => format!("{} left: {}", told.member, reason.name()),
    };
    world.pages[page].told.iter().map(word).collect()
}

/// What was told up to here doesn't count.
fn forget(world: &mut World) {
    for page in &mut world.pages {
        page.told.clear();
    }
}

#[track_caller]
fn all_well(world: &World) {
    assert_eq!(world.faults, NOTHING);
    assert_eq!(converged(world), NOTHING);
}

#[track_caller]
fn run_until(world: &mut World, condition: impl Fn(&World) -> bool) {
    for _ in 0..60_000 {
        if condition(world) {
            return;
        }
        world.run_for(1);
    }
    panic!("it never happened");
}

fn users(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

/// What others say for the moment, as a page heard it.
fn heard(world: &World, page: usize) -> Vec<String> {
    world.pages[page].pulses.values().map(|(value, _)| value.clone()).collect()
}
