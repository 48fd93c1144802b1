//! Claims about flashes, in virtual time.

use super::*;
use presence_protocol::{Color, ErrorCode, Key, LeaveReason, PresenceState, User, UserId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[test]
fn a_join_flashes_at_once_is_said_after_a_second_and_fades_after_four() {
    let mut flashes = flashes();
    assert_eq!(observe(&mut flashes, 0, &joined("bob")), ["0: bob joined"]);
    assert_eq!(run(&mut flashes, 999), NOTHING);
    assert_eq!(run(&mut flashes, 1_000), ["say bob joined"]);
    assert_eq!(run(&mut flashes, 3_999), NOTHING);
    assert_eq!(run(&mut flashes, 4_000), ["hide 0"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn a_leave_flashes_at_once_and_is_said_when_it_is_known_to_be_one() {
    let mut flashes = flashes();
    assert_eq!(observe(&mut flashes, 0, &left("bob")), ["0: bob left"]);
    assert_eq!(run(&mut flashes, 4_000), ["hide 0"]);
    assert_eq!(run(&mut flashes, 4_999), NOTHING);
    assert_eq!(run(&mut flashes, 5_000), ["say bob left"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn nothing_stays_or_is_said_of_a_key_that_has_been_refused() {
    let mut flashes = flashes();
    assert_eq!(observe(&mut flashes, 0, &joined("bob")), ["0: bob joined"]);
    let message = String::new();
    let refused = Event::Refused { key: key(), code: ErrorCode::KeyDenied, message };
    assert_eq!(observe(&mut flashes, 500, &refused), ["hide 0"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn several_in_one_second_are_one_message_that_goes_when_its_first_would() {
    let mut flashes = flashes();
    assert_eq!(observe(&mut flashes, 0, &joined("alice")), ["0: alice joined"]);
    assert_eq!(observe(&mut flashes, 400, &joined("bob")), ["0: alice, bob joined"]);
    assert_eq!(observe(&mut flashes, 999, &joined("carol")), ["0: alice, bob, carol joined"]);
    let said_first = ["say alice, bob, carol joined", "1: dave joined"];
    assert_eq!(observe(&mut flashes, 1_000, &joined("dave")), said_first);
    assert_eq!(run(&mut flashes, 4_000), ["say dave joined", "hide 0"]);
    assert_eq!(run(&mut flashes, 5_000), ["hide 1"]);
}

#[test]
fn joins_and_leaves_are_messages_of_their_own() {
    let mut flashes = flashes();
    assert_eq!(observe(&mut flashes, 0, &joined("alice")), ["0: alice joined"]);
    assert_eq!(observe(&mut flashes, 100, &left("bob")), ["1: bob left"]);
    assert_eq!(observe(&mut flashes, 200, &joined("carol")), ["0: alice, carol joined"]);
    assert_eq!(observe(&mut flashes, 300, &left("dave")), ["1: bob, dave left"]);
    assert_eq!(run(&mut flashes, 5_299), ["say alice, carol joined", "hide 0", "hide 1"]);
    assert_eq!(run(&mut flashes, 5_300), ["say bob, dave left"]);
}

#[test]
fn a_reload_withdraws_left_and_makes_no_joined_and_nothing_is_said() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    assert_eq!(observe(&mut flashes, 700, &joined("bob")), ["hide 0"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn a_reload_takes_its_name_out_of_the_message() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("alice"));
    observe(&mut flashes, 100, &left("bob"));
    assert_eq!(observe(&mut flashes, 2_000, &joined("alice")), ["0: bob left"]);
    assert_eq!(run(&mut flashes, 9_000), ["hide 0", "say bob left"]);
}

#[test]
fn back_within_five_seconds_is_a_reload_also_after_left_has_faded() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    assert_eq!(run(&mut flashes, 4_000), ["hide 0"]);
    assert_eq!(observe(&mut flashes, 4_999, &joined("bob")), NOTHING);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn back_after_five_seconds_is_a_join() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    let outputs = observe(&mut flashes, 5_000, &joined("bob"));
    assert_eq!(outputs, ["say bob left", "hide 0", "1: bob joined"]);
}

#[test]
fn a_reload_is_forgiven_once() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    observe(&mut flashes, 100, &joined("bob"));
    assert_eq!(observe(&mut flashes, 200, &left("bob")), ["1: bob left"]);
    assert_eq!(observe(&mut flashes, 300, &joined("bob")), ["hide 1"]);
}

#[test]
fn leaving_takes_back_a_joined_that_is_still_shown() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &joined("bob"));
    let outputs = observe(&mut flashes, 1_000, &left("bob"));
    assert_eq!(outputs, ["say bob joined", "hide 0", "1: bob left"]);
    assert_eq!(run(&mut flashes, 9_000), ["hide 1", "say bob left"]);
}

#[test]
fn who_is_gone_before_it_is_said_that_they_joined_has_never_been_here() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &joined("bob"));
    assert_eq!(observe(&mut flashes, 999, &left("bob")), ["hide 0"]);
    assert_eq!(flashes.poll_timeout(), None);
}

#[test]
fn who_joins_and_reloads_within_a_second_is_announced() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &joined("bob"));
    observe(&mut flashes, 400, &left("bob"));
    assert_eq!(observe(&mut flashes, 800, &joined("bob")), ["1: bob joined"]);
    assert_eq!(run(&mut flashes, 9_000), ["say bob joined", "hide 1"]);
}

#[test]
fn back_before_it_is_said_that_they_left_is_a_reload_however_long_that_takes() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    observe(&mut flashes, 900, &left("carol"));
    assert_eq!(observe(&mut flashes, 5_500, &joined("bob")), ["hide 0"]);
    assert_eq!(run(&mut flashes, 9_000), ["say carol left"]);
}

#[test]
fn after_a_loss_nobody_is_said_to_have_left_before_it() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    observe(&mut flashes, 0, &joined("carol"));
    assert_eq!(observe(&mut flashes, 500, &Event::State(State::Reconnecting)), NOTHING);
    assert_eq!(observe(&mut flashes, 600, &Event::State(State::Live)), NOTHING);
    let outputs = observe(&mut flashes, 700, &left("dave"));
    assert_eq!(outputs, ["2: dave left"], "in a message of its own");
    let outputs = run(&mut flashes, 9_000);
    assert_eq!(outputs, ["say carol joined", "hide 0", "hide 1", "hide 2", "say dave left"]);
}

