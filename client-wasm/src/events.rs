//! The page's listeners.

use crate::error::{PresenceError, option_error, report};
use core::cell::{Cell, RefCell};
use js_sys::Function;
use wasm_bindgen::prelude::JsValue;

/// What a page can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventName {
    Join,
    Leave,
    Update,
    State,
    Change,
    Error,
}

impl EventName {
    pub(crate) fn parse(name: &JsValue) -> Result<Self, PresenceError> {
        let name = name.as_string().unwrap_or_default();
        Ok(match name.as_str() {
            "join" => Self::Join,
            "leave" => Self::Leave,
            "update" => Self::Update,
            "state" => Self::State,
            "change" => Self::Change,
            "error" => Self::Error,
            _ => return Err(option_error("on", &["there is no event \"", &name, "\""].concat())),
        })
    }
}

/// Who wants to hear what.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    next_id: Cell<u32>,
    listeners: RefCell<Vec<(u32, EventName, Function)>>,
}

impl Listeners {
    /// Adds one. Its number removes it.
    pub(crate) fn add(&self, event: EventName, function: Function) -> u32 {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        self.listeners.borrow_mut().push((id, event, function));
        id
    }

    /// Removes one, also from within a listener.
    pub(crate) fn remove(&self, id: u32) {
        self.listeners.borrow_mut().retain(|(it, ..)| *it != id);
    }

    /// Removes all.
    pub(crate) fn clear(&self) {
        self.listeners.borrow_mut().clear();
    }

    /// Calls those who want to hear it, in the order in which they came. `event` is made for them only.
    /// What one of them throws is the page's own affair. Says whether there were any.
    pub(crate) fn emit(&self, name: EventName, event: impl FnOnce() -> JsValue) -> bool {
        let listeners = self.listeners.borrow();
        let wanted = listeners.iter().filter(|(_, it, _)| *it == name).map(|(id, ..)| *id);
        let ids: Vec<_> = wanted.collect();
        drop(listeners);
        if ids.is_empty() {
            return false;
        }
        let event = event();
        for id in ids {
            let listeners = self.listeners.borrow();
            let listener = listeners.iter().find(|(it, ..)| *it == id);
            let Some(function) = listener.map(|(.., it)| it.clone()) else { continue };
            drop(listeners);
            if let Err(thrown) = function.call1(&JsValue::UNDEFINED, &event) {
                report(&thrown);
            }
        }
        true
    }
}
