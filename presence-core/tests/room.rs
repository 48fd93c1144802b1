//! A room, whatever happens in it: what its viewers are told adds up to what it is.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that can't go on fails; clippy.toml knows test functions, but not their helpers"
)]

use core::time::Duration;
use presence_core::Time;
use presence_core::relay::{Change, JoinError, Room, RoomRules};
use presence_protocol::{
    Color, Delta, Dial, Key, LeaveReason, Meta, Presence, PresenceState, Pulse, PulseName,
    PulseValue, Rev, SessionId, User, UserId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const GRACE: u64 = 30;
const DIM_AFTER: u64 = 10;
const SESSIONS: u64 = 4;
const PULSE_TTL: u64 = 12;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn deltas_add_up_to_the_snapshot(steps in proptest::collection::vec(step(), 1..80)) {
        let mut room = Room::new(rules());
        let mut model = Model::default();
        // What a viewer knows that was there from the beginning.
        let (mut copy, mut pulses) = (BTreeMap::new(), BTreeMap::new());
        let mut known = Rev(0);
        for step in steps {
            match step {
                Step::Change(change) => {
                    let change = change.at(&model);
                    model.rev += 1;
                    model.apply(&change);
                    room.apply(at(model.now), Rev(model.rev), change);
                }
                Step::Pass(millis) => {
                    model.now += millis;
                    while let Some(change) = room.poll_deadline(at(model.now)) {
                        model.rev += 1;
                        model.apply(&change);
                        room.apply(at(model.now), Rev(model.rev), change);
                    }
                    model.check_deadlines()?;
                    prop_assert!(room.next_deadline().is_none_or(|it| it > at(model.now)));
                }
                Step::Flush => {
                    let was_flushed = room.is_flushed();
                    if let Some(delta) = room.flush(&key()) {
                        prop_assert!(!was_flushed);
                        prop_assert_eq!(delta.from, known);
                        let is_empty = model.entries.is_empty();
                        prop_assert_eq!(delta.to == Rev(0), is_empty, "an empty room is as a new one");
                        prop_assert!(is_empty || delta.to > delta.from);
                        known = delta.to;
                        listen(&mut pulses, &delta);
                        follow(&mut copy, delta)?;
                    }
                    prop_assert!(room.is_flushed());
                    prop_assert_eq!(room.flushed_rev(), known);
                    let snapshot = room.snapshot(&key());
                    prop_assert_eq!(snapshot.rev, known);
                    prop_assert_eq!(&snapshot.presences, &copy.values().cloned().collect::<Vec<_>>());
                    prop_assert_eq!(snapshot.presences, model.presences());
                    prop_assert_eq!(&pulses, &model.pulses());
                }
            }
            for session in 0..SESSIONS {
                let session = SessionId::new(session);
                prop_assert_eq!(room.holds(session), model.entries.contains_key(&session));
            }
        }
    }
}

#[test]
fn a_lost_presence_has_two_deadlines_and_then_is_gone() {
    let mut room = Room::new(rules());
    room.apply(at(0), Rev(1), join(1, 1));
    assert_eq!(room.next_deadline(), None);
    room.apply(at(100), Rev(2), lost(1, 1, 0));
    assert_eq!(room.next_deadline(), Some(at(110)));
    assert_eq!(room.poll_deadline(at(109)), None);
    let (session, dial) = (SessionId::new(1), Dial(1));
    let dim = room.poll_deadline(at(110)).unwrap();
    assert_eq!(dim, Change::Dim { session, dial });
    room.apply(at(0), Rev(3), dim);
    assert_eq!(room.next_deadline(), Some(at(130)));
    let leave = room.poll_deadline(at(130)).unwrap();
    assert_eq!(leave, Change::Leave { session, dial, reason: LeaveReason::Timeout });
    room.apply(at(0), Rev(4), leave);
    assert_eq!(room.next_deadline(), None);
    assert!(!room.holds(session));
}

#[test]
fn a_deadline_that_comes_far_too_late_is_a_leave_without_a_dim() {
    let mut room = Room::new(rules());
    room.apply(at(0), Rev(1), join(1, 1));
    room.apply(at(100), Rev(2), lost(1, 1, 0));
    let change = room.poll_deadline(at(500)).unwrap();
    assert!(matches!(change, Change::Leave { reason: LeaveReason::Timeout, .. }));
    // Until it comes back in order it is published every five seconds, not again and again.
    assert_eq!(room.poll_deadline(at(500)), None);
    assert_eq!(room.next_deadline(), Some(at(5_500)));
}

