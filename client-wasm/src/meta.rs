//! What a page puts into its presence: a JSON object of the engine's own.

use crate::js::{Fields, as_object, to_json};
use core::fmt;
use wasm_bindgen::prelude::JsValue;

/// A meta. It is always a plain object that came out of `JSON.parse`, so no two pages' metas share
/// anything, and nothing in it can run.
#[derive(Clone)]
pub(crate) struct Meta(Fields);

impl Meta {
    /// A meta that came out of `JSON.parse`, from the relay or from `js/meta.js`; `None` if it isn't an object.
    pub(crate) fn received(value: &JsValue) -> Option<Self> {
        as_object(value).cloned().map(Self)
    }

    /// The object, for a frame.
    pub(crate) fn value(&self) -> &JsValue {
        &self.0
    }
}

impl PartialEq for Meta {
    fn eq(&self, other: &Self) -> bool {
        let text = |it: &Self| to_json(&it.0).ok().flatten();
        // Mostly it is the very same object.
        AsRef::<JsValue>::as_ref(&self.0) == AsRef::<JsValue>::as_ref(&other.0)
            || text(self) == text(other)
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meta")
    }
}