#[test]
fn nothing_is_said_when_a_page_is_back_from_the_back_forward_cache() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("bob"));
    observe(&mut flashes, 0, &joined("carol"));
    assert_eq!(observe(&mut flashes, 500, &Event::State(State::Connecting)), NOTHING);
    assert_eq!(run(&mut flashes, 9_000), ["hide 0", "hide 1"]);
}

#[test]
fn somebody_elses_leave_is_not_withdrawn() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &left("alice"));
    assert_eq!(observe(&mut flashes, 100, &joined("bob")), ["1: bob joined"]);
}

#[test]
fn quiet_differences_make_no_flash_but_withdraw_what_is_wrong() {
    let mut flashes = flashes();
    assert_eq!(observe(&mut flashes, 0, &quiet(joined("bob"))), NOTHING);
    assert_eq!(observe(&mut flashes, 0, &quiet(left("bob"))), NOTHING);
    observe(&mut flashes, 0, &left("carol"));
    assert_eq!(observe(&mut flashes, 0, &quiet(joined("carol"))), ["hide 0"]);
    observe(&mut flashes, 0, &joined("dave"));
    assert_eq!(observe(&mut flashes, 0, &quiet(left("dave"))), ["hide 1"]);
}

#[test]
fn each_kind_can_be_switched_off() {
    let mut flashes = Flashes::new(FlashRules { joins: false, ..ALL });
    assert_eq!(observe(&mut flashes, 0, &joined("bob")), NOTHING);
    assert_eq!(observe(&mut flashes, 0, &left("bob")), ["0: bob left"]);
    assert_eq!(observe(&mut flashes, 100, &joined("bob")), ["hide 0"], "a reload");

    let mut flashes = Flashes::new(FlashRules { leaves: false, ..ALL });
    assert_eq!(observe(&mut flashes, 0, &joined("bob")), ["0: bob joined"]);
    assert_eq!(run(&mut flashes, 1_000), ["say bob joined"]);
    assert_eq!(observe(&mut flashes, 1_000, &left("bob")), ["hide 0"]);
    assert_eq!(observe(&mut flashes, 1_100, &joined("bob")), NOTHING, "a reload");
    assert_eq!(observe(&mut flashes, 9_000, &joined("carol")), ["1: carol joined"]);
}

#[test]
fn nothing_flashes_while_more_than_so_many_are_here() {
    let mut flashes = Flashes::new(FlashRules { mute_above: 3, ..ALL });
    let mut observe = |now, n_members, event: Event<()>| {
        flashes.observe(at(now), n_members, &event, |it| it.user.name().to_owned());
        outputs(&mut flashes)
    };
    assert_eq!(observe(0, 3, joined("bob")), ["0: bob joined"]);
    assert_eq!(observe(100, 4, joined("carol")), NOTHING);
    let outputs = observe(1_200, 4, left("bob"));
    assert_eq!(outputs, ["say bob joined", "hide 0"], "but what is wrong goes");
    assert_eq!(observe(1_300, 3, left("carol")), ["1: carol left"]);
    assert_eq!(observe(1_400, 3, joined("bob")), NOTHING, "a reload");
}

