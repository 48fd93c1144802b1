//! What must hold, whatever happens: every row of the design's tables as an invariant.

use crate::World;
use crate::network::Carriage;
use crate::page::{News, Page, Tab};
use presence_core::session::{Event, State};
use presence_core::{MemberId, Mode};
use presence_protocol::{ClientFrame, Meta, PresenceState, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// How long a lost session stays, in milliseconds.
const GRACE: u64 = 30_000;
/// How far a relay's clock may be off after each stall: between two looks at it.
const CLOCK: u64 = 600;
/// Nobody is shown who was not heard of for this long: 10 s of silence, the grace, and a little.
const GHOST: u64 = 41_000;
/// Within this time a heartbeat is sent, answered, and acted upon.
const BEAT: u64 = 12_000;
/// How long a pulse lives at the relay.
const PULSE_TTL: u64 = 5_000;
/// How long a page shows a pulse that it hears no more of.
const PULSE_MEMORY: u64 = 7_000;
/// How long news may travel.
const TRAVEL: u64 = 1_000;

/// Judges one thing that a page was told.
///
/// # Errors
///
/// Why it should not have been told.
pub fn judge(world: &World, page: usize, event: &Event<Meta>) -> Result<(), String> {
    let viewer = &world.pages[page];
    match event {
        Event::Joined { member, .. }
        | Event::Left { member, .. }
        | Event::Updated { member, .. }
            if is_watcher(world, &member.id) =>
        {
            Err(format!("was told of {}, who only ever looks on", member.id))
        }
        Event::Left { member, .. } if viewer.is_bystander => {
            left_for_a_reason(world, page, &member.id)
        }
        Event::Joined { member, quiet: false, .. } if viewer.is_bystander => {
            joined_for_a_reason(world, page, &member.id)
        }
        _ => Ok(()),
    }
}

/// Judges one thing that a page says: nothing is said for the moment to nobody, or behind other tabs, and
/// nothing at all by one who looks on.
///
/// # Errors
///
/// Why it should not have been said.
pub fn judge_frame(page: &Page, frame: &ClientFrame<Meta>) -> Result<(), String> {
    if page.mode != Mode::Join
        && let ClientFrame::Join { .. } | ClientFrame::Update { .. } | ClientFrame::Pulse { .. } =
            frame
    {
        return Err(format!("only looks on, and says {frame:?}"));
    }
    let ClientFrame::Pulse { value: Some(_), .. } = frame else { return Ok(()) };
    let n_sessions: usize = seen(page).values().map(BTreeMap::len).sum();
    if n_sessions < 2 {
        return Err("sends a pulse to nobody".to_owned());
    }
    if page.tab == Tab::Hidden {
        return Err("sends a pulse from behind other tabs".to_owned());
    }
    Ok(())
}

/// A pulse that is shown longer than it may be: after the relay last heard it, or after this page did.
fn stale_pulse(world: &World, viewer: &Page) -> Option<String> {
    let now = world.relay_time();
    let is_up = world.relay.is_some() && world.stalled_until + BEAT < world.now;
    let is_flawless =
        viewer.is_bystander && is_up && viewer.live_since.is_some_and(|at| at + BEAT < world.now);
    viewer.pulses.iter().find_map(|(session, (value, heard_at))| {
        let page = world.pages.iter().find(|it| it.session.id() == Some(*session));
        let said_at = page.and_then(|it| it.pulsed_at);
        let is_over = is_flawless && said_at.is_some_and(|at| at + PULSE_TTL + TRAVEL < now);
        let is_old = heard_at + PULSE_MEMORY < world.now;
        (is_over || is_old).then(|| {
            format!("shows {value} of {session}, heard at {heard_at}, said at {said_at:?}")
        })
    })
}

/// Nobody leaves who said no goodbye and was heard within the grace.
fn left_for_a_reason(world: &World, page: usize, member: &MemberId) -> Result<(), String> {
    let viewer = &world.pages[page];
    let now = world.relay_time();
    let slack = if world.stalled > 0 { CLOCK * 3 } else { 0 };
    for (index, other) in pages_of(world, member, viewer) {
        let said_goodbye = other.goodbye_at.is_some() && !other.is_listed();
        let lost_for = other.heard.map_or(u64::MAX, |heard| now - heard);
        // After a restart the viewer holds by its own clock, which runs on while a relay stalls.
        let was_held = world.restarted_at.is_some_and(|at| at + GHOST * 2 > world.now)
            && other.heard_at + GRACE <= world.now;
        // Who has only just come may be crossed by the news that another tab of the same person went.
        let has_just_come = other.visit_at + TRAVEL > world.now;
        // A relay that was restarted never knew of it, and neither does who came after that.
        let is_forgotten = world
            .restarts
            .iter()
            .any(|at| other.heard_at < *at && viewer.ready_at.is_some_and(|ready| ready >= *at));
        let is_excused = said_goodbye || was_held || has_just_come || is_forgotten;
        if other.heard.is_some() && !is_excused && lost_for + slack < GRACE {
            return Err(format!(
                "saw {member} leave, but page {index} was heard {lost_for} ms ago and said no goodbye"
            ));
        }
    }
    Ok(())
}

/// Nobody joins aloud who was there all along.
fn joined_for_a_reason(world: &World, page: usize, member: &MemberId) -> Result<(), String> {
    let viewer = &world.pages[page];
    if viewer.seen_leaving.contains(member) {
        return Ok(());
    }
    let ready_at = viewer.ready_at.unwrap_or(0);
    let is_news =
        pages_of(world, member, viewer).any(|(_, it)| it.visit_at + TRAVEL * 5 > ready_at);
    if is_news {
        return Ok(());
    }
    Err(format!("saw {member} join, who had been there since before {ready_at}"))
}

fn is_watcher(world: &World, member: &MemberId) -> bool {
    let name = member.to_string();
    world.pages.iter().any(|it| it.is_watcher && it.user == name)
}

/// Somebody who only ever looks on, and whom the relay or a page lists all the same.
fn listed_watcher(world: &World) -> Option<String> {
    let unlisted: Vec<_> =
        world.pages.iter().filter(|it| !it.was_listed).filter_map(|it| it.session.id()).collect();
    let keys = world.pages.iter().map(|it| &it.key).collect::<BTreeSet<_>>().into_iter();
    let at_relay = keys.flat_map(|it| world.relay.iter().flat_map(|up| up.relay.roster(it)));
    let at_pages = world.pages.iter().flat_map(seen).flat_map(|it| it.1.into_keys());
    let mut listed = at_relay.map(|it| it.session).chain(at_pages);
    listed.find(|it| unlisted.contains(it)).map(|it| format!("{it} only looks on and is listed"))
}

/// Looks at everything that may be looked at while things happen.
pub fn check(world: &mut World) {
    let mut faults: Vec<_> = listed_watcher(world).into_iter().collect();
    for (index, viewer) in world.pages.iter().enumerate() {
        if viewer.tab == Tab::Shown
            && let Some(pulse) = stale_pulse(world, viewer)
        {
            faults.push(format!("page {index}: {pulse}"));
        }
        // Who doesn't reach the relay can't know, and who has just come back waits out the grace.
        let is_reached = |it: usize| {
            let link = &world.links[it];
            // A lost delta is noticed at the next beat.
            let is_whole = link.lost_delta_at.is_none_or(|at| at + BEAT < world.now);
            let is_read = link.blocked_until + TRAVEL < world.now;
            link.carriage == Carriage::Healthy && is_whole && is_read
        };
        let has_settled = viewer.live_since.is_some_and(|at| at + GHOST < world.now)
            && viewer.link.is_some_and(is_reached);
        if viewer.tab != Tab::Shown || !has_settled {
            continue;
        }
        let Some(roster) = viewer.session.roster(&viewer.key) else { continue };
        for member in roster.members() {
            if is_ghost(world, viewer, &member.id) {
                let pages: Vec<_> = pages_of(world, &member.id, viewer)
                    .map(|(page, it)| (page, it.tab, it.contact, it.gone_at))
                    .collect();
                let now = world.relay_time();
                faults.push(format!(
                    "page {index}: shows {}, who is long gone at {now}: {pages:?}",
                    member.id
                ));
            }
        }
        if let Some(own) = viewer.shown.values().find(|it| it.1.contains(&viewer.user)) {
            faults.push(format!("page {index}: flashes its own {:?}", own.0));
        }
    }
    world.faults.extend(faults);
    world.after(1_000, crate::world::Event::Check);
}

fn is_ghost(world: &World, viewer: &Page, member: &MemberId) -> bool {
    let now = world.relay_time();
    let lately = |it: &Page| it.contact.max(it.contact_before).is_some_and(|at| at + GHOST >= now);
    // After a restart those who look may have to wait out the grace all the same.
    let has_forgotten = world.restarted_at.is_some_and(|at| at + GHOST > world.now);
    let left = |it: &Page| {
        // A goodbye that was lost on the way leaves the visit before to its grace.
        let lingers = it.contact_before.is_some_and(|at| at + GHOST >= now);
        let is_heard = it.gone_at.is_some_and(|at| at + TRAVEL < world.now);
        viewer.is_bystander && !has_forgotten && !lingers && !it.is_listed() && is_heard
    };
    !pages_of(world, member, viewer).any(|(_, it)| lately(it) && !left(it))
}

/// After everything has been quiet for long enough, everybody sees the truth.
pub fn converged(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, viewer) in world.pages.iter().enumerate().filter(|(_, it)| it.is_open()) {
        if viewer.session.state() != State::Live {
            faults.push(format!("page {index}: is {:?} in the end", viewer.session.state()));
            continue;
        }
        let said = said(world, viewer);
        let pulses = &viewer.pulses;
        let heard: BTreeMap<_, _> = pulses.iter().map(|(who, it)| (*who, it.0.clone())).collect();
        if said != heard {
            faults.push(format!("page {index} ({}): hears {heard:?}, not {said:?}", viewer.user));
        }
        let truth = truth(world, viewer);
        let seen = seen(viewer);
        if truth != seen {
            faults.push(format!(
                "page {index} ({}): sees {seen:?}, but {truth:?} is true",
                viewer.user
            ));
        }
        let members = viewer.session.roster(&viewer.key).map(|it| it.members()).unwrap_or_default();
        if let Some(it) = members.iter().find(|it| it.is_me != (it.user.name() == viewer.user)) {
            faults
                .push(format!("page {index} ({}): takes {} for who it isn't", viewer.user, it.id));
        }
        let is_stale = viewer.session.roster(&viewer.key).is_none_or(|it| it.is_stale());
        if is_stale {
            faults.push(format!("page {index}: is stale in the end"));
        }
        if !world.has_lost_deltas && viewer.resyncs > 0 {
            faults.push(format!("page {index}: asked for a snapshot though no delta was lost"));
        }
        if viewer.is_bystander && viewer.told.iter().any(|it| is_double(viewer, it)) {
            faults.push(format!("page {index}: was told of a visit twice"));
        }
        if !viewer.shown.is_empty() {
            faults.push(format!("page {index}: still shows {:?}", viewer.shown));
        }
    }
    faults
}

