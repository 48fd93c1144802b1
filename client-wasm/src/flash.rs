//! The flash area: "bob joined", for four seconds.

use crate::look::{hex_color, ink};
use core::cell::RefCell;
use js_sys::Array;
use presence_core::flash::FlashKind;
use presence_protocol::User;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::HtmlElement;

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    #[wasm_bindgen(js_name = flashArea)]
    fn flash_area(area: &HtmlElement) -> Array;
    fn flash(
        area: &HtmlElement,
        messages: &JsValue,
        name: &str,
        kind: &str,
        color: &str,
        ink: &str,
    ) -> HtmlElement;
    fn undo(area: &HtmlElement, attributes: &Array);
}

/// A flash area in the page. What it put there goes with this value.
#[derive(Debug)]
pub(crate) struct FlashArea {
    area: HtmlElement,
    messages: JsValue,
    /// The attributes that the page hadn't set itself.
    attributes: Array,
    flashes: RefCell<Vec<(u32, HtmlElement)>>,
}

impl FlashArea {
    /// Makes an element a flash area.
    pub(crate) fn new(area: HtmlElement, messages: JsValue) -> Self {
        Self { attributes: flash_area(&area), area, messages, flashes: RefCell::default() }
    }

    /// Shows a message.
    pub(crate) fn show(&self, id: u32, kind: FlashKind, user: &User) {
        let kind = match kind {
            FlashKind::Joined => "joined",
            FlashKind::Left => "left",
        };
        let color = user.color();
        let flash =
            flash(&self.area, &self.messages, user.name(), kind, &hex_color(color), ink(color));
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
        undo(&self.area, &self.attributes);
    }
}
