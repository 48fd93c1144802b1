//! What one call of `connect` has got: its listeners, bars and flash areas on a key.

use crate::bar::{Bar, Standing};
use crate::driver::Driver;
use crate::error::{PresenceError, option_error, warn};
use crate::events::{EventName, Listeners};
use crate::flash::FlashArea;
use crate::members::Entry;
use crate::open_key::OpenKey;
use crate::options::{BarOptions, ConnectOptions};
use core::cell::{Cell, RefCell};
use js_sys::{Array, Function, Promise};
use presence_core::flash::FlashOutput;
use std::rc::Rc;
use wasm_bindgen::prelude::JsValue;
use web_sys::HtmlElement;

/// One interest of the page in a key. It ends with [`Handle::leave`], not when it is dropped: the
/// browser may collect what the page doesn't look at, but the person is still here.
#[derive(Debug)]
pub(crate) struct Handle {
    driver: Rc<Driver>,
    key: Rc<OpenKey>,
    has_left: Cell<bool>,
    ready: RefCell<Ready>,
    listeners: Listeners,
    bars: RefCell<Vec<Rc<Bar>>>,
    flash_areas: RefCell<Vec<Rc<FlashArea>>>,
}

/// The promise of the first snapshot. It is made for those who ask only: nobody else wants to hear of
/// its rejection.
#[derive(Debug)]
enum Ready {
    /// Nobody has asked.
    Open,
    /// Somebody has.
    Promised { promise: Promise, resolve: Function, reject: Function },
    /// It is known.
    Settled(Promise),
}

impl Handle {
    /// Enters a key, or joins those on this page who have.
    pub(crate) fn open(options: ConnectOptions) -> Result<Rc<Self>, PresenceError> {
        let driver = Driver::of(&options);
        let ConnectOptions { key, meta, dedupe, .. } = options;
        let open = driver.open_key(&key);
        if let Some(open) = &open {
            if open.dedupe != dedupe {
                return Err(option_error("dedupe", "this key is open with the other one"));
            }
            open.patch_meta(meta.value())?;
        }
        let is_new = open.is_none();
        let open = open.unwrap_or_else(|| OpenKey::new(key, dedupe, meta));
        let handle = Rc::new(Self {
            driver: driver.clone(),
            key: open.clone(),
            has_left: Cell::new(false),
            ready: RefCell::new(Ready::Open),
            listeners: Listeners::default(),
            bars: RefCell::default(),
            flash_areas: RefCell::default(),
        });
        open.add_handle(handle.clone());
        if is_new {
            driver.join(&open);
        } else {
            driver.update(&open);
        }
        if matches!(open.picture(&driver).1, Standing::Live | Standing::Stale) {
            handle.settle(Ok(()));
        }
        Ok(handle)
    }

    /// The promise of the first snapshot.
    pub(crate) fn ready(&self) -> Promise {
        let mut ready = self.ready.borrow_mut();
        if let Ready::Promised { promise, .. } | Ready::Settled(promise) = &*ready {
            return promise.clone();
        }
        let mut functions = None;
        let promise = Promise::new(&mut |resolve, reject| functions = Some((resolve, reject)));
        if let Some((resolve, reject)) = functions {
            *ready = Ready::Promised { promise: promise.clone(), resolve, reject };
        }
        promise
    }

    /// Keeps the promise, or breaks it. Only the first time counts.
    pub(crate) fn settle(&self, result: Result<(), PresenceError>) {
        let ready = self.ready();
        let former = self.ready.replace(Ready::Settled(ready));
        if let Ready::Promised { resolve, reject, .. } = former {
            let _ = match result {
                Ok(()) => resolve.call0(&JsValue::UNDEFINED),
                Err(error) => reject.call1(&JsValue::UNDEFINED, &error),
            };
        }
    }

    pub(crate) fn key(&self) -> &OpenKey {
        &self.key
    }

    pub(crate) fn members(&self) -> Array {
        if self.has_left.get() {
            return Array::new();
        }
        self.key.members(&self.driver).list().clone()
    }

    /// The member that the reader of this page is.
    pub(crate) fn me(&self) -> JsValue {
        let members = self.key.members(&self.driver);
        let me = members.entries().iter().find(|it| it.member.is_me);
        me.map_or(JsValue::NULL, |it| it.object().clone())
    }

    pub(crate) fn state(&self) -> &'static str {
        match self.driver.state() {
            _ if self.has_left.get() || self.key.is_stopped(&self.driver) => "stopped",
            state => state.name(),
        }
    }

    /// Changes the meta and tells the others.
    pub(crate) fn update(&self, patch: &JsValue) -> Result<(), PresenceError> {
        self.key.patch_meta(patch)?;
        if !self.has_left.get() {
            self.driver.update(&self.key);
        }
        Ok(())
    }

    /// Calls a function at each event from now on. Its number ends that.
    pub(crate) fn listen(&self, event: EventName, function: Function) -> u32 {
        self.listeners.add(event, function)
    }

    pub(crate) fn unlisten(&self, id: u32) {
        self.listeners.remove(id);
    }

    /// Puts a bar into an element, for as long as it isn't taken away.
    pub(crate) fn add_bar(&self, target: &HtmlElement, options: BarOptions) -> Rc<Bar> {
        let bar = Rc::new(Bar::new(target, options));
        self.bars.borrow_mut().push(bar.clone());
        let (entries, standing) = self.key.picture(&self.driver);
        bar.draw(&entries, standing);
        bar
    }

    pub(crate) fn remove_bar(&self, bar: &Rc<Bar>) {
        self.bars.borrow_mut().retain(|it| !Rc::ptr_eq(it, bar));
    }

    /// Makes an element a flash area, for as long as it isn't taken away.
    pub(crate) fn add_flash_area(&self, target: HtmlElement) -> Rc<FlashArea> {
        let area = Rc::new(FlashArea::new(target));
        self.flash_areas.borrow_mut().push(area.clone());
        area
    }

    pub(crate) fn remove_flash_area(&self, area: &Rc<FlashArea>) {
        self.flash_areas.borrow_mut().retain(|it| !Rc::ptr_eq(it, area));
    }

    /// Leaves, and takes everything away that it put into the page.
    pub(crate) fn leave(self: &Rc<Self>) {
        if self.has_left.replace(true) {
            return;
        }
        self.listeners.clear();
        self.bars.take();
        self.flash_areas.take();
        if self.key.remove_handle(self) {
            self.driver.leave(&self.key);
        }
    }

    pub(crate) fn draw(&self, entries: &[Rc<Entry>], standing: Standing) {
        let bars = self.bars.borrow().clone();
        for bar in bars {
            bar.draw(entries, standing);
        }
    }

    pub(crate) fn draw_flash(&self, output: &FlashOutput) {
        let areas = self.flash_areas.borrow().clone();
        for area in areas {
            match output {
                FlashOutput::Show { id, kind, user } => area.show(*id, *kind, user),
                FlashOutput::Hide { id } => area.hide(*id),
            }
        }
    }

    pub(crate) fn emit(&self, name: EventName, event: &dyn Fn() -> JsValue) {
        self.listeners.emit(name, event);
    }

    /// An error that nobody listens to goes to the console, where its developer looks for it.
    pub(crate) fn tell_error(&self, error: &PresenceError) {
        if !self.listeners.emit(EventName::Error, || error.into()) {
            warn(error);
        }
    }
}
