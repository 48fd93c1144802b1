//! The person behind a session: an object of JavaScript's, which has checked it.

use crate::meta::Meta;
use crate::page;
use presence_core::roster;
use presence_protocol::{Presence, UserId};
use wasm_bindgen::prelude::JsValue;

/// A person. What isn't needed to tell one from the other stays in JavaScript.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct User {
    id: UserId,
    object: Meta,
}

pub(crate) type Member = presence_core::Member<Meta, User>;
pub(crate) type PresenceHere = Presence<Meta, User>;

impl User {
    pub(crate) fn take() -> Self {
        let id = UserId::parsed(&page::take_text());
        Self { id, object: Meta::new(page::take()) }
    }

    /// The object.
    pub(crate) fn value(&self) -> &JsValue {
        self.object.value()
    }
}

impl roster::Person for User {
    fn id(&self) -> &UserId {
        &self.id
    }
}
