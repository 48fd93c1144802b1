//! What one call of `connect` has got: its events and flashes on a key.

use crate::clock;
use crate::driver::Driver;
use crate::error::PresenceError;
use crate::flash::FlashTeller;
use crate::meta::Meta;
use crate::open_key::{OpenKey, Standing};
use core::cell::{Cell, RefCell};
use js_sys::{Array, Function};
use presence_core::session::{Event, State};
use presence_core::{Dedupe, Time};
use presence_protocol::{Key, PulseName, PulseValue};
use std::rc::Rc;
use wasm_bindgen::prelude::JsValue;

thread_local! {
    static HANDLES: RefCell<Vec<Rc<Handle>>> = const { RefCell::new(Vec::new()) };
    /// Numbers of handles and of their parts. None is used twice.
    static LAST_ID: Cell<u32> = const { Cell::new(0) };
}

/// One interest of the page in a key. It ends with [`Handle::leave`] and not before: the browser may
/// collect what the page doesn't look at, but the person is still here.
#[derive(Debug)]
pub(crate) struct Handle {
    id: u32,
    driver: Rc<Driver>,
    key: Rc<OpenKey>,
    sink: Function,
    flashes: RefCell<Vec<(u32, Rc<FlashTeller>)>>,
}

impl Handle {
    /// The handle of a number, if it hasn't left.
    pub(crate) fn of(id: u32) -> Option<Rc<Self>> {
        HANDLES.with_borrow(|handles| handles.iter().find(|it| it.id == id).cloned())
    }

    /// Enters a key, or joins those on this page who have.
    pub(crate) fn open(
        driver: &Rc<Driver>,
        key: Key,
        meta: Meta,
        dedupe: Dedupe,
        sink: Function,
    ) -> Result<u32, PresenceError> {
        let known = driver.open_key(&key);
        let is_new = known.is_none();
        let key = match known {
            None => OpenKey::new(key, dedupe, meta),
            Some(known) if known.dedupe == dedupe => {
                known.patch_meta(meta.value())?;
                known
            }
            Some(_) => {
                let message = "dedupe: this page has the key open with the other one";
                return Err(PresenceError::new("bad_options", message));
            }
        };
        let (driver, flashes) = (driver.clone(), RefCell::default());
        let handle = Rc::new(Self { id: next_id(), driver, key, sink, flashes });
        HANDLES.with_borrow_mut(|handles| handles.push(handle.clone()));
        handle.key.add_handle(handle.clone());
        if is_new {
            handle.driver.join(&handle.key);
        } else {
            handle.driver.update(&handle.key);
            if matches!(handle.key.standing(&handle.driver), Standing::Live | Standing::Stale) {
                handle.emit("ready", &[]);
            }
        }
        Ok(handle.id)
    }

    pub(crate) fn members(&self) -> Array {
        self.key.members(&self.driver).list().clone()
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.driver.state() {
            _ if self.key.is_stopped(&self.driver) => "stopped",
            State::Stopped(_) => "stopped",
            state => state.name(),
        }
    }

    pub(crate) fn round_trip(&self) -> Option<f64> {
        self.driver.round_trip()
    }

    /// Changes the meta and tells the others.
    pub(crate) fn update(&self, patch: &JsValue) -> Result<(), PresenceError> {
        self.key.patch_meta(patch)?;
        self.driver.update(&self.key);
        Ok(())
    }

    /// Says something for a moment; false if it isn't a pulse, or this page has too many.
    pub(crate) fn pulse(&self, name: &str, value: Option<&str>) -> bool {
        let (Some(name), parsed) = (PulseName::parse(name), value.and_then(PulseValue::parse))
        else {
            return false;
        };
        parsed.is_some() == value.is_some() && self.driver.pulse(&self.key, name, parsed)
    }

    /// Asks who has viewed the key; the answer is told as it comes.
    pub(crate) fn ask_last_seen(&self) {
        self.driver.ask_last_seen(&self.key);
    }

    /// What the members are worth.
    pub(crate) fn standing(&self) -> Standing {
        self.key.standing(&self.driver)
    }

    /// Tells from now on who joins and leaves.
    pub(crate) fn add_flashes(&self, flashes: FlashTeller) -> u32 {
        let id = next_id();
        self.flashes.borrow_mut().push((id, Rc::new(flashes)));
        id
    }

    /// Somebody reads flashes, or doesn't any more.
    pub(crate) fn hold(&self, id: u32, is_held: bool) {
        let found = self.flashes().into_iter().find(|it| it.0 == id);
        if let Some((_, flashes)) = found {
            flashes.hold(clock::now(), is_held);
            self.driver.rearm();
        }
    }

    /// Takes flashes away.
    pub(crate) fn remove(&self, id: u32) {
        // They outlive the borrow: what goes out of the page can run the page's own code, which may come
        // back to here.
        let before = self.flashes();
        self.flashes.borrow_mut().retain(|it| it.0 != id);
        for (_, flashes) in before.iter().filter(|it| it.0 == id) {
            flashes.end();
        }
    }

    /// Leaves, and takes everything away that it put into the page.
    pub(crate) fn leave(id: u32) {
        let Some(handle) = Self::of(id) else { return };
        HANDLES.with_borrow_mut(|handles| handles.retain(|it| it.id != id));
        for (_, flashes) in handle.flashes.take() {
            flashes.end();
        }
        if handle.key.remove_handle(&handle) {
            handle.driver.leave(&handle.key);
        }
    }

    /// Takes an event; `member` stands for whom it is about.
    pub(crate) fn flash(&self, now: Time, n_members: usize, event: &Event<Meta>, member: &JsValue) {
        for (_, flashes) in self.flashes() {
            flashes.observe(now, n_members, event, member);
        }
    }

    /// When a flash has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.flashes.borrow().iter().filter_map(|(_, it)| it.poll_timeout()).min()
    }

    /// Does what flashes have to do.
    pub(crate) fn handle_timeout(&self, now: Time) {
        for (_, flashes) in self.flashes() {
            flashes.handle_timeout(now);
        }
    }

    /// Tells the page.
    pub(crate) fn emit(&self, event: &str, parts: &[&JsValue]) {
        let arguments = Array::of1(&JsValue::from_str(event));
        for part in parts {
            arguments.push(part);
        }
        // What the page's own code throws, `js/here.js` has caught.
        let _ = self.sink.apply(&JsValue::UNDEFINED, &arguments);
    }

    /// A copy, since what they tell can make the page add and remove some.
    fn flashes(&self) -> Vec<(u32, Rc<FlashTeller>)> {
        self.flashes.borrow().clone()
    }
}

fn next_id() -> u32 {
    LAST_ID.with(|last| {
        last.set(last.get().wrapping_add(1));
        last.get()
    })
}
