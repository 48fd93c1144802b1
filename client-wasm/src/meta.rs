//! What a page puts into its presence: a JSON object of the engine's own.

use crate::page;
use core::fmt;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    #[wasm_bindgen(js_name = isSame)]
    fn is_same(one: &JsValue, other: &JsValue) -> bool;
}

/// A meta. It is always a plain object that came out of `JSON.parse`, so no two pages' metas share
/// anything, and nothing in it can run.
#[derive(Clone)]
pub(crate) struct Meta(JsValue);

impl Meta {
    /// A meta that came out of `JSON.parse`, from the relay or from `js/meta.js`, which have checked that it is an
    /// object.
    pub(crate) const fn new(value: JsValue) -> Self {
        Self(value)
    }

    /// The next value, unless that is `undefined`.
    pub(crate) fn take_optional() -> Option<Self> {
        let value = page::take();
        (!value.is_undefined()).then_some(Self(value))
    }

    /// The object, for a frame.
    pub(crate) fn value(&self) -> &JsValue {
        &self.0
    }
}

impl PartialEq for Meta {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meta")
    }
}
