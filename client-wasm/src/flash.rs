//! The flash area: "bob joined", for four seconds.

use crate::dom::{append, element, set_attribute, set_color};
use core::cell::RefCell;
use presence_core::flash::FlashKind;
use presence_protocol::User;
use web_sys::HtmlElement;

/// A flash area in the page. What it put there goes with this value.
#[derive(Debug)]
pub(crate) struct FlashArea {
    area: HtmlElement,
    /// The attributes that the page hadn't set itself.
    attributes: Vec<&'static str>,
    flashes: RefCell<Vec<(u32, HtmlElement)>>,
}

impl FlashArea {
    /// Makes an element a flash area. It must be in the page before its first message is, or screen
    /// readers don't read that.
    pub(crate) fn new(area: HtmlElement) -> Self {
        let wanted = [
            ("data-presence-flash", ""),
            ("role", "status"),
            ("aria-live", "polite"),
            // Each message by itself, not all of them again with each.
            ("aria-atomic", "false"),
        ];
        let missing = wanted.into_iter().filter(|(name, _)| !area.has_attribute(name));
        let attributes = missing
            .map(|(name, value)| {
                set_attribute(&area, name, value);
                name
            })
            .collect();
        Self { area, attributes, flashes: RefCell::default() }
    }

    /// Shows a message.
    pub(crate) fn show(&self, id: u32, kind: FlashKind, user: &User) {
        let flash = element("div", "presence-flash");
        let name = element("span", "presence-flash-name");
        name.set_text_content(Some(user.name()));
        append(&flash, &name);
        let (kind, text) = match kind {
            FlashKind::Joined => ("joined", " joined"),
            FlashKind::Left => ("left", " left"),
        };
        set_attribute(&flash, "data-kind", kind);
        let _ = flash.append_with_str_1(text);
        set_color(&flash, user.color());
        append(&self.area, &flash);
        self.flashes.borrow_mut().push((id, flash));
    }

    /// Takes a message away.
    pub(crate) fn hide(&self, id: u32) {
        self.flashes.borrow_mut().retain(|(it, flash)| {
            if *it == id {
                flash.remove();
            }
            *it != id
        });
    }
}

impl Drop for FlashArea {
    fn drop(&mut self) {
        for (_, flash) in self.flashes.take() {
            flash.remove();
        }
        for name in &self.attributes {
            let _ = self.area.remove_attribute(name);
        }
    }
}
