//! The relay's shell in the simulation.

use presence_core::relay::{
    Capabilities, Command, ConnId, Grant, Host, KeyPattern, MemoryBackplane, Refusal, Relay,
    RelayConfig, ResumeClaims,
};
use presence_core::{StallClock, Time};
use presence_protocol::{
    ClientFrame, Color, Dial, Epoch, Meta, ServerFrame, SessionId, User, UserId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Frames are shared as values: the simulation needs no JSON.
#[derive(Debug)]
pub struct SimHost;

impl Host for SimHost {
    type Frame = Arc<ServerFrame<Meta>>;

    fn encode(&mut self, frame: &ServerFrame<Meta>) -> Self::Frame {
        Arc::new(frame.clone())
    }

    fn size(_frame: &Self::Frame) -> usize {
        100
    }

    /// A resume token that anybody could forge; the pages of the simulation don't.
    fn seal(&mut self, claims: &ResumeClaims) -> String {
        let ResumeClaims { session, user, dial, since } = claims;
        format!("{session} {user} {} {}", dial.0, since.as_millis())
    }
}

/// One life of the relay's process.
#[derive(Debug)]
pub struct Running {
    /// The rules.
    pub relay: Relay<SimHost, MemoryBackplane>,
    /// Its clock.
    pub clock: StallClock,
    /// Which link a connection is.
    pub links: BTreeMap<ConnId, usize>,
    /// Guards against timers of an earlier arming.
    pub timer: u64,
}

/// The relay's clock at the simulation's beginning, so that times before it exist.
const ORIGIN: u64 = 1_000_000_000;

impl Running {
    /// Starts a relay.
    #[must_use]
    pub fn start(now: u64, seed: u64) -> Self {
        let raw = Time::from_millis(ORIGIN + now);
        let backplane = MemoryBackplane::new(Epoch::new(seed), raw);
        Self {
            relay: Relay::new(RelayConfig::default(), SimHost, backplane, seed),
            clock: StallClock::new(raw),
            links: BTreeMap::new(),
            timer: 0,
        }
    }

    /// The time on the relay's clock.
    pub fn now(&mut self, now: u64) -> Time {
        self.clock.look(Time::from_millis(ORIGIN + now))
    }

    /// Hands a page's frame to the rules.
    pub fn receive(&mut self, now: Time, conn: ConnId, frame: ClientFrame<Meta>) {
        let command = match frame {
            ClientFrame::Hello { token, resume, dial } => {
                let resume = resume.as_deref().and_then(unseal);
                return self.relay.hello(now, conn, check(&token), resume, dial);
            }
            ClientFrame::Join { key, token, meta, age, away } => {
                Command::Join { key, grant: token.as_deref().map(check), meta, age, away }
            }
            ClientFrame::Observe { key, token, invisible } => {
                Command::Observe { key, grant: token.as_deref().map(check), invisible }
            }
            ClientFrame::Attention { away } => Command::Attention { away },
            ClientFrame::Update { key, meta } => Command::Update { key, meta },
            ClientFrame::Pulse { key, name, value } => Command::Pulse { key, name, value },
            ClientFrame::Leave { key } => Command::Leave { key },
            ClientFrame::Resync { key } => Command::Resync { key },
            ClientFrame::LastSeen { key } => Command::LastSeen { key },
            ClientFrame::Token { token } => Command::Token { grant: check(&token) },
            ClientFrame::Heartbeat => Command::Heartbeat,
        };
        self.relay.frame(now, conn, command);
    }
}

/// Reads a token of the simulation: `user key`.
fn check(token: &str) -> Result<Grant, Refusal> {
    let (user, key) = token.split_once(' ').ok_or(Refusal::Denied)?;
    let id = UserId::parse(user).ok_or(Refusal::Denied)?;
    let user = User::new(id, user, Color([1, 2, 3])).map_err(|_| Refusal::Denied)?;
    let pattern = KeyPattern::parse(key).ok_or(Refusal::Denied)?;
    let expires_in = core::time::Duration::from_secs(100);
    let can = Capabilities::OF_A_PAGE.and(Capabilities::parse(["invisible"]));
    Ok(Grant { user: Arc::new(user), keys: vec![pattern], can, expires_in, last_seen: true })
}

/// Reads a resume token of the simulation.
#[must_use]
pub fn unseal(text: &str) -> Option<ResumeClaims> {
    let mut parts = text.split(' ');
    Some(ResumeClaims {
        session: SessionId::parse(parts.next()?)?,
        user: UserId::parse(parts.next()?)?,
        dial: Dial(parts.next()?.parse().ok()?),
        since: Time::from_millis(parts.next()?.parse().ok()?),
    })
}
