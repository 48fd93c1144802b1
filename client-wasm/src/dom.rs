//! The page's document, as far as this crate touches it. Text goes in as text only.

use crate::error::{Code, PresenceError, error};
use crate::js::{Callback, Fields};
use crate::look::ink;
use presence_protocol::Color;
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};
use web_sys::{Document, Element, EventTarget, HtmlElement, Window};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_name = document)]
    static DOCUMENT: Document;
    #[wasm_bindgen(thread_local_v2, js_name = window)]
    static WINDOW: Window;
    // Unlike web-sys's, it says that this crate makes elements of HTML only, which can't fail.
    #[wasm_bindgen(js_namespace = document, js_name = createElement)]
    fn create_element(tag: &str) -> HtmlElement;
}

/// The page's document.
pub(crate) fn document() -> Document {
    DOCUMENT.with(Clone::clone)
}

/// The page's window.
pub(crate) fn window() -> Window {
    WINDOW.with(Clone::clone)
}

/// The element that the page means: itself, or the first that a selector finds.
pub(crate) fn target(value: &JsValue) -> Result<HtmlElement, PresenceError> {
    if let Some(element) = value.dyn_ref::<HtmlElement>() {
        return Ok(element.clone());
    }
    let selector = value
        .as_string()
        .ok_or_else(|| error(Code::BadTarget, "the target must be a selector or an element"))?;
    let found = document().query_selector(&selector).ok().flatten();
    found
        .and_then(|it| it.dyn_into().ok())
        .ok_or_else(|| error(Code::BadTarget, &["nothing matches \"", &selector, "\""].concat()))
}

/// A new element of a class.
pub(crate) fn element(tag: &str, class: &str) -> HtmlElement {
    let element = create_element(tag);
    element.set_class_name(class);
    element
}

/// Sets an attribute if it isn't so already, so that nothing is redrawn for nothing.
pub(crate) fn set_attribute(element: &Element, name: &str, value: &str) {
    if element.get_attribute(name).as_deref() != Some(value) {
        let _ = element.set_attribute(name, value);
    }
}

/// Sets the text if it isn't so already.
pub(crate) fn set_text(element: &Element, text: &str) {
    if element.text_content().as_deref() != Some(text) {
        element.set_text_content(Some(text));
    }
}

/// Appends a child.
pub(crate) fn append(parent: &Element, child: &Element) {
    let _ = parent.append_child(child);
}

/// Puts a person's color on an element, and what can be read on it. Strict content security policies
/// allow this, unlike a `style` attribute.
pub(crate) fn set_color(element: &HtmlElement, color: Color) {
    let style = element.style();
    let _ = style.set_property("--presence-color", &color.to_string());
    let _ = style.set_property("--presence-ink", ink(color));
}

/// Moves what has just come up sideways, as far as it sticks out of the window.
pub(crate) fn keep_in_view(element: &HtmlElement) {
    const MARGIN: f64 = 4.0;
    let style = element.style();
    let _ = style.remove_property("--presence-shift");
    let bounds = element.get_bounding_client_rect();
    let width = document().document_element().map_or(0, |it| it.client_width());
    let over = bounds.right() + MARGIN - f64::from(width);
    let shift = if over > 0.0 { -over } else { MARGIN - bounds.left() };
    if over > 0.0 || shift > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "pixels")]
        let pixels = [&(shift.ceil() as i32).to_string(), "px"].concat();
        let _ = style.set_property("--presence-shift", &pixels);
    }
}

/// An event listener that goes with this value.
#[derive(Debug)]
pub(crate) struct Listener {
    target: EventTarget,
    event: &'static str,
    callback: Callback,
}

impl Listener {
    pub(crate) fn new(
        target: &EventTarget,
        event: &'static str,
        callback: impl Fn(&Fields) + 'static,
    ) -> Self {
        let callback = Callback::new(move |event: JsValue| callback(event.unchecked_ref()));
        let target = target.clone();
        let _ = target.add_event_listener_with_callback(event, callback.as_ref().unchecked_ref());
        Self { target, event, callback }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let callback = self.callback.as_ref().unchecked_ref();
        let _ = self.target.remove_event_listener_with_callback(self.event, callback);
    }
}
