//! Drives one `Session`: its socket, its timer, its page, and what it has to tell.
//!
//! Calls of `connect` with the same url and the same token share one driver, and so one socket.
//!
//! All inputs go through [`Driver::input`], which drains what comes out. Outputs reach the page's own
//! code, which may call back in at any time: so nothing is borrowed while it runs, and an input from
//! within is drained by the loop that is already running.

use crate::clock;
use crate::error::PresenceError;
use crate::lifecycle::{Lifecycle, PageEvent, is_hidden, is_prerendering};
use crate::meta::Meta;
use crate::open_key::OpenKey;
use crate::socket::{Socket, SocketEvent};
use crate::timer::Timer;
use crate::token::TokenSource;
use crate::wire;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use js_sys::JsString;
use presence_core::session::{Event, Output, State, StopReason};
use presence_core::{Attention, Session, Time};
use presence_protocol::{ClientFrame, Dial, Key, PulseName, PulseValue, ServerFrame};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Math, js_name = random)]
    fn random() -> f64;
    #[wasm_bindgen(catch, js_namespace = navigator, js_name = sendBeacon)]
    fn send_beacon(url: &str, body: &JsString) -> Result<bool, JsValue>;
}

thread_local! {
    static DRIVERS: RefCell<Vec<Rc<Driver>>> = const { RefCell::new(Vec::new()) };
}

/// The relay's addresses.
#[derive(Debug, PartialEq)]
pub(crate) struct RelayUrls {
    /// Its WebSocket endpoint.
    pub(crate) socket_url: String,
    /// Where a page that is closed while it is disconnected says goodbye.
    pub(crate) beacon_url: String,
}

/// A session and its surroundings.
#[derive(Debug)]
pub(crate) struct Driver {
    urls: RelayUrls,
    token: TokenSource,
    /// After how long without an input this page is away; never if `None`.
    idle: Option<Duration>,
    attention: Cell<Option<Attention>>,
    session: RefCell<Session<Meta>>,
    keys: RefCell<Vec<Rc<OpenKey>>>,
    socket: RefCell<Option<Socket>>,
    timer: Timer,
    lifecycle: RefCell<Option<Lifecycle>>,
    /// True while the page is only being prerendered: nobody is here yet.
    is_held: Cell<bool>,
    is_draining: Cell<bool>,
    /// When the last heartbeat set out.
    beat_at: Cell<f64>,
    /// How long its answer took.
    round_trip: Cell<Option<f64>>,
}

impl Driver {
    /// The driver of this relay, token and rule of attention; a new one if there is none.
    pub(crate) fn of(urls: RelayUrls, token: TokenSource, idle: Option<Duration>) -> Rc<Self> {
        DRIVERS.with_borrow_mut(|drivers| {
            let fits = |it: &&Rc<Self>| it.urls == urls && it.token == token && it.idle == idle;
            if let Some(driver) = drivers.iter().find(fits) {
                return driver.clone();
            }
            let driver = Self::new(urls, token, idle);
            drivers.push(driver.clone());
            driver
        })
    }

