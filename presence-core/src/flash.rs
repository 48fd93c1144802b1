//! Which joins and leaves become a message on the page, and which are said aloud.

use crate::Time;
use crate::map::Map;
use crate::queue::Queue;
use crate::roster::{Member, MemberId};
use crate::session::{Event, State};
use core::time::Duration;

/// How long a message is shown. The tutorial's figure.
pub const SHOWN_FOR: Duration = Duration::from_secs(4);
/// What happens this soon after the first of its kind goes into the same message.
pub const MERGE: Duration = Duration::from_secs(1);
/// Someone who is back this soon has only reloaded the page: it is as if nothing had happened.
pub const RELOAD: Duration = Duration::from_secs(5);
/// Most messages at a time; an older one makes room for a newer.
pub const MOST: usize = 5;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashKind {
    /// They joined.
    Joined,
    /// They left.
    Left,
}

/// What is worth a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashRules {
    /// That somebody joins.
    pub joins: bool,
    /// That somebody leaves.
    pub leaves: bool,
    /// Nothing, while more than these are here.
    pub mute_above: usize,
}

/// What the shell must do. `P` is what it knows people by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlashOutput<P> {
    /// Show a message, or change the one that is shown by that name.
    Show {
        /// Its name from here on.
        id: u32,
        /// What it says.
        kind: FlashKind,
        /// About whom, in the order in which it happened.
        who: Vec<P>,
    },
    /// Say it to those who don't look: it will not be taken back.
    Say {
        /// What.
        kind: FlashKind,
        /// About whom.
        who: Vec<P>,
    },
    /// Take a message away.
    Hide {
        /// Which one.
        id: u32,
    },
}

/// The messages of one key in one place of the page.
///
/// A message is shown at once, and said when nothing can change it any more: a join after [`MERGE`], a leave
/// after [`RELOAD`], because only then it is known to be one.
#[derive(Debug)]
pub struct Flashes<P> {
    rules: FlashRules,
    next_id: u32,
    flashes: Vec<Flash<P>>,
    /// Who left lately, and when.
    left: Map<MemberId, Time>,
    held_since: Option<Time>,
    /// Those that somebody reads.
    read: [Option<u32>; 2],
    outputs: Queue<FlashOutput<P>>,
}

#[derive(Debug)]
struct Flash<P> {
    id: u32,
    kind: FlashKind,
    who: Vec<(MemberId, P)>,
    shown_at: Time,
    /// `None` once it is hidden.
    hide_at: Option<Time>,
    /// `None` once it is said.
    say_at: Option<Time>,
}

impl<P: Clone> Flashes<P> {
    /// No messages.
    #[must_use]
    pub const fn new(rules: FlashRules) -> Self {
        Self {
            rules,
            next_id: 0,
            flashes: Vec::new(),
            left: Map::new(),
            held_since: None,
            read: [None; 2],
            outputs: Queue::new(),
        }
    }

    /// Takes what the session tells of this key, in which so many are now.
    pub fn observe<M, U>(
        &mut self,
        now: Time,
        n_members: usize,
        event: &Event<M, U>,
        who: impl FnOnce(&Member<M, U>) -> P,
    ) {
        self.handle_timeout(now);
        let is_muted = n_members > self.rules.mute_above;
        match event {
            Event::Joined { member, quiet, .. } => {
                let left_lately = self.left.remove(&member.id).is_some();
                // With others it may be unsaid for longer than that.
                let is_reload = self.withdraw(&member.id, FlashKind::Left) || left_lately;
                if !(is_reload || *quiet || is_muted) && self.rules.joins {
                    self.show(now, FlashKind::Joined, &member.id, who(member));
                }
            }
            Event::Left { member, quiet, .. } => {
                // Nobody has left of whose coming nobody has heard.
                if self.withdraw(&member.id, FlashKind::Joined) || *quiet {
                    return;
                }
                self.left.insert(member.id.clone(), now);
                if !is_muted && self.rules.leaves {
                    self.show(now, FlashKind::Left, &member.id, who(member));
                }
            }
            Event::State(State::Live) => {}
            Event::State(state) => {
                // Who is back by the next snapshot only seems to have left; after a visit to the
                // back-forward cache it doesn't tell who has left, either.
                for it in &mut self.flashes {
                    if it.kind == FlashKind::Left || *state != State::Reconnecting {
                        it.say_at = None;
                    }
                }
            }
            Event::Refused { .. } => {
                // No time passes for a key that has ended.
                for it in core::mem::take(&mut self.flashes) {
                    if it.hide_at.is_some() {
                        self.outputs.push(FlashOutput::Hide { id: it.id });
                    }
                }
            }
            Event::Ready { .. }
            | Event::Updated { .. }
            | Event::Changed { .. }
            | Event::Pulse { .. }
            | Event::Complaint { .. } => {}
        }
    }

