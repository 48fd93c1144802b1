//! Claims about flashes, in virtual time.

use super::*;
use crate::Member;
use presence_protocol::{Color, Key, LeaveReason, PresenceState, UserId};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn a_join_and_a_leave_flash_and_fade_after_four_seconds() {
    let mut flashes = Flashes::new();
    assert_eq!(observe(&mut flashes, 0, &joined("bob")), ["0: bob joined"]);
    assert_eq!(flashes.poll_timeout(), Some(at(4_000)));
    assert_eq!(timeout(&mut flashes, 3_999), NOTHING);
    assert_eq!(timeout(&mut flashes, 4_000), ["hide 0"]);
    assert_eq!(observe(&mut flashes, 9_000, &left("bob")), ["1: bob left"]);
    assert_eq!(timeout(&mut flashes, 13_000), ["hide 1"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn a_reload_withdraws_left_and_makes_no_joined() {
    let mut flashes = Flashes::new();
    observe(&mut flashes, 0, &left("bob"));
    assert_eq!(observe(&mut flashes, 700, &joined("bob")), ["hide 0"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn back_within_five_seconds_is_a_reload_also_after_left_has_faded() {
    let mut flashes = Flashes::new();
    observe(&mut flashes, 0, &left("bob"));
    assert_eq!(timeout(&mut flashes, 4_000), ["hide 0"]);
    assert_eq!(observe(&mut flashes, 4_999, &joined("bob")), NOTHING);
}

#[test]
fn back_after_five_seconds_is_a_join() {
    let mut flashes = Flashes::new();
    observe(&mut flashes, 0, &left("bob"));
    assert_eq!(observe(&mut flashes, 5_000, &joined("bob")), ["hide 0", "1: bob joined"]);
}

#[test]
fn a_reload_is_forgiven_once() {
    let mut flashes = Flashes::new();
    observe(&mut flashes, 0, &left("bob"));
    observe(&mut flashes, 100, &joined("bob"));
    assert_eq!(observe(&mut flashes, 200, &left("bob")), ["1: bob left"]);
    assert_eq!(observe(&mut flashes, 300, &joined("bob")), ["hide 1"]);
}

#[test]
fn leaving_takes_back_a_joined_that_is_still_shown() {
    let mut flashes = Flashes::new();
    observe(&mut flashes, 0, &joined("bob"));
    assert_eq!(observe(&mut flashes, 100, &left("bob")), ["hide 0", "1: bob left"]);
}

#[test]
fn somebody_elses_leave_is_not_withdrawn() {
    let mut flashes = Flashes::new();
    observe(&mut flashes, 0, &left("alice"));
    assert_eq!(observe(&mut flashes, 100, &joined("bob")), ["1: bob joined"]);
}

#[test]
fn quiet_differences_make_no_flash_but_withdraw_what_is_wrong() {
    let mut flashes = Flashes::new();
    assert_eq!(observe(&mut flashes, 0, &quiet(joined("bob"))), NOTHING);
    assert_eq!(observe(&mut flashes, 0, &quiet(left("bob"))), NOTHING);
    observe(&mut flashes, 0, &left("carol"));
    assert_eq!(observe(&mut flashes, 0, &quiet(joined("carol"))), ["hide 0"]);
}

#[test]
fn at_most_five_are_shown_and_the_oldest_makes_room() {
    let mut flashes = Flashes::new();
    for (id, name) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        assert_eq!(observe(&mut flashes, 0, &joined(name)), [format!("{id}: {name} joined")]);
    }
    assert_eq!(observe(&mut flashes, 0, &joined("f")), ["hide 0", "5: f joined"]);
}

#[test]
fn other_events_make_none() {
    let mut flashes = Flashes::new();
    let (key, before) = (key(), member("bob"));
    let updated = Event::Updated { key: key.clone(), before, member: member("bob") };
    for event in [updated, Event::Changed { key: key.clone() }, Event::Ready { key }] {
        assert_eq!(observe(&mut flashes, 0, &event), NOTHING);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_flash_is_shown_once_and_hidden_once_within_four_seconds(
        steps in proptest::collection::vec((0..2_500_u64, 0..4_usize, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let mut flashes = Flashes::new();
        let mut now = 0;
        let mut shown = BTreeMap::new();
        let mut last = None;
        for (pause, who, is_join, is_quiet) in steps {
            let until = now + pause;
            while let Some(due) = flashes.poll_timeout().filter(|it| *it <= at(until)) {
                flashes.handle_timeout(due);
                follow(&mut flashes, due, &mut shown, &mut last)?;
                prop_assert!(flashes.poll_timeout().is_none_or(|it| it > due));
            }
            now = until;
            let name = ["a", "b", "c", "d"][who];
            let event = if is_join { joined(name) } else { left(name) };
            flashes.observe(at(now), &if is_quiet { quiet(event) } else { event });
            follow(&mut flashes, at(now), &mut shown, &mut last)?;
        }
        while let Some(due) = flashes.poll_timeout() {
            flashes.handle_timeout(due);
            follow(&mut flashes, due, &mut shown, &mut last)?;
        }
        prop_assert!(shown.is_empty());
    }
}

const NOTHING: [&str; 0] = [];

/// Does what the shell would do, and checks it.
fn follow(
    flashes: &mut Flashes,
    now: Time,
    shown: &mut BTreeMap<u32, Time>,
    last: &mut Option<u32>,
) -> Result<(), TestCaseError> {
    while let Some(output) = flashes.poll_output() {
        match output {
            FlashOutput::Show { id, .. } => {
                prop_assert!(last.replace(id).is_none_or(|it| it < id));
                shown.insert(id, now);
                prop_assert!(shown.len() <= MOST);
            }
            FlashOutput::Hide { id } => prop_assert!(shown.remove(&id).is_some()),
        }
    }
    prop_assert!(shown.values().all(|it| now < *it + SHOWN_FOR));
    Ok(())
}

fn observe(flashes: &mut Flashes, now: u64, event: &Event<()>) -> Vec<String> {
    flashes.observe(at(now), event);
    outputs(flashes)
}

fn timeout(flashes: &mut Flashes, now: u64) -> Vec<String> {
    flashes.handle_timeout(at(now));
    outputs(flashes)
}

fn outputs(flashes: &mut Flashes) -> Vec<String> {
    let text = |it| match it {
        FlashOutput::Show { id, kind: FlashKind::Joined, user } => {
            format!("{id}: {} joined", user.name())
        }
        FlashOutput::Show { id, kind: FlashKind::Left, user } => {
            format!("{id}: {} left", user.name())
        }
        FlashOutput::Hide { id } => format!("hide {id}"),
    };
    core::iter::from_fn(|| flashes.poll_output()).map(text).collect()
}

fn joined(name: &str) -> Event<()> {
    Event::Joined { key: key(), member: member(name), quiet: false }
}

fn left(name: &str) -> Event<()> {
    Event::Left { key: key(), member: member(name), reason: LeaveReason::Left, quiet: false }
}

fn quiet(event: Event<()>) -> Event<()> {
    match event {
        Event::Joined { key, member, .. } => Event::Joined { key, member, quiet: true },
        Event::Left { key, member, reason, .. } => Event::Left { key, member, reason, quiet: true },
        other => other,
    }
}

fn member(name: &str) -> Member<()> {
    let id = UserId::parse(name).unwrap();
    let user = Arc::new(User::new(id.clone(), name, Color([1, 2, 3])).unwrap());
    let (id, state) = (MemberId::User(id), PresenceState::Active);
    Member { id, user, is_me: false, state, since: 0, sessions: vec![] }
}

fn key() -> Key {
    Key::parse("document:42").unwrap()
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}
