//! Drives one `Session`: what happens goes in, and what comes out is told to JavaScript.
//!
//! Flashes are told from within, and so may call back in at any time: nothing is borrowed meanwhile.

use crate::clock;
use crate::flash::{FlashTeller, Teller};
use crate::members::Members;
use crate::meta::Meta;
use crate::text::digits;
use crate::wire;
use core::cell::{Cell, RefCell, RefMut};
use core::time::Duration;
use js_sys::Array;
use presence_core::flash::FlashRules;
use presence_core::session::{Event, Output, State, StopReason};
use presence_core::{Attention, Dedupe, Member, Mode, Roster, Session, Time};
use presence_protocol::{ClientFrame, Dial, Key, Pulse, PulseName, PulseValue, ServerFrame};
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    /// What JavaScript is to do: the name of a method of `Connection`, and its arguments.
    fn output(
        name: &str,
        key: Option<&str>,
        number: u32,
        a: &JsValue,
        b: &JsValue,
        c: &JsValue,
        d: &JsValue,
    ) -> JsValue;
}

thread_local! {
    static DRIVERS: RefCell<Vec<(u32, Rc<Driver>)>> = const { RefCell::new(Vec::new()) };
    /// Numbers of drivers and flashes. None is used twice.
    static LAST_ID: Cell<u32> = const { Cell::new(0) };
}

/// What has happened to the page, by the numbers of `js/shell.js`.
mod page_event {
    pub(super) const HIDE: u32 = 0;
    pub(super) const SHOW: u32 = 1;
    pub(super) const WAKE: u32 = 2;
    pub(super) const LOOK: u32 = 3;
    pub(super) const INPUT: u32 = 4;
}

/// A session and its surroundings.
#[derive(Debug)]
pub(crate) struct Driver {
    session: RefCell<Session<Meta>>,
    /// Whether somebody is looking; `None` if that is nobody's business.
    attention: Cell<Option<Attention>>,
    rosters: RefCell<Vec<Shown>>,
    flashes: RefCell<Vec<Rc<FlashTeller>>>,
    /// When the last heartbeat set out.
    beat_at: Cell<f64>,
    /// How long its answer took.
    round_trip: Cell<f64>,
}

/// A key's members, as JavaScript sees them.
#[derive(Debug)]
struct Shown {
    key: Key,
    members: Members,
    /// What the roster's count of changes was when they were refreshed; `None` without a roster.
    seen_changes: Option<u32>,
}

impl Driver {
    /// The driver of a number.
    pub(crate) fn of(id: u32) -> Option<Rc<Self>> {
        DRIVERS.with_borrow(|drivers| drivers.iter().find(|it| it.0 == id).map(|it| it.1.clone()))
    }

    pub(crate) fn start(idle: Option<Duration>, is_hidden: bool, seed: f64) -> u32 {
        let now = clock::now();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a seed")]
        let mut session = Session::new(seed as u64);
        session.hidden(now, is_hidden);
        let driver = Self {
            session: RefCell::new(session),
            attention: Cell::new(idle.map(|it| Attention::new(now, it, is_hidden))),
            rosters: RefCell::default(),
            flashes: RefCell::default(),
            beat_at: Cell::new(0.0),
            round_trip: Cell::new(f64::NAN),
        };
        driver.attend(now);
        let id = next_id();
        DRIVERS.with_borrow_mut(|drivers| drivers.push((id, Rc::new(driver))));
        id
    }

    pub(crate) fn stop(id: u32) {
        DRIVERS.with_borrow_mut(|drivers| drivers.retain(|it| it.0 != id));
    }

    pub(crate) fn join(&self, key: &str, meta: &JsValue, dedupe: Dedupe) {
        if let (Some(key), Some(meta)) = (Key::parse(key), Meta::received(meta)) {
            self.session.borrow_mut().join(clock::now(), key, meta, dedupe, Mode::Join);
        }
    }

    pub(crate) fn leave(&self, key: &str) {
        if let Some(key) = Key::parse(key) {
            self.session.borrow_mut().leave(&key);
            self.rosters.borrow_mut().retain(|it| it.key != key);
        }
    }

    /// Says something for a moment; false if it isn't a pulse, or this page has too many.
    pub(crate) fn pulse(&self, key: &str, name: &str, value: Option<&str>) -> bool {
        let (Some(key), Some(name)) = (Key::parse(key), PulseName::parse(name)) else {
            return false;
        };
        let parsed = value.and_then(PulseValue::parse);
        parsed.is_some() == value.is_some()
            && self.session.borrow_mut().pulse(clock::now(), &key, name, parsed)
    }

    /// Asks who has viewed a key.
    pub(crate) fn ask_last_seen(&self, key: &str) {
        if let Some(key) = Key::parse(key) {
            self.session.borrow_mut().ask_last_seen(&key);
        }
    }

