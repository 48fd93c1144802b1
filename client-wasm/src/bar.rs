//! The avatar bar: a dot for each person, a "+N" button for the rest, and "N here".

use crate::dom::{Listener, append, element, keep_in_view, set_attribute, set_text};
use crate::js::Fields;
use crate::members::Entry;
use crate::more::More;
use crate::options::BarOptions;
use crate::people::{People, Style};
use core::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

/// What a bar is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known yet.
    Connecting,
    /// It is up to date, or will be before anybody could be missed.
    Live,
    /// The relay has been out of reach for longer than the grace: this is how it was.
    Stale,
    /// It will not come back by itself.
    Stopped,
}

impl Standing {
    const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Stopped => "stopped",
        }
    }
}

/// A bar in the page. It goes with this value.
#[derive(Debug)]
pub(crate) struct Bar {
    root: HtmlElement,
    list: HtmlElement,
    count: HtmlElement,
    max: usize,
    dots: RefCell<People>,
    more: Rc<More>,
    /// Who was drawn last: they aren't entering.
    drawn: RefCell<Option<Vec<Rc<Entry>>>>,
    _listeners: [Listener; 3],
}

impl Bar {
    /// Puts an empty bar into an element.
    pub(crate) fn new(target: &Element, options: BarOptions) -> Self {
        let root = element("div", "presence");
        set_attribute(&root, "role", "group");
        set_attribute(&root, "aria-label", "Who is here");
        let list = element("ul", "presence-dots");
        // Safari doesn't take a list without bullets for a list.
        set_attribute(&list, "role", "list");
        let count = element("span", "presence-count");
        append(&root, &list);
        append(&root, &count);
        append(target, &root);
        let listeners = [
            Listener::new(&root, "pointerover", show_name),
            Listener::new(&root, "focusin", show_name),
            Listener::new(&root, "animationend", entered),
        ];
        Self {
            max: options.max,
            dots: RefCell::new(People::new(list.clone(), Style::Dots)),
            more: More::new(),
            drawn: RefCell::default(),
            root,
            list,
            count,
            _listeners: listeners,
        }
    }

    /// Shows these people, oldest first.
    pub(crate) fn draw(&self, entries: &[Rc<Entry>], standing: Standing) {
        set_attribute(&self.root, "data-state", standing.name());
        let is_known = matches!(standing, Standing::Live | Standing::Stale);
        let entries = if is_known { entries } else { &[] };
        let before = self.drawn.replace(is_known.then(|| entries.to_vec()));
        let (dots, rest) = entries.split_at_checked(self.max).unwrap_or((entries, &[]));
        // Removing an element can run the page's own code, which may come back to here.
        if let Ok(mut people) = self.dots.try_borrow_mut() {
            people.draw(dots, |id| {
                let is_known = |it: &Rc<Entry>| it.member.id == *id;
                before.as_ref().is_some_and(|it| !it.iter().any(is_known))
            });
        }
        self.more.draw(&self.list, rest);
        set_text(
            &self.count,
            &match standing {
                Standing::Connecting => "Connecting…".into(),
                Standing::Stopped => String::new(),
                Standing::Live | Standing::Stale => [&entries.len().to_string(), " here"].concat(),
            },
        );
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.root.remove();
    }
}

/// Keeps the name that pointer or focus has brought up inside of the window.
fn show_name(event: &Fields) {
    let target = event.field("target");
    let dot = target.dyn_ref::<Element>().and_then(|it| it.closest(".presence-dot").ok().flatten());
    let label = dot.and_then(|it| it.last_element_child());
    if let Some(label) = label.as_ref().and_then(|it| it.dyn_ref()) {
        keep_in_view(label);
    }
}

/// Someone has faded in and won't do so again, not even if the page hides and shows the bar.
fn entered(event: &Fields) {
    if let Some(dot) = event.field("target").dyn_ref::<Element>() {
        let _ = dot.class_list().remove_1("presence-entering");
    }
}
