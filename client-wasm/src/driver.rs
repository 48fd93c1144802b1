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
use presence_core::flash::FlashRules;
use presence_core::session::{Event, Output, State, StopReason};
use presence_core::{Attention, Dedupe, Member, Mode, Roster, Session, Time};
use presence_protocol::{
    ClientFrame, Dial, Key, Pulse, PulseName, PulseValue, ServerFrame, UserId,
};
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

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

/// What is called, by the numbers of `js/call.js`.
mod call {
    pub(super) const START: u32 = 0;
    pub(super) const STOP: u32 = 1;
    pub(super) const POLL: u32 = 2;
    pub(super) const DELAY: u32 = 3;
    pub(super) const TIMER: u32 = 4;
    pub(super) const PAGE_EVENT: u32 = 5;
    pub(super) const SOCKET_OPEN: u32 = 6;
    pub(super) const SOCKET_MESSAGE: u32 = 7;
    pub(super) const SOCKET_CLOSED: u32 = 8;
    pub(super) const TOKEN: u32 = 9;
    pub(super) const JOIN: u32 = 10;
    pub(super) const LEAVE: u32 = 11;
    pub(super) const PULSE: u32 = 12;
    pub(super) const ASK_LAST_SEEN: u32 = 13;
    pub(super) const MEMBERS: u32 = 14;
    pub(super) const ROUND_TRIP: u32 = 15;
    pub(super) const FLASH: u32 = 16;
    pub(super) const HOLD: u32 = 17;
    pub(super) const REMOVE: u32 = 18;
    pub(super) const RENEW_TOKEN: u32 = 19;
}

/// What has happened to the page, by the numbers of `js/shell.js`.
mod page_event {
    pub(super) const HIDE: u32 = 0;
    pub(super) const SHOW: u32 = 1;
    pub(super) const WAKE: u32 = 2;
    pub(super) const LOOK: u32 = 3;
    pub(super) const INPUT: u32 = 4;
}

/// As what a page enters a key, by the numbers of `js/options.js`.
mod mode {
    pub(super) const JOIN: u32 = 0;
    pub(super) const OBSERVE: u32 = 1;
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
    /// Does a call; `undefined` comes back if there is nothing to say, or no such driver.
    pub(crate) fn call(
        id: u32,
        what: u32,
        a: &JsValue,
        b: &JsValue,
        c: &JsValue,
        d: &JsValue,
    ) -> JsValue {
        match what {
            call::START => return Self::start(number(a), is_true(b), c).into(),
            call::STOP => DRIVERS.with_borrow_mut(|drivers| drivers.retain(|it| it.0 != id)),
            _ => {}
        }
        let known = |drivers: &Vec<(u32, Rc<Self>)>| drivers.iter().find(|it| it.0 == id).cloned();
        let Some((_, driver)) = DRIVERS.with_borrow(known) else { return JsValue::UNDEFINED };
        match what {
            call::POLL => return driver.poll(),
            call::DELAY => return driver.delay().into(),
            call::TIMER => driver.timer(),
            call::PAGE_EVENT => driver.page_event(number(a), is_true(b)),
            call::SOCKET_OPEN => {
                driver.session.borrow_mut().socket_open(clock::now(), Dial(number(a)));
            }
            call::SOCKET_MESSAGE => return driver.socket_message(Dial(number(a)), b),
            call::SOCKET_CLOSED => {
                let code = u16::try_from(number(b)).unwrap_or_default();
                driver.session.borrow_mut().socket_closed(clock::now(), Dial(number(a)), code);
            }
            call::TOKEN => {
                let token = b.as_string().ok_or(());
                driver.session.borrow_mut().token(clock::now(), number(a), token);
            }
            call::ROUND_TRIP => return driver.round_trip.get().into(),
            call::HOLD => driver.hold(number(a), [b, c].map(flash_id)),
            call::REMOVE => driver.remove(number(a)),
            call::RENEW_TOKEN => driver.session.borrow_mut().renew_token(clock::now()),
            _ => {
                if let Some(key) = a.as_string().and_then(|it| Key::parse(&it)) {
                    return driver.call_of_key(key, what, b, c, d);
                }
            }
        }
        JsValue::UNDEFINED
    }

