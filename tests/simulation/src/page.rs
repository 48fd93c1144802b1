//! A page in a browser: its session, its flashes, and what its person does with the tab.

use presence_core::flash::{FlashKind, FlashOutput, FlashRules};
use presence_core::session::Event;
use presence_core::{Dedupe, Flashes, MemberId, Mode, Session, Time};
use presence_protocol::{Key, LeaveReason, Meta, Pulse, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// A page that was away for longer may be given its roster in silence: the grace, less the time in which
/// a loss is noticed.
const SILENT: u64 = 20_000;

/// Everything flashes, however many are here.
const ALL: FlashRules = FlashRules { joins: true, leaves: true, mute_above: usize::MAX };

/// What becomes of a tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// In front.
    Shown,
    /// Behind others: its timers fire once a minute.
    Hidden,
    /// Its machine sleeps: nothing happens on it.
    Asleep,
    /// In the back-forward cache.
    PutAway,
    /// Closed.
    Closed,
}

/// What a page was told of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Somebody came.
    Joined,
    /// Somebody went.
    Left(LeaveReason),
}

/// One entry of what a page was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// When, in the world's milliseconds.
    pub at: u64,
    /// About whom.
    pub member: MemberId,
    /// What.
    pub news: News,
    /// True if it came as no news.
    pub quiet: bool,
}

/// A tab with a page in it.
#[derive(Debug)]
pub struct Page {
    /// Whose.
    pub user: String,
    /// The source of its chance, so that it is the same whatever happens to others at the same moment.
    pub random: fastrand::Rng,
    /// The key it looks at.
    pub key: Key,
    /// As what it is there.
    pub mode: Mode,
    /// True once it was there for others to see.
    pub was_listed: bool,
    /// True if it only ever looks on, and what happens to it happens to nobody else.
    pub is_watcher: bool,
    /// The rules.
    pub session: Session<Meta>,
    /// The messages.
    pub flashes: Flashes<String>,
    /// What became of the tab.
    pub tab: Tab,
    /// Until when its machine has no network.
    pub offline_until: u64,
    /// Until when its token function fails.
    pub tokenless_until: u64,
    /// When the page was loaded; its clock counts from here.
    pub opened_at: u64,
    /// The link of its current socket.
    pub link: Option<usize>,
    /// Guards against timers of an earlier arming.
    pub timer: u64,
    /// What it put in last.
    pub meta: Meta,
    /// What it says for the moment.
    pub pulse: Option<String>,
    /// When the relay last heard it say something for the moment, by the relay's own running time.
    pub pulsed_at: Option<u64>,
    /// What others say for the moment, and when it heard that, by the world's time.
    pub pulses: BTreeMap<SessionId, (String, u64)>,
    /// True if nothing happens to it but what happens to the relay: its view must be flawless.
    pub is_bystander: bool,
    /// What arrives while its machine sleeps.
    pub inbox: Vec<crate::world::Event>,
    /// When the relay last heard anything of its current visit, by the relay's own running time.
    pub contact: Option<u64>,
    /// The same of the visit before.
    pub contact_before: Option<u64>,
    /// When the relay last heard it as one who has joined, by the relay's own running time.
    pub heard: Option<u64>,
    /// The same by the world's time.
    pub heard_at: u64,
    /// How often it came back from the back-forward cache.
    pub visit: u32,
    /// When it said goodbye, by the relay's running time.
    pub goodbye_at: Option<u64>,
    /// When the relay heard its goodbye, by the world's time.
    pub gone_at: Option<u64>,
    /// When its current visit began: the load, the return from the cache, or the return after a time-out.
    pub visit_at: u64,
    /// When its first snapshot came.
    pub ready_at: Option<u64>,
    /// Since when it has been live without a break.
    pub live_since: Option<u64>,
    /// When it was last live before that.
    pub lost_at: Option<u64>,
    /// For how long it had not been live then.
    pub away: u64,
    /// What it was told.
    pub told: Vec<Told>,
    /// Whose leaves it was told.
    pub seen_leaving: BTreeSet<MemberId>,
    /// Who is here according to what it was told one by one.
    pub believed: BTreeMap<MemberId, News>,
    /// How often it asked for a snapshot.
    pub resyncs: u32,
    /// What the relay sent it, if that is to be compared.
    pub frames: Option<Vec<String>>,
    /// The messages on its screen.
    pub shown: BTreeMap<u32, (FlashKind, Vec<String>)>,
    /// What was said aloud.
    pub said: Vec<(FlashKind, Vec<String>)>,
}