    /// While somebody reads a message, by pointer or focus, none goes for its age, and that one makes no room.
    pub fn hold(&mut self, now: Time, read: [Option<u32>; 2]) {
        self.handle_timeout(now);
        let is_held = read != [None; 2];
        self.read = read;
        if let Some(since) = self.held_since
            && !is_held
        {
            for it in &mut self.flashes {
                if let Some(hide_at) = &mut it.hide_at {
                    *hide_at = *hide_at + now.millis_since(since.max(it.shown_at));
                }
            }
            self.held_since = None;
        } else if is_held {
            self.held_since.get_or_insert(now);
        }
    }

    /// Runs what has become due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.left.retain(|_, at| *at + RELOAD > now);
        let is_held = self.held_since.is_some();
        let outputs = &mut self.outputs;
        self.flashes.retain_mut(|it| {
            if it.say_at.take_if(|at| *at <= now).is_some() {
                outputs.push(FlashOutput::Say { kind: it.kind, who: it.people() });
            }
            if !is_held && it.hide_at.take_if(|at| *at <= now).is_some() {
                outputs.push(FlashOutput::Hide { id: it.id });
            }
            it.say_at.is_some() || it.hide_at.is_some()
        });
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let is_held = self.held_since.is_some();
        let due = |it: &Flash<P>| match (it.say_at, it.hide_at.filter(|_| !is_held)) {
            (Some(say), Some(hide)) => Some(say.min(hide)),
            (say, hide) => say.or(hide),
        };
        self.flashes.iter().filter_map(due).min()
    }

    /// The next thing to do. Call until `None`.
    pub fn poll_output(&mut self) -> Option<FlashOutput<P>> {
        self.outputs.pop()
    }

    fn show(&mut self, now: Time, kind: FlashKind, member: &MemberId, who: P) {
        let is_open = |it: &&mut Flash<P>| {
            it.kind == kind
                && it.hide_at.is_some()
                && it.say_at.is_some()
                && it.shown_at + MERGE > now
        };
        let known = self.flashes.iter_mut().find(is_open);
        let flash = if let Some(it) = known {
            it
        } else {
            if self.flashes.iter().filter(|it| it.hide_at.is_some()).count() >= MOST {
                self.hide_first();
            }
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            let say_at = Some(now + MERGE);
            let hide_at = Some(now + SHOWN_FOR);
            self.flashes.push(Flash { id, kind, who: vec![], shown_at: now, hide_at, say_at });
            let Some(it) = self.flashes.last_mut() else { return };
            it
        };
        if kind == FlashKind::Left {
            flash.say_at = Some(now + RELOAD);
        }
        flash.who.push((member.clone(), who));
        self.outputs.push(flash.show());
    }

    /// Takes somebody out of the messages of a kind; true if that wasn't said yet.
    fn withdraw(&mut self, member: &MemberId, kind: FlashKind) -> bool {
        let outputs = &mut self.outputs;
        let mut was_unsaid = false;
        self.flashes.retain_mut(|it| {
            let before = it.who.len();
            if it.kind == kind {
                it.who.retain(|(id, _)| id != member);
            }
            if it.who.len() < before {
                was_unsaid |= it.say_at.is_some();
                if it.hide_at.is_some() {
                    outputs.push(match it.who.as_slice() {
                        [] => FlashOutput::Hide { id: it.id },
                        _ => it.show(),
                    });
                }
            }
            !it.who.is_empty()
        });
        was_unsaid
    }

    fn hide_first(&mut self) {
        let read = self.read;
        let can_go = |it: &&mut Flash<P>| it.hide_at.is_some() && !read.contains(&Some(it.id));
        if let Some(it) = self.flashes.iter_mut().find(can_go) {
            it.hide_at = None;
            self.outputs.push(FlashOutput::Hide { id: it.id });
        }
    }
}

impl<P: Clone> Flash<P> {
    fn people(&self) -> Vec<P> {
        self.who.iter().map(|(_, who)| who.clone()).collect()
    }

    fn show(&self) -> FlashOutput<P> {
        FlashOutput::Show { id: self.id, kind: self.kind, who: self.people() }
    }
}

#[cfg(test)]
mod tests;