#[test]
fn a_pulse_runs_out_unless_it_is_sent_again() {
    let mut room = Room::new(rules());
    let says = |value| pulse(SessionId::new(1), Dial(1), 0, value);
    room.apply(at(0), Rev(1), join(1, 1));
    room.apply(at(0), Rev(2), says(Some(1)));
    room.apply(at(10), Rev(3), says(Some(1)));
    room.flush(&key());
    assert_eq!(room.poll_deadline(at(21)), None);
    assert_eq!(room.next_deadline(), Some(at(22)));
    let end = room.poll_deadline(at(22)).unwrap();
    assert_eq!(end, says(None));
    // Should it be lost on its way, it comes again.
    assert_eq!(room.next_deadline(), Some(at(5_022)));
    room.apply(at(22), Rev(4), end);
    assert_eq!(room.next_deadline(), None);
    let delta = room.flush(&key()).unwrap();
    assert_eq!((delta.pulses.len(), delta.pulses[0].value.clone()), (1, None));
    assert_eq!((delta.from, delta.to), (Rev(3), Rev(4)));
}

#[test]
fn no_delta_tells_of_more_than_256_pulses() {
    let mut room = Room::new(RoomRules { max_presences: 400, ..rules() });
    for session in 0..300 {
        room.apply(at(0), Rev(1), join(session, 1));
        room.apply(at(0), Rev(2), pulse(SessionId::new(session), Dial(1), 0, Some(1)));
    }
    assert_eq!(room.flush(&key()).unwrap().pulses.len(), 256);
    // What ends is told of everybody.
    for session in 0..300 {
        room.apply(at(0), Rev(3), pulse(SessionId::new(session), Dial(1), 0, None));
    }
    assert_eq!(room.flush(&key()).unwrap().pulses.len(), 300);
}

#[test]
fn a_room_is_empty_only_when_nobody_is_to_be_told_of_anything() {
    let mut room = Room::new(rules());
    assert!(room.is_empty());
    room.apply(at(0), Rev(1), join(1, 1));
    room.flush(&key());
    let (session, dial) = (SessionId::new(1), Dial(1));
    room.apply(at(0), Rev(2), Change::Leave { session, dial, reason: LeaveReason::Left });
    assert!(!room.is_empty());
    room.flush(&key());
    assert!(room.is_empty());
}

#[test]
fn a_full_room_refuses_strangers_and_a_newer_dial_its_predecessors() {
    let mut room = Room::new(RoomRules { max_presences: 1, ..rules() });
    room.apply(at(0), Rev(1), join(1, 2));
    let joins = |session, dial| room.join(presence(session, 0, 0), Dial(dial)).map(|_| ());
    assert_eq!(joins(2, 1), Err(JoinError::Full));
    assert_eq!(joins(1, 1), Err(JoinError::Fenced));
    assert_eq!(joins(1, 2), Ok(()));
    assert_eq!(joins(1, 3), Ok(()));
}

#[derive(Clone, Debug)]
enum Step {
    Change(Kind),
    Pass(u64),
    Flush,
}

/// A change, but for what depends on the time.
#[derive(Clone, Debug)]
enum Kind {
    Join { session: u64, dial: u32, meta: u8, renamed: bool },
    Update { session: u64, dial: u32, meta: u8 },
    Lost { session: u64, dial: u32, ago: u64 },
    Attention { session: u64, dial: u32, away: bool },
    User { session: u64, dial: u32, id: u64 },
    Pulse { session: u64, dial: u32, name: u8, value: Option<u8> },
    Back { session: u64, dial: u32 },
    Dim { session: u64, dial: u32 },
    Leave { session: u64, dial: u32, reason: LeaveReason },
}

fn step() -> impl Strategy<Value = Step> {
    let who = (0..SESSIONS, 1..4_u32);
    let reason = prop_oneof![Just(LeaveReason::Left), Just(LeaveReason::Timeout)];
    let kind = prop_oneof![
        4 => (who.clone(), 0..3_u8, any::<bool>()).prop_map(|((session, dial), meta, renamed)| {
            Kind::Join { session, dial, meta, renamed }
        }),
        2 => (who.clone(), 0..3_u8)
            .prop_map(|((session, dial), meta)| Kind::Update { session, dial, meta }),
        2 => (who.clone(), 0..15_u64)
            .prop_map(|((session, dial), ago)| Kind::Lost { session, dial, ago }),
        2 => (who.clone(), any::<bool>())
            .prop_map(|((session, dial), away)| Kind::Attention { session, dial, away }),
        2 => (who.clone(), 0..SESSIONS)
            .prop_map(|((session, dial), id)| Kind::User { session, dial, id }),
        3 => (who.clone(), 0..5_u8, proptest::option::of(0..3_u8)).prop_map(
            |((session, dial), name, value)| Kind::Pulse { session, dial, name, value }
        ),
        1 => who.clone().prop_map(|(session, dial)| Kind::Back { session, dial }),
        1 => who.clone().prop_map(|(session, dial)| Kind::Dim { session, dial }),
        2 => (who, reason)
            .prop_map(|((session, dial), reason)| Kind::Leave { session, dial, reason }),
    ];
    prop_oneof![
        8 => kind.prop_map(Step::Change),
        2 => (0..25_u64).prop_map(Step::Pass),
        4 => Just(Step::Flush),
    ]
}

