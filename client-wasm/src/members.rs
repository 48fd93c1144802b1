//! A key's members, as the page gets to see them.

use crate::meta::Meta;
use crate::page::halves;
use crate::user::{Member, User};
use js_sys::Array;
use presence_core::MemberId;
use std::sync::Arc;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    /// The id is the user's, or that of the one session.
    #[wasm_bindgen(js_name = member)]
    fn js_member(
        user: &JsValue,
        is_session: bool,
        high: u32,
        low: u32,
        is_me: bool,
        state: u32,
        since: f64,
        metas: &Array,
    ) -> JsValue;

    /// Takes out what is in a place of a list, or puts something there, or both.
    #[wasm_bindgen(js_name = edit)]
    fn js_edit(list: &Array, at: usize, is_gone: bool, object: &JsValue) -> JsValue;

    /// A copy that never changes.
    #[wasm_bindgen(js_name = frozen)]
    fn js_frozen(list: &Array) -> JsValue;
}

/// The members of a key, oldest first.
#[derive(Debug)]
pub(crate) struct Members {
    entries: Vec<Entry<Meta, User>>,
    /// What stands for the entries in JavaScript. No page gets it, since it changes.
    list: Array,
    /// A copy that never changes, once a page has asked for it.
    copy: Option<JsValue>,
    /// Those who were in the list before, and no longer are: events are about them.
    gone: Vec<(Arc<Member>, JsValue)>,
    /// True if anybody has come, gone or changed places since the last [`Changes`].
    has_moved: bool,
    /// When the relay's epoch began, on the same scale as [`Entry::since`].
    epoch: f64,
}

/// What has become of a list.
pub(crate) struct Changes {
    /// Those who are other objects than before.
    pub(crate) changed: Array,
    /// False if each is the same person as before, in the same place.
    pub(crate) has_moved: bool,
}

impl Members {
    /// Nobody.
    pub(crate) fn new() -> Self {
        let (entries, list, gone) = (Vec::new(), Array::new(), Vec::new());
        Self { entries, list, copy: None, gone, has_moved: true, epoch: 0.0 }
    }

    /// Takes over what has changed in the roster. Only what has changed is told to JavaScript.
    pub(crate) fn refresh(&mut self, members: &[Arc<Member>], epoch: f64) {
        self.epoch = epoch;
        self.gone.clear();
        let Self { entries, list, copy, gone, has_moved, .. } = self;
        follow(entries, members, epoch, |at, former, entry| {
            *copy = None;
            let is_me = |it: &Arc<Member>| it.is_me;
            *has_moved |= former.as_ref().map(is_me) != entry.map(|it| is_me(&it.member));
            let object = entry.map(|it| object(&it.member, it.since)).unwrap_or_default();
            let before = js_edit(list, at, former.is_some(), &object);
            if let Some(former) = former {
                gone.push((former, before));
            }
        });
    }