fn is_double(viewer: &Page, told: &crate::page::Told) -> bool {
    let same = viewer.told.iter().filter(|it| it.at == told.at && it.member == told.member);
    same.filter(|it| (it.news == News::Joined) == (told.news == News::Joined)).count() > 1
}

type Sessions = BTreeMap<SessionId, (PresenceState, String)>;

/// Who is in the viewer's key, from the pages themselves.
fn truth(world: &World, viewer: &Page) -> BTreeMap<String, Sessions> {
    let mut truth: BTreeMap<String, Sessions> = BTreeMap::new();
    for page in world.pages.iter().filter(|it| it.is_listed() && it.key == viewer.key) {
        if let Some(session) = page.session.id() {
            let meta = page.meta.as_str().to_owned();
            let sessions = truth.entry(page.user.clone()).or_default();
            let state = match page.tab {
                Tab::Hidden => PresenceState::Away,
                _ => PresenceState::Active,
            };
            sessions.insert(session, (state, meta));
        }
    }
    truth
}

/// What others in the viewer's key say for the moment, from the pages themselves.
fn said(world: &World, viewer: &Page) -> BTreeMap<SessionId, String> {
    let listed = world.pages.iter().filter(|it| it.is_listed() && it.key == viewer.key);
    let listed: Vec<_> = listed.collect();
    // Those who only look on are nobody to talk to.
    if listed.len() < 2 {
        return BTreeMap::new();
    }
    let others = listed.into_iter().filter(|it| it.session.id() != viewer.session.id());
    others.filter_map(|it| Some((it.session.id()?, it.pulse.clone()?))).collect()
}

/// Who is in the viewer's key, as it sees it.
fn seen(viewer: &Page) -> BTreeMap<String, Sessions> {
    let members = viewer.session.roster(&viewer.key).map(|it| it.members()).unwrap_or_default();
    let sessions = |member: &presence_core::Member<Meta>| {
        let session = |it: &presence_protocol::Presence<Meta>| {
            (it.session, (it.state, it.meta.as_str().to_owned()))
        };
        member.sessions.iter().map(session).collect()
    };
    members.iter().map(|it| (it.user.name().to_owned(), sessions(it))).collect()
}

/// The pages of a member in the viewer's key, the closed ones included.
fn pages_of<'a>(
    world: &'a World,
    member: &'a MemberId,
    viewer: &'a Page,
) -> impl Iterator<Item = (usize, &'a Page)> {
    let name = member.to_string();
    world.pages.iter().enumerate().filter(move |(_, it)| it.user == name && it.key == viewer.key)
}

/// The users that a page shows.
#[must_use]
pub fn shown_users(page: &Page) -> BTreeSet<String> {
    seen(page).into_keys().collect()
}
