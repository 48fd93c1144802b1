//! What goes wrong, as JavaScript sees it.

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

// Not a local `module`: that would be copied, and a copied class is another class.
#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    /// An `Error` with a `code`. The codes are listed in `index.d.ts`.
    #[wasm_bindgen(extends = js_sys::Error, extends = js_sys::Object)]
    #[derive(Clone, Debug, PartialEq)]
    pub type PresenceError;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(code: &str, message: &str) -> PresenceError;

    #[wasm_bindgen(constructor)]
    pub(crate) fn with_cause(code: &str, message: &str, cause: &JsValue) -> PresenceError;
}
