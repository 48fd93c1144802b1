//! What a page puts into its presence: a JSON object of the engine's own.

use crate::error::{Code, PresenceError, error, error_by};
use crate::js::{Fields, as_object, bare_object, keys, parse_json, to_json};
use core::fmt;
use wasm_bindgen::prelude::{JsCast, JsValue};

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
        let not_json = |cause| error_by(Code::BadMeta, "meta must be plain JSON", &cause);
        let text = to_json(value).map_err(not_json)?;
        let text = text.as_ref().and_then(|it| it.as_string()).unwrap_or_default();
        // The relay would refuse it too, but only later.
        presence_protocol::Meta::from_json_value(&text)
            .map_err(|problem| error(Code::BadMeta, problem.message()))?;
        let copy = parse_json(&JsValue::from_str(&text)).map_err(not_json)?;
        Ok(Self(copy.unchecked_into()))
    }

    /// The empty meta.
    pub(crate) fn empty() -> Self {
        Self(bare_object())
    }

    /// This meta with the fields of `patch`; those that are `null` are removed.
    pub(crate) fn patched(&self, patch: &JsValue) -> Result<Self, PresenceError> {
        let patch = Self::given(patch)?;
        let merged = bare_object();
        let put = |from: &Self, is_kept: &dyn Fn(&str) -> bool| {
            for name in keys(&from.0).iter().filter_map(|it| it.as_string()) {
                if is_kept(&name) {
                    merged.set_field(&name, &from.0.field(&name));
                }
            }
        };
        let is_null = |name: &str| patch.0.field(name).is_null();
        put(self, &|name| !is_null(name));
        put(&patch, &|name| !is_null(name));
        Self::given(&merged)
    }

    /// The metas of one person's sessions as one, by top-level field. The first that has it wins.
    pub(crate) fn merged<'a>(metas: impl Iterator<Item = &'a Self>) -> JsValue {
        let merged = bare_object();
        for meta in metas {
            for name in keys(&meta.0).iter().filter_map(|it| it.as_string()) {
                if merged.field(&name).is_undefined() {
                    merged.set_field(&name, &meta.0.field(&name));
                }
            }
        }
        // A copy, so that nobody who changes it changes what the roster holds.
        let text = to_json(&merged).ok().flatten().map_or(JsValue::NULL, Into::into);
        parse_json(&text).unwrap_or_else(|_| merged.into())
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
