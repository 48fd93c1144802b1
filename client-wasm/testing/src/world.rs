//! The relay, the networks in front of it, and the pages of other people.
//!
//! A message takes no time. What a network holds back arrives, in order, when it is back: so does what
//! TCP has not delivered.

use crate::relay::{self, Core, unseal};
use core::mem;
use core::time::Duration;
use presence_core::relay::{Closed, ConnId, Outgoing, Request, View};
use presence_core::session::Output;
use presence_core::{Dedupe, Member, MemberId, Mode, Session, Time};
use presence_protocol::{
    AvatarUrl, CloseCode, Dial, Key, LeaveBeacon, Meta, PulseName, PulseValue, UserId,
    decode_server, encode_client,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// What the page under test is given.
#[derive(Debug)]
pub(crate) enum ToPage {
    Open,
    Text(String),
    Close(u16),
}

/// Everything but the page under test.
#[derive(Debug)]
pub(crate) struct World {
    now: u64,
    seed: u64,
    /// None while it is stopped.
    relay: Option<Core>,
    /// Who viewed what, which outlives the relay.
    views: BTreeMap<(Key, UserId), View>,
    connections: BTreeMap<ConnId, u32>,
    links: BTreeMap<u32, Link>,
    last_link: u32,
    /// One for each page; the first is that of the page under test.
    networks: Vec<Network>,
    /// Those of other people; the first is number 1, like its network.
    tabs: Vec<Tab>,
    in_flight: VecDeque<(u32, Message)>,
    to_page: VecDeque<(u32, ToPage)>,
}

/// How a page's network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Up,
    /// It holds everything back, and nobody is told.
    Silent,
    /// It refuses everything.
    Down,
}

/// One TCP connection.
#[derive(Debug)]
struct Link {
    /// Whose.
    machine: u32,
    dial: Dial,
    connection: Option<ConnId>,
    /// What its network holds back.
    held: Vec<Message>,
}

/// What travels.
#[derive(Clone, Debug)]
enum Message {
    ToRelay(Up),
    ToPage(Down),
}

#[derive(Clone, Debug)]
enum Up {
    Open,
    Text(String),
    Pong,
    Close(u16),
}

#[derive(Clone, Debug)]
enum Down {
    Opened,
    Text(String),
    Ping,
    Close(u16),
}

/// A page of somebody else.
#[derive(Debug)]
struct Tab {
    token: String,
    key: Key,
    meta: Map<String, Value>,
    session: Session<Meta>,
    link: Option<u32>,
    is_closed: bool,
}

/// The code of a connection that ended without a close frame.
const ABNORMAL: u16 = 1006;
/// How much is written to a connection at a time.
const BUDGET: usize = 64 * 1024;

impl World {
    /// The machine of the page under test.
    pub(crate) const PAGE: u32 = 0;

    pub(crate) fn new(seed: u64, now: u64) -> Self {
        let mut world = Self {
            now,
            seed,
            relay: None,
            views: BTreeMap::new(),
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            last_link: 0,
            networks: vec![Network::Up],
            tabs: Vec::new(),
            in_flight: VecDeque::new(),
            to_page: VecDeque::new(),
        };
        world.start_relay();
        world
    }

    /// When something happens by itself.
    pub(crate) fn next_at(&self) -> Option<u64> {
        let tabs = self.tabs.iter().filter(|it| !it.is_closed);
        let timeouts = tabs.map(|it| it.session.poll_timeout());
        let relay = self.relay.as_ref().and_then(Core::poll_timeout);
        timeouts.chain([relay]).flatten().min().map(Time::as_millis)
    }

    /// Lets everything happen until a moment.
    pub(crate) fn run(&mut self, until: u64) {
        self.deliver();
        while let Some(at) = self.next_at().filter(|it| *it <= until) {
            self.now = self.now.max(at);
            let now = self.time();
            if let Some(relay) = &mut self.relay {
                relay.handle_timeout(now);
            }
            self.drain_relay();
            for tab in 1..=self.n_tabs() {
                self.with_tab(tab, |it| {
                    if !it.is_closed {
                        it.session.handle_timeout(now);
                    }
                });
            }
            self.deliver();
        }
        self.now = self.now.max(until);
    }