    /// What has changed since the last time that this was asked.
    pub(crate) fn changes(&mut self) -> Changes {
        let changed = Array::new();
        for (at, entry) in (0..).zip(&mut self.entries) {
            if core::mem::take(&mut entry.is_new) {
                changed.push(&self.list.get(at));
            }
        }
        Changes { changed, has_moved: core::mem::take(&mut self.has_moved) }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The array that JavaScript gets: the same one until something changes.
    pub(crate) fn list(&mut self) -> &JsValue {
        self.copy.get_or_insert_with(|| js_frozen(&self.list))
    }

    /// What stands for a member: the object that is in the list, or was until the last change.
    pub(crate) fn object_of(&self, member: &Arc<Member>) -> JsValue {
        let at = self.entries.partition_point(|it| it.member.age() < member.age());
        if self.entries.get(at).is_some_and(|it| Arc::ptr_eq(&it.member, member)) {
            return self.list.get(u32::try_from(at).unwrap_or(u32::MAX));
        }
        match self.gone.iter().find(|it| Arc::ptr_eq(&it.0, member)) {
            Some((_, object)) => object.clone(),
            None => object(member, since(member, self.epoch)),
        }
    }
}

/// A member, and when it came, in milliseconds after 1970 by the page's clock.
#[derive(Debug)]
struct Entry<M, U> {
    member: Arc<presence_core::Member<M, U>>,
    since: f64,
    /// True until it is told.
    is_new: bool,
}

/// Makes the entries those of other members, who are in the order of their age as well, and tells of each
/// change: in which place, who is no longer there, and who is there now.
fn follow<M, U>(
    entries: &mut Vec<Entry<M, U>>,
    members: &[Arc<presence_core::Member<M, U>>],
    epoch: f64,
    mut change: impl FnMut(usize, Option<Arc<presence_core::Member<M, U>>>, Option<&Entry<M, U>>),
) {
    let mut at = 0;
    for member in members {
        // Mostly it is the very same one.
        let is_known = |it: &Entry<M, U>| Arc::ptr_eq(&it.member, member);
        while entries.get(at).is_some_and(|it| !is_known(it) && it.member.age() < member.age()) {
            change(at, Some(entries.remove(at).member), None);
        }
        let known = entries.get(at);
        if !known.is_some_and(is_known) {
            let former = known.filter(|it| it.member.age() == member.age());
            // Its age doesn't wobble with the clocks.
            let since = former.map_or_else(|| since(member, epoch), |it| it.since);
            let former = former.is_some().then(|| entries.remove(at).member);
            entries.insert(at, Entry { member: member.clone(), since, is_new: true });
            change(at, former, entries.get(at));
        }
        at += 1;
    }
    while entries.len() > at {
        change(at, Some(entries.remove(at).member), None);
    }
}

#[expect(clippy::cast_precision_loss, reason = "no presence is older than 2^53 milliseconds")]
fn since<M, U>(member: &presence_core::Member<M, U>, epoch: f64) -> f64 {
    epoch + member.since as f64
}

/// What JavaScript gets.
fn object(Member { id, user, is_me, state, sessions, .. }: &Member, since: f64) -> JsValue {
    let metas = Array::new();
    for session in sessions {
        metas.push(session.meta.value());
    }
    let bits = match id {
        MemberId::User(_) => None,
        MemberId::Session(id) => Some(id.bits()),
    };
    let [high, low] = halves(bits.unwrap_or_default());
    js_member(user.value(), bits.is_some(), high, low, *is_me, *state as u32, since, &metas)
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod followed {
    use super::*;
    use presence_protocol::{Color, PresenceState, SessionId, User, UserId};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_that_is_edited_is_the_one_that_would_be_made_anew(
            lists in vec(btree_map(0..9_u64, (0..3_i64, any::<bool>()), 0..9), 1..20),
        ) {
            let mut entries: Vec<Entry<u8, Arc<User>>> = Vec::new();
            let mut edited: Vec<(Arc<presence_core::Member<u8>>, f64)> = Vec::new();
            for (wanted, epoch) in lists.into_iter().zip([0.0, 0.5, 0.25].into_iter().cycle()) {
                let before = edited.clone();
                let known = |new: Arc<presence_core::Member<u8>>| {
                    let former = before.iter().find(|(it, _)| *it == new);
                    former.map_or(new, |(it, _)| it.clone())
                };
                let mut members: Vec<_> =
                    wanted.into_iter().map(|(id, (since, away))| known(of(id, since, away))).collect();
                members.sort_by(|a, b| a.age().cmp(&b.age()));
                let mut n_edits = 0;
                follow(&mut entries, &members, epoch, |at, gone, entry| {
                    n_edits += 1;
                    if let Some(gone) = gone {
                        assert!(Arc::ptr_eq(&edited.remove(at).0, &gone), "another one is gone");
                    }
                    if let Some(it) = entry {
                        edited.insert(at, (it.member.clone(), it.since));
                    }
                });
                // Whoever keeps its place keeps the time at which it came.
                let anew: Vec<_> = members.iter().map(|member| {
                    let former = before.iter().find(|(it, _)| it.age() == member.age());
                    (member.clone(), former.map_or_else(|| since(member, epoch), |it| it.1))
                }).collect();
                prop_assert_eq!(&edited, &anew);
                let is_in = |list: &[(Arc<presence_core::Member<u8>>, f64)], it: &Arc<presence_core::Member<u8>>| {
                    list.iter().any(|(other, _)| Arc::ptr_eq(other, it))
                };
                let n_new = members.iter().filter(|it| !is_in(&before, it)).count();
                let n_gone = before.iter().filter(|(it, _)| !is_in(&edited, it)).count();
                prop_assert!(n_edits <= n_new + n_gone, "{} edits", n_edits);
            }
        }
    }

    fn of(id: u64, since: i64, away: bool) -> Arc<presence_core::Member<u8>> {
        let user = UserId::parse("a").and_then(|it| User::new(it, "a", Color([1, 2, 3])).ok());
        let state = if away { PresenceState::Away } else { PresenceState::Active };
        Arc::new(presence_core::Member {
            id: MemberId::Session(SessionId::new(id)),
            user: Arc::new(user.unwrap()),
            is_me: false,
            state,
            since,
            sessions: vec![],
        })
    }
}
