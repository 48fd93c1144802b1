//! A list of people in the page, one element for each, that stays the same element as long as the
//! person stays. That is why nothing flickers and no animation is replayed.

use crate::dom::{append, element, set_color, set_text};
use crate::look::initial;
use crate::members::{Entry, find_from};
use presence_core::MemberId;
use presence_protocol::PresenceState;
use std::rc::Rc;
use web_sys::HtmlElement;

/// How people are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As dots whose names are tooltips.
    Dots,
    /// With their names beside them.
    Names,
}

/// People in a list.
#[derive(Debug)]
pub(crate) struct People {
    list: HtmlElement,
    style: Style,
    people: Vec<Person>,
}

#[derive(Debug)]
struct Person {
    id: MemberId,
    item: HtmlElement,
    dot: HtmlElement,
    initial: HtmlElement,
    name: HtmlElement,
    note: HtmlElement,
    /// What is drawn, to know when there is nothing to do.
    drawn: Option<Rc<Entry>>,
}

impl People {
    pub(crate) const fn new(list: HtmlElement, style: Style) -> Self {
        Self { list, style, people: Vec::new() }
    }

    /// Makes the list show these people, in this order. What else is in the list stays at its end.
    pub(crate) fn draw(&mut self, entries: &[Rc<Entry>], is_entering: impl Fn(&MemberId) -> bool) {
        let mut former: Vec<_> = core::mem::take(&mut self.people).into_iter().map(Some).collect();
        let mut at = 0;
        for entry in entries {
            let id = &entry.member.id;
            let is_it = |it: &Option<Person>| it.as_ref().is_some_and(|it| it.id == *id);
            let found = find_from(&former, at, is_it);
            at = found.map_or(at, |it| it + 1);
            let person = found.and_then(|it| former.get_mut(it)?.take());
            self.people.push(person.unwrap_or_else(|| {
                let person = Person::new(id.clone(), self.style);
                if is_entering(id) {
                    let _ = person.dot.class_list().add_1("presence-entering");
                }
                person
            }));
        }
        // Those who are gone go first, so that nobody who stays has to move out of their way.
        for person in former.into_iter().flatten() {
            person.item.remove();
        }
        let mut next = self.list.first_child();
        for (person, entry) in self.people.iter_mut().zip(entries) {
            person.draw(entry);
            if next.as_ref() == Some(person.item.as_ref()) {
                next = person.item.next_sibling();
            } else {
                let _ = self.list.insert_before(&person.item, next.as_ref());
            }
        }
    }
}

impl Person {
    fn new(id: MemberId, style: Style) -> Self {
        let item = element("li", "");
        let dot = element("span", "presence-dot");
        let initial = element("span", "presence-initial");
        let label = element("span", "presence-label");
        let name = element("span", "presence-name");
        let note = element("span", "presence-note");
        let _ = initial.set_attribute("aria-hidden", "true");
        append(&dot, &initial);
        append(&label, &name);
        append(&label, &note);
        append(&item, &dot);
        match style {
            Style::Dots => {
                // So that the name can be read with the keyboard, too.
                let _ = dot.set_attribute("tabindex", "0");
                append(&dot, &label);
            }
            Style::Names => {
                item.set_class_name("presence-person");
                dot.set_class_name("presence-mark");
                append(&item, &label);
            }
        }
        Self { id, item, dot, initial, name, note, drawn: None }
    }

    fn draw(&mut self, entry: &Rc<Entry>) {
        if self.drawn.as_ref().is_some_and(|it| Rc::ptr_eq(it, entry)) {
            return;
        }
        let (member, user) = (&entry.member, &entry.member.user);
        let before = self.drawn.as_ref().map(|it| &it.member);
        if before.is_none_or(|it| it.user != *user) {
            set_color(&self.dot, user.color());
            set_text(&self.initial, initial(user.name()));
            set_text(&self.name, user.name());
            let _ = self.dot.set_attribute("data-name", user.name());
        }
        if before.is_none_or(|it| it.state != member.state || it.is_me != member.is_me) {
            let _ = self.dot.set_attribute("data-state", member.state.name());
            set_text(
                &self.note,
                match (member.state, member.is_me) {
                    (PresenceState::Reconnecting, _) => ", reconnecting",
                    (PresenceState::Active, true) => " (you)",
                    (PresenceState::Active, false) => "",
                },
            );
        }
        self.drawn = Some(entry.clone());
    }
}