    pub(crate) fn poll_page(&mut self) -> Option<(u32, ToPage)> {
        self.to_page.pop_front()
    }

    pub(crate) fn dial_from_page(&mut self) -> u32 {
        self.dial(Self::PAGE, Dial(0))
    }

    pub(crate) fn send_from_page(&mut self, link: u32, text: String) {
        self.send(link, Message::ToRelay(Up::Text(text)));
    }

    pub(crate) fn close_from_page(&mut self, link: u32, code: u16) {
        self.send(link, Message::ToRelay(Up::Close(code)));
    }

    pub(crate) fn beacon(&mut self, machine: u32, body: &str) {
        let now = self.time();
        if self.network(machine) == Network::Up
            && let Some(relay) = &mut self.relay
            && let Ok(LeaveBeacon { resume, dial, keys }) = LeaveBeacon::decode(body)
            && let Some(claims) = unseal(&resume)
        {
            relay.beacon(now, &claims, dial, &keys);
            self.drain_relay();
        }
    }

    pub(crate) fn open(
        &mut self,
        token: String,
        key: &str,
        meta: &str,
        mode: &str,
    ) -> Result<u32, &'static str> {
        let mode = match mode {
            "join" => Mode::Join,
            "observe" => Mode::Observe,
            "invisible" => Mode::Invisible,
            _ => return Err("bad_mode"),
        };
        let key = Key::parse(key).ok_or("bad_key")?;
        let meta = object(meta)?;
        let joined = meta_of(&meta)?;
        let mut session = Session::new(self.next_seed());
        session.join(self.time(), key.clone(), joined, Dedupe::User, mode);
        self.networks.push(Network::Up);
        self.tabs.push(Tab { token, key, meta, session, link: None, is_closed: false });
        let tab = self.n_tabs();
        self.drain_tab(tab);
        Ok(tab)
    }

    pub(crate) fn update(&mut self, tab: u32, patch: &str) -> Result<(), &'static str> {
        let (patch, now) = (object(patch)?, self.time());
        let Some(it) = self.tab(tab) else { return Ok(()) };
        let mut meta = it.meta.clone();
        meta.extend(patch);
        meta.retain(|_, value| !value.is_null());
        let changed = meta_of(&meta)?;
        it.meta = meta;
        let key = it.key.clone();
        it.session.update(now, &key, changed);
        self.drain_tab(tab);
        Ok(())
    }

    /// Somebody else's page says something for the moment, or with `None` no longer.
    pub(crate) fn pulse(
        &mut self,
        tab: u32,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), &'static str> {
        let name = PulseName::parse(name).ok_or("bad_pulse")?;
        let value = value.map(|it| PulseValue::parse(it).ok_or("bad_pulse")).transpose()?;
        let now = self.time();
        let Some(it) = self.tab(tab).filter(|it| !it.is_closed) else { return Ok(()) };
        let fits = it.session.pulse(now, &it.key, name, value);
        self.drain_tab(tab);
        if fits { Ok(()) } else { Err("bad_pulse") }
    }

    /// The tab of somebody else's page goes behind others, or comes back: all that a browser tells a page then.
    pub(crate) fn hide_tab(&mut self, tab: u32, is_hidden: bool) {
        let now = self.time();
        self.with_tab(tab, |it| {
            if !it.is_closed {
                it.session.attention(is_hidden);
                it.session.hidden(now, is_hidden);
                if !is_hidden {
                    it.session.wake(now);
                }
            }
        });
    }

    /// An application's server puts a user out, of one key or of all, and keeps them out for a while.
    pub(crate) fn kick(
        &mut self,
        user: &str,
        key: Option<&str>,
        lasting: Duration,
    ) -> Result<(), &'static str> {
        let user = UserId::parse(user).ok_or("bad_user")?;
        let key = key.map(|it| Key::parse(it).ok_or("bad_key")).transpose()?;
        let now = self.time();
        let relay = self.relay.as_mut().ok_or("no_relay")?;
        // Nobody has put out as many as would be too many.
        let _ = relay.kick(now, &user, key.as_ref(), lasting);
        if key.is_none() {
            relay.kick_lost(now, &user, None, usize::MAX);
        }
        self.drain_relay();
        Ok(())
    }

    pub(crate) fn close_tab(&mut self, tab: u32) {
        self.with_tab(tab, |it| it.session.page_hide());
        if let Some(it) = self.tab(tab) {
            it.is_closed = true;
        }
    }

    pub(crate) fn drop_network(&mut self, machine: u32, is_reset: bool) {
        let Some(network) = self.networks.get_mut(machine as usize) else { return };
        *network = if is_reset { Network::Down } else { Network::Silent };
        if is_reset {
            for link in self.links_of(|it| it.machine == machine) {
                self.reset(link);
            }
        }
    }

    pub(crate) fn restore_network(&mut self, machine: u32) {
        let Some(network) = self.networks.get_mut(machine as usize) else { return };
        *network = Network::Up;
        for link in self.links_of(|it| it.machine == machine) {
            let held = self.links.get_mut(&link).map(|it| mem::take(&mut it.held));
            self.in_flight.extend(held.into_iter().flatten().map(|it| (link, it)));
        }
        // A browser fires `online`; the page under test is told by `testing.js`.
        let now = self.time();
        self.with_tab(machine, |it| {
            if !it.is_closed {
                it.session.wake(now);
            }
        });
    }

    pub(crate) fn stop_relay(&mut self) {
        self.relay = None;
        for link in mem::take(&mut self.connections).into_values() {
            if let Some(it) = self.links.get_mut(&link) {
                it.connection = None;
            }
            self.send(link, Message::ToPage(Down::Close(CloseCode::GoingAway.code())));
        }
    }

    pub(crate) fn start_relay(&mut self) {
        if self.relay.is_none() {
            let seed = self.next_seed();
            self.relay = Some(relay::start(self.time(), seed));
        }
    }

    /// The members that a page sees, in the form of the SDK's own.
    pub(crate) fn members(&self, tab: u32) -> Value {
        let tab = self.tabs.get(index(tab)).filter(|it| !it.is_closed);
        let roster = tab.and_then(|it| it.session.roster(&it.key));
        let began = tab.and_then(|it| it.session.epoch_began()).unwrap_or_default();
        let members = roster.map(|it| it.members()).unwrap_or_default();
        members.iter().map(|it| as_json(it, began)).collect()
    }

    pub(crate) fn state(&self, tab: u32) -> &'static str {
        match self.tabs.get(index(tab)) {
            Some(tab) if !tab.is_closed => tab.session.state().name(),
            _ => "stopped",
        }
    }

    /// Delivers what is on its way, and what comes of it.
    fn deliver(&mut self) {
        while let Some((link, message)) = self.in_flight.pop_front() {
            match message {
                Message::ToRelay(message) => self.arrive_at_relay(link, message),
                Message::ToPage(message) => self.arrive_at_page(link, message),
            }
        }
    }

    fn arrive_at_relay(&mut self, link: u32, message: Up) {
        let now = self.time();
        let Some(it) = self.links.get_mut(&link) else { return };
        match (&mut self.relay, it.connection, message) {
            (Some(relay), None, Up::Open) => match relay.connect(now) {
                Ok(connection) => {
                    it.connection = Some(connection);
                    self.connections.insert(connection, link);
                    self.send(link, Message::ToPage(Down::Opened));
                }
                Err(_) => self.send(link, Message::ToPage(Down::Close(CloseCode::Busy.code()))),
            },
            (None, _, Up::Open) => self.send(link, Message::ToPage(Down::Close(ABNORMAL))),
            (Some(relay), Some(connection), Up::Text(text)) => {
                relay::receive(relay, now, connection, &text);
            }
            (Some(relay), Some(connection), Up::Pong) => relay.heard(now, connection),
            (_, _, Up::Close(code)) => {
                let is_leave = code == CloseCode::GoingAway.code();
                self.end(link, if is_leave { Closed::Leave } else { Closed::Lost });
                self.send(link, Message::ToPage(Down::Close(code)));
            }
            _ => {}
        }
        self.drain_relay();
    }

    fn arrive_at_page(&mut self, link: u32, message: Down) {
        let Some(&Link { machine, dial, .. }) = self.links.get(&link) else { return };
        if matches!(message, Down::Ping) {
            // A browser answers without any script.
            return self.send(link, Message::ToRelay(Up::Pong));
        }
        if matches!(message, Down::Close(_)) {
            self.links.remove(&link);
        }
        if machine == Self::PAGE {
            let what = match message {
                Down::Opened | Down::Ping => ToPage::Open,
                Down::Text(text) => ToPage::Text(text),
                Down::Close(code) => ToPage::Close(code),
            };
            return self.to_page.push_back((link, what));
        }
        let now = self.time();
        self.with_tab(machine, |tab| {
            if tab.link != Some(link) || tab.is_closed {
                return;
            }
            match message {
                Down::Opened => tab.session.socket_open(now, dial),
                Down::Text(text) => match decode_server(&text) {
                    Ok(frame) => tab.session.socket_frame(now, dial, frame),
                    Err(_) => tab.session.socket_garbage(now, dial),
                },
                Down::Close(code) => {
                    tab.link = None;
                    tab.session.socket_closed(now, dial, code);
                }
                Down::Ping => {}
            }
        });
    }

    fn dial(&mut self, machine: u32, dial: Dial) -> u32 {
        self.last_link += 1;
        let link = self.last_link;
        self.links.insert(link, Link { machine, dial, connection: None, held: Vec::new() });
        if self.network(machine) == Network::Down {
            self.in_flight.push_back((link, Message::ToPage(Down::Close(ABNORMAL))));
        } else {
            self.send(link, Message::ToRelay(Up::Open));
        }
        link
    }

    fn send(&mut self, link: u32, message: Message) {
        let Some(machine) = self.links.get(&link).map(|it| it.machine) else { return };
        match (self.network(machine), self.links.get_mut(&link)) {
            (Network::Silent, Some(it)) => it.held.push(message),
            _ => self.in_flight.push_back((link, message)),
        }
    }

    /// Both ends of a link learn that it is gone.
    fn reset(&mut self, link: u32) {
        self.end(link, Closed::Lost);
        self.in_flight.push_back((link, Message::ToPage(Down::Close(ABNORMAL))));
        self.drain_relay();
    }

    /// The relay's end of a link is gone.
    fn end(&mut self, link: u32, how: Closed) {
        let now = self.time();
        let connection = self.links.get_mut(&link).and_then(|it| it.connection.take());
        if let (Some(relay), Some(connection)) = (&mut self.relay, connection) {
            self.connections.remove(&connection);
            relay.closed(now, connection, how);
        }
    }

    /// Writes what the relay has for its connections.
    fn drain_relay(&mut self) {
        self.serve_store();
        let now = self.time();
        while let Some(connection) = self.relay.as_mut().and_then(Core::poll_wake) {
            let Some(link) = self.connections.get(&connection).copied() else { continue };
            let mut out = Vec::new();
            while let Some(relay) = &mut self.relay
                && relay.collect(now, connection, BUDGET, &mut out)
            {}
            for it in out {
                match it {
                    Outgoing::Frame(text) => {
                        self.send(link, Message::ToPage(Down::Text((*text).into())));
                    }
                    Outgoing::Ping => self.send(link, Message::ToPage(Down::Ping)),
                    Outgoing::Close(code) => {
                        self.send(link, Message::ToPage(Down::Close(code.code())));
                        self.end(link, Closed::Lost);
                    }
                }
            }
        }
    }

    /// Does what a relay's store does, at once.
    fn serve_store(&mut self) {
        let now = self.time();
        let Self { relay: Some(relay), views, .. } = self else { return };
        while let Some(request) = relay.poll_request() {
            match request {
                Request::Keep(view) => {
                    let place = (view.key.clone(), view.user.id().clone());
                    if views.get(&place).is_none_or(|it| it.at <= view.at) {
                        views.insert(place, view);
                    }
                }
                Request::LookUp(asked) => {
                    let of_key = views.values().filter(|it| it.key == asked.key);
                    let mut found: Vec<_> = of_key.cloned().collect();
                    found.sort_by_key(|it| core::cmp::Reverse(it.at));
                    let answer = relay::text(&asked.answer(now, found));
                    relay.last_seen(now, asked, Some(answer));
                }
                Request::ForgetBefore(before) => views.retain(|_, it| it.at >= before),
                Request::ForgetUser { user, keys } => {
                    let is_meant = |key: &Key| keys.iter().any(|it| it.matches(key));
                    views.retain(|(key, of), _| *of != user || !is_meant(key));
                }
            }
        }
    }

    /// Calls into a page, then does what it wants.
    fn with_tab(&mut self, tab: u32, call: impl FnOnce(&mut Tab)) {
        if let Some(it) = self.tab(tab) {
            call(it);
            self.drain_tab(tab);
        }
    }

    fn drain_tab(&mut self, tab: u32) {
        let now = self.time();
        while let Some(output) = self.tab(tab).and_then(|it| it.session.poll_output()) {
            match output {
                Output::FetchToken { fetch } => {
                    if let Some(it) = self.tab(tab) {
                        let token = it.token.clone();
                        it.session.token(now, fetch, Ok(token));
                    }
                }
                Output::Dial { dial } => {
                    let link = self.dial(tab, dial);
                    if let Some(it) = self.tab(tab) {
                        it.link = Some(link);
                    }
                }
                Output::Send { dial, frame } => {
                    if let Some(link) = self.socket(tab, dial) {
                        self.send(link, Message::ToRelay(Up::Text(encode_client(&frame))));
                    }
                }
                Output::Close { dial, code } => {
                    if let Some(link) = self.socket(tab, dial) {
                        self.send(link, Message::ToRelay(Up::Close(code.code())));
                    }
                    if let Some(it) = self.tab(tab) {
                        it.link = None;
                    }
                }
                Output::Beacon { resume, dial, keys } => {
                    self.beacon(tab, &LeaveBeacon { resume, dial, keys }.encode());
                }
                Output::Event(_) => {}
            }
        }
    }

    /// The socket that a page's dial has opened, if it still has it.
    fn socket(&mut self, tab: u32, dial: Dial) -> Option<u32> {
        let link = self.tab(tab)?.link?;
        self.links.get(&link).filter(|it| it.dial == dial).map(|_| link)
    }

    fn links_of(&self, is_meant: impl Fn(&Link) -> bool) -> Vec<u32> {
        self.links.iter().filter(|(_, it)| is_meant(it)).map(|(id, _)| *id).collect()
    }

    fn network(&self, machine: u32) -> Network {
        self.networks.get(machine as usize).copied().unwrap_or(Network::Down)
    }

    fn tab(&mut self, tab: u32) -> Option<&mut Tab> {
        self.tabs.get_mut(index(tab))
    }

    fn n_tabs(&self) -> u32 {
        u32::try_from(self.tabs.len()).unwrap_or(u32::MAX)
    }

    const fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// Another seed for every session and every life of the relay.
    const fn next_seed(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed
    }
}

