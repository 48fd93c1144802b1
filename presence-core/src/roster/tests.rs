//! The roster, held against a model that is too simple to be wrong.

use super::*;
use presence_protocol::{Color, Key, Left, Updated};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn several_sessions_of_a_user_are_one_member() {
    let mut roster = roster(Dedupe::User);
    let told = told(roster.snapshot(snapshot(1, &[here(1, "a", 10), here(2, "a", 20)]), GONE));
    assert_eq!((told, roster.count()), (list(&["+a"]), 1));
    let member = &roster.members()[0];
    assert_eq!(member.since, 10);
    assert_eq!(sessions(member), [2, 1]);
}

#[test]
fn without_dedupe_every_session_is_a_member() {
    let mut roster = roster(Dedupe::None);
    let told = told(roster.snapshot(snapshot(1, &[here(1, "a", 10), here(2, "a", 20)]), GONE));
    assert_eq!((told, roster.count()), (list(&["+a", "+a"]), 2));
}

#[test]
fn a_second_tab_is_an_update_and_closing_either_is_too() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10)]), GONE);
    assert_eq!(told(joined(&mut roster, here(2, "a", 20))), ["a"]);
    assert_eq!(told(gone(&mut roster, 1)), ["a"]);
    assert_eq!(told(gone(&mut roster, 2)), ["-a left"]);
}

#[test]
fn nobody_changes_places_when_the_first_of_two_tabs_closes() {
    let mut roster = roster(Dedupe::User);
    let everybody = [here(1, "z", 10), here(2, "b", 15), here(3, "z", 20)];
    roster.snapshot(snapshot(1, &everybody), GONE);
    gone(&mut roster, 1);
    let order: Vec<_> = roster.members().iter().map(|it| it.id.to_string()).collect();
    assert_eq!(order, ["z", "b"]);
}

#[test]
fn a_member_is_reconnecting_only_if_all_its_sessions_are() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10), here(2, "a", 20)]), GONE);
    let state = |roster: &Roster<u8>| roster.members()[0].state;
    changed(&mut roster, 1, Some(PresenceState::Reconnecting), None);
    assert_eq!(state(&roster), PresenceState::Active);
    changed(&mut roster, 2, Some(PresenceState::Reconnecting), None);
    assert_eq!(state(&roster), PresenceState::Reconnecting);
    gone(&mut roster, 2);
    changed(&mut roster, 1, Some(PresenceState::Active), None);
    assert_eq!(state(&roster), PresenceState::Active);
}

#[test]
fn a_member_is_named_after_its_newest_session() {
    let mut roster = roster(Dedupe::User);
    let renamed = Presence { user: user("a", "renamed"), ..here(2, "a", 20) };
    roster.snapshot(snapshot(1, &[here(1, "a", 10), renamed]), GONE);
    assert_eq!(roster.members()[0].user.name(), "renamed");
    gone(&mut roster, 2);
    assert_eq!(roster.members()[0].user.name(), "a");
}

#[test]
fn a_delta_that_does_not_follow_is_a_gap_and_changes_nothing() {
    let unknown = Updated { session: SessionId::new(9), state: None, meta: Some(1) };
    let stranger = Left { session: SessionId::new(9), reason: LeaveReason::Left };
    let misfits = [
        Delta { from: Rev(2), ..delta(1) },
        Delta { updated: vec![unknown], ..delta(1) },
        Delta { left: vec![stranger], joined: vec![here(2, "b", 20)], ..delta(1) },
    ];
    for misfit in misfits {
        let mut roster = roster(Dedupe::User);
        roster.snapshot(snapshot(1, &[here(1, "a", 10)]), GONE);
        assert_eq!(roster.delta(misfit), Err(Gap));
        assert_eq!((roster.rev(), roster.count()), (None, 1));
        // Until a snapshot comes nothing fits any more.
        assert_eq!(roster.delta(delta(1)), Err(Gap));
        roster.snapshot(snapshot(5, &[here(1, "a", 10)]), GONE);
        assert_eq!(roster.delta(delta(5)), Ok(vec![]));
    }
}

