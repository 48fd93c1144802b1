//! One key that this page is in, whoever on the page has asked for it.

use crate::bar::Standing;
use crate::clock;
use crate::driver::Driver;
use crate::error::PresenceError;
use crate::events::EventName;
use crate::handle::Handle;
use crate::js::object;
use crate::members::{Entry, Members};
use crate::meta::Meta;
use core::cell::{Cell, Ref, RefCell};
use presence_core::session::{Event, State};
use presence_core::{Dedupe, Flashes, Time};
use presence_protocol::Key;
use std::rc::Rc;
use wasm_bindgen::prelude::JsValue;

/// What all handles of a key share.
#[derive(Debug)]
pub(crate) struct OpenKey {
    pub(crate) key: Key,
    pub(crate) dedupe: Dedupe,
    meta: RefCell<Meta>,
    members: RefCell<Members>,
    /// True if the roster may have changed since `members` was refreshed.
    is_outdated: Cell<bool>,
    flashes: RefCell<Flashes>,
    handles: RefCell<Vec<Rc<Handle>>>,
    /// Why the relay ended it.
    refused: RefCell<Option<PresenceError>>,
}

impl OpenKey {
    pub(crate) fn new(key: Key, dedupe: Dedupe, meta: Meta) -> Rc<Self> {
        Rc::new(Self {
            key,
            dedupe,
            meta: RefCell::new(meta),
            members: RefCell::default(),
            is_outdated: Cell::new(true),
            flashes: RefCell::default(),
            handles: RefCell::default(),
            refused: RefCell::default(),
        })
    }

    pub(crate) fn meta(&self) -> Meta {
        self.meta.borrow().clone()
    }

    /// Changes the meta, if what comes out is one.
    pub(crate) fn patch_meta(&self, patch: &JsValue) -> Result<(), PresenceError> {
        let patched = self.meta.borrow().patched(patch)?;
        self.meta.replace(patched);
        Ok(())
    }

    pub(crate) fn add_handle(&self, handle: Rc<Handle>) {
        self.handles.borrow_mut().push(handle);
    }

    /// Removes a handle; true if it was the last one.
    pub(crate) fn remove_handle(&self, handle: &Rc<Handle>) -> bool {
        let mut handles = self.handles.borrow_mut();
        handles.retain(|it| !Rc::ptr_eq(it, handle));
        handles.is_empty()
    }

    /// True if it has ended: by the relay, for this key or for all of them.
    pub(crate) fn is_stopped(&self, driver: &Driver) -> bool {
        self.refused.borrow().is_some() || matches!(driver.state(), State::Stopped(_))
    }

    /// The members as they are now; nobody once it has ended.
    pub(crate) fn members(&self, driver: &Driver) -> Ref<'_, Members> {
        if self.is_outdated.replace(false) {
            let mut members = self.members.borrow_mut();
            driver.with_session(|session| match session.roster(&self.key) {
                Some(roster) if !self.is_stopped(driver) => {
                    members.refresh(roster, clock::wall_time(session.epoch_began()));
                }
                _ => *members = Members::default(),
            });
        }
        self.members.borrow()
    }

    /// What a bar shows. A copy, since drawing can run the page's own code.
    pub(crate) fn picture(&self, driver: &Driver) -> (Vec<Rc<Entry>>, Standing) {
        let standing = driver.with_session(|session| match session.roster(&self.key) {
            _ if self.is_stopped(driver) => Standing::Stopped,
            Some(roster) if roster.is_stale() => Standing::Stale,
            Some(roster) if roster.is_ready() => Standing::Live,
            _ => Standing::Connecting,
        });
        (self.members(driver).entries().to_vec(), standing)
    }

    /// When a flash has to go.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.flashes.borrow().poll_timeout()
    }

    /// Lets flashes go that have been there long enough.
    pub(crate) fn handle_timeout(&self, now: Time) {
        self.flashes.borrow_mut().handle_timeout(now);
        self.draw_flashes();
    }

    /// Takes an event of this key.
    pub(crate) fn tell(&self, driver: &Rc<Driver>, event: &Event<Meta>) {
        self.is_outdated.set(true);
        self.flashes.borrow_mut().observe(clock::now(), event);
        self.draw_flashes();
        let member = |it| self.members(driver).object_of(it);
        match event {
            Event::Joined { member: it, quiet, .. } => self.emit(EventName::Join, || {
                object(&[("member", member(it)), ("quiet", (*quiet).into())]).into()
            }),
            Event::Left { member: it, reason, quiet, .. } => self.emit(EventName::Leave, || {
                object(&[
                    ("member", member(it)),
                    ("reason", JsValue::from_str(reason.name())),
                    ("quiet", (*quiet).into()),
                ])
                .into()
            }),
            Event::Updated { before, member: it, .. } => self.emit(EventName::Update, || {
                object(&[("member", member(it)), ("before", member(before))]).into()
            }),
            Event::Ready { .. } => {
                for handle in self.handles() {
                    handle.settle(Ok(()));
                }
            }
            Event::Changed { .. } => {
                self.draw(driver);
                self.emit(EventName::Change, || {
                    let members = self.members(driver).list().clone();
                    object(&[("count", members.length().into()), ("members", members.into())])
                        .into()
                });
            }
            Event::State(_) | Event::Refused { .. } | Event::Complaint { .. } => {}
        }
    }

    /// Takes the connection's state.
    pub(crate) fn tell_state(&self, driver: &Rc<Driver>, state: State) {
        let reason = match state {
            State::Stopped(reason) => Some(reason.name()),
            State::Connecting | State::Live | State::Reconnecting => None,
        };
        self.emit_state(driver, state.name(), reason);
    }

    /// The relay has ended this key, and goes on with the others.
    pub(crate) fn refuse(&self, driver: &Rc<Driver>, code: &str, error: &PresenceError) {
        self.refused.replace(Some(error.clone()));
        self.emit_state(driver, "stopped", Some(code));
        self.fail(error);
    }

    /// It has ended. Who waits for the first snapshot waits in vain.
    pub(crate) fn fail(&self, error: &PresenceError) {
        for handle in self.handles() {
            handle.settle(Err(error.clone()));
        }
        self.tell_error(error);
    }

    /// Tells of an error.
    pub(crate) fn tell_error(&self, error: &PresenceError) {
        for handle in self.handles() {
            handle.tell_error(error);
        }
    }

    fn emit_state(&self, driver: &Rc<Driver>, state: &str, reason: Option<&str>) {
        self.is_outdated.set(true);
        self.draw(driver);
        self.emit(EventName::State, || {
            let event = object(&[("state", JsValue::from_str(state))]);
            if let Some(reason) = reason {
                event.set_field("reason", &JsValue::from_str(reason));
            }
            event.into()
        });
    }

    fn draw(&self, driver: &Rc<Driver>) {
        let (entries, standing) = self.picture(driver);
        for handle in self.handles() {
            handle.draw(&entries, standing);
        }
    }

    fn draw_flashes(&self) {
        loop {
            let output = self.flashes.borrow_mut().poll_output();
            let Some(output) = output else { break };
            for handle in self.handles() {
                handle.draw_flash(&output);
            }
        }
    }

    fn emit(&self, name: EventName, event: impl Fn() -> JsValue) {
        for handle in self.handles() {
            handle.emit(name, &event);
        }
    }

    /// The handles; a copy, since what they are told can make the page add and remove some.
    fn handles(&self) -> Vec<Rc<Handle>> {
        self.handles.borrow().clone()
    }
}