/// Where a page stands in the list of them.
const fn index(tab: u32) -> usize {
    (tab as usize).wrapping_sub(1)
}

fn object(text: &str) -> Result<Map<String, Value>, &'static str> {
    serde_json::from_str(text).map_err(|_| "bad_meta")
}

fn meta_of(meta: &Map<String, Value>) -> Result<Meta, &'static str> {
    let text = serde_json::to_string(meta).map_err(|_| "bad_meta")?;
    Meta::from_json_value(&text).map_err(|_| "bad_meta")
}

fn as_json(member: &Member<Meta>, epoch_began: i64) -> Value {
    let Member { id, user, is_me, state, since, sessions } = member;
    let mut meta = Map::new();
    // The newest comes last, and wins.
    for session in sessions.iter().rev() {
        meta.extend(object(session.meta.as_str()).unwrap_or_default());
    }
    json!({
        "id": match id {
            MemberId::User(id) => id.as_str().to_owned(),
            MemberId::Session(id) => id.to_string(),
        },
        "userId": user.id().as_str(),
        "name": user.name(),
        "color": user.color().to_string(),
        "avatar": user.avatar().map(AvatarUrl::as_str),
        "info": user.info().and_then(|it| object(it.as_str()).ok()),
        "self": is_me,
        "state": state.name(),
        "since": epoch_began + since,
        "sessions": sessions.len(),
        "meta": meta,
    })
}

#[cfg(test)]
mod tests;