impl Kind {
    fn at(self, model: &Model) -> Change {
        match self {
            Self::Join { session, dial, meta, renamed } => {
                let mut presence = presence(session, model.now.cast_signed(), meta);
                if renamed {
                    presence.user = user(session, "renamed");
                }
                Change::Join { presence, dial: Dial(dial) }
            }
            Self::Update { session, dial, meta } => {
                let (session, dial) = (SessionId::new(session), Dial(dial));
                Change::Update { session, dial, meta: text(meta) }
            }
            Self::Lost { session, dial, ago } => lost(session, dial, ago),
            Self::Attention { session, dial, away } => {
                Change::Attention { session: SessionId::new(session), dial: Dial(dial), away }
            }
            Self::User { session, dial, id } => {
                let (session, dial) = (SessionId::new(session), Dial(dial));
                let since = model.now.cast_signed();
                Change::User { session, dial, user: user(id, "another"), since }
            }
            Self::Pulse { session, dial, name, value } => {
                let (session, dial) = (SessionId::new(session), Dial(dial));
                pulse(session, dial, name, value)
            }
            Self::Back { session, dial } => {
                Change::Back { session: SessionId::new(session), dial: Dial(dial) }
            }
            Self::Dim { session, dial } => {
                Change::Dim { session: SessionId::new(session), dial: Dial(dial) }
            }
            Self::Leave { session, dial, reason } => {
                Change::Leave { session: SessionId::new(session), dial: Dial(dial), reason }
            }
        }
    }
}

/// What the rules say, without windows: too simple to be wrong.
#[derive(Default)]
struct Model {
    entries: BTreeMap<SessionId, Entry>,
    rev: u64,
    now: u64,
}

struct Entry {
    presence: Presence<Meta>,
    dial: Dial,
    away: bool,
    lost: Option<u64>,
    pulses: BTreeMap<PulseName, (PulseValue, u64)>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Join { presence, dial } => {
                let mut presence = presence.clone();
                let mut pulses = BTreeMap::new();
                match self.entries.get(&presence.session) {
                    Some(former) if former.dial > *dial => return,
                    Some(former) => {
                        presence.since = former.presence.since;
                        pulses = former.pulses.clone();
                    }
                    None => {}
                }
                let (dial, away, lost) = (*dial, false, None);
                let entry = Entry { presence: presence.clone(), dial, away, lost, pulses };
                self.entries.insert(presence.session, entry);
            }
            Change::Update { session, dial, meta } => {
                if let Some(entry) = self.of(*session, *dial) {
                    entry.presence.meta = meta.clone();
                }
            }
            Change::Attention { session, dial, away } => {
                if let Some(entry) = self.of(*session, *dial) {
                    entry.away = *away;
                    if entry.presence.state != PresenceState::Reconnecting {
                        entry.presence.state = attention(*away);
                    }
                }
            }
            Change::User { session, dial, user, since } => {
                let Some(entry) = self.of(*session, *dial) else { return };
                if entry.presence.user.id() != user.id() {
                    entry.presence.since = *since;
                    entry.pulses.clear();
                }
                entry.presence.user = user.clone();
            }
            Change::Pulse { session, dial, name, value } => {
                let ends = self.now + PULSE_TTL;
                let Some(entry) = self.of(*session, *dial) else { return };
                let is_known = entry.pulses.contains_key(name);
                match value {
                    None => _ = entry.pulses.remove(name),
                    Some(_) if !is_known && entry.pulses.len() >= 4 => {}
                    Some(value) => _ = entry.pulses.insert(name.clone(), (value.clone(), ends)),
                }
            }
            Change::Lost { session, dial, lost_for } => {
                let lost_at = (at(self.now) - *lost_for).as_millis();
                if let Some(entry) = self.of(*session, *dial) {
                    entry.lost = Some(lost_at);
                }
            }
            Change::Back { session, dial } => {
                if let Some(entry) = self.of(*session, *dial) {
                    entry.lost = None;
                    entry.presence.state = attention(entry.away);
                }
            }
            Change::Dim { session, dial } => {
                if let Some(entry) = self.of(*session, *dial).filter(|it| it.lost.is_some()) {
                    entry.presence.state = PresenceState::Reconnecting;
                }
            }
            Change::Leave { session, dial, reason } => {
                let is_over = |it: &Entry| *reason == LeaveReason::Left || it.lost.is_some();
                if self.of(*session, *dial).is_some_and(|it| is_over(it)) {
                    self.entries.remove(session);
                }
            }
        }
    }

    /// The presence of a session, unless a newer dial owns it.
    fn of(&mut self, session: SessionId, dial: Dial) -> Option<&mut Entry> {
        self.entries.get_mut(&session).filter(|it| it.dial <= dial)
    }

    /// Once all deadlines have run nobody is there who should be gone, or not dim who should be.
    fn check_deadlines(&self) -> Result<(), TestCaseError> {
        for entry in self.entries.values() {
            prop_assert!(entry.pulses.values().all(|(_, ends)| self.now < *ends));
            let Some(lost) = entry.lost else { continue };
            prop_assert!(self.now < lost + GRACE);
            if self.now >= lost + DIM_AFTER {
                prop_assert_eq!(entry.presence.state, PresenceState::Reconnecting);
            }
        }
        Ok(())
    }

    fn presences(&self) -> Vec<Presence<Meta>> {
        self.entries.values().map(|it| it.presence.clone()).collect()
    }

    fn pulses(&self) -> BTreeMap<(SessionId, PulseName), PulseValue> {
        let of = |(session, entry): (&SessionId, &Entry)| {
            let session = *session;
            let said =
                entry.pulses.iter().map(move |(name, (value, _))| (name.clone(), value.clone()));
            said.map(move |(name, value)| ((session, name), value)).collect::<Vec<_>>()
        };
        self.entries.iter().flat_map(of).collect()
    }
}

