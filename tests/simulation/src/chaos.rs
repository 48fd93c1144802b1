//! What chance does to the world.

use crate::World;
use crate::network::Carriage;
use crate::page::Tab;
use crate::truth;
use crate::world::Event;
use presence_core::Mode;

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
    let n_watchers = world.watchers_random.usize(0..3);
    run_world(world, n_watchers)
}

/// Runs a seed with this many people who only ever look on, and writes down all that everybody else was sent
/// and told: it must be the same without them.
#[must_use]
pub fn run_watched(seed: u64, n_watchers: usize) -> (World, Vec<String>) {
    let mut world = World::new(seed);
    world.is_tame = true;
    let mut world = run_world(world, n_watchers);
    let mut log = Vec::new();
    for page in world.pages.iter_mut().filter(|it| !it.is_watcher) {
        log.push(format!("{} in {}: {:?}", page.user, page.key, truth::shown_users(page)));
        log.extend(page.frames.take().unwrap_or_default());
        log.extend(page.told.iter().map(|it| format!("{it:?}")));
        log.extend(page.said.iter().map(|it| format!("{it:?}")));
    }
    (world, log)
}

fn run_world(mut world: World, n_watchers: usize) -> World {
    world.latency = world.random.choice([2, 20, 80, 200]).unwrap_or(20);
    for key in KEYS {
        stand_by(&mut world, key);
    }
    for it in 0..n_watchers {
        watch(&mut world, it);
    }
    if n_watchers > 0 {
        world.after(0, Event::WatchersChaos);
    }
    world.after(0, Event::Chaos);
    world.after(500, Event::Check);
    let length = world.random.u64(20_000..MOST);
    world.run_until(length);
    heal(&mut world);
    world.run_until(length + PEACE);
    if world.is_tame {
        // How long it would still run is not to depend on watchers.
        return world;
    }
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

/// Opens a page to which nothing happens: what it is told must be flawless, also if it only looks on.
fn stand_by(world: &mut World, key: &str) {
    let n_others = world.pages.iter().filter(|it| !it.is_watcher).count();
    let name = format!("bystander-{n_others}");
    let mode = any_mode(&mut world.random);
    let page = world.open_as(&name, key, mode);
    world.pages[page].is_bystander = true;
}

/// Opens a page that only ever looks on.
fn watch(world: &mut World, number: usize) {
    let key = KEYS[world.watchers_random.usize(0..KEYS.len())];
    let mode = unseen_mode(&mut world.watchers_random);
    world.watch(&format!("watcher-{number}"), key, mode);
}

fn unseen_mode(random: &mut fastrand::Rng) -> Mode {
    if random.bool() { Mode::Observe } else { Mode::Invisible }
}

/// Mostly one that others see.
fn any_mode(random: &mut fastrand::Rng) -> Mode {
    if random.u32(0..3) > 0 { Mode::Join } else { unseen_mode(random) }
}

/// One stroke of chance for those who only look on, and the next one planned.
pub fn step_of_watchers(world: &mut World) {
    if !world.is_chaotic {
        return;
    }
    let wait = world.watchers_random.u64(1..4_000);
    world.after(wait, Event::WatchersChaos);
    let all: Vec<_> = (0..world.pages.len()).filter(|it| world.pages[*it].is_watcher).collect();
    let page = all[world.watchers_random.usize(0..all.len())];
    let millis = world.watchers_random.u64(300..60_000);
    let stroke = world.watchers_random.u32(0..12);
    match (stroke, world.pages[page].tab) {
        (0..=2, _) => {
            let n_open = all.iter().filter(|it| world.pages[**it].is_open()).count();
            if n_open < 4 {
                watch(world, all.len());
            }
        }
        (_, Tab::PutAway) => world.restore(page),
        (_, Tab::Closed) => {}
        (3, _) => world.close(page),
        (4, _) => world.crash(page),
        (5, _) => world.reset(page),
        (6, _) => world.cut(page),
        (7, _) => world.pages[page].tokenless_until = world.now + millis,
        (8, _) => {
            world.pages[page].offline_until = world.now + millis;
            world.reset(page);
        }
        (9, Tab::Shown) => world.hide(page),
        (9, _) => world.show(page),
        (10, _) => world.put_away(page),
        _ => {
            let mode = unseen_mode(&mut world.watchers_random);
            world.turn_to(page, mode);
            world.pulse(page, Some(1));
            world.update(page, 1);
        }
    }
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
        .filter(|it| {
            let page = &world.pages[*it];
            !page.is_bystander && !page.is_watcher && page.tab != Tab::Closed
        })
        .collect();
    let stroke = world.random.u32(0..100);
    if victims.is_empty() || stroke < 18 {
        if victims.len() < 8 {
            let mode = any_mode(&mut world.random);
            world.open_as(user, key, mode);
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
            if down_for.is_multiple_of(2) && !world.is_tame {
                world.deploy_relay(down_for);
            } else {
                world.kill_relay(down_for);
            }
        }
        (78, _) if !world.is_tame => {
            let millis = world.random.choice([1_500, 12_000, 40_000]).unwrap_or(40_000);
            world.stall_relay(millis);
        }
        (79, _) => stand_by(world, key),
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
        (91..=93, _) => {
            let mode = any_mode(&mut world.random);
            world.turn_to(page, mode);
        }
        _ => {
            for value in 0..world.random.u64(1..30) {
                world.update(page, value);
            }
        }
    }
}
