//! What goes wrong, as JavaScript sees it.

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(module = "/js/error.js")]
extern "C" {
    /// An `Error` with a `code`.
    #[wasm_bindgen(extends = js_sys::Error, extends = js_sys::Object, reexport)]
    #[derive(Clone, Debug, PartialEq)]
    pub type PresenceError;

    #[wasm_bindgen(constructor)]
    fn new(code: &str, message: &str) -> PresenceError;

    #[wasm_bindgen(method, setter)]
    fn set_cause(this: &PresenceError, cause: &JsValue);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = reportError)]
    fn report_error(error: &JsValue);
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    pub(crate) fn warn(error: &JsValue);
}

/// The codes of errors that this crate makes itself. The relay's come from its own tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    /// An option is unknown, missing, or of the wrong type.
    BadOptions,
    /// The url can't be a relay's.
    BadUrl,
    /// The key isn't one.
    BadKey,
    /// A placeholder of the key has no value.
    MissingParam,
    /// The meta isn't a JSON object, too large, or too deep.
    BadMeta,
    /// A bar or a flash area has no element to go to.
    BadTarget,
    /// The token function threw, or gave no token. It is called again.
    TokenFailed,
}

impl Code {
    const fn name(self) -> &'static str {
        match self {
            Self::BadOptions => "bad_options",
            Self::BadUrl => "bad_url",
            Self::BadKey => "bad_key",
            Self::MissingParam => "missing_param",
            Self::BadMeta => "bad_meta",
            Self::BadTarget => "bad_target",
            Self::TokenFailed => "token_failed",
        }
    }
}

/// An error of this crate.
pub(crate) fn error(code: Code, message: &str) -> PresenceError {
    PresenceError::new(code.name(), message)
}

/// An error that names the option it is about.
pub(crate) fn option_error(option: &str, problem: &str) -> PresenceError {
    error(Code::BadOptions, &[option, ": ", problem].concat())
}

/// An error that came about by another.
pub(crate) fn error_by(code: Code, message: &str, cause: &JsValue) -> PresenceError {
    let error = error(code, message);
    error.set_cause(cause);
    error
}

/// An error of the relay.
pub(crate) fn relay_error(code: &str, message: &str) -> PresenceError {
    PresenceError::new(code, message)
}

/// Shows what the page's own function threw, as if it had been called by the browser.
pub(crate) fn report(thrown: &JsValue) {
    report_error(thrown);
}