/// Takes the pulses of a delta as a viewer does.
fn listen(pulses: &mut BTreeMap<(SessionId, PulseName), PulseValue>, delta: &Delta<Meta>) {
    for left in &delta.left {
        pulses.retain(|(session, _), _| *session != left.session);
    }
    for Pulse { session, name, value } in delta.pulses.clone() {
        match value {
            Some(value) => _ = pulses.insert((session, name), value),
            None => _ = pulses.remove(&(session, name)),
        }
    }
}

const fn attention(away: bool) -> PresenceState {
    if away { PresenceState::Away } else { PresenceState::Active }
}

/// Applies a delta as a viewer does.
fn follow(
    copy: &mut BTreeMap<SessionId, Presence<Meta>>,
    delta: Delta<Meta>,
) -> Result<(), TestCaseError> {
    let mut named = BTreeSet::new();
    for presence in delta.joined {
        prop_assert!(named.insert(presence.session), "it is in the delta twice");
        copy.insert(presence.session, presence);
    }
    for left in delta.left {
        prop_assert!(named.insert(left.session), "it is in the delta twice");
        prop_assert!(copy.remove(&left.session).is_some(), "who left was not there");
    }
    for updated in delta.updated {
        prop_assert!(named.insert(updated.session), "it is in the delta twice");
        prop_assert!(updated.state.is_some() || updated.meta.is_some(), "nothing was updated");
        let presence = copy.get_mut(&updated.session).expect("who was updated was not there");
        if let Some(state) = updated.state {
            prop_assert_ne!(presence.state, state);
            presence.state = state;
        }
        if let Some(meta) = updated.meta {
            prop_assert_ne!(&presence.meta, &meta);
            presence.meta = meta;
        }
    }
    Ok(())
}

fn rules() -> RoomRules {
    let (grace, dim_after) = (Duration::from_millis(GRACE), Duration::from_millis(DIM_AFTER));
    let pulse_ttl = Duration::from_millis(PULSE_TTL);
    RoomRules { grace, dim_after, pulse_ttl, max_presences: 100, max_presences_per_user: 100 }
}

fn join(session: u64, dial: u32) -> Change {
    Change::Join { presence: presence(session, 0, 0), dial: Dial(dial) }
}

fn pulse(session: SessionId, dial: Dial, name: u8, value: Option<u8>) -> Change {
    let name =
        PulseName::parse(["cursor", "typing", "scroll", "a", "b"][usize::from(name)]).unwrap();
    let value = value.map(|it| PulseValue::parse(&it.to_string()).unwrap());
    Change::Pulse { session, dial, name, value }
}

fn lost(session: u64, dial: u32, millis: u64) -> Change {
    let lost_for = Duration::from_millis(millis);
    Change::Lost { session: SessionId::new(session), dial: Dial(dial), lost_for }
}

fn presence(session: u64, since: i64, meta: u8) -> Presence<Meta> {
    let (user, state) = (user(session, "somebody"), PresenceState::Active);
    Presence { session: SessionId::new(session), user, since, state, meta: text(meta) }
}

fn user(session: u64, name: &str) -> Arc<User> {
    let id = UserId::parse(&format!("user{session}")).unwrap();
    Arc::new(User::new(id, name, Color([1, 2, 3])).unwrap())
}

fn text(value: u8) -> Meta {
    Meta::from_json_value(&format!(r#"{{"a":{value}}}"#)).unwrap()
}

fn key() -> Key {
    Key::parse("document:42").unwrap()
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}
