//! The world: virtual time, one relay, its network, and the pages.

use crate::network::{Carriage, Down, Link, Up};
use crate::page::{Page, Tab};
use crate::relay::{Running, unseal};
use core::time::Duration;
use presence_core::Mode;
use presence_core::StallClock;
use presence_core::relay::{Closed, ConnId, Outgoing};
use presence_core::session::{Event as Told, Output};
use presence_protocol::{ClientFrame, Dial, Key, Meta, PulseName, PulseValue, ServerFrame};
use std::collections::BTreeMap;

/// How much a relay may write to a socket at a time; small, so that it is sometimes not enough.
const BUDGET: usize = 1_000;
/// Over how long those come back whom a relay has sent away that was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// A hidden tab's timers fire at most this often when one arms the next; one that is armed from a
/// socket's event is only held back to a second.
const THROTTLED: u64 = 60_000;

/// Everything.
#[derive(Debug)]
pub struct World {
    /// The seed of everything that happens.
    pub seed: u64,
    /// Milliseconds since the beginning.
    pub now: u64,
    /// The source of chance.
    pub random: fastrand::Rng,
    /// The source of what happens to watchers, so that everybody else's is the same without them.
    pub watchers_random: fastrand::Rng,
    /// True if nothing happens to the relay that depends on how many sessions there are, or on who wakes it.
    pub is_tame: bool,
    /// The relay, unless it is down.
    pub relay: Option<Running>,
    /// How many lives the relay has had.
    pub life: u32,
    /// Since when the relay's process stands still, or last stood still.
    pub stalled_from: u64,
    /// Until when the relay's process stands still.
    pub stalled_until: u64,
    /// For how long it has stood still in all.
    pub stalled: u64,
    /// All connections there ever were.
    pub links: Vec<Link>,
    /// All pages there ever were.
    pub pages: Vec<Page>,
    /// The slowest delivery of a new link, in milliseconds.
    pub latency: u64,
    /// When the relay last started anew.
    pub restarted_at: Option<u64>,
    /// Each time that it did.
    pub restarts: Vec<u64>,
    /// True once a delta was lost on purpose.
    pub has_lost_deltas: bool,
    /// True while chance has its way.
    pub is_chaotic: bool,
    /// What went wrong.
    pub faults: Vec<String>,
    /// What happened, if it is to be told.
    pub trace: Option<Vec<String>>,
    queue: BTreeMap<(u64, bool, u64), Event>,
    sequence: u64,
}

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message arrives at the relay.
    Up(usize, Up),
    /// A message arrives at a page.
    Down(usize, Down),
    /// A beacon arrives at the relay.
    Beacon(u32, String, Dial, Vec<Key>),
    /// A page's timer fires.
    PageTimer(usize, u64),
    /// The relay's timer fires.
    RelayTimer(u32, u64),
    /// The relay looks at its clock.
    Look(u32),
    /// The relay's process goes on after a stall that began then.
    Resume(u64),
    /// A socket can be written to again.
    Writable(usize),
    /// A page's token function answers.
    Token(usize, u32),
    /// The relay starts again.
    Restart,
    /// A page is loaded in place of one that was closed.
    Reload(String, String),
    /// A chaos step.
    Chaos,
    /// A chaos step for watchers.
    WatchersChaos,
    /// Everything is looked at.
    Check,
}

