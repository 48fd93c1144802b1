//! The relay's shell: texts in, texts out.

use crate::token;
use core::time::Duration;
use presence_core::Time;
use presence_core::relay::{
    Command, ConnId, Host, KeyPattern, LastSeenRules, MemoryBackplane, Relay, RelayConfig,
    ResumeClaims,
};
use presence_protocol::{
    ClientFrame, Dial, Epoch, FrameError, Meta, ServerFrame, SessionId, UserId, decode_client,
    encode_server,
};
use std::rc::Rc;

/// A whole relay.
pub(crate) type Core = Relay<TextHost, MemoryBackplane>;

/// Writes frames as texts.
#[derive(Debug)]
pub(crate) struct TextHost;

/// A frame, written down.
pub(crate) fn text(frame: &ServerFrame<Meta>) -> Rc<str> {
    let mut bytes = Vec::new();
    encode_server(frame, &mut bytes);
    String::from_utf8_lossy(&bytes).into()
}

impl Host for TextHost {
    type Frame = Rc<str>;

    fn encode(&mut self, frame: &ServerFrame<Meta>) -> Rc<str> {
        text(frame)
    }

    fn size(frame: &Rc<str>) -> usize {
        frame.len()
    }

    /// A resume token that anybody could forge; nobody has a reason to in a test.
    fn seal(&mut self, claims: &ResumeClaims) -> String {
        let ResumeClaims { session, user, dial, since } = claims;
        format!("{session} {} {} {user}", dial.0, since.as_millis())
    }
}

/// For how long it is kept who viewed what: as a relay does that isn't told otherwise.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// A relay that has just started, with `--last-seen '*'`.
pub(crate) fn start(now: Time, seed: u64) -> Core {
    let backplane = MemoryBackplane::new(Epoch::new(seed), now);
    let mut relay = Relay::new(RelayConfig::default(), TextHost, backplane, seed);
    let keys = KeyPattern::parse("*").into_iter().collect();
    relay.keep_last_seen(now, LastSeenRules::new(keys, RETENTION));
    relay
}

/// The claims of a resume token.
pub(crate) fn unseal(text: &str) -> Option<ResumeClaims> {
    let mut parts = text.splitn(4, ' ');
    Some(ResumeClaims {
        session: SessionId::parse(parts.next()?)?,
        dial: Dial(parts.next()?.parse().ok()?),
        since: Time::from_millis(parts.next()?.parse().ok()?),
        user: UserId::parse(parts.next()?)?,
    })
}

/// Hands a text of a page to the rules.
pub(crate) fn receive(relay: &mut Core, now: Time, conn: ConnId, text: &str) {
    let command = match decode_client(text) {
        Ok(ClientFrame::Hello { token, resume, dial }) => {
            let resume = resume.as_deref().and_then(unseal);
            return relay.hello(now, conn, token::check(now, &token), resume, dial);
        }
        Ok(ClientFrame::Join { key, token, meta, age, away }) => {
            Command::Join { key, grant: token.map(|it| token::check(now, &it)), meta, age, away }
        }
        Ok(ClientFrame::Observe { key, token, invisible }) => {
            Command::Observe { key, grant: token.map(|it| token::check(now, &it)), invisible }
        }
        Ok(ClientFrame::Update { key, meta }) => Command::Update { key, meta },
        Ok(ClientFrame::Pulse { key, name, value }) => Command::Pulse { key, name, value },
        Ok(ClientFrame::Leave { key }) => Command::Leave { key },
        Ok(ClientFrame::Resync { key }) => Command::Resync { key },
        Ok(ClientFrame::Attention { away }) => Command::Attention { away },
        Ok(ClientFrame::LastSeen { key }) => Command::LastSeen { key },
        Ok(ClientFrame::Token { token }) => Command::Token { grant: token::check(now, &token) },
        Ok(ClientFrame::Heartbeat) => Command::Heartbeat,
        Err(FrameError { code, message, key }) => {
            return relay.bad_frame(now, conn, code, message, key);
        }
    };
    relay.frame(now, conn, command);
}