    pub(crate) fn page_event(&self, event: u32, is_hidden: bool) {
        let now = clock::now();
        if let Some(mut attention) = self.attention.get() {
            if event == page_event::INPUT {
                attention.input(now);
            } else {
                attention.look(now, is_hidden);
            }
            self.attention.set(Some(attention));
        }
        self.attend(now);
        let session = &mut *self.session.borrow_mut();
        if let page_event::WAKE | page_event::LOOK = event {
            session.hidden(now, is_hidden);
        }
        match event {
            page_event::HIDE => session.page_hide(),
            page_event::SHOW => session.page_show(now),
            page_event::WAKE => session.wake(now),
            _ => {}
        }
    }

    pub(crate) fn socket_open(&self, dial: u32) {
        self.session.borrow_mut().socket_open(clock::now(), Dial(dial));
    }

    /// What comes back is to be told at once: it is nothing to the session.
    pub(crate) fn socket_message(&self, dial: u32, data: &JsValue) -> JsValue {
        const NONE: &JsValue = &JsValue::UNDEFINED;
        let frame = wire::decode(data);
        let next = match &frame {
            Some(ServerFrame::Heartbeat { .. }) => {
                self.round_trip.set(clock::running() - self.beat_at.get());
                JsValue::UNDEFINED
            }
            Some(ServerFrame::LastSeen { key, .. }) => {
                output("seen", Some(key.as_str()), 0, data, NONE, NONE, NONE)
            }
            _ => JsValue::UNDEFINED,
        };
        let (session, now, dial) = (&mut *self.session.borrow_mut(), clock::now(), Dial(dial));
        match frame {
            Some(frame) => session.socket_frame(now, dial, frame),
            None => session.socket_garbage(now, dial),
        }
        next
    }

    pub(crate) fn socket_closed(&self, dial: u32, code: u16) {
        self.session.borrow_mut().socket_closed(clock::now(), Dial(dial), code);
    }

    pub(crate) fn token(&self, fetch: u32, token: Option<String>) {
        self.session.borrow_mut().token(clock::now(), fetch, token.ok_or(()));
    }

    pub(crate) fn timer(&self) {
        let now = clock::now();
        self.attend(now);
        for flashes in self.flashes() {
            flashes.handle_timeout(now);
        }
        self.session.borrow_mut().handle_timeout(now);
    }

    /// In how many milliseconds there is something to do.
    #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
    pub(crate) fn delay(&self) -> Option<f64> {
        let now = clock::now();
        let session = self.session.borrow().poll_timeout();
        let attention = self.attention.get().and_then(|it| it.poll_timeout(now));
        let flashes = self.flashes.borrow().iter().filter_map(|it| it.poll_timeout()).min();
        let first = [session, attention, flashes].into_iter().flatten().min()?;
        Some(first.as_millis().saturating_sub(now.as_millis()) as f64)
    }

    pub(crate) fn round_trip(&self) -> f64 {
        self.round_trip.get()
    }

    /// Everybody who is in a key.
    pub(crate) fn list(&self, key: &str) -> Option<Array> {
        Some(self.members(&Key::parse(key)?).list().clone())
    }

    /// Tells from now on who joins a key and who leaves it.
    pub(crate) fn add_flashes(&self, key: &str, teller: Teller, rules: FlashRules) -> Option<u32> {
        let id = next_id();
        let flashes = FlashTeller::new(id, Key::parse(key)?, teller, rules);
        self.flashes.borrow_mut().push(Rc::new(flashes));
        Some(id)
    }

    /// Somebody reads flashes, or doesn't any more.
    pub(crate) fn hold(&self, id: u32, is_held: bool) {
        for flashes in self.flashes() {
            if flashes.id == id {
                flashes.hold(clock::now(), is_held);
            }
        }
    }

    /// Takes flashes away.
    pub(crate) fn remove(&self, id: u32) {
        // They outlive the borrow: what goes out of the page can run the page's own code, which may come
        // back to here.
        let before = self.flashes();
        self.flashes.borrow_mut().retain(|it| it.id != id);
        for flashes in before.iter().filter(|it| it.id == id) {
            flashes.end();
        }
    }

    /// What is to be done next.
    pub(crate) fn poll(&self) -> JsValue {
        const NONE: &JsValue = &JsValue::UNDEFINED;
        let next = self.session.borrow_mut().poll_output();
        match next {
            None => JsValue::UNDEFINED,
            Some(Output::FetchToken { fetch }) => {
                output("fetchToken", None, fetch, NONE, NONE, NONE, NONE)
            }
            Some(Output::Dial { dial }) => output("dial", None, dial.0, NONE, NONE, NONE, NONE),
            Some(Output::Send { dial, frame }) => {
                if matches!(frame, ClientFrame::Heartbeat) {
                    self.beat_at.set(clock::running());
                }
                output("send", None, dial.0, &wire::encode(&frame), NONE, NONE, NONE)
            }
            Some(Output::Close { dial, code }) => {
                output("close", None, dial.0, &code.code().into(), NONE, NONE, NONE)
            }
            Some(Output::Beacon { resume, dial, keys }) => {
                let body = wire::encode_beacon(&resume, dial, &keys);
                output("beacon", None, 0, &body, NONE, NONE, NONE)
            }
            Some(Output::Event(event)) => self.tell(&event),
        }
    }

