//! The "+N" button at the end of a bar, and the list of names that it opens.

use crate::dom::{Listener, append, document, element, keep_in_view, set_attribute, set_text};
use crate::js::Fields;
use crate::members::Entry;
use crate::people::{People, Style};
use core::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Event, HtmlElement, Node};

/// The button and its list, as one item of the bar.
#[derive(Debug)]
pub(crate) struct More {
    item: HtmlElement,
    button: HtmlElement,
    text: HtmlElement,
    list: HtmlElement,
    rest: RefCell<Vec<Rc<Entry>>>,
    /// The list's contents while it is open.
    open: RefCell<Option<Open>>,
    listeners: RefCell<Vec<Listener>>,
}

#[derive(Debug)]
struct Open {
    people: People,
    /// Closes the list when something else is pressed.
    _outside: Listener,
}

impl More {
    /// A closed one that isn't in any bar yet.
    pub(crate) fn new() -> Rc<Self> {
        let item = element("li", "presence-more");
        let button = element("button", "presence-more-button");
        set_attribute(&button, "type", "button");
        let text = element("span", "");
        let hidden = element("span", "presence-hidden");
        set_text(&hidden, " more");
        let list = element("ul", "presence-list");
        set_attribute(&list, "role", "list");
        set_attribute(&list, "aria-label", "Others who are here");
        // A list that scrolls must be within the keyboard's reach.
        set_attribute(&list, "tabindex", "0");
        append(&button, &text);
        append(&button, &hidden);
        append(&item, &button);
        append(&item, &list);
        let more = Rc::new(Self {
            item,
            button,
            text,
            list,
            rest: RefCell::default(),
            open: RefCell::default(),
            listeners: RefCell::default(),
        });
        more.close();
        more.listeners.replace(vec![
            more.listen(&more.button, "click", |it, _| it.toggle()),
            more.listen(&more.item, "keydown", |it, event| it.key_down(event)),
            more.listen(&more.item, "focusout", |it, event| {
                // Focus that goes nowhere is a press on something that can't be focused.
                if event.field("relatedTarget").is_object() {
                    it.close_unless_inside(event, "relatedTarget");
                }
            }),
        ]);
        more
    }

    /// Shows how many there are that have no dot; nothing if there are none.
    pub(crate) fn draw(&self, bar: &HtmlElement, rest: &[Rc<Entry>]) {
        *self.rest.borrow_mut() = rest.to_vec();
        if rest.is_empty() {
            self.close();
            self.item.remove();
            return;
        }
        set_text(&self.text, &["+", &rest.len().to_string()].concat());
        if !self.item.is_connected() {
            append(bar, &self.item);
        }
        self.draw_list();
    }

    fn draw_list(&self) {
        if let Ok(mut open) = self.open.try_borrow_mut()
            && let Some(open) = &mut *open
        {
            open.people.draw(&self.rest.borrow(), |_| false);
        }
    }

    fn toggle(self: &Rc<Self>) {
        if self.open.borrow().is_some() {
            return self.close();
        }
        self.list.set_hidden(false);
        set_attribute(&self.button, "aria-expanded", "true");
        self.open.replace(Some(Open {
            people: People::new(self.list.clone(), Style::Names),
            _outside: self.listen(&document(), "pointerdown", |it, event| {
                it.close_unless_inside(event, "target");
            }),
        }));
        self.draw_list();
        keep_in_view(&self.list);
    }

    fn close(&self) {
        self.list.set_hidden(true);
        set_attribute(&self.button, "aria-expanded", "false");
        if let Some(mut open) = self.open.take() {
            open.people.draw(&[], |_| false);
        }
    }

    fn close_unless_inside(&self, event: &Fields, field: &str) {
        let node = event.field(field);
        if !self.item.contains(node.dyn_ref::<Node>()) {
            self.close();
        }
    }

    fn key_down(&self, event: &Fields) {
        if event.field("key") == "Escape" && self.open.borrow().is_some() {
            // It was meant for this list, not for a dialog around it.
            event.unchecked_ref::<Event>().stop_propagation();
            self.close();
            let _ = self.button.focus();
        }
    }

    fn listen(
        self: &Rc<Self>,
        target: &Node,
        event: &'static str,
        handle: fn(&Rc<Self>, &Fields),
    ) -> Listener {
        let more = Rc::downgrade(self);
        Listener::new(target, event, move |event| {
            if let Some(more) = more.upgrade() {
                handle(&more, event);
            }
        })
    }
}