#[test]
fn a_delta_about_one_who_is_only_held_is_a_gap() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10)]), GONE);
    roster.snapshot(snapshot(2, &[]), Missing::HeldUntil(at(30)));
    let update = Updated { session: SessionId::new(1), state: None, meta: Some(1) };
    assert_eq!(roster.delta(Delta { updated: vec![update], ..delta(2) }), Err(Gap));
}

#[test]
fn a_held_member_that_comes_back_in_time_has_never_been_away() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10), here(2, "b", 20)]), GONE);
    let told_at_first =
        roster.snapshot(snapshot(1, &[here(2, "b", 20)]), Missing::HeldUntil(at(30)));
    assert_eq!((told(told_at_first), roster.count()), (vec![], 2));
    assert_eq!(roster.next_deadline(), Some(at(30)));
    assert_eq!(told(joined(&mut roster, here(1, "a", 10))), NOTHING);
    assert_eq!(roster.next_deadline(), None);
    assert_eq!(told(roster.handle_timeout(at(30))), NOTHING);
}

#[test]
fn a_held_member_that_does_not_come_back_has_timed_out() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10)]), GONE);
    roster.rebase(20);
    roster.snapshot(snapshot(1, &[]), Missing::HeldUntil(at(30)));
    assert_eq!(told(roster.handle_timeout(at(29))), NOTHING);
    assert_eq!(told(roster.handle_timeout(at(30))), ["-a timeout"]);
    // It comes at last; its page still thinks that it is in time.
    assert_eq!(told(joined(&mut roster, here(1, "a", -10))), ["+a"]);
}

#[test]
fn a_held_tab_does_not_keep_its_member_from_being_updated_by_another() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10)]), GONE);
    roster.snapshot(snapshot(1, &[]), Missing::HeldUntil(at(30)));
    assert_eq!(told(joined(&mut roster, here(2, "a", 20))), ["a"]);
    assert_eq!(told(roster.handle_timeout(at(30))), ["a"]);
    assert_eq!(sessions(&roster.members()[0]), [2]);
}

#[test]
fn a_presence_older_than_the_epoch_is_a_return() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[]), GONE);
    assert_eq!(told(joined(&mut roster, here(1, "a", -1))), ["(+a)"]);
    assert_eq!(told(joined(&mut roster, here(2, "b", 0))), ["+b"]);
}

#[test]
fn one_who_was_here_before_the_restart_is_no_news_whatever_else_is_opened() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[]), GONE);
    let both = vec![here(1, "a", -5), here(2, "a", 5)];
    assert_eq!(told(roster.delta(Delta { joined: both, ..delta(1) }).unwrap()), ["(+a)"]);
}

#[test]
fn one_that_was_seen_to_leave_is_news_again_however_old_it_is() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", -5)]), GONE);
    assert_eq!(told(gone(&mut roster, 1)), ["-a left"]);
    assert_eq!(told(joined(&mut roster, here(1, "a", -5))), ["+a"]);
}

#[test]
fn one_who_went_while_nobody_was_told_of_it_returns_without_news() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", -5)]), GONE);
    roster.snapshot(snapshot(2, &[]), Missing::GoneAndHeld);
    assert_eq!(told(joined(&mut roster, here(1, "a", -5))), ["(+a)"]);
}

#[test]
fn ages_are_counted_from_the_new_epoch_after_a_restart() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10), here(2, "b", 70)]), GONE);
    roster.rebase(100);
    let since: Vec<_> =
        roster.members().iter().map(|it| (it.since, it.sessions[0].since)).collect();
    assert_eq!(since, [(-90, -90), (-30, -30)]);
}

#[test]
fn the_viewer_is_known_by_its_own_session() {
    let mut roster = roster(Dedupe::None);
    roster.set_my_session(SessionId::new(2));
    roster.snapshot(snapshot(1, &[here(1, "a", 10), here(2, "a", 20), here(3, "b", 30)]), GONE);
    let mine: Vec<_> = roster.members().iter().map(|it| it.is_me).collect();
    assert_eq!(mine, [true, true, false]);
    assert_eq!(roster.me(), UserId::parse("a").as_ref());
    assert_eq!(roster.my_presence().map(|it| it.session), Some(SessionId::new(2)));
}

