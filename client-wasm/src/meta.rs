//! What a page puts into its presence: a JSON object of the engine's own.

use crate::error::PresenceError;
use crate::js::{Fields, as_object, parse_json, to_json};
use core::fmt;
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    fn patched(meta: &Fields, patch: &Fields) -> JsValue;
}

/// A meta. It is always a plain object that came out of `JSON.parse`, so no two pages' metas share
/// anything, and nothing in it can run.
#[derive(Clone)]
pub(crate) struct Meta(Fields);

impl Meta {
    /// A meta that was received; `None` if it isn't an object.
    pub(crate) fn received(value: &JsValue) -> Option<Self> {
        as_object(value).cloned().map(Self)
    }

    /// A meta that the page gave.
    pub(crate) fn given(value: &JsValue) -> Result<Self, PresenceError> {
        let not_json =
            |cause| PresenceError::with_cause("bad_meta", "meta must be plain JSON", &cause);
        let text = to_json(value).map_err(not_json)?;
        let text = text.as_ref().and_then(|it| it.as_string()).unwrap_or_default();
        // The relay would refuse it too, but only later.
        presence_protocol::Meta::from_json_value(&text)
            .map_err(|problem| PresenceError::new("bad_meta", problem.message()))?;
        let copy = parse_json(&JsValue::from_str(&text)).map_err(not_json)?;
        Ok(Self(copy.unchecked_into()))
    }

    /// This meta with the fields of `patch`; those that are `null` are removed.
    pub(crate) fn patched(&self, patch: &JsValue) -> Result<Self, PresenceError> {
        Self::given(&patched(&self.0, &Self::given(patch)?.0))
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
