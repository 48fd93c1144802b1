//! What chance does to the world.

use crate::World;
use crate::network::Carriage;
use crate::page::Tab;
use crate::truth;
use crate::world::Event;

/// How long chance has its way, at most, in milliseconds.
const MOST: u64 = 150_000;
/// How long everything is left in peace before it is judged: in a hidden tab, whose timers fire once a
/// minute, one for the beat, one for the answer that doesn't come, one for a dial that hangs, and the
/// grace.
const PEACE: u64 = 240_000;

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const KEYS: [&str; 2] = ["document:1", "document:2"];

/// Runs one seed to its end. Returns what went wrong.
#[must_use]
pub fn run(seed: u64, trace: bool) -> World {
    let mut world = World::new(seed);
    world.trace = trace.then(Vec::new);
    world.latency = world.random.choice([2, 20, 80, 200]).unwrap_or(20);
    for key in KEYS {
        observe(&mut world, key);
    }
    world.after(0, Event::Chaos);
    world.after(500, Event::Check);
    let length = world.random.u64(20_000..MOST);
    world.run_until(length);
    heal(&mut world);
    world.run_until(length + PEACE);
    // A token may expire at the very moment of judgement; its page is back in an instant.
    for _ in 0..3 {
        if world.faults.is_empty() && !truth::converged(&world).is_empty() {
            world.run_for(5_000);
        }
    }
    if world.faults.is_empty() {
        let faults = truth::converged(&world);
        world.faults.extend(faults);
    }
    world
}

/// Opens a page to which nothing happens: what it is told must be flawless.
fn observe(world: &mut World, key: &str) {
    let name = format!("observer-{}", world.pages.len());
    let page = world.open(&name, key);
    world.pages[page].is_observer = true;
}

/// Everything is well from here on.
fn heal(world: &mut World) {
    let now = world.now;
    world.say(|| "peace".to_owned());
    world.is_chaotic = false;
    for page in 0..world.pages.len() {
        world.pages[page].offline_until = now;
        world.pages[page].tokenless_until = now;
        if world.pages[page].tab == Tab::Asleep {
            world.show(page);
        }
    }
    for index in 0..world.links.len() {
        let link = &mut world.links[index];
        if let Carriage::Stalled(until) = &mut link.carriage {
            *until = (*until).min(now);
        }
        link.lose_delta = false;
        if link.blocked_until > now {
            link.blocked_until = now;
            world.after(0, Event::Writable(index));
        }
    }
}

/// One stroke of chance, and the next one planned.
pub fn step(world: &mut World) {
    if !world.is_chaotic {
        return;
    }
    let wait = world.random.u64(1..4_000);
    world.after(wait, Event::Chaos);
    let key = KEYS[world.random.usize(0..KEYS.len())];
    let user = USERS[world.random.usize(0..USERS.len())];
    let victims: Vec<_> = (0..world.pages.len())
        .filter(|it| !world.pages[*it].is_observer && world.pages[*it].tab != Tab::Closed)
        .collect();
    let stroke = world.random.u32(0..100);
    if victims.is_empty() || stroke < 18 {
        if victims.len() < 8 {
            world.open(user, key);
        }
        return;
    }
    let page = victims[world.random.usize(0..victims.len())];
    let millis = world.random.choice([300, 5_000, 15_000, 28_000, 35_000, 60_000]).unwrap_or(300);
    match (stroke, world.pages[page].tab) {
        (18..=99, Tab::PutAway) => world.restore(page),
        (18..=99, Tab::Asleep) if stroke < 60 => world.show(page),
        (_, Tab::Asleep) => {}
        (18..=27, _) => world.close(page),
        (28..=33, _) => {
            // A reload: the page is closed and another one opened in its place.
            let (user, key) = (world.pages[page].user.clone(), world.pages[page].key.clone());
            world.close(page);
            let wait = world.random.u64(50..1_500);
            world.after(wait, Event::Reload(user, key.as_str().to_owned()));
        }
        (34..=36, _) => world.put_away(page),
        (37..=38, _) => world.close_1001(page),
        (39..=40, _) => world.crash(page),
        (41..=48, _) => world.reset(page),
        (49..=55, _) => world.cut(page),
        (56..=60, _) => world.hold(page, millis),
        (61..=66, _) => {
            world.pages[page].offline_until = world.now + millis;
            match world.random.u32(0..3) {
                0 => world.reset(page),
                1 => world.cut(page),
                _ => world.hold(page, millis),
            }
        }
        (67..=69, _) => world.pages[page].tokenless_until = world.now + millis,
        (70..=72, _) => {
            world.say(|| format!("page {page}: asleep"));
            world.pages[page].tab = Tab::Asleep;
        }
        (73..=76, Tab::Shown) => {
            world.hide(page);
        }
        (73..=76, _) => world.show(page),
        (77, _) => {
            let down_for = world.random.u64(100..12_000);
            if down_for.is_multiple_of(2) {
                world.deploy_relay(down_for);
            } else {
                world.kill_relay(down_for);
            }
        }
        (78, _) => {
            let millis = world.random.choice([1_500, 12_000, 40_000]).unwrap_or(40_000);
            world.stall_relay(millis);
        }
        (79, _) => observe(world, key),
        (80, _) => {
            if let Some(link) = world.pages[page].link {
                world.links[link].lose_delta = true;
            }
        }
        (81..=82, _) => {
            if let Some(link) = world.pages[page].link {
                world.links[link].blocked_until = world.now + millis.min(15_000);
            }
        }
        (83..=88, _) => {
            for value in 0..world.random.u64(1..30) {
                world.pulse(page, Some(value));
            }
        }
        (89..=90, _) => world.pulse(page, None),
        _ => {
            for value in 0..world.random.u64(1..30) {
                world.update(page, value);
            }
        }
    }
}
