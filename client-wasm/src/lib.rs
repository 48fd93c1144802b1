//! The browser SDK of whoshere: who else is looking at this page right now.
//!
//! This crate is the shell around [`presence_core::Session`], where all rules are. It owns the socket,
//! the timer, the page's life, the bar and the flash area, and what JavaScript sees. Of the outside it
//! knows no more than `web_sys`, of the protocol no more than its codec.
//!
//! `js/index.js` is the package's entry and `js/index.d.ts` its contract.

mod bar;
mod clock;
mod dom;
mod driver;
mod error;
mod events;
mod flash;
mod handle;
mod js;
mod key;
mod lifecycle;
mod look;
mod members;
mod meta;
mod more;
mod open_key;
mod options;
mod people;
mod socket;
mod timer;
mod token;
mod url;
mod wire;

use crate::error::{PresenceError, option_error};
use crate::events::EventName;
use crate::handle::Handle;
use crate::js::function;
use crate::options::{BarOptions, ConnectOptions};
use js_sys::{Array, Function, Promise};
use std::rc::Rc;
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

/// Enters a key.
///
/// # Errors
///
/// A `PresenceError` if an option is wrong. A relay that can't be reached is none.
#[wasm_bindgen(skip_typescript)]
pub fn connect(options: &JsValue) -> Result<Here, PresenceError> {
    let options = ConnectOptions::parse(options, &dom::document())?;
    Handle::open(options).map(Here)
}

/// A page's view of a key.
#[wasm_bindgen(skip_typescript)]
#[derive(Debug)]
pub struct Here(Rc<Handle>);

#[wasm_bindgen]
impl Here {
    /// Resolves with the first snapshot.
    #[wasm_bindgen(getter)]
    pub fn ready(&self) -> Promise {
        self.0.ready()
    }

    /// The key, filled in.
    #[wasm_bindgen(getter)]
    pub fn key(&self) -> String {
        self.0.key().key.as_str().into()
    }

    /// Everybody who is here, oldest first.
    #[wasm_bindgen(getter)]
    pub fn members(&self) -> Array {
        self.0.members()
    }

    /// How many they are.
    #[wasm_bindgen(getter)]
    pub fn count(&self) -> u32 {
        self.0.members().length()
    }

    /// The reader of this page; null until the first snapshot.
    #[wasm_bindgen(getter, js_name = self)]
    pub fn me(&self) -> JsValue {
        self.0.me()
    }

    /// How the connection is.
    #[wasm_bindgen(getter)]
    pub fn state(&self) -> String {
        self.0.state().into()
    }

    /// Listens to an event. The function that is returned ends that.
    ///
    /// # Errors
    ///
    /// A `PresenceError` if there is no such event.
    pub fn on(&self, event: &JsValue, listener: &JsValue) -> Result<Function, PresenceError> {
        let event = EventName::parse(event)?;
        let listener: Function = listener
            .clone()
            .dyn_into()
            .map_err(|_| option_error("on", "the listener must be a function"))?;
        let id = self.0.listen(event, listener);
        let handle = self.0.clone();
        Ok(function(move |_| handle.unlisten(id)))
    }

    /// Changes what the others see of this page.
    ///
    /// # Errors
    ///
    /// A `PresenceError` if what comes out isn't a meta.
    pub fn update(&self, patch: &JsValue) -> Result<(), PresenceError> {
        self.0.update(patch)
    }

    /// Puts an avatar bar into an element. The function that is returned takes it away.
    ///
    /// # Errors
    ///
    /// A `PresenceError` if there is no such element, or an option is wrong.
    pub fn bar(&self, target: &JsValue, options: &JsValue) -> Result<Function, PresenceError> {
        let options = BarOptions::parse(options)?;
        let bar = self.0.add_bar(&dom::target(target)?, options);
        let (handle, bar) = (self.0.clone(), Rc::downgrade(&bar));
        Ok(function(move |_| {
            if let Some(bar) = bar.upgrade() {
                handle.remove_bar(&bar);
            }
        }))
    }

    /// Shows in an element who joins and leaves. The function that is returned ends that.
    ///
    /// # Errors
    ///
    /// A `PresenceError` if there is no such element.
    pub fn flash(&self, target: &JsValue) -> Result<Function, PresenceError> {
        let area = self.0.add_flash_area(dom::target(target)?);
        let (handle, area) = (self.0.clone(), Rc::downgrade(&area));
        Ok(function(move |_| {
            if let Some(area) = area.upgrade() {
                handle.remove_flash_area(&area);
            }
        }))
    }

    /// Leaves at once, and takes bars and flash areas away.
    pub fn leave(&self) {
        self.0.leave();
    }
}
