//! The avatar bar: a dot for each person, a "+N" button for the rest, and "N here".

use crate::js::function;
use crate::members::Entry;
use crate::people::People;
use core::cell::RefCell;
use js_sys::{Array, Function};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};
use web_sys::HtmlElement;

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    fn bar(target: &HtmlElement, settings: &JsValue, on_open: &Function) -> Array;
    #[wasm_bindgen(js_name = drawBar)]
    fn draw_bar(
        dots: &HtmlElement,
        rest: &HtmlElement,
        standing: &str,
        n_members: usize,
        n_more: usize,
    );
}

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

/// Where oneself stands in a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among the others, who are there from the oldest on.
    Age,
    First,
    /// In the last dot: never behind the button.
    Last,
    Hidden,
}

impl Place {
    /// By its place in the list of `js/options.js`.
    pub(crate) const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::First,
            2 => Self::Last,
            3 => Self::Hidden,
            _ => Self::Age,
        }
    }

    /// Who is shown, in order. The others keep theirs among each other.
    fn arrange(self, entries: &[Rc<Entry>], max: usize) -> Vec<Rc<Entry>> {
        if self == Self::Age {
            return entries.to_vec();
        }
        let (mut shown, mut own) = (Vec::new(), Vec::new());
        for entry in entries {
            let list = if entry.member.is_me { &mut own } else { &mut shown };
            list.push(entry.clone());
        }
        let at = match self {
            Self::Hidden => return shown,
            Self::Last => max.saturating_sub(own.len()).min(shown.len()),
            _ => 0,
        };
        // Without `dedupe` oneself is several.
        for entry in own.into_iter().rev() {
            shown.insert(at, entry);
        }
        shown
    }
}

/// A bar in the page. It goes with this value.
#[derive(Debug)]
pub(crate) struct Bar {
    root: HtmlElement,
    dots: HtmlElement,
    rest: HtmlElement,
    max: usize,
    place: Place,
    picture: RefCell<Picture>,
}

/// What is drawn.
#[derive(Debug)]
struct Picture {
    dots: People,
    rest: People,
    shown: Vec<Rc<Entry>>,
    /// False until the first snapshot: nobody in that is entering.
    is_known: bool,
}

impl Bar {
    /// Puts an empty bar into an element.
    pub(crate) fn new(
        target: &HtmlElement,
        max: usize,
        place: Place,
        settings: &JsValue,
    ) -> Rc<Self> {
        Rc::new_cyclic(|it: &Weak<Self>| {
            let it = it.clone();
            let parts = bar(
                target,
                settings,
                &function(move |_| {
                    if let Some(bar) = it.upgrade()
                        && let Ok(mut picture) = bar.picture.try_borrow_mut()
                    {
                        picture.draw_rest(bar.max);
                    }
                }),
            );
            let part = |number| -> HtmlElement { parts.get(number).unchecked_into() };
            let (root, dots, rest) = (part(0), part(1), part(2));
            let picture = RefCell::new(Picture {
                dots: People::new(dots.clone(), true),
                rest: People::new(rest.clone(), false),
                shown: Vec::new(),
                is_known: false,
            });
            Self { root, dots, rest, max, place, picture }
        })
    }

    /// Shows these people, oldest first.
    pub(crate) fn draw(&self, entries: &[Rc<Entry>], standing: Standing) {
        // Removing an element can run the page's own code, which may come back to here.
        let Ok(mut picture) = self.picture.try_borrow_mut() else { return };
        let picture = &mut *picture;
        let shown = self.place.arrange(entries, self.max);
        let n_dots = self.max.min(shown.len());
        let dots = shown.get(..n_dots).unwrap_or_default();
        picture.dots.draw(dots, &|id| {
            let is_it = |it: &Rc<Entry>| it.member.id == *id;
            picture.is_known && !picture.shown.iter().any(is_it)
        });
        let n_more = shown.len() - n_dots;
        picture.shown = shown;
        picture.is_known = matches!(standing, Standing::Live | Standing::Stale);
        draw_bar(&self.dots, &self.rest, standing.name(), entries.len(), n_more);
        if !self.rest.hidden() {
            picture.draw_rest(self.max);
        }
    }
}

impl Picture {
    /// Shows those without a dot. Nobody sees them until the list is opened.
    fn draw_rest(&mut self, max: usize) {
        self.rest.draw(self.shown.get(max..).unwrap_or_default(), &|_| false);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.root.remove();
    }
}