    /// Does a call that is about a key.
    fn call_of_key(&self, key: Key, what: u32, b: &JsValue, c: &JsValue, d: &JsValue) -> JsValue {
        let session = || self.session.borrow_mut();
        match what {
            call::JOIN => {
                let dedupe = if is_true(c) { Dedupe::User } else { Dedupe::None };
                let mode = match number(d) {
                    mode::JOIN => Mode::Join,
                    mode::OBSERVE => Mode::Observe,
                    _ => Mode::Invisible,
                };
                if let Some(meta) = Meta::given(b.clone()) {
                    session().join(clock::now(), key, meta, dedupe, mode);
                }
            }
            call::LEAVE => {
                session().leave(&key);
                self.rosters.borrow_mut().retain(|it| it.key != key);
            }
            call::PULSE => {
                let text = c.as_string();
                let value = text.as_deref().and_then(PulseValue::parse);
                let is_said = value.is_some() == text.is_some()
                    && b.as_string()
                        .and_then(|it| PulseName::parse(&it))
                        .is_some_and(|it| session().pulse(clock::now(), &key, it, value));
                return is_said.into();
            }
            call::ASK_LAST_SEEN => session().ask_last_seen(&key),
            call::MEMBERS => return self.members(&key).list().into(),
            call::FLASH => {
                let kinds = number(c);
                let mute_above = number(d) as usize;
                let rules = FlashRules { joins: kinds & 1 > 0, leaves: kinds & 2 > 0, mute_above };
                return self.add_flashes(key, b.unchecked_ref::<Teller>().clone(), rules).into();
            }
            _ => {}
        }
        JsValue::UNDEFINED
    }

    /// A new driver, and its number. The page counts as away while it is hidden and after `idle_ms` without an
    /// input, or never if that is 0.
    fn start(idle_ms: u32, is_hidden: bool, seed: &JsValue) -> u32 {
        let now = clock::now();
        let idle = (idle_ms > 0).then(|| Duration::from_millis(idle_ms.into()));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a seed")]
        let mut session = Session::new(seed.as_f64().unwrap_or_default() as u64);
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

    fn page_event(&self, event: u32, is_hidden: bool) {
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

    /// What comes back is to be told at once: it is nothing to the session.
    fn socket_message(&self, dial: Dial, data: &JsValue) -> JsValue {
        const NONE: &JsValue = &JsValue::UNDEFINED;
        let frame = wire::decode(data);
        let next = match &frame {
            Some(ServerFrame::Heartbeat { .. }) => {
                self.round_trip.set(clock::running() - self.beat_at.get());
                JsValue::UNDEFINED
            }
            Some(ServerFrame::LastSeen { key, .. }) => {
                let session = self.session.borrow();
                let me = session.roster(key).and_then(Roster::me).map(UserId::as_str);
                output("seen", Some(key.as_str()), 0, data, &me.into(), NONE, NONE)
            }
            _ => JsValue::UNDEFINED,
        };
        let (session, now) = (&mut *self.session.borrow_mut(), clock::now());
        match frame {
            Some(frame) => session.socket_frame(now, dial, frame),
            None => session.socket_garbage(now, dial),
        }
        next
    }

    fn timer(&self) {
        let now = clock::now();
        self.attend(now);
        for flashes in self.flashes() {
            flashes.handle_timeout(now);
        }
        self.session.borrow_mut().handle_timeout(now);
    }

    /// In how many milliseconds there is something to do.
    #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
    fn delay(&self) -> Option<f64> {
        let now = clock::now();
        let session = self.session.borrow().poll_timeout();
        let attention = self.attention.get().and_then(|it| it.poll_timeout(now));
        let flashes = self.flashes.borrow().iter().filter_map(|it| it.poll_timeout()).min();
        let first = [session, attention, flashes].into_iter().flatten().min()?;
        Some(first.as_millis().saturating_sub(now.as_millis()) as f64)
    }

    /// Tells from now on who joins a key and who leaves it.
    fn add_flashes(&self, key: Key, teller: Teller, rules: FlashRules) -> u32 {
        let id = next_id();
        self.flashes.borrow_mut().push(Rc::new(FlashTeller::new(id, key, teller, rules)));
        id
    }

    /// Somebody reads these flashes, or none any more.
    fn hold(&self, id: u32, read: [Option<u32>; 2]) {
        for flashes in self.flashes() {
            if flashes.id == id {
                flashes.hold(clock::now(), read);
            }
        }
    }

    /// Takes flashes away.
    fn remove(&self, id: u32) {
        // They outlive the borrow: what goes out of the page can run the page's own code, which may come
        // back to here.
        let before = self.flashes();
        self.flashes.borrow_mut().retain(|it| it.id != id);
        for flashes in before.iter().filter(|it| it.id == id) {
            flashes.end();
        }
    }

    /// What is to be done next.
    fn poll(&self) -> JsValue {
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
                self.rosters.borrow_mut().retain(|it| it.key != *key);
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

/// What JavaScript gives as a whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn number(value: &JsValue) -> u32 {
    value.as_f64().unwrap_or_default() as u32
}

fn flash_id(value: &JsValue) -> Option<u32> {
    value.as_f64().map(|_| number(value))
}

fn is_true(value: &JsValue) -> bool {
    value.as_bool().unwrap_or_default()
}

fn next_id() -> u32 {
    LAST_ID.with(|last| {
        last.set(last.get().wrapping_add(1));
        last.get()
    })
}