#[test]
fn the_viewer_knows_itself_also_if_it_is_told_of_later_than_of_the_others() {
    let mut roster = roster(Dedupe::User);
    roster.set_my_session(SessionId::new(2));
    roster.snapshot(snapshot(1, &[here(3, "b", 30)]), GONE);
    joined(&mut roster, here(2, "a", 20));
    assert!(roster.member(&MemberId::User(UserId::parse("a").unwrap())).unwrap().is_me);
}

#[test]
fn a_session_that_another_user_takes_over_moves_to_them() {
    let mut roster = roster(Dedupe::User);
    roster.snapshot(snapshot(1, &[here(1, "a", 10)]), GONE);
    assert_eq!(told(joined(&mut roster, here(1, "b", 10))), ["-a left", "+b"]);
}

#[test]
fn a_user_named_like_a_property_of_javascripts_objects_is_a_user() {
    let mut roster = roster(Dedupe::User);
    let odd = ["__proto__", "constructor", "toString", "0"].map(|it| here(it.len() as u64, it, 1));
    roster.snapshot(snapshot(1, &odd), GONE);
    assert_eq!(roster.count(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_roster_is_what_its_presences_fold_into(
        dedupe in prop_oneof![Just(Dedupe::User), Just(Dedupe::None)],
        me in 0..SESSIONS,
        steps in vec(step(), 1..40),
    ) {
        let mut roster = Roster::new(dedupe);
        roster.set_my_session(SessionId::new(me));
        let mut model = Model::new(dedupe, me);
        // What somebody knows who has only been told the differences.
        let mut told = BTreeSet::new();
        for step in steps {
            let before = model.fold();
            let differences = model.take(&mut roster, step)?;
            let after = model.fold();
            prop_assert_eq!(model_of(&roster), after.clone());
            for member in roster.members() {
                prop_assert_eq!(member.is_me, model.me.as_ref() == Some(member.user.id()));
                prop_assert!(member.sessions.iter().all(|it| it.since >= member.since));
            }
            let mut expected = Vec::new();
            let ids: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            for id in ids {
                match (before.get(&id), after.get(&id)) {
                    (None, Some(it)) if model.is_return(it) => expected.push(format!("(+{id})")),
                    (None, Some(_)) => expected.push(format!("+{id}")),
                    (Some(_), None) => expected.push(format!("-{id}")),
                    (Some(before), Some(after)) if before != after => expected.push(id.to_string()),
                    _ => {}
                }
            }
            let mut actual = Vec::new();
            for difference in &differences {
                actual.push(match difference {
                    Difference::Joined { member, is_return } => {
                        prop_assert!(told.insert(member.id.clone()), "joined twice");
                        let id = &member.id;
                        if *is_return { format!("(+{id})") } else { format!("+{id}") }
                    }
                    Difference::Left { member, .. } => {
                        prop_assert!(told.remove(&member.id), "left without having joined");
                        format!("-{}", member.id)
                    }
                    Difference::Updated { before: old, member } => {
                        prop_assert_eq!(Some(&flat(old)), before.get(&member.id));
                        prop_assert_eq!(Some(member), roster.member(&member.id));
                        member.id.to_string()
                    }
                });
            }
            actual.sort();
            expected.sort();
            prop_assert_eq!(actual, expected);
            let shown: BTreeSet<_> = roster.members().iter().map(|it| it.id.clone()).collect();
            prop_assert_eq!(&told, &shown);
        }
    }

    #[test]
    fn members_are_in_the_order_of_their_age_and_the_same_values_as_long_as_they_are_the_same(
        dedupe in prop_oneof![Just(Dedupe::User), Just(Dedupe::None)],
        me in 0..SESSIONS,
        steps in vec(step(), 1..40),
    ) {
        let mut roster = Roster::new(dedupe);
        roster.set_my_session(SessionId::new(me));
        let mut model = Model::new(dedupe, me);
        for step in steps {
            let held = roster.members().to_vec();
            let copies: Vec<Member<u8>> = held.iter().map(|it| (**it).clone()).collect();
            let is_rebase = matches!(step, Step::Rebase(_));
            model.take(&mut roster, step)?;
            let mut anew: Vec<_> = roster.members.values().cloned().collect();
            anew.sort_by(|a, b| a.age().cmp(&b.age()));
            prop_assert_eq!(anew.len(), roster.members().len());
            for (anew, member) in anew.iter().zip(roster.members()) {
                prop_assert!(Arc::ptr_eq(anew, member));
                let before = held.iter().find(|it| *it == member).filter(|_| !is_rebase);
                prop_assert!(before.is_none_or(|it| Arc::ptr_eq(it, member)), "a needless copy");
            }
            // Whoever still has the list of before, has it as it was.
            prop_assert!(held.iter().map(|it| &**it).eq(&copies));
        }
    }
}

/// How many sessions there are: few, so that they meet.
const SESSIONS: u64 = 6;

/// What a roster may be given. The model makes it fit, or lets it not fit.
#[derive(Clone, Debug)]
enum Step {
    /// A snapshot of some sessions, each with its age and its meta; those missing may be held.
    Snapshot(BTreeMap<u64, (i64, u8)>, Option<u64>),
    /// What becomes of some sessions by a delta.
    Delta(BTreeMap<u64, Fate>),
    /// A delta that doesn't follow.
    Misfit,
    /// Time passes.
    Pass(u64),
    /// The relay was restarted.
    Rebase(i64),
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Join(i64, u8),
    Update(PresenceState, u8),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let presence = (-3..4_i64, 0..3_u8);
    let fate = prop_oneof![
        presence.clone().prop_map(|(since, meta)| Fate::Join(since, meta)),
        (any::<bool>(), 0..3_u8).prop_map(|(is_lost, meta)| {
            let lost = PresenceState::Reconnecting;
            Fate::Update(if is_lost { lost } else { PresenceState::Active }, meta)
        }),
        Just(Fate::Leave),
    ];
    let session = 0..SESSIONS;
    prop_oneof![
        2 => (btree_map(session.clone(), presence, 0..6), proptest::option::of(1..20_u64))
            .prop_map(|(presences, held)| Step::Snapshot(presences, held)),
        6 => btree_map(session, fate, 0..4).prop_map(Step::Delta),
        1 => Just(Step::Misfit),
        2 => (0..15_u64).prop_map(Step::Pass),
        1 => (0..3_i64).prop_map(Step::Rebase),
    ]
}

/// All that is known, in a plain list; members are folded from it anew whenever they are asked for.
struct Model {
    dedupe: Dedupe,
    my_session: u64,
    me: Option<UserId>,
    presences: Vec<Known>,
    /// Sessions older than the epoch that were seen to go.
    seen_to_go: BTreeSet<SessionId>,
    rev: u64,
    is_fit: bool,
    now: u64,
}

#[derive(Clone)]
struct Known {
    presence: Presence<u8>,
    held: Option<u64>,
}

/// A member without its age: what people are told a change of.
type Flat = (Arc<User>, PresenceState, Vec<(SessionId, PresenceState, u8)>);

impl Model {
    fn new(dedupe: Dedupe, my_session: u64) -> Self {
        Self {
            dedupe,
            my_session,
            me: None,
            presences: Vec::new(),
            seen_to_go: BTreeSet::new(),
            rev: 0,
            is_fit: false,
            now: 0,
        }
    }

    /// Does the same to the roster and to the list.
    fn take(
        &mut self,
        roster: &mut Roster<u8>,
        step: Step,
    ) -> Result<Vec<Difference<u8>>, TestCaseError> {
        match step {
            Step::Snapshot(presences, held) => {
                let presences: Vec<_> =
                    presences.into_iter().map(|(id, (since, meta))| of(id, since, meta)).collect();
                let held = held.map(|it| self.now + it);
                let missing = held.map_or(Missing::Gone, |it| Missing::HeldUntil(at(it)));
                self.rev += 1;
                self.is_fit = true;
                let is_in =
                    |it: &Known| presences.iter().any(|new| new.session == it.presence.session);
                for known in self.presences.clone().iter().filter(|it| !is_in(it)) {
                    let session = known.presence.session;
                    match (known.held, held) {
                        (Some(_), _) => {}
                        (None, Some(until)) => self.find(session).unwrap().held = Some(until),
                        (None, None) => self.remove(session),
                    }
                }
                presences.iter().for_each(|it| self.put(it));
                Ok(roster.snapshot(snapshot(self.rev, &presences), missing))
            }
            Step::Delta(fates) => {
                let mut delta = delta(self.rev);
                for (id, fate) in fates {
                    let session = SessionId::new(id);
                    let is_known = self.find(session).is_some_and(|it| it.held.is_none());
                    match fate {
                        Fate::Join(since, meta) => delta.joined.push(of(id, since, meta)),
                        Fate::Leave if is_known => {
                            delta.left.push(Left { session, reason: LeaveReason::Left });
                        }
                        Fate::Update(state, meta) if is_known => {
                            let (state, meta) = (Some(state), Some(meta));
                            delta.updated.push(Updated { session, state, meta });
                        }
                        Fate::Leave | Fate::Update(..) => {}
                    }
                }
                if !self.is_fit {
                    prop_assert_eq!(roster.delta(delta), Err(Gap));
                    return Ok(vec![]);
                }
                self.rev += 1;
                delta.left.iter().for_each(|it| self.remove(it.session));
                delta.joined.iter().for_each(|it| self.put(it));
                for updated in &delta.updated {
                    let known = self.find(updated.session).unwrap();
                    known.presence.state = updated.state.unwrap();
                    known.presence.meta = updated.meta.unwrap();
                }
                Ok(roster.delta(delta).unwrap())
            }
            Step::Misfit => {
                self.is_fit = false;
                prop_assert_eq!(roster.delta(delta(self.rev + 1)), Err(Gap));
                Ok(vec![])
            }
            Step::Pass(millis) => {
                self.now += millis;
                let due = |it: &Known| it.held.is_some_and(|until| until <= self.now);
                let due: Vec<_> = self.presences.iter().filter(|it| due(it)).cloned().collect();
                due.iter().for_each(|it| self.remove(it.presence.session));
                let next = self.presences.iter().filter_map(|it| it.held).min();
                let told = roster.handle_timeout(at(self.now));
                prop_assert_eq!(roster.next_deadline(), next.map(at));
                Ok(told)
            }
            Step::Rebase(later) => {
                roster.rebase(later);
                self.seen_to_go.clear();
                self.presences.iter_mut().for_each(|it| it.presence.since -= later);
                Ok(vec![])
            }
        }
    }

    fn find(&mut self, session: SessionId) -> Option<&mut Known> {
        self.presences.iter_mut().find(|it| it.presence.session == session)
    }

    fn put(&mut self, presence: &Presence<u8>) {
        self.presences.retain(|it| it.presence.session != presence.session);
        self.presences.push(Known { presence: presence.clone(), held: None });
        if presence.session == SessionId::new(self.my_session) {
            self.me = Some(presence.user.id().clone());
        }
    }

    fn remove(&mut self, session: SessionId) {
        let known = self.find(session).unwrap();
        if known.presence.since < 0 {
            self.seen_to_go.insert(session);
        }
        self.presences.retain(|it| it.presence.session != session);
    }

    fn is_return(&self, (_, _, sessions): &Flat) -> bool {
        let since = |id| self.presences.iter().find(|it| it.presence.session == id).unwrap();
        let is_old =
            |id: &SessionId| since(*id).presence.since < 0 && !self.seen_to_go.contains(id);
        sessions.iter().any(|(id, ..)| is_old(id))
    }

    fn fold(&self) -> BTreeMap<MemberId, Flat> {
        let mut members: BTreeMap<MemberId, Vec<Presence<u8>>> = BTreeMap::new();
        for Known { presence, .. } in &self.presences {
            let id = match self.dedupe {
                Dedupe::User => MemberId::User(presence.user.id().clone()),
                Dedupe::None => MemberId::Session(presence.session),
            };
            members.entry(id).or_default().push(presence.clone());
        }
        let fold = |(id, mut sessions): (MemberId, Vec<Presence<u8>>)| {
            sessions.sort_by_key(|it| (-it.since, it.session));
            let user = sessions[0].user.clone();
            let is_lost = sessions.iter().all(|it| it.state == PresenceState::Reconnecting);
            let state = if is_lost { PresenceState::Reconnecting } else { PresenceState::Active };
            let sessions = sessions.iter().map(|it| (it.session, it.state, it.meta)).collect();
            (id, (user, state, sessions))
        };
        members.into_iter().map(fold).collect()
    }
}

fn model_of(roster: &Roster<u8>) -> BTreeMap<MemberId, Flat> {
    roster.members().iter().map(|it| (it.id.clone(), flat(it))).collect()
}

fn flat(member: &Member<u8>) -> Flat {
    let sessions = member.sessions.iter().map(|it| (it.session, it.state, it.meta)).collect();
    (member.user.clone(), member.state, sessions)
}

const GONE: Missing = Missing::Gone;
const NOTHING: [&str; 0] = [];

fn roster(dedupe: Dedupe) -> Roster<u8> {
    Roster::new(dedupe)
}

/// A presence of the model's; its user follows from its session, two sessions for each.
fn of(session: u64, since: i64, meta: u8) -> Presence<u8> {
    Presence { meta, ..here(session, &format!("user{}", session / 2), since) }
}

fn here(session: u64, name: &str, since: i64) -> Presence<u8> {
    let (session, user) = (SessionId::new(session), user(name, name));
    Presence { session, user, since, state: PresenceState::Active, meta: 0 }
}

fn user(id: &str, name: &str) -> Arc<User> {
    Arc::new(User::new(UserId::parse(id).unwrap(), name, Color([1, 2, 3])).unwrap())
}

fn key() -> Key {
    Key::parse("document:42").unwrap()
}

fn snapshot(rev: u64, presences: &[Presence<u8>]) -> Snapshot<u8> {
    Snapshot { key: key(), rev: Rev(rev), presences: presences.to_vec() }
}

/// A delta in which nothing happens.
fn delta(from: u64) -> Delta<u8> {
    let (from, to) = (Rev(from), Rev(from + 1));
    Delta { key: key(), from, to, joined: vec![], left: vec![], updated: vec![], pulses: vec![] }
}

fn joined(roster: &mut Roster<u8>, presence: Presence<u8>) -> Vec<Difference<u8>> {
    let from = roster.rev().unwrap().0;
    roster.delta(Delta { joined: vec![presence], ..delta(from) }).unwrap()
}

fn gone(roster: &mut Roster<u8>, session: u64) -> Vec<Difference<u8>> {
    let from = roster.rev().unwrap().0;
    let left = Left { session: SessionId::new(session), reason: LeaveReason::Left };
    roster.delta(Delta { left: vec![left], ..delta(from) }).unwrap()
}

fn changed(
    roster: &mut Roster<u8>,
    session: u64,
    state: Option<PresenceState>,
    meta: Option<u8>,
) -> Vec<Difference<u8>> {
    let from = roster.rev().unwrap().0;
    let updated = Updated { session: SessionId::new(session), state, meta };
    roster.delta(Delta { updated: vec![updated], ..delta(from) }).unwrap()
}

/// Differences in a few words; a return is in brackets.
fn told(differences: Vec<Difference<u8>>) -> Vec<String> {
    let text = |it: Difference<u8>| match it {
        Difference::Joined { member, is_return: true } => format!("(+{})", member.user.name()),
        Difference::Joined { member, .. } => format!("+{}", member.user.name()),
        Difference::Left { member, reason } => {
            format!("-{} {}", member.user.name(), reason.name())
        }
        Difference::Updated { member, .. } => member.user.name().to_owned(),
    };
    differences.into_iter().map(text).collect()
}

fn sessions(member: &Member<u8>) -> Vec<u64> {
    member.sessions.iter().map(|it| it.session.bits()).collect()
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}