impl World {
    /// A world with a relay and nobody in it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            now: 0,
            random: fastrand::Rng::with_seed(seed),
            watchers_random: fastrand::Rng::with_seed(!seed),
            is_tame: false,
            relay: None,
            life: 0,
            stalled_from: 0,
            stalled_until: 0,
            stalled: 0,
            links: Vec::new(),
            pages: Vec::new(),
            latency: 40,
            restarted_at: None,
            restarts: Vec::new(),
            has_lost_deltas: false,
            is_chaotic: true,
            faults: Vec::new(),
            trace: None,
            queue: BTreeMap::new(),
            sequence: 0,
        };
        world.start_relay();
        world
    }

    /// Runs until a moment.
    pub fn run_until(&mut self, until: u64) {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= until
        {
            let ((at, ..), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
            if !self.faults.is_empty() {
                return;
            }
        }
        self.now = until;
    }

    /// Runs for so many milliseconds.
    pub fn run_for(&mut self, millis: u64) {
        self.run_until(self.now + millis);
    }

    /// Lets something happen later.
    pub fn after(&mut self, millis: u64, event: Event) {
        self.sequence += 1;
        // The relay's timer is armed anew with everything that it hears: it is the last in its millisecond, so
        // that it doesn't depend on who else was heard.
        let is_last = matches!(event, Event::RelayTimer(..));
        self.queue.insert((self.now + millis, is_last, self.sequence), event);
    }

    /// Tells what happens, if somebody wants to know.
    pub fn say(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>7} {}", text()));
        }
    }

    /// The relay's running time: what it stood still does not count.
    #[must_use]
    pub const fn relay_time(&self) -> u64 {
        let now = if self.is_stalled() { self.stalled_from } else { self.now };
        now.saturating_sub(self.stalled)
    }

    /// Opens a page.
    pub fn open(&mut self, user: &str, key: &str) -> usize {
        self.open_as(user, key, Mode::Join)
    }

    /// Opens a page that may only look on.
    pub fn open_as(&mut self, user: &str, key: &str, mode: Mode) -> usize {
        let seed = self.random.u64(..);
        self.open_with(user, key, mode, seed, false)
    }

    /// Opens a page that only ever looks on, and without which everything else goes the same way.
    pub fn watch(&mut self, user: &str, key: &str, mode: Mode) -> usize {
        let seed = self.watchers_random.u64(..);
        self.open_with(user, key, mode, seed, true)
    }

    fn open_with(
        &mut self,
        user: &str,
        key: &str,
        mode: Mode,
        seed: u64,
        is_watcher: bool,
    ) -> usize {
        let page = self.pages.len();
        let Some(key) = Key::parse(key) else { return page };
        self.say(|| format!("page {page}: {user} opens {key}: {mode:?}"));
        self.pages.push(Page::new(self.now, user, key, mode, seed));
        self.pages[page].is_watcher = is_watcher;
        self.pages[page].frames = self.is_tame.then(Vec::new);
        self.with_page(page, |it, now| it.enter(now));
        page
    }

    /// A page is in its key as something else from now on.
    pub fn turn_to(&mut self, page: usize, mode: Mode) {
        self.say(|| format!("page {page}: turns to {mode:?}"));
        let running_time = self.relay_time();
        self.with_page(page, |it, now| {
            match (it.mode, mode) {
                (Mode::Join, Mode::Observe | Mode::Invisible) => {
                    it.goodbye_at = Some(running_time);
                }
                (Mode::Observe | Mode::Invisible, Mode::Join) => {
                    (it.visit_at, it.heard, it.was_listed) = (now, None, true);
                }
                _ => {}
            }
            it.mode = mode;
            it.enter(now);
        });
    }

    /// Closes a page the way people do.
    pub fn close(&mut self, page: usize) {
        self.say(|| format!("page {page}: closed"));
        let was_awake = self.pages[page].is_awake();
        let running_time = self.relay_time();
        self.with_page(page, |it, _| {
            if was_awake {
                it.session.page_hide();
                it.goodbye_at = Some(running_time);
            }
        });
        self.pages[page].tab = Tab::Closed;
    }

    /// A browser closes a page's socket without any script, as a crashing renderer's does.
    pub fn close_1001(&mut self, page: usize) {
        self.say(|| format!("page {page}: its renderer is gone"));
        self.pages[page].tab = Tab::Closed;
        self.pages[page].goodbye_at = Some(self.relay_time());
        if let Some(link) = self.pages[page].link.take() {
            self.send_up(link, Up::Close(1001));
        }
    }

    /// A page vanishes with its machine.
    pub fn crash(&mut self, page: usize) {
        self.say(|| format!("page {page}: its machine is gone"));
        self.pages[page].tab = Tab::Closed;
        if let Some(link) = self.pages[page].link.take() {
            self.links[link].carriage = Carriage::Dead;
        }
    }

    /// A page goes into the back-forward cache.
    pub fn put_away(&mut self, page: usize) {
        self.say(|| format!("page {page}: put away"));
        let running_time = self.relay_time();
        self.with_page(page, |it, _| {
            it.session.page_hide();
            it.pulse = None;
            it.goodbye_at = Some(running_time);
        });
        self.pages[page].tab = Tab::PutAway;
    }

    /// A page comes back from the back-forward cache.
    pub fn restore(&mut self, page: usize) {
        self.say(|| format!("page {page}: restored"));
        self.pages[page].tab = Tab::Shown;
        self.with_page(page, |it, now| {
            let at = it.now(now);
            it.visit_at = now;
            it.visit += 1;
            it.contact_before = it.contact_before.max(it.contact.take());
            it.heard = None;
            it.goodbye_at = None;
            it.session.hidden(at, false);
            it.session.page_show(at);
            it.session.attention(false);
        });
    }

    /// A page changes its meta.
    pub fn update(&mut self, page: usize, value: u64) {
        let text = format!("{{\"n\":{value}}}");
        let Ok(meta) = Meta::from_json_value(&text) else { return };
        self.with_page(page, |it, now| {
            let (at, key) = (it.now(now), it.key.clone());
            it.meta = meta.clone();
            it.session.update(at, &key, meta);
        });
    }

    /// A page says something for the moment, or no longer. What a hidden tab says means nothing.
    pub fn pulse(&mut self, page: usize, value: Option<u64>) {
        let Some(name) = PulseName::parse("cursor") else { return };
        self.with_page(page, |it, now| {
            let (at, key) = (it.now(now), it.key.clone());
            let text = value.map(|it| it.to_string());
            let value = text.as_deref().and_then(PulseValue::parse);
            it.session.pulse(at, &key, name, value);
            if it.tab == Tab::Shown {
                it.pulse = text;
            }
        });
    }

    /// A tab comes to the front, or a machine wakes up.
    pub fn show(&mut self, page: usize) {
        self.say(|| format!("page {page}: shown"));
        self.pages[page].tab = Tab::Shown;
        for event in core::mem::take(&mut self.pages[page].inbox) {
            self.happen(event);
        }
        self.with_page(page, |it, now| {
            let at = it.now(now);
            it.session.hidden(at, false);
            it.session.wake(at);
            it.session.attention(false);
        });
    }

    /// A tab goes behind others.
    pub fn hide(&mut self, page: usize) {
        self.say(|| format!("page {page}: hidden"));
        self.pages[page].tab = Tab::Hidden;
        self.with_page(page, |it, now| {
            let at = it.now(now);
            it.pulse = None;
            it.session.hidden(at, true);
            it.session.attention(true);
        });
    }

    /// Resets a page's connection: both ends learn of it.
    pub fn reset(&mut self, page: usize) {
        if let Some(link) = self.pages[page].link {
            self.say(|| format!("page {page}: connection reset"));
            self.break_link(link);
        }
    }

    /// Cuts a page's connection without telling anybody.
    pub fn cut(&mut self, page: usize) {
        if let Some(link) = self.pages[page].link {
            self.say(|| format!("page {page}: connection half-open"));
            self.links[link].carriage = Carriage::Dead;
        }
    }

    /// Holds a page's connection back for a while.
    pub fn hold(&mut self, page: usize, millis: u64) {
        let is_healthy = |it: &usize| self.links[*it].carriage == Carriage::Healthy;
        if let Some(link) = self.pages[page].link.filter(is_healthy) {
            self.say(|| format!("page {page}: connection stalls for {millis} ms"));
            self.links[link].carriage = Carriage::Stalled(self.now + millis);
        }
    }

    /// Tells the relay to stop, as a deploy does; it starts again after a while.
    pub fn deploy_relay(&mut self, down_for: u64) {
        if let Some(running) = &mut self.relay
            && self.now >= self.stalled_until
        {
            let now = running.now(self.now);
            running.relay.drain(now, DRAIN);
            self.say(|| "the relay is told to stop".to_owned());
            self.drain_relay();
        }
        self.kill_relay(down_for);
    }

    /// Kills the relay; it starts again after a while.
    pub fn kill_relay(&mut self, down_for: u64) {
        self.say(|| format!("the relay is killed for {down_for} ms"));
        self.relay = None;
        // A process that is killed while it stands still is over at once.
        if self.is_stalled() {
            self.count_stall();
            self.stalled_until = self.now;
        }
        for link in 0..self.links.len() {
            if self.links[link].life == self.life {
                self.break_link(link);
            }
        }
        self.after(down_for, Event::Restart);
    }

    /// The relay's process stands still for a while.
    pub fn stall_relay(&mut self, millis: u64) {
        if self.relay.is_some() && self.now >= self.stalled_until {
            self.say(|| format!("the relay stalls for {millis} ms"));
            self.stalled_from = self.now;
            self.stalled_until = self.now + millis;
            self.after(millis, Event::Resume(self.now));
        }
    }

    /// A short stall is like a slow network: only a long one is cut out of the relay's time.
    fn count_stall(&mut self) {
        let millis = self.now - self.stalled_from;
        if u128::from(millis) > StallClock::GAP.as_millis() {
            self.stalled += millis;
        }
    }

    fn start_relay(&mut self) {
        self.life += 1;
        let seed = self.random.u64(..);
        self.relay = Some(Running::start(self.now, seed));
        if self.life > 1 {
            self.restarted_at = Some(self.now);
            self.restarts.push(self.now);
            self.say(|| "the relay starts again".to_owned());
        }
        self.after(0, Event::Look(self.life));
    }

    /// Calls into a page, then does what it wants.
    pub fn with_page(&mut self, page: usize, call: impl FnOnce(&mut Page, u64)) {
        let now = self.now;
        call(&mut self.pages[page], now);
        self.drain_page(page, false);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Up(link, message) => self.arrive_up(link, message),
            Event::Down(link, message) => self.arrive_down(link, message),
            Event::Beacon(life, resume, dial, keys) => self.arrive_beacon(life, resume, dial, keys),
            Event::PageTimer(page, timer) => {
                if self.pages[page].timer != timer || self.pages[page].tab == Tab::Closed {
                    return;
                }
                if self.pages[page].is_awake() {
                    let it = &mut self.pages[page];
                    let at = it.now(self.now);
                    it.session.handle_timeout(at);
                    it.flashes.handle_timeout(at);
                    self.drain_page(page, true);
                }
            }
            Event::RelayTimer(life, timer) => {
                if life != self.life {
                    return;
                }
                if self.is_stalled() {
                    let wait = self.stalled_until - self.now;
                    return self.after(wait, Event::RelayTimer(life, timer));
                }
                if let Some(running) = &mut self.relay
                    && running.timer == timer
                {
                    let now = running.now(self.now);
                    running.relay.handle_timeout(now);
                    self.drain_relay();
                }
            }
            Event::Look(life) => {
                if life == self.life && self.relay.is_some() {
                    let wait = self.stalled_until.saturating_sub(self.now);
                    if wait > 0 {
                        // Counted here, when it is over for the process, not when it began.
                        self.after(wait, Event::Look(life));
                    } else {
                        if let Some(running) = &mut self.relay {
                            running.now(self.now);
                        }
                        self.after(250, Event::Look(life));
                    }
                }
            }
            Event::Resume(began)
                if self.stalled_until == self.now && self.stalled_from == began =>
            {
                self.stalled += self.now - began;
            }
            Event::Resume(_) => {}
            Event::Writable(link) => {
                if let Some(conn) = self.links[link].conn {
                    self.write(conn);
                }
            }
            Event::Token(page, fetch) => {
                if self.pages[page].tab == Tab::Asleep {
                    return self.pages[page].inbox.push(Event::Token(page, fetch));
                }
                let fails = self.now < self.pages[page].tokenless_until;
                self.with_page(page, |it, now| {
                    let at = it.now(now);
                    let token = format!("{} {}", it.user, it.key);
                    it.session.token(at, fetch, if fails { Err(()) } else { Ok(token) });
                });
            }
            Event::Restart => {
                if self.relay.is_none() {
                    self.start_relay();
                }
            }
            Event::Reload(user, key) => {
                self.open(&user, &key);
            }
            Event::Chaos => crate::chaos::step(self),
            Event::WatchersChaos => crate::chaos::step_of_watchers(self),
            Event::Check => crate::truth::check(self),
        }
    }

    const fn is_stalled(&self) -> bool {
        self.now < self.stalled_until
    }

    fn arrive_up(&mut self, link: usize, message: Up) {
        let Link { life, carriage, conn, .. } = self.links[link];
        if carriage == Carriage::Dead || life != self.life || self.relay.is_none() {
            return;
        }
        if carriage == Carriage::Gone && !matches!(message, Up::Reset) {
            return;
        }
        if self.is_stalled() {
            let wait = self.stalled_until - self.now;
            return self.after(wait, Event::Up(link, message));
        }
        let Some(running) = &mut self.relay else { return };
        let now = running.now(self.now);
        match (message, conn) {
            (Up::Open, None) => {
                let Ok(conn) = running.relay.connect(now) else { return };
                running.links.insert(conn, link);
                self.links[link].conn = Some(conn);
                self.send_down(link, Down::Opened);
            }
            (Up::Frame(frame), Some(conn)) => {
                let is_retreat = matches!(frame, ClientFrame::Observe { .. });
                self.links[link].is_joined |= matches!(frame, ClientFrame::Join { .. });
                self.links[link].is_joined &= !is_retreat;
                let is_goodbye = matches!(frame, ClientFrame::Leave { .. });
                let is_pulse = matches!(frame, ClientFrame::Pulse { value: Some(_), .. });
                self.hear(link);
                if is_pulse {
                    self.pages[self.links[link].page].pulsed_at = Some(self.relay_time());
                }
                if is_goodbye {
                    self.hear_goodbye(link);
                }
                if is_retreat {
                    self.hear_retreat(link);
                }
                if let Some(running) = &mut self.relay {
                    running.receive(now, conn, frame);
                }
            }
            (Up::Pong, Some(conn)) => {
                running.relay.heard(now, conn);
                self.hear(link);
            }
            (Up::Close(code), Some(conn)) => {
                let how = if code == 1001 { Closed::Leave } else { Closed::Lost };
                if code == 1001 {
                    self.hear_goodbye(link);
                }
                self.relay_closed(link, conn, how);
            }
            (Up::Reset, Some(conn)) => self.relay_closed(link, conn, Closed::Lost),
            (Up::Open, Some(_)) | (_, None) => {}
        }
        self.drain_relay();
    }

    /// The relay has heard from a page.
    fn hear(&mut self, link: usize) {
        let running_time = self.relay_time();
        let Link { page, visit, is_joined, .. } = self.links[link];
        let it = &mut self.pages[page];
        if it.visit != visit {
            it.contact_before = Some(running_time);
            return;
        }
        it.contact = Some(running_time);
        if !is_joined {
            return;
        }
        it.gone_at = None;
        let was = it.heard.replace(running_time);
        let is_late = self.now - it.heard_at > 29_000 || it.away > 29_000;
        if is_late || was.is_none_or(|was| running_time - was > 29_000) {
            it.visit_at = self.now;
        }
        it.heard_at = self.now;
    }

    /// The relay has heard a page's goodbye.
    fn hear_goodbye(&mut self, link: usize) {
        // One that had not joined again yet leaves its presence to the grace.
        let Link { page, visit, is_joined, .. } = self.links[link];
        if self.pages[page].visit == visit && is_joined {
            self.pages[page].gone_at = Some(self.now);
        }
    }

    /// The relay has heard that a page only looks on.
    fn hear_retreat(&mut self, link: usize) {
        let Link { page, visit, .. } = self.links[link];
        let it = &mut self.pages[page];
        if it.visit == visit {
            (it.gone_at, it.heard) = (Some(self.now), None);
        }
    }

    fn relay_closed(&mut self, link: usize, conn: ConnId, how: Closed) {
        self.links[link].conn = None;
        if let Some(running) = &mut self.relay {
            let now = running.now(self.now);
            running.links.remove(&conn);
            running.relay.closed(now, conn, how);
        }
    }

    fn arrive_beacon(&mut self, life: u32, resume: String, dial: Dial, keys: Vec<Key>) {
        if life != self.life {
            return;
        }
        if self.is_stalled() {
            let wait = self.stalled_until - self.now;
            return self.after(wait, Event::Beacon(life, resume, dial, keys));
        }
        if let (Some(running), Some(claims)) = (&mut self.relay, unseal(&resume)) {
            let now = running.now(self.now);
            running.relay.beacon(now, &claims, dial, &keys);
            self.drain_relay();
        }
    }

    fn arrive_down(&mut self, link: usize, message: Down) {
        let Link { page, carriage, dial, .. } = self.links[link];
        let is_end = matches!(message, Down::Close(_));
        match carriage {
            Carriage::Dead => return,
            Carriage::Gone if !is_end => return,
            Carriage::Gone | Carriage::Healthy | Carriage::Stalled(_) => {}
        }
        if matches!(message, Down::Ping) {
            // A browser answers pings without any script, in hidden and frozen tabs too.
            if self.pages[page].link == Some(link) && self.pages[page].is_awake() {
                self.send_up(link, Up::Pong);
            }
            return;
        }
        if self.pages[page].link != Some(link) {
            return;
        }
        if self.pages[page].tab == Tab::Asleep {
            return self.pages[page].inbox.push(Event::Down(link, message));
        }
        if let Down::Frame(frame) = &message
            && matches!(**frame, ServerFrame::Delta(_))
            && core::mem::take(&mut self.links[link].lose_delta)
        {
            self.has_lost_deltas = true;
            self.links[link].lost_delta_at = Some(self.now);
            return self.say(|| format!("page {page}: a delta is lost"));
        }
        if let (Down::Frame(frame), Some(frames)) = (&message, &mut self.pages[page].frames) {
            frames.push(format!("{} {}", self.now, shape(frame)));
        }
        if is_end {
            self.pages[page].link = None;
        }
        self.with_page(page, |it, now| {
            let at = it.now(now);
            match message {
                Down::Opened => it.session.socket_open(at, dial),
                Down::Frame(frame) => it.session.socket_frame(at, dial, (*frame).clone()),
                Down::Close(code) => it.session.socket_closed(at, dial, code),
                Down::Ping => {}
            }
        });
    }

    fn drain_page(&mut self, page: usize, is_chained: bool) {
        while let Some(output) = self.pages[page].session.poll_output() {
            match output {
                Output::FetchToken { fetch } => {
                    let wait = self.pages[page].random.u64(5..50);
                    self.after(wait, Event::Token(page, fetch));
                }
                Output::Dial { dial } => self.dial(page, dial),
                Output::Send { dial, frame } => {
                    self.say(|| format!("page {page}: sends {}", name(&frame)));
                    if matches!(frame, ClientFrame::Resync { .. }) {
                        self.pages[page].resyncs += 1;
                    }
                    if let Err(fault) = crate::truth::judge_frame(&self.pages[page], &frame) {
                        self.faults.push(format!("page {page}: {fault}"));
                    }
                    if let Some(link) = self.socket(page, dial) {
                        self.send_up(link, Up::Frame(frame));
                    }
                }
                Output::Close { dial, code } => {
                    self.say(|| format!("page {page}: closes with {}", code.name()));
                    if let Some(link) = self.socket(page, dial) {
                        self.send_up(link, Up::Close(code.code()));
                    }
                    self.pages[page].link = None;
                }
                Output::Beacon { resume, dial, keys } => {
                    self.say(|| format!("page {page}: sends a beacon"));
                    if self.now >= self.pages[page].offline_until && self.relay.is_some() {
                        let latency = self.latency;
                        let wait = self.pages[page].random.u64(1..=latency);
                        self.after(wait, Event::Beacon(self.life, resume, dial, keys));
                    }
                }
                Output::Event(event) => self.tell(page, &event),
            }
        }
        let it = &mut self.pages[page];
        it.timer += 1;
        let timer = it.timer;
        let due =
            [it.session.poll_timeout(), it.flashes.poll_timeout()].into_iter().flatten().min();
        let now = it.now(self.now);
        if let Err(fault) = it.flash() {
            self.faults.push(format!("page {page}: {fault}"));
        }
        if let Some(due) = due {
            let wait = u64::try_from(due.since(now).as_millis()).unwrap_or(u64::MAX);
            let wait = match self.pages[page].tab {
                Tab::Hidden if is_chained => wait.max(THROTTLED - self.now % THROTTLED),
                Tab::Hidden => wait.max(1_000),
                _ => wait,
            };
            self.after(wait, Event::PageTimer(page, timer));
        }
    }

    fn tell(&mut self, page: usize, event: &Told<Meta>) {
        match event {
            Told::Joined { member, quiet, .. } => {
                self.say(|| format!("page {page}: sees {} join, quiet {quiet}", member.id));
            }
            Told::Left { member, reason, quiet, .. } => {
                let reason = reason.name();
                self.say(|| {
                    format!("page {page}: sees {} leave: {reason}, quiet {quiet}", member.id)
                });
            }
            Told::State(state) => {
                let is_live = state.name() == "live";
                self.pages[page].turn(self.now, is_live);
                self.say(|| format!("page {page}: {}", state.name()));
            }
            _ => {}
        }
        let now = self.now;
        let told = self.pages[page].tell(now, event);
        if let Err(fault) = told.and_then(|()| crate::truth::judge(self, page, event)) {
            self.faults.push(format!("page {page}: {fault}"));
        }
    }

    fn dial(&mut self, page: usize, dial: Dial) {
        self.say(|| format!("page {page}: dials"));
        let link = self.links.len();
        let most = self.latency;
        let latency = self.pages[page].random.u64(1..=most);
        let offline_until = self.pages[page].offline_until;
        let is_online = self.now >= offline_until;
        let is_up = self.relay.is_some();
        // An offline machine says so at once, or its kernel goes on trying about once a second.
        let carriage = match (is_online, is_up) {
            (true, true) => Carriage::Healthy,
            (false, true) if self.pages[page].random.bool() => {
                Carriage::Stalled(offline_until + self.pages[page].random.u64(0..1_000))
            }
            _ => Carriage::Gone,
        };
        self.links.push(Link {
            page,
            visit: self.pages[page].visit,
            is_joined: false,
            dial,
            life: self.life,
            conn: None,
            carriage,
            up_random: self.pages[page].random.fork(),
            down_random: self.pages[page].random.fork(),
            latency,
            up_clear: 0,
            down_clear: 0,
            blocked_until: 0,
            lose_delta: false,
            lost_delta_at: None,
        });
        self.pages[page].link = Some(link);
        if carriage == Carriage::Gone {
            let wait = self.pages[page].random.u64(1..=most);
            self.after(wait, Event::Down(link, Down::Close(1006)));
        } else {
            self.send_up(link, Up::Open);
        }
    }

    fn socket(&self, page: usize, dial: Dial) -> Option<usize> {
        self.pages[page].link.filter(|it| self.links[*it].dial == dial)
    }

    fn send_up(&mut self, link: usize, message: Up) {
        let it = &mut self.links[link];
        let wait = it.up_random.u64(1..=it.latency);
        let held = match it.carriage {
            Carriage::Stalled(until) => until,
            Carriage::Healthy | Carriage::Dead | Carriage::Gone => 0,
        };
        it.up_clear = it.up_clear.max(held).max(self.now + wait);
        let wait = it.up_clear - self.now;
        self.after(wait, Event::Up(link, message));
    }

    fn send_down(&mut self, link: usize, message: Down) {
        let it = &mut self.links[link];
        let wait = it.down_random.u64(1..=it.latency);
        let held = match it.carriage {
            Carriage::Stalled(until) => until,
            Carriage::Healthy | Carriage::Dead | Carriage::Gone => 0,
        };
        it.down_clear = it.down_clear.max(held).max(self.now + wait);
        let wait = it.down_clear - self.now;
        self.after(wait, Event::Down(link, message));
    }

    fn break_link(&mut self, link: usize) {
        if self.links[link].carriage == Carriage::Dead {
            return;
        }
        self.links[link].carriage = Carriage::Gone;
        self.send_up(link, Up::Reset);
        self.send_down(link, Down::Close(1006));
    }

    fn drain_relay(&mut self) {
        while let Some(conn) = self.relay.as_mut().and_then(|it| it.relay.poll_wake()) {
            self.write(conn);
        }
        let Some(running) = &mut self.relay else { return };
        let now = running.now(self.now);
        running.timer += 1;
        if let Some(due) = running.relay.poll_timeout() {
            let wait = u64::try_from(due.since(now).as_millis()).unwrap_or(u64::MAX);
            let timer = running.timer;
            self.after(wait, Event::RelayTimer(self.life, timer));
        }
    }

    /// Writes what a connection has waiting, as far as its socket takes it.
    fn write(&mut self, conn: ConnId) {
        loop {
            let Some(running) = &mut self.relay else { return };
            let Some(link) = running.links.get(&conn).copied() else { return };
            if self.links[link].blocked_until > self.now {
                let wait = self.links[link].blocked_until - self.now;
                return self.after(wait, Event::Writable(link));
            }
            let mut out = Vec::new();
            let now = running.now(self.now);
            let has_more = running.relay.collect(now, conn, BUDGET, &mut out);
            for outgoing in out {
                match outgoing {
                    Outgoing::Frame(frame) => self.send_down(link, Down::Frame(frame)),
                    Outgoing::Ping => self.send_down(link, Down::Ping),
                    Outgoing::Close(code) => {
                        self.say(|| format!("the relay closes a link with {}", code.name()));
                        self.send_down(link, Down::Close(code.code()));
                        self.relay_closed(link, conn, Closed::Lost);
                    }
                }
            }
            if !has_more {
                return;
            }
        }
    }
}

