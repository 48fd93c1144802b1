//! Links between pages and the relay: ordered within a link, not across links.

use presence_core::relay::ConnId;
use presence_protocol::{ClientFrame, Dial, Meta, ServerFrame};
use std::sync::Arc;

/// What travels to the relay.
#[derive(Clone, Debug)]
pub enum Up {
    /// The upgrade request.
    Open,
    /// A frame.
    Frame(ClientFrame<Meta>),
    /// The answer to a ping, which a browser gives without any script.
    Pong,
    /// A close frame.
    Close(u16),
    /// The connection was reset.
    Reset,
}

/// What travels to a page.
#[derive(Clone, Debug)]
pub enum Down {
    /// The upgrade was answered.
    Opened,
    /// A frame.
    Frame(Arc<ServerFrame<Meta>>),
    /// A protocol ping.
    Ping,
    /// A close frame, or 1006 for a connection that is gone.
    Close(u16),
}

/// How a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// It delivers.
    Healthy,
    /// It holds everything back until then, and delivers it all.
    Stalled(u64),
    /// It swallows everything, and nobody is told: half-open.
    Dead,
    /// It is gone, and both ends know or will know.
    Gone,
}

/// One TCP connection.
#[derive(Debug)]
pub struct Link {
    /// The page that dialed.
    pub page: usize,
    /// In which of its visits.
    pub visit: u32,
    /// True once its `join` has arrived.
    pub is_joined: bool,
    /// Which of its dials this is.
    pub dial: Dial,
    /// The relay process that it leads to.
    pub life: u32,
    /// The relay's name for it.
    pub conn: Option<ConnId>,
    /// How it carries.
    pub carriage: Carriage,
    /// How long each message up takes.
    pub up_random: fastrand::Rng,
    /// How long each message down takes.
    pub down_random: fastrand::Rng,
    /// The slowest delivery, in milliseconds.
    pub latency: u64,
    /// Nothing sent from here on arrives before what was sent earlier.
    pub up_clear: u64,
    /// The same for the other direction.
    pub down_clear: u64,
    /// Until when the page's side reads nothing.
    pub blocked_until: u64,
    /// The next delta is lost, as no real TCP loses it, to see that drift heals.
    pub lose_delta: bool,
    /// When one was.
    pub lost_delta_at: Option<u64>,
}
