//! A key's members, as the page gets to see them.

use crate::js::freeze;
use crate::meta::Meta;
use crate::text::{concat, digits};
use core::cell::OnceCell;
use js_sys::Array;
use presence_core::{Member, MemberId, Roster};
use presence_protocol::{AvatarUrl, Color};
use std::rc::Rc;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    #[wasm_bindgen(js_name = member)]
    fn js_member(
        id: &str,
        user_id: &str,
        name: &str,
        color: &str,
        avatar: Option<&str>,
        is_me: bool,
        state: &str,
        since: f64,
        metas: &Array,
    ) -> JsValue;
}

/// A member, and the object that stands for it as long as nothing about it changes.
#[derive(Debug)]
struct Entry {
    member: Member<Meta>,
    /// When it came, in milliseconds after 1970 by the page's clock.
    since: f64,
    object: OnceCell<JsValue>,
}

impl Entry {
    fn new(member: &Member<Meta>, since: f64) -> Rc<Self> {
        Rc::new(Self { member: member.clone(), since, object: OnceCell::new() })
    }

    /// What JavaScript gets.
    fn object(&self) -> &JsValue {
        self.object.get_or_init(|| {
            let Member { id, user, is_me, state, sessions, .. } = &self.member;
            let metas = Array::new();
            for session in sessions {
                metas.push(session.meta.value());
            }
            js_member(
                &id_text(id),
                user.id().as_str(),
                user.name(),
                &hex_color(user.color()),
                user.avatar().map(AvatarUrl::as_str),
                *is_me,
                state.name(),
                self.since,
                &metas,
            )
        })
    }
}

/// `#rrggbb`.
fn hex_color(Color([red, green, blue]): Color) -> String {
    let number = u32::from_be_bytes([0, red, green, blue]);
    concat(&["#", &digits(number.into(), 16, 6)])
}

fn id_text(id: &MemberId) -> String {
    match id {
        MemberId::User(id) => id.as_str().into(),
        MemberId::Session(id) => digits(id.bits(), 16, 16),
    }
}

/// The members of a key, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Members {
    entries: Vec<Rc<Entry>>,
    list: OnceCell<Array>,
    /// When the relay's epoch began, on the same scale as [`Entry::since`].
    epoch: f64,
}

impl Members {
    /// Takes over what has changed in the roster.
    pub(crate) fn refresh(&mut self, roster: &Roster<Meta>, epoch: f64) {
        self.epoch = epoch;
        let former = core::mem::take(&mut self.entries);
        let mut kept = 0;
        let mut at = 0;
        for member in roster.members() {
            let found = find_from(&former, at, |it| it.member.id == member.id);
            at = found.map_or(at, |it| it + 1);
            let known = found.and_then(|it| former.get(it));
            let entry = match known {
                Some(it) if it.member == *member => {
                    kept += usize::from(found == Some(self.entries.len()));
                    it.clone()
                }
                // Its age doesn't wobble with the clocks.
                Some(it) if it.member.since == member.since => Entry::new(member, it.since),
                _ => Entry::new(member, self.since(member)),
            };
            self.entries.push(entry);
        }
        if kept != former.len() || kept != self.entries.len() {
            self.list = OnceCell::new();
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The array that JavaScript gets: the same one until something changes.
    pub(crate) fn list(&self) -> &Array {
        self.list.get_or_init(|| {
            let list: Array = self.entries.iter().map(|it| it.object()).collect();
            freeze(&list);
            list
        })
    }

    /// What stands for a member: the object that is in the list, if it is there.
    pub(crate) fn object_of(&self, member: &Member<Meta>) -> JsValue {
        let found = self
            .entries
            .partition_point(|it| (it.member.since, &it.member.id) < (member.since, &member.id));
        match self.entries.get(found) {
            Some(entry) if entry.member == *member => entry.object().clone(),
            _ => Entry::new(member, self.since(member)).object().clone(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "no presence is older than 2^53 milliseconds")]
    fn since(&self, member: &Member<Meta>) -> f64 {
        self.epoch + member.since as f64
    }
}

/// Where an item is. The search begins at `start` and goes round, because members hardly ever change
/// places: mostly the next one stands right behind the last one.
fn find_from<T>(items: &[T], start: usize, is_it: impl Fn(&T) -> bool) -> Option<usize> {
    let (before, behind) = items.split_at_checked(start).unwrap_or((items, &[]));
    let found = behind.iter().position(&is_it).map(|it| start + it);
    found.or_else(|| before.iter().position(&is_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_written_as_it_is_read() {
        let color = Color([0, 0x0f, 0xff]);
        assert_eq!(hex_color(color), color.to_string());
    }
}