/// A frame without the ids of sessions, which are others in each run.
fn shape(frame: &ServerFrame<Meta>) -> String {
    match frame {
        ServerFrame::Welcome(it) => format!("welcome {}", it.resumed),
        ServerFrame::Snapshot(it) => {
            let mut names: Vec<_> = it.presences.iter().map(|it| it.user.name()).collect();
            names.sort_unstable();
            format!("{} snapshot {} {names:?}", it.key, it.rev.0)
        }
        ServerFrame::Delta(it) => {
            let mut names: Vec<_> = it.joined.iter().map(|it| it.user.name()).collect();
            names.sort_unstable();
            let n = [it.left.len(), it.updated.len(), it.pulses.len()];
            format!("{} delta {} {} {names:?} {n:?}", it.key, it.from.0, it.to.0)
        }
        ServerFrame::Heartbeat { revs } => {
            let revs: Vec<_> = revs.iter().map(|(key, rev)| format!("{key} {}", rev.0)).collect();
            format!("heartbeat {revs:?}")
        }
        ServerFrame::LastSeen { key, seen } => format!("{key} last_seen {}", seen.len()),
        ServerFrame::Token { expires_in_ms, .. } => format!("token {expires_in_ms}"),
        ServerFrame::Error { code, .. } => format!("error {}", code.name()),
    }
}

const fn name(frame: &ClientFrame<Meta>) -> &'static str {
    match frame {
        ClientFrame::Hello { .. } => "hello",
        ClientFrame::Join { .. } => "join",
        ClientFrame::Observe { .. } => "observe",
        ClientFrame::Update { .. } => "update",
        ClientFrame::Pulse { .. } => "pulse",
        ClientFrame::Leave { .. } => "leave",
        ClientFrame::Resync { .. } => "resync",
        ClientFrame::Attention { .. } => "attention",
        ClientFrame::LastSeen { .. } => "last_seen",
        ClientFrame::Token { .. } => "token",
        ClientFrame::Heartbeat => "heartbeat",
    }
}
