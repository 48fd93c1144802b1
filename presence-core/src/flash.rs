//! Which joins and leaves become a message on the page.

use crate::Time;
use crate::map::Map;
use crate::roster::MemberId;
use crate::session::Event;
use core::time::Duration;
use presence_protocol::User;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a message is shown. The tutorial's figure.
pub const SHOWN_FOR: Duration = Duration::from_secs(4);
/// Someone who is back this soon has only reloaded the page: it is as if nothing had happened.
pub const RELOAD: Duration = Duration::from_secs(5);
/// Most messages at a time; an older one makes room for a newer.
pub const MOST: usize = 5;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashKind {
    /// Somebody joined.
    Joined,
    /// Somebody left.
    Left,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlashOutput {
    /// Show a message.
    Show {
        /// Its name from here on.
        id: u32,
        /// What it says.
        kind: FlashKind,
        /// About whom.
        user: Arc<User>,
    },
    /// Take a message away.
    Hide {
        /// Which one.
        id: u32,
    },
}

/// The messages of one key.
#[derive(Debug, Default)]
pub struct Flashes {
    next_id: u32,
    shown: VecDeque<Shown>,
    /// Who left lately, and when.
    left: Map<MemberId, Time>,
    outputs: VecDeque<FlashOutput>,
}

#[derive(Debug)]
struct Shown {
    id: u32,
    kind: FlashKind,
    member: MemberId,
    until: Time,
}

impl Flashes {
    /// No messages.
    #[must_use]
    pub const fn new() -> Self {
        Self { next_id: 0, shown: VecDeque::new(), left: Map::new(), outputs: VecDeque::new() }
    }

    /// Takes what the session tells of this key.
    pub fn observe<M>(&mut self, now: Time, event: &Event<M>) {
        self.handle_timeout(now);
        match event {
            Event::Joined { member, quiet, .. } => {
                let is_reload = self.left.remove(&member.id).is_some();
                self.withdraw(&member.id, FlashKind::Left);
                if !is_reload && !quiet {
                    self.show(now, FlashKind::Joined, &member.id, &member.user);
                }
            }
            Event::Left { member, quiet: false, .. } => {
                self.left.insert(member.id.clone(), now);
                self.withdraw(&member.id, FlashKind::Joined);
                self.show(now, FlashKind::Left, &member.id, &member.user);
            }
            Event::Left { .. }
            | Event::State(_)
            | Event::Ready { .. }
            | Event::Updated { .. }
            | Event::Changed { .. }
            | Event::Refused { .. }
            | Event::Complaint { .. } => {}
        }
    }

    /// Runs what has become due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.left.retain(|_, at| *at + RELOAD > now);
        while self.shown.front().is_some_and(|it| it.until <= now) {
            self.hide_first();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.shown.front().map(|it| it.until)
    }

    /// The next thing to do. Call until `None`.
    pub fn poll_output(&mut self) -> Option<FlashOutput> {
        self.outputs.pop_front()
    }

    fn show(&mut self, now: Time, kind: FlashKind, member: &MemberId, user: &Arc<User>) {
        if self.shown.len() >= MOST {
            self.hide_first();
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let until = now + SHOWN_FOR;
        self.shown.push_back(Shown { id, kind, member: member.clone(), until });
        self.outputs.push_back(FlashOutput::Show { id, kind, user: user.clone() });
    }

    fn withdraw(&mut self, member: &MemberId, kind: FlashKind) {
        let outputs = &mut self.outputs;
        self.shown.retain(|it| {
            let stays = it.member != *member || it.kind != kind;
            if !stays {
                outputs.push_back(FlashOutput::Hide { id: it.id });
            }
            stays
        });
    }

    fn hide_first(&mut self) {
        if let Some(first) = self.shown.pop_front() {
            self.outputs.push_back(FlashOutput::Hide { id: first.id });
        }
    }
}

#[cfg(test)]
mod tests;