    fn tell(&self, event: &Event<Meta>) -> JsValue {
        self.flash(event);
        let object = |key: &Key, member: &Arc<Member<Meta>>| self.members(key).object_of(member);
        let mut parts = [const { JsValue::UNDEFINED }; 4];
        let (name, key) = match event {
            Event::State(state) => {
                parts[0] = state.name().into();
                if let State::Stopped(reason) = state {
                    parts[1] = reason.name().into();
                    parts[2] = matches!(reason, StopReason::Refused(_)).into();
                }
                ("state", None)
            }
            Event::Ready { key } => ("ready", Some(key)),
            Event::Joined { key, member, quiet } => {
                parts[0] = object(key, member);
                parts[1] = (*quiet).into();
                ("join", Some(key))
            }
            Event::Left { key, member, reason, quiet } => {
                parts[0] = object(key, member);
                parts[1] = (*quiet).into();
                parts[2] = reason.name().into();
                ("leave", Some(key))
            }
            Event::Updated { key, before, member } => {
                parts[0] = object(key, member);
                parts[1] = object(key, before);
                ("update", Some(key))
            }
            Event::Pulse { key, pulse: Pulse { session, name, value } } => {
                let session_ = self.session.borrow();
                let member = session_.roster(key).and_then(|it| it.member_of(*session)).cloned();
                drop(session_);
                parts[0] = member.map(|it| object(key, &it)).unwrap_or_default();
                parts[1] = digits(session.bits(), 16, 16).into();
                parts[2] = name.as_str().into();
                parts[3] = value.as_ref().map(PulseValue::as_str).into();
                ("pulse", Some(key))
            }
            Event::Changed { key } => {
                let is_stale = self.session.borrow().roster(key).is_some_and(Roster::is_stale);
                parts[0] = is_stale.into();
                ("change", Some(key))
            }
            Event::Refused { key, code, message } => {
                parts[0] = code.name().into();
                parts[1] = message.into();
                ("refuse", Some(key))
            }
            Event::Complaint { key, code, message } => {
                parts[0] = code.name().into();
                parts[1] = message.into();
                ("complain", key.as_ref())
            }
        };
        let [a, b, c, d] = &parts;
        output(name, key.map(Key::as_str), 0, a, b, c, d)
    }

    /// Lets flashes hear of what is theirs.
    fn flash(&self, event: &Event<Meta>) {
        let (key, n_members, object) = match event {
            Event::Joined { key, member, .. } | Event::Left { key, member, .. } => {
                let members = self.members(key);
                (Some(key), members.len(), members.object_of(member))
            }
            Event::State(_) => (None, 0, JsValue::UNDEFINED),
            Event::Refused { key, .. } => (Some(key), 0, JsValue::UNDEFINED),
            _ => return,
        };
        for flashes in self.flashes() {
            if key.is_none_or(|it| *it == flashes.key) {
                flashes.observe(clock::now(), n_members, event, &object);
            }
        }
    }

    /// A key's members as they are now.
    fn members(&self, key: &Key) -> RefMut<'_, Members> {
        let session = self.session.borrow();
        let roster = session.roster(key);
        let n_changes = roster.map(Roster::n_changes);
        let mut rosters = self.rosters.borrow_mut();
        let found = rosters.iter().position(|it| it.key == *key).unwrap_or_else(|| {
            let key = key.clone();
            rosters.push(Shown { key, members: Members::new(), seen_changes: None });
            rosters.len() - 1
        });
        RefMut::map(rosters, |rosters| {
            #[expect(clippy::indexing_slicing, reason = "it was found or put there")]
            let Shown { members, seen_changes, .. } = &mut rosters[found];
            // Several events come of one change.
            if core::mem::replace(seen_changes, n_changes) != n_changes {
                match roster {
                    Some(it) => {
                        members.refresh(it.members(), clock::wall_time(session.epoch_began()))
                    }
                    None => *members = Members::new(),
                }
            }
            members
        })
    }

    /// Finds out whether somebody is looking.
    fn attend(&self, now: Time) {
        if let Some(attention) = self.attention.get() {
            self.session.borrow_mut().attention(attention.is_away(now));
        }
    }

    /// The flashes; a copy, since what they tell can make the page add and remove some.
    fn flashes(&self) -> Vec<Rc<FlashTeller>> {
        self.flashes.borrow().clone()
    }
}

fn next_id() -> u32 {
    LAST_ID.with(|last| {
        last.set(last.get().wrapping_add(1));
        last.get()
    })
}