    fn new(urls: RelayUrls, token: TokenSource, idle: Option<Duration>) -> Rc<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a seed")]
        let seed = (random() * 9e15) as u64;
        let attention = idle.map(|it| Attention::new(clock::now(), it, is_hidden()));
        let driver = Rc::new_cyclic(|driver: &Weak<Self>| {
            let driver = driver.clone();
            Self {
                urls,
                token,
                idle,
                attention: Cell::new(attention),
                session: RefCell::new(Session::new(seed)),
                keys: RefCell::default(),
                socket: RefCell::default(),
                timer: Timer::new(move || {
                    if let Some(driver) = driver.upgrade() {
                        driver.timer_fired();
                    }
                }),
                lifecycle: RefCell::default(),
                is_held: Cell::new(is_prerendering()),
                is_draining: Cell::new(false),
                beat_at: Cell::new(0.0),
                round_trip: Cell::new(None),
            }
        });
        driver.attend(None);
        driver.session.borrow_mut().hidden(clock::now(), is_hidden());
        let weak = Rc::downgrade(&driver);
        driver.lifecycle.replace(Some(Lifecycle::new(idle.is_some(), move |event| {
            if let Some(driver) = weak.upgrade() {
                driver.page_event(event);
            }
        })));
        driver
    }

    /// The key, if it is open already.
    pub(crate) fn open_key(&self, key: &Key) -> Option<Rc<OpenKey>> {
        self.keys.borrow().iter().find(|it| it.key == *key).cloned()
    }

    /// Enters a key.
    pub(crate) fn join(self: &Rc<Self>, key: &Rc<OpenKey>) {
        self.keys.borrow_mut().push(key.clone());
        self.input(|session, now| self.join_unless_held(session, now, key));
    }

    /// Tells the others the key's meta.
    pub(crate) fn update(self: &Rc<Self>, key: &OpenKey) {
        self.input(|session, now| session.update(now, &key.key, key.meta()));
    }

    /// Says something for a moment; false if this page says too much at a time already.
    pub(crate) fn pulse(
        self: &Rc<Self>,
        key: &OpenKey,
        name: PulseName,
        value: Option<PulseValue>,
    ) -> bool {
        let mut fits = true;
        self.input(|session, now| fits = session.pulse(now, &key.key, name, value));
        fits
    }

    /// Asks who has viewed a key.
    pub(crate) fn ask_last_seen(self: &Rc<Self>, key: &OpenKey) {
        self.input(|session, _| session.ask_last_seen(&key.key));
    }

    /// Leaves a key.
    pub(crate) fn leave(self: &Rc<Self>, key: &Rc<OpenKey>) {
        if self.forget(key) {
            self.input(|session, _| session.leave(&key.key));
        }
    }

    /// Removes a key; true if it was there.
    fn forget(&self, key: &Rc<OpenKey>) -> bool {
        let mut keys = self.keys.borrow_mut();
        let n_before = keys.len();
        keys.retain(|it| !Rc::ptr_eq(it, key));
        keys.len() < n_before
    }

    /// Sets the timer anew.
    pub(crate) fn rearm(self: &Rc<Self>) {
        self.input(|_, _| {});
    }

    /// How the connection is.
    pub(crate) fn state(&self) -> State {
        self.session.borrow().state()
    }

    /// How long the last heartbeat's answer took, in milliseconds.
    pub(crate) const fn round_trip(&self) -> Option<f64> {
        self.round_trip.get()
    }

    /// Looks at the session.
    pub(crate) fn with_session<T>(&self, look: impl FnOnce(&Session<Meta>) -> T) -> T {
        look(&self.session.borrow())
    }

    /// The keys; a copy, since what they tell can make the page enter and leave some.
    fn keys(&self) -> Vec<Rc<OpenKey>> {
        self.keys.borrow().clone()
    }

    fn join_unless_held(&self, session: &mut Session<Meta>, now: Time, key: &OpenKey) {
        if !self.is_held.get() {
            session.join(now, key.key.clone(), key.meta(), key.dedupe);
        }
    }

    fn input(self: &Rc<Self>, input: impl FnOnce(&mut Session<Meta>, Time)) {
        input(&mut self.session.borrow_mut(), clock::now());
        self.drain();
    }

    fn drain(self: &Rc<Self>) {
        if self.is_draining.replace(true) {
            return;
        }
        loop {
            let output = self.session.borrow_mut().poll_output();
            let Some(output) = output else { break };
            self.perform(output);
        }
        self.is_draining.set(false);
        if self.keys.borrow().is_empty() || matches!(self.state(), State::Stopped(_)) {
            self.retire();
        }
        let now = clock::now();
        let mut deadline = self.session.borrow().poll_timeout();
        let keys = self.keys.borrow();
        let mut sooner = |at: Option<Time>| {
            if let Some(at) = at {
                deadline = Some(deadline.map_or(at, |it| it.min(at)));
            }
        };
        if !keys.is_empty() {
            sooner(self.attention.get().and_then(|it| it.poll_timeout(now)));
        }
        for key in keys.iter() {
            sooner(key.poll_timeout());
        }
        drop(keys);
        self.timer.arm(now, deadline);
    }

    /// Its session has ended. A later `connect` begins another one.
    fn retire(self: &Rc<Self>) {
        DRIVERS.with_borrow_mut(|drivers| drivers.retain(|it| !Rc::ptr_eq(it, self)));
        self.lifecycle.take();
        self.socket.take();
    }

    fn perform(self: &Rc<Self>, output: Output<Meta>) {
        match output {
            Output::FetchToken { fetch } => self.fetch_token(fetch),
            Output::Dial { dial } => self.dial(dial),
            Output::Send { dial, frame } => {
                if let Some(socket) = &*self.socket.borrow()
                    && socket.dial == dial
                {
                    if matches!(frame, ClientFrame::Heartbeat) {
                        self.beat_at.set(clock::running());
                    }
                    socket.send(&wire::encode(&frame));
                }
            }
            Output::Close { dial, code } => {
                let socket = self.socket.take();
                if let Some(socket) = socket {
                    if socket.dial == dial {
                        socket.close(code);
                    } else {
                        self.socket.replace(Some(socket));
                    }
                }
            }
            Output::Beacon { resume, dial, keys } => {
                let body = wire::encode_beacon(&resume, dial, &keys);
                let _ = send_beacon(&self.urls.beacon_url, &body);
            }
            Output::Event(event) => self.tell(&event),
        }
    }

    fn fetch_token(self: &Rc<Self>, fetch: u32) {
        let driver = Rc::downgrade(self);
        self.token.fetch(move |result| {
            let Some(driver) = driver.upgrade() else { return };
            let result = result.map_err(|cause| {
                let message = "the token function threw, or gave no token; it will be called again";
                driver
                    .tell_error(None, &PresenceError::with_cause("token_failed", message, &cause));
            });
            driver.input(|session, now| session.token(now, fetch, result));
        });
    }

    fn dial(self: &Rc<Self>, dial: Dial) {
        // The former one, if there is one, must not speak up any more.
        self.socket.take();
        let driver = Rc::downgrade(self);
        let socket = Socket::open(&self.urls.socket_url, dial, move |event| {
            if let Some(driver) = driver.upgrade() {
                driver.socket_event(dial, event);
            }
        });
        if socket.is_none() {
            self.socket_event(dial, SocketEvent::Closed(1006));
        } else {
            self.socket.replace(socket);
        }
    }

    fn socket_event(self: &Rc<Self>, dial: Dial, event: SocketEvent) {
        match event {
            SocketEvent::Open => self.input(|session, now| session.socket_open(now, dial)),
            SocketEvent::Message(text) => match wire::decode(&text) {
                Some(it) => {
                    if matches!(it, ServerFrame::Heartbeat { .. }) {
                        self.round_trip.set(Some(clock::running() - self.beat_at.get()));
                    }
                    if let ServerFrame::LastSeen { key, .. } = &it
                        && let Some(open) = self.open_key(key)
                    {
                        open.emit("seen", &[&text]);
                    }
                    self.input(|session, now| session.socket_frame(now, dial, it));
                }
                None => self.input(|session, now| session.socket_garbage(now, dial)),
            },
            SocketEvent::Closed(code) => {
                self.input(|session, now| session.socket_closed(now, dial, code));
            }
        }
    }

    fn timer_fired(self: &Rc<Self>) {
        self.timer.fired();
        self.attend(None);
        let now = clock::now();
        for key in self.keys() {
            key.handle_timeout(now);
        }
        self.input(|session, now| session.handle_timeout(now));
    }

    /// Finds out whether somebody is looking; true if somebody was before.
    fn attend(&self, event: Option<PageEvent>) -> bool {
        let Some(mut attention) = self.attention.get() else { return true };
        let now = clock::now();
        let was_away = attention.is_away(now);
        match event {
            None => {}
            Some(PageEvent::Input) => attention.input(now),
            Some(_) => attention.look(now, is_hidden()),
        }
        self.attention.set(Some(attention));
        self.session.borrow_mut().attention(attention.is_away(now));
        !was_away
    }

    fn page_event(self: &Rc<Self>, event: PageEvent) {
        if self.attend(Some(event)) && event == PageEvent::Input {
            // The timer finds out by itself that it is too early.
            return;
        }
        self.input(|session, now| match event {
            PageEvent::Hide => session.page_hide(),
            PageEvent::Show => session.page_show(now),
            PageEvent::Wake => {
                session.hidden(now, is_hidden());
                session.wake(now);
            }
            PageEvent::Look => session.hidden(now, is_hidden()),
            PageEvent::Input => {}
            PageEvent::Activate => {
                if self.is_held.replace(false) {
                    for key in self.keys.borrow().iter() {
                        self.join_unless_held(session, now, key);
                    }
                }
            }
        });
    }

    fn tell(self: &Rc<Self>, event: &Event<Meta>) {
        match event {
            Event::State(state) => {
                for key in self.keys() {
                    key.tell_state(*state);
                }
                if let State::Stopped(StopReason::Refused(code)) = state {
                    let message = "the relay refuses this page; it will not be asked again";
                    let error = PresenceError::new(code.name(), message);
                    for key in self.keys() {
                        key.fail(&error);
                    }
                }
            }
            Event::Refused { key, code, message } => {
                if let Some(open) = self.open_key(key) {
                    self.forget(&open);
                    let error = PresenceError::new(code.name(), message);
                    open.refuse(event, code.name(), &error);
                }
            }
            Event::Complaint { key, code, message } => {
                self.tell_error(key.as_ref(), &PresenceError::new(code.name(), message));
            }
            Event::Ready { key }
            | Event::Joined { key, .. }
            | Event::Left { key, .. }
            | Event::Updated { key, .. }
            | Event::Pulse { key, .. }
            | Event::Changed { key } => {
                if let Some(open) = self.open_key(key) {
                    open.tell(self, event);
                }
            }
        }
    }

    /// Tells those who listen to errors of a key, or of any.
    fn tell_error(&self, key: Option<&Key>, error: &PresenceError) {
        for open in self.keys() {
            if key.is_none_or(|it| *it == open.key) {
                open.emit("error", &[error]);
            }
        }
    }
}
