//! A list of people in the page, one element for each, that stays the same element as long as the
//! person stays. That is why nothing flickers and no animation is replayed.

use crate::look::{hex_color, ink};
use crate::members::{Entry, find_from};
use presence_core::MemberId;
use presence_protocol::AvatarUrl;
use std::rc::Rc;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::HtmlElement;

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    fn person(list: &HtmlElement, is_dot: bool, is_me: bool) -> HtmlElement;
    fn leave(item: &HtmlElement);
    #[wasm_bindgen(js_name = drawPerson)]
    fn draw_person(
        item: &HtmlElement,
        name: &str,
        color: &str,
        ink: &str,
        avatar: Option<&str>,
        state: &str,
        is_me: bool,
        is_entering: bool,
    );
}

/// People in a list.
#[derive(Debug)]
pub(crate) struct People {
    list: HtmlElement,
    /// As dots whose names are tooltips, not with their names beside them.
    are_dots: bool,
    people: Vec<Person>,
}

#[derive(Debug)]
struct Person {
    item: HtmlElement,
    /// What is drawn, to know when there is nothing to do.
    drawn: Rc<Entry>,
}

impl People {
    pub(crate) const fn new(list: HtmlElement, are_dots: bool) -> Self {
        Self { list, are_dots, people: Vec::new() }
    }

    /// Makes the list show these people, in this order. What else is in the list stays at its end.
    ///
    /// Not generic, because it would be downloaded twice: a bar has two lists.
    pub(crate) fn draw(&mut self, entries: &[Rc<Entry>], is_entering: &dyn Fn(&MemberId) -> bool) {
        let mut former: Vec<Option<Person>> = Vec::new();
        for person in core::mem::take(&mut self.people) {
            former.push(Some(person));
        }
        let mut at = 0;
        for entry in entries {
            let id = &entry.member.id;
            let found = find_from(&former, at, |it| {
                it.as_ref().is_some_and(|it| it.drawn.member.id == *id)
            });
            let known = found.and_then(|found| {
                at = found + 1;
                former.get_mut(found)?.take()
            });
            self.people.push(match known {
                Some(person) if Rc::ptr_eq(&person.drawn, entry) => person,
                Some(person) => Person::draw(person.item, entry, false),
                None => {
                    let item = person(&self.list, self.are_dots, entry.member.is_me);
                    Person::draw(item, entry, is_entering(id))
                }
            });
        }
        // Those who are gone go first, so that nobody who stays has to move out of their way.
        for person in former.into_iter().flatten() {
            leave(&person.item);
        }
        let mut next = self.list.first_child();
        for person in &self.people {
            if next.as_ref() == Some(person.item.as_ref()) {
                next = person.item.next_sibling();
            } else {
                let _ = self.list.insert_before(&person.item, next.as_ref());
            }
        }
    }
}

impl Person {
    fn draw(item: HtmlElement, entry: &Rc<Entry>, is_entering: bool) -> Self {
        let (member, user) = (&entry.member, &entry.member.user);
        let color = user.color();
        let (is_me, state) = (member.is_me, member.state.name());
        let avatar = user.avatar().map(AvatarUrl::as_str);
        let (name, hex, ink) = (user.name(), hex_color(color), ink(color));
        draw_person(&item, name, &hex, ink, avatar, state, is_me, is_entering);
        Self { item, drawn: entry.clone() }
    }
}
