//! What somebody says beyond what they may: nobody else notices, and nothing that lasts is lost.

use super::stats::Dropped;
use super::{Backplane, Change, Command, ConnId, Host, Relay};
use crate::Time;
use core::time::Duration;
use presence_protocol::{Key, Meta};

/// For how long a meta waits that was updated too often, and a look. The latest one is told then.
const HOLD: Duration = Duration::from_secs(1);

impl<H: Host, B: Backplane> Relay<H, B> {
    /// A frame of somebody who says too much: a pulse is dropped, and a meta told later if no other
    /// replaces it until then, and so is whether somebody looks, which goes to all keys. Everything
    /// else, the end of a pulse too, is as ever.
    pub fn excess(&mut self, now: Time, id: ConnId, command: Command) {
        let kind = command.kind();
        match command {
            Command::Pulse { value: Some(_), .. } if self.open(id).is_some() => {
                self.stats.dropped.add(Dropped::Rate, 1);
            }
            Command::Update { key, meta } if self.open(id).is_some_and(|it| it.is_member(&key)) => {
                self.hold(now, id, &key, meta);
            }
            Command::Attention { away } if self.open(id).is_some() => {
                self.hold_attention(now, id, away);
            }
            Command::Join { key, grant, meta, age, away: Some(away) }
                if self.open(id).is_some() =>
            {
                self.hold_attention(now, id, away);
                let join = Command::Join { key, grant, meta, age, away: None };
                return self.frame(now, id, join);
            }
            it => return self.frame(now, id, it),
        }
        self.stats.received.add(kind, 1);
        self.heard(now, id);
    }

    fn hold(&mut self, now: Time, id: ConnId, key: &Key, meta: Meta) {
        let Some(open) = self.open(id) else { return };
        let Some(entered) = open.entered(key) else { return };
        let is_replaced = entered.held.replace(meta).is_some();
        let until = *open.held_until.get_or_insert(now + HOLD);
        self.arm_connection_by(id, until);
        if is_replaced {
            self.stats.dropped.add(Dropped::Rate, 1);
        }
    }

    fn hold_attention(&mut self, now: Time, id: ConnId, away: bool) {
        let Some(open) = self.open(id) else { return };
        let is_replaced = open.held_away.replace(away).is_some();
        let until = *open.held_until.get_or_insert(now + HOLD);
        self.arm_connection_by(id, until);
        if is_replaced {
            self.stats.dropped.add(Dropped::Rate, 1);
        }
    }

    /// What waits is older than what was said now.
    pub(super) fn drop_held_attention(&mut self, id: ConnId) {
        if self.open(id).is_some_and(|it| it.held_away.take().is_some()) {
            self.stats.dropped.add(Dropped::Rate, 1);
        }
    }

    /// Tells what of a connection has waited long enough.
    pub(super) fn tell_held(&mut self, now: Time, id: ConnId) {
        let Some(open) = self.open(id).filter(|it| it.held_until.is_some_and(|it| it <= now))
        else {
            return;
        };
        open.held_until = None;
        let (session, dial) = (open.session, open.dial);
        let held = open.keys.iter_mut().filter_map(|it| Some((it.key.clone(), it.held.take()?)));
        let (metas, away): (Vec<_>, _) = (held.collect(), open.held_away.take());
        for (key, meta) in metas {
            self.publish(now, &key, Change::Update { session, dial, meta });
        }
        if let Some(away) = away {
            self.attend(now, id, away);
        }
    }
}