impl Page {
    /// A page that begins to load.
    #[must_use]
    pub fn new(now: u64, user: &str, key: Key, mode: Mode, seed: u64) -> Self {
        Self {
            user: user.to_owned(),
            random: fastrand::Rng::with_seed(!seed),
            key,
            mode,
            was_listed: mode == Mode::Join,
            is_watcher: false,
            session: Session::new(seed),
            flashes: Flashes::new(ALL),
            tab: Tab::Shown,
            offline_until: 0,
            tokenless_until: 0,
            opened_at: now,
            link: None,
            timer: 0,
            meta: Meta::empty(),
            pulse: None,
            pulsed_at: None,
            pulses: BTreeMap::new(),
            is_bystander: false,
            inbox: Vec::new(),
            contact: None,
            contact_before: None,
            heard: None,
            heard_at: 0,
            visit: 0,
            goodbye_at: None,
            gone_at: None,
            visit_at: now,
            ready_at: None,
            live_since: None,
            lost_at: None,
            away: 0,
            told: Vec::new(),
            seen_leaving: BTreeSet::new(),
            believed: BTreeMap::new(),
            resyncs: 0,
            frames: None,
            shown: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    /// The page's own clock.
    #[must_use]
    pub const fn now(&self, now: u64) -> Time {
        Time::from_millis(now - self.opened_at)
    }

    /// Enters its key, or is there as something else from now on.
    pub fn enter(&mut self, now: u64) {
        let at = self.now(now);
        self.session.join(at, self.key.clone(), self.meta.clone(), Dedupe::User, self.mode);
    }

    /// True if the others are to see it.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.is_open() && self.mode == Mode::Join
    }

    /// True if the tab can run anything.
    #[must_use]
    pub const fn is_awake(&self) -> bool {
        matches!(self.tab, Tab::Shown | Tab::Hidden)
    }

    /// True if the person is looking at it, or would be if the tab were in front.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.tab, Tab::Shown | Tab::Hidden | Tab::Asleep)
    }

    /// The connection became live, or is no longer.
    pub fn turn(&mut self, now: u64, is_live: bool) {
        if self.live_since.is_some() && !is_live {
            self.lost_at = Some(now);
        }
        self.live_since = is_live.then_some(now);
        // Who was away for about as long as the grace gets the new roster in silence.
        self.away = self.lost_at.map_or(0, |it| now - it);
        if is_live && self.away > SILENT {
            self.believed.clear();
            self.seen_leaving.clear();
            self.ready_at = Some(now);
        }
    }

    /// Takes an event of the session, checking what can be checked on the spot.
    ///
    /// # Errors
    ///
    /// What was wrong with it.
    pub fn tell(&mut self, now: u64, event: &Event<Meta>) -> Result<(), String> {
        let at = self.now(now);
        let n_members = self.session.roster(&self.key).map_or(0, |it| it.members().len());
        self.flashes.observe(at, n_members, event, |it| it.user.name().to_owned());
        let (member, news, quiet) = match event {
            Event::Joined { member, quiet, .. } => (member, News::Joined, *quiet),
            Event::Left { member, reason, quiet, .. } => (member, News::Left(*reason), *quiet),
            Event::Pulse { pulse: Pulse { session, value, .. }, .. } => {
                if self.session.id() == Some(*session) {
                    return Err("was told of its own pulse".to_owned());
                }
                match value {
                    Some(value) => {
                        self.pulses.insert(*session, (value.as_str().to_owned(), now));
                    }
                    None => _ = self.pulses.remove(session),
                }
                return Ok(());
            }
            Event::Ready { .. } => {
                self.ready_at = Some(now);
                return Ok(());
            }
            Event::State(_)
            | Event::Updated { .. }
            | Event::Changed { .. }
            | Event::Refused { .. }
            | Event::Complaint { .. } => return Ok(()),
        };
        let id = member.id.clone();
        // By name: also one that only looks on knows its person's other tabs.
        if member.is_me || member.user.name() == self.user {
            return Err(format!("{id} was told of itself: {news:?}"));
        }
        let before = self.believed.insert(id.clone(), news);
        // What a page was told in silence isn't in `believed`, so only a flawless view must alternate.
        if self.is_bystander && before.is_some_and(|it| it.is_join() == news.is_join()) {
            return Err(format!("{id}: {news:?} came after {before:?}"));
        }
        if !news.is_join() {
            self.seen_leaving.insert(id.clone());
        }
        self.told.push(Told { at: now, member: id, news, quiet });
        Ok(())
    }

    /// Shows, says and hides messages.
    ///
    /// # Errors
    ///
    /// If one is about the page's own person, or tells of a leave that was a reload.
    pub fn flash(&mut self) -> Result<(), String> {
        while let Some(output) = self.flashes.poll_output() {
            match output {
                FlashOutput::Show { kind, who, .. } | FlashOutput::Say { kind, who }
                    if who.contains(&self.user) =>
                {
                    return Err(format!("{} flashed its own {kind:?}", self.user));
                }
                FlashOutput::Show { id, kind, who } => {
                    self.shown.insert(id, (kind, who));
                }
                FlashOutput::Say { kind, who } => {
                    if kind == FlashKind::Left
                        && let Some(name) = who.iter().find(|it| self.has_reloaded(it))
                    {
                        return Err(format!("{name} has reloaded and was said to have left"));
                    }
                    self.said.push((kind, who));
                }
                FlashOutput::Hide { id } => {
                    self.shown.remove(&id);
                }
            }
        }
        Ok(())
    }

    /// True if they came back within five seconds of their last leave.
    fn has_reloaded(&self, name: &str) -> bool {
        let of_them = |it: &&Told| it.member.to_string() == name;
        let mut told = self.told.iter().filter(of_them).rev().skip_while(|it| it.news.is_join());
        let Some(left) = told.next() else { return false };
        let is_return = |it: &Told| it.news.is_join() && it.at > left.at && it.at < left.at + 5_000;
        self.told.iter().filter(of_them).any(is_return)
    }
}

impl News {
    const fn is_join(self) -> bool {
        matches!(self, Self::Joined)
    }
}