#[test]
fn nothing_goes_while_somebody_reads_and_each_has_its_time_after_that() {
    let mut flashes = flashes();
    observe(&mut flashes, 0, &joined("bob"));
    flashes.hold(at(3_000), [Some(0), None]);
    assert_eq!(run(&mut flashes, 60_000), ["say bob joined"]);
    assert_eq!(observe(&mut flashes, 60_000, &joined("carol")), ["1: carol joined"]);
    flashes.hold(at(61_000), [Some(0), Some(1)]);
    flashes.hold(at(62_000), [None; 2]);
    assert_eq!(run(&mut flashes, 62_999), ["say carol joined"]);
    assert_eq!(run(&mut flashes, 63_000), ["hide 0"], "a second was left to it");
    assert_eq!(run(&mut flashes, 65_999), NOTHING);
    assert_eq!(run(&mut flashes, 66_000), ["hide 1"], "four seconds were left to it");
    flashes.hold(at(70_000), [None; 2]);
    assert_eq!(run(&mut flashes, 99_000), NOTHING);
}

#[test]
fn at_most_five_are_shown_and_the_oldest_that_nobody_reads_makes_room() {
    let mut flashes = flashes();
    flashes.hold(at(0), [Some(0), Some(2)]);
    for (id, name) in (0..5).zip(["a", "b", "c", "d", "e"]) {
        let shown = observe(&mut flashes, id * 1_000, &joined(name));
        assert_eq!(shown.last(), Some(&format!("{id}: {name} joined")));
    }
    let outputs = observe(&mut flashes, 5_000, &joined("f"));
    assert_eq!(outputs, ["say e joined", "hide 1", "5: f joined"]);
    let outputs = observe(&mut flashes, 6_000, &joined("g"));
    assert_eq!(outputs, ["say f joined", "hide 3", "6: g joined"]);
    flashes.hold(at(6_500), [None, Some(2)]);
    let outputs = observe(&mut flashes, 7_000, &joined("h"));
    assert_eq!(outputs, ["say g joined", "hide 0", "7: h joined"]);
}

