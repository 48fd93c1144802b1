//! Drives one `Session`: what happens goes in, and what comes out is told to JavaScript.
//!
//! Flashes are told from within, and so may call back in at any time: nothing is borrowed meanwhile.

use crate::clock;
use crate::flash::{FlashTeller, Teller};
use crate::members::{Changes, Members};
use crate::meta::Meta;
use crate::page::{
    say, say_bits, say_flag, say_index, say_number, say_optional_text, say_text, take, take_flag,
    take_index, take_number, take_optional_text, take_text,
};
use crate::user::{Member, User};
use crate::wire;
use core::cell::{Cell, RefCell, RefMut};
use core::time::Duration;
use presence_core::flash::FlashRules;
use presence_core::session::{Event, Output, State, StopReason};
use presence_core::{Attention, Dedupe, Mode, Roster, Session, Time};
use presence_protocol::{
    ClientFrame, Dial, Key, Pulse, PulseName, PulseValue, ServerFrame, UserId,
};
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::{JsCast, JsValue};

thread_local! {
    static DRIVERS: RefCell<Vec<Rc<Driver>>> = const { RefCell::new(Vec::new()) };
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

/// What JavaScript is to do, by the numbers of `js/connection.js`.
mod order {
    pub(super) const FETCH_TOKEN: u32 = 0;
    pub(super) const DIAL: u32 = 1;
    pub(super) const SEND: u32 = 2;
    pub(super) const CLOSE: u32 = 3;
    pub(super) const BEACON: u32 = 4;
    pub(super) const STATE: u32 = 5;
    pub(super) const READY: u32 = 6;
    pub(super) const JOIN: u32 = 7;
    pub(super) const LEAVE: u32 = 8;
    pub(super) const UPDATE: u32 = 9;
    pub(super) const PULSE: u32 = 10;
    pub(super) const CHANGE: u32 = 11;
    pub(super) const REFUSE: u32 = 12;
    pub(super) const COMPLAIN: u32 = 13;
}

/// A session and its surroundings.
#[derive(Debug)]
pub(crate) struct Driver {
    id: u32,
    session: RefCell<Session<Meta, User>>,
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
    /// Does a call; nothing is said if there is no such driver.
    pub(crate) fn call(id: u32, what: u32) {
        let driver = DRIVERS.with_borrow_mut(|drivers| {
            let found = drivers.iter().find(|it| it.id == id).cloned();
            match what {
                call::START => drivers.push(Rc::new(Self::start())),
                call::STOP => drivers.retain(|it| it.id != id),
                _ => {}
            }
            found
        });
        let Some(driver) = driver else { return };
        match what {
            // It goes with this call, not with the list: its flashes go with it, which runs the page's own code.
            call::STOP => {}
            call::POLL => driver.poll(),
            call::DELAY => {
                if let Some(delay) = driver.delay() {
                    say_number(delay);
                }
            }
            call::TIMER => driver.timer(),
            call::PAGE_EVENT => driver.page_event(take_index(), take_flag()),
            call::SOCKET_OPEN => {
                driver.session.borrow_mut().socket_open(clock::now(), dial());
            }
            call::SOCKET_MESSAGE => driver.socket_message(dial()),
            call::SOCKET_CLOSED => {
                let dial = dial();
                let code = u16::try_from(take_index()).unwrap_or_default();
                driver.session.borrow_mut().socket_closed(clock::now(), dial, code);
            }
            call::TOKEN => {
                let fetch = take_index();
                let token = take_optional_text().ok_or(());
                driver.session.borrow_mut().token(clock::now(), fetch, token);
            }
            call::ROUND_TRIP => say_number(driver.round_trip.get()),
            call::HOLD => driver.hold(take_index(), [flash_id(), flash_id()]),
            call::REMOVE => driver.remove(take_index()),
            call::RENEW_TOKEN => driver.session.borrow_mut().renew_token(clock::now()),
            _ => driver.call_of_key(what, wire::key()),
        }
    }

    /// Does a call that is about a key.
    fn call_of_key(&self, what: u32, key: Key) {
        let session = || self.session.borrow_mut();
        match what {
            call::JOIN => {
                let meta = Meta::new(take());
                let dedupe = if take_flag() { Dedupe::User } else { Dedupe::None };
                let mode = match take_index() {
                    mode::JOIN => Mode::Join,
                    mode::OBSERVE => Mode::Observe,
                    _ => Mode::Invisible,
                };
                session().join(clock::now(), key, meta, dedupe, mode);
            }
            call::LEAVE => {
                session().leave(&key);
                self.rosters.borrow_mut().retain(|it| it.key != key);
            }
            call::PULSE => {
                let name = PulseName::parsed(&take_text());
                let value = take_optional_text().map(|it| PulseValue::parsed(&it));
                say_flag(session().pulse(clock::now(), &key, name, value));
            }
            call::ASK_LAST_SEEN => session().ask_last_seen(&key),
            call::MEMBERS => say(self.members(&key).list()),
            call::FLASH => {
                let teller = take().unchecked_into();
                let kinds = take_index();
                let mute_above = take_index() as usize;
                let rules = FlashRules { joins: kinds & 1 > 0, leaves: kinds & 2 > 0, mute_above };
                say_index(self.add_flashes(key, teller, rules));
            }
            _ => {}
        }
    }

    /// A new driver, whose number is said. The page counts as away while it is hidden and after `idle_ms` without an
    /// input, or never if that is 0.
    fn start() -> Self {
        let now = clock::now();
        let (idle_ms, is_hidden) = (take_index(), take_flag());
        let idle = (idle_ms > 0).then(|| Duration::from_millis(idle_ms.into()));
        let mut session = Session::new(take_number().to_bits());
        session.hidden(now, is_hidden);
        let driver = Self {
            id: next_id(),
            session: RefCell::new(session),
            attention: Cell::new(idle.map(|it| Attention::new(now, it, is_hidden))),
            rosters: RefCell::default(),
            flashes: RefCell::default(),
            beat_at: Cell::new(0.0),
            round_trip: Cell::new(f64::NAN),
        };
        driver.attend(now);
        say_index(driver.id);
        driver
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

    /// Says the key that JavaScript is to tell of the frame, and who the viewer is there: who has viewed it is
    /// nothing to the session.
    fn socket_message(&self, dial: Dial) {
        let frame = wire::decode();
        match &frame {
            Some(ServerFrame::Heartbeat { .. }) => {
                self.round_trip.set(clock::running() - self.beat_at.get());
            }
            Some(ServerFrame::LastSeen { key, .. }) => {
                let session = self.session.borrow();
                say_text(key.as_str());
                say_optional_text(session.roster(key).and_then(Roster::me).map(UserId::as_str));
            }
            _ => {}
        }
        let (session, now) = (&mut *self.session.borrow_mut(), clock::now());
        match frame {
            Some(frame) => session.socket_frame(now, dial, frame),
            None => session.socket_garbage(now, dial),
        }
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

    /// Says what is to be done next, if anything is.
    fn poll(&self) {
        let next = self.session.borrow_mut().poll_output();
        match next {
            None => {}
            Some(Output::FetchToken { fetch }) => {
                order(order::FETCH_TOKEN, None);
                say_index(fetch);
            }
            Some(Output::Dial { dial }) => {
                order(order::DIAL, None);
                say_index(dial.0);
            }
            Some(Output::Send { dial, frame }) => {
                if matches!(frame, ClientFrame::Heartbeat) {
                    self.beat_at.set(clock::running());
                }
                order(order::SEND, None);
                say_index(dial.0);
                wire::encode(&frame);
            }
            Some(Output::Close { dial, code }) => {
                order(order::CLOSE, None);
                say_index(dial.0);
                say_index(code.code().into());
            }
            Some(Output::Beacon { resume, dial, keys }) => {
                order(order::BEACON, None);
                wire::encode_beacon(&resume, dial, &keys);
            }
            Some(Output::Event(event)) => self.tell(&event),
        }
    }

    fn tell(&self, event: &Event<Meta, User>) {
        self.flash(event);
        let object = |key: &Key, member: &Arc<Member>| self.members(key).object_of(member);
        match event {
            Event::State(state) => {
                order(order::STATE, None);
                say_text(state.name());
                match state {
                    State::Stopped(StopReason::Left) => say_text("left"),
                    State::Stopped(StopReason::Refused(code)) => {
                        say_text(code.name());
                        say_flag(true);
                    }
                    State::Stopped(StopReason::KeyRefused(code)) => say_index(code.row()),
                    _ => {}
                }
            }
            Event::Ready { key } => order(order::READY, Some(key)),
            Event::Joined { key, member, quiet } => {
                order(order::JOIN, Some(key));
                say(&object(key, member));
                say(&(*quiet).into());
            }
            Event::Left { key, member, reason, quiet } => {
                order(order::LEAVE, Some(key));
                say(&object(key, member));
                say(&(*quiet).into());
                say_index(*reason as u32);
            }
            Event::Updated { key, before, member } => {
                order(order::UPDATE, Some(key));
                say(&object(key, member));
                say(&object(key, before));
            }
            Event::Pulse { key, pulse: Pulse { session, name, value } } => {
                let session_ = self.session.borrow();
                let member = session_.roster(key).and_then(|it| it.member_of(*session)).cloned();
                drop(session_);
                order(order::PULSE, Some(key));
                match member {
                    Some(it) => say(&object(key, &it)),
                    None => say_optional_text(None),
                }
                say_bits(session.bits());
                say_text(name.as_str());
                say_optional_text(value.as_ref().map(PulseValue::as_str));
            }
            Event::Changed { key } => {
                let is_stale = self.session.borrow().roster(key).is_some_and(Roster::is_stale);
                order(order::CHANGE, Some(key));
                let mut members = self.members(key);
                let Changes { changed, has_moved } = members.changes();
                say(members.list());
                say(&changed);
                say_flag(has_moved);
                say_flag(is_stale);
            }
            Event::Refused { key, code, message } => {
                self.rosters.borrow_mut().retain(|it| it.key != *key);
                order(order::REFUSE, Some(key));
                say_index(code.row());
                say_text(message);
            }
            Event::Complaint { key, code, message } => {
                order(order::COMPLAIN, key.as_ref());
                say_index(code.row());
                say_text(message);
            }
        }
    }

    /// Lets flashes hear of what is theirs.
    fn flash(&self, event: &Event<Meta, User>) {
        let (key, n_members, object) = match event {
            Event::Joined { key, member, .. } | Event::Left { key, member, .. } => {
                let members = self.members(key);
                (Some(key), members.len(), members.object_of(member))
            }
            Event::State(_) => (None, 0, JsValue::UNDEFINED),
            Event::Refused { key, .. } => (Some(key), 0, JsValue::UNDEFINED),
            _ => return,
        };
        // The same for all, or one would say what another hasn't said yet, and perhaps never will.
        let now = clock::now();
        for flashes in self.flashes() {
            if key.is_none_or(|it| *it == flashes.key) {
                flashes.observe(now, n_members, event, &object);
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

fn dial() -> Dial {
    Dial(take_index())
}

/// Begins to say what is to be done, and about which key.
fn order(what: u32, key: Option<&Key>) {
    say_index(what);
    say_optional_text(key.map(Key::as_str));
}

/// A flash, if there is one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of ours")]
fn flash_id() -> Option<u32> {
    let id = take_number();
    (!id.is_nan()).then_some(id as u32)
}

fn next_id() -> u32 {
    LAST_ID.with(|last| {
        last.set(last.get().wrapping_add(1));
        last.get()
    })
}
