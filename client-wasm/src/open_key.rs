//! One key that this page is in, whoever on the page has asked for it.

use crate::clock;
use crate::driver::Driver;
use crate::error::PresenceError;
use crate::handle::Handle;
use crate::members::Members;
use crate::meta::Meta;
use crate::text::digits;
use core::cell::{Cell, Ref, RefCell};
use presence_core::session::{Event, State};
use presence_core::{Dedupe, Roster, Time};
use presence_protocol::{Key, Pulse, PulseValue};
use std::rc::Rc;
use wasm_bindgen::prelude::JsValue;

/// What a roster is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known yet.
    Connecting,
    /// It is up to date, or will be before anybody could be missed.
    Live,
    /// The relay has been out of reach for longer than the grace: this is how it was.
    Stale,
    /// It will not come back by itself.
    Stopped,
}

/// What all handles of a key share.
#[derive(Debug)]
pub(crate) struct OpenKey {
    pub(crate) key: Key,
    pub(crate) dedupe: Dedupe,
    meta: RefCell<Meta>,
    members: RefCell<Members>,
    /// What the roster's count of changes was when `members` was refreshed; `None` without a roster.
    seen_changes: Cell<Option<u32>>,
    handles: RefCell<Vec<Rc<Handle>>>,
    /// True if the relay has ended it.
    is_refused: Cell<bool>,
}

impl OpenKey {
    pub(crate) fn new(key: Key, dedupe: Dedupe, meta: Meta) -> Rc<Self> {
        Rc::new(Self {
            key,
            dedupe,
            meta: RefCell::new(meta),
            members: RefCell::default(),
            seen_changes: Cell::new(None),
            handles: RefCell::default(),
            is_refused: Cell::new(false),
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
        self.is_refused.get() || matches!(driver.state(), State::Stopped(_))
    }

    /// The members as they are now; nobody once it has ended.
    pub(crate) fn members(&self, driver: &Driver) -> Ref<'_, Members> {
        driver.with_session(|session| {
            let roster = session.roster(&self.key).filter(|_| !self.is_stopped(driver));
            let n_changes = roster.map(Roster::n_changes);
            // Several events come of one change.
            if self.seen_changes.replace(n_changes) != n_changes {
                let mut members = self.members.borrow_mut();
                match roster {
                    Some(it) => members.refresh(it, clock::wall_time(session.epoch_began())),
                    None => *members = Members::default(),
                }
            }
        });
        self.members.borrow()
    }

    /// What the roster is worth.
    pub(crate) fn standing(&self, driver: &Driver) -> Standing {
        driver.with_session(|session| match session.roster(&self.key) {
            _ if self.is_stopped(driver) => Standing::Stopped,
            Some(roster) if roster.is_stale() => Standing::Stale,
            Some(roster) if roster.is_ready() => Standing::Live,
            _ => Standing::Connecting,
        })
    }

    /// When a flash has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.handles.borrow().iter().filter_map(|it| it.poll_timeout()).min()
    }

    /// Does what flashes have to do.
    pub(crate) fn handle_timeout(&self, now: Time) {
        for handle in self.handles() {
            handle.handle_timeout(now);
        }
    }

    /// Takes an event of this key.
    pub(crate) fn tell(&self, driver: &Driver, event: &Event<Meta>) {
        if let Event::Joined { member, .. } | Event::Left { member, .. } = event {
            let members = self.members(driver);
            let (n_members, object) = (members.len(), members.object_of(member));
            drop(members);
            for handle in self.handles() {
                handle.flash(clock::now(), n_members, event, &object);
            }
        }
        let object = |it| self.members(driver).object_of(it);
        match event {
            Event::Joined { member, quiet, .. } => {
                self.emit("join", &[&object(member), &(*quiet).into()]);
            }
            Event::Left { member, reason, quiet, .. } => {
                let reason = JsValue::from_str(reason.name());
                self.emit("leave", &[&object(member), &(*quiet).into(), &reason]);
            }
            Event::Updated { before, member, .. } => {
                self.emit("update", &[&object(member), &object(before)]);
            }
            Event::Pulse { pulse: Pulse { session, name, value }, .. } => {
                let who = driver.with_session(|it| {
                    it.roster(&self.key).and_then(|it| it.member_of(*session)).cloned()
                });
                let value = value.as_ref().map(PulseValue::as_str);
                let who = who.map(|it| self.members(driver).object_of(&it)).unwrap_or_default();
                let parts =
                    [digits(session.bits(), 16, 16).into(), name.as_str().into(), value.into()];
                let [session, name, value]: [JsValue; 3] = parts;
                self.emit("pulse", &[&who, &session, &name, &value]);
            }
            Event::Ready { .. } => self.emit("ready", &[]),
            Event::Changed { .. } => {
                let members = self.members(driver).list().clone();
                self.emit("change", &[&members]);
            }
            Event::State(_) | Event::Refused { .. } | Event::Complaint { .. } => {}
        }
    }

    /// Takes the connection's state.
    pub(crate) fn tell_state(&self, state: State) {
        let reason = match state {
            State::Stopped(reason) => JsValue::from_str(reason.name()),
            State::Connecting | State::Live | State::Reconnecting => JsValue::UNDEFINED,
        };
        for handle in self.handles() {
            handle.flash(clock::now(), 0, &Event::State(state), &JsValue::UNDEFINED);
        }
        self.emit("state", &[&JsValue::from_str(state.name()), &reason]);
    }

    /// The relay has ended this key, and goes on with the others.
    pub(crate) fn refuse(&self, event: &Event<Meta>, code: &str, error: &PresenceError) {
        self.is_refused.set(true);
        for handle in self.handles() {
            handle.flash(clock::now(), 0, event, &JsValue::UNDEFINED);
        }
        self.emit("state", &["stopped".into(), code.into()].each_ref());
        self.fail(error);
    }

    /// It has ended. Who waits for the first snapshot waits in vain.
    pub(crate) fn fail(&self, error: &PresenceError) {
        self.emit("failed", &[error]);
        self.emit("error", &[error]);
    }

    /// Tells all handles.
    pub(crate) fn emit(&self, event: &str, parts: &[&JsValue]) {
        for handle in self.handles() {
            handle.emit(event, parts);
        }
    }

    /// The handles; a copy, since what they are told can make the page add and remove some.
    fn handles(&self) -> Vec<Rc<Handle>> {
        self.handles.borrow().clone()
    }
}