#[test]
fn other_events_make_none() {
    let mut flashes = flashes();
    let (key, before) = (key(), member("bob"));
    let updated = Event::Updated { key: key.clone(), before, member: member("bob") };
    for event in [updated, Event::Changed { key: key.clone() }, Event::Ready { key }] {
        assert_eq!(observe(&mut flashes, 0, &event), NOTHING);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_flash_is_shown_for_four_seconds_at_most_and_nobody_is_said_to_be_what_they_are_not(
        steps in proptest::collection::vec(
            (0..2_500_u64, 0..4_usize, any::<bool>(), any::<bool>(), 0..10_u32),
            1..60,
        ),
    ) {
        let mut flashes = flashes();
        let mut reader = Reader::default();
        let mut now = 0;
        for (pause, who, is_join, is_quiet, held) in steps {
            let until = now + pause;
            while let Some(due) = flashes.poll_timeout().filter(|it| *it <= at(until)) {
                flashes.handle_timeout(due);
                reader.follow(&mut flashes, due)?;
                prop_assert!(flashes.poll_timeout().is_none_or(|it| it > due));
            }
            now = until;
            match held {
                0 => reader.hold(&mut flashes, at(now), true),
                1..4 => reader.hold(&mut flashes, at(now), false),
                _ => {}
            }
            let name = ["a", "b", "c", "d"][who];
            let event = if is_join { joined(name) } else { left(name) };
            reader.here.insert(name.to_owned(), is_join);
            observe_silently(&mut flashes, now, &if is_quiet { quiet(event) } else { event });
            reader.follow(&mut flashes, at(now))?;
        }
        reader.hold(&mut flashes, at(now), false);
        while let Some(due) = flashes.poll_timeout() {
            flashes.handle_timeout(due);
            reader.follow(&mut flashes, due)?;
        }
        prop_assert!(reader.shown.is_empty());
    }

    #[test]
    fn who_stays_has_been_announced_and_nobody_has_left_who_was_not(
        steps in proptest::collection::vec((0..2_500_u64, 0..4_usize, 0..5_u32), 1..60),
    ) {
        let mut flashes = flashes();
        let mut here = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let mut known = here.clone();
        let mut now = 0;
        for (pause, who, luck) in steps {
            now += pause;
            let name = ["a", "b", "c", "d"][who];
            let is_join = here.insert(name.to_owned());
            if !is_join {
                here.remove(name);
            }
            let event = if is_join { joined(name) } else { left(name) };
            let is_quiet = luck == 0;
            while let Some(due) = flashes.poll_timeout().filter(|it| *it <= at(now)) {
                flashes.handle_timeout(due);
                hear(&mut flashes, &mut known)?;
            }
            observe_silently(&mut flashes, now, &if is_quiet { quiet(event) } else { event });
            hear(&mut flashes, &mut known)?;
            // It is what everybody finds who comes from a snapshot.
            match (is_quiet, is_join) {
                (true, true) => drop(known.insert(name.to_owned())),
                (true, false) => drop(known.remove(name)),
                (false, _) => {}
            }
        }
        while let Some(due) = flashes.poll_timeout() {
            flashes.handle_timeout(due);
            hear(&mut flashes, &mut known)?;
        }
        prop_assert!(here.is_subset(&known));
    }
}

/// Whom somebody knows to be here who only hears what is said.
fn hear(flashes: &mut Flashes<String>, known: &mut BTreeSet<String>) -> Result<(), TestCaseError> {
    while let Some(output) = flashes.poll_output() {
        let FlashOutput::Say { kind, who } = output else { continue };
        for it in who {
            match kind {
                FlashKind::Joined => known.insert(it),
                FlashKind::Left => {
                    prop_assert!(known.remove(&it));
                    true
                }
            };
        }
    }
    Ok(())
}

/// Does what the shell would do, and checks it.
#[derive(Default)]
struct Reader {
    /// When each has to be gone.
    shown: BTreeMap<u32, Time>,
    last: Option<u32>,
    held_since: Option<Time>,
    /// Who is.
    here: BTreeMap<String, bool>,
}

impl Reader {
    fn hold(&mut self, flashes: &mut Flashes<String>, now: Time, is_held: bool) {
        flashes.hold(now, [is_held.then_some(0), None]);
        match (self.held_since, is_held) {
            (None, true) => self.held_since = Some(now),
            (Some(since), false) => {
                for until in self.shown.values_mut() {
                    *until += now.since(since.max(*until - SHOWN_FOR));
                }
                self.held_since = None;
            }
            _ => {}
        }
    }

    fn follow(&mut self, flashes: &mut Flashes<String>, now: Time) -> Result<(), TestCaseError> {
        while let Some(output) = flashes.poll_output() {
            match output {
                FlashOutput::Show { id, kind, who } => {
                    prop_assert!(self.agrees(kind, &who));
                    if !self.shown.contains_key(&id) {
                        prop_assert!(self.last.replace(id).is_none_or(|it| it < id));
                        self.shown.insert(id, now + SHOWN_FOR);
                    }
                    prop_assert!(self.shown.len() <= MOST);
                }
                FlashOutput::Say { kind, who } => prop_assert!(self.agrees(kind, &who)),
                FlashOutput::Hide { id } => prop_assert!(self.shown.remove(&id).is_some()),
            }
        }
        if self.held_since.is_none() {
            prop_assert!(self.shown.values().all(|it| now < *it));
        }
        Ok(())
    }

    fn agrees(&self, kind: FlashKind, who: &[String]) -> bool {
        let are_here = kind == FlashKind::Joined;
        !who.is_empty() && who.iter().all(|it| self.here.get(it) == Some(&are_here))
    }
}

const NOTHING: [&str; 0] = [];
const ALL: FlashRules = FlashRules { joins: true, leaves: true, mute_above: usize::MAX };

fn flashes() -> Flashes<String> {
    Flashes::new(ALL)
}

fn observe(flashes: &mut Flashes<String>, now: u64, event: &Event<()>) -> Vec<String> {
    observe_silently(flashes, now, event);
    outputs(flashes)
}

fn observe_silently(flashes: &mut Flashes<String>, now: u64, event: &Event<()>) {
    flashes.observe(at(now), 2, event, |it| it.user.name().to_owned());
}

/// Lets time pass as a timer would.
fn run(flashes: &mut Flashes<String>, until: u64) -> Vec<String> {
    while let Some(due) = flashes.poll_timeout().filter(|it| *it <= at(until)) {
        flashes.handle_timeout(due);
    }
    outputs(flashes)
}

fn outputs(flashes: &mut Flashes<String>) -> Vec<String> {
    let verb = |kind| if kind == FlashKind::Joined { "joined" } else { "left" };
    let text = |it| match it {
        FlashOutput::Show { id, kind, who } => format!("{id}: {} {}", who.join(", "), verb(kind)),
        FlashOutput::Say { kind, who } => format!("say {} {}", who.join(", "), verb(kind)),
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

fn member(name: &str) -> Arc<Member<()>> {
    let id = UserId::parse(name).unwrap();
    let user = Arc::new(User::new(id.clone(), name, Color([1, 2, 3])).unwrap());
    let (id, state) = (MemberId::User(id), PresenceState::Active);
    Arc::new(Member { id, user, is_me: false, state, since: 0, sessions: vec![] })
}

fn key() -> Key {
    Key::parse("document:42").unwrap()
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}
