//! The protocol's codec for a browser: JavaScript reads and checks a frame (`js/shell.js`), and hands over its
//! values one after the other; of this page's frames it is told the values, and writes them.
//!
//! It is held to the same `fixtures/` as the relay's codec in `presence-protocol`.

use crate::meta::Meta;
use crate::page::{
    say, say_index, say_number, say_optional_text, say_text, take, take_bits, take_flag,
    take_index, take_natural, take_number, take_optional_text, take_text,
};
use crate::user::{PresenceHere, User};
use presence_protocol::{
    ClientFrame, Delta, Dial, Epoch, EpochInfo, ErrorCode, Key, LeaveReason, Left, PresenceState,
    Pulse, PulseName, PulseValue, Rev, ServerFrame, SessionId, Snapshot, Updated, UserId, Welcome,
};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    fn read() -> i32;
}

/// Reads a relay's frame, which is the next value to be taken; `None` if it isn't one.
pub(crate) fn decode() -> Option<ServerFrame<Meta, User>> {
    Some(match read() {
        0 => ServerFrame::Welcome(Welcome {
            session: session(),
            resume: take_text(),
            resumed: take_flag(),
            heartbeat_ms: take_natural(),
            grace_ms: take_natural(),
            expires_in_ms: take_natural(),
            user_id: user_id(),
            epoch: EpochInfo { id: Epoch::new(take_bits()), age_ms: take_natural() },
        }),
        1 => ServerFrame::Snapshot(Snapshot { key: key(), rev: rev(), presences: list(presence) }),
        2 => ServerFrame::Delta(Delta {
            key: key(),
            from: rev(),
            to: rev(),
            joined: list(presence),
            left: list(|| Left { session: session(), reason: one_of(LeaveReason::ALL) }),
            updated: list(|| {
                let (session, is_other) = (session(), take_flag());
                let state = is_other.then(|| one_of(PresenceState::ALL));
                Updated { session, state, meta: Meta::take_optional() }
            }),
            pulses: list(|| {
                let (session, name) = (session(), PulseName::parsed(&take_text()));
                let value = take_optional_text().map(|it| PulseValue::parsed(&it));
                Pulse { session, name, value }
            }),
        }),
        3 => ServerFrame::Heartbeat { revs: list(|| (key(), rev())) },
        4 => ServerFrame::LastSeen { key: key(), seen: Vec::new() },
        5 => ServerFrame::Error {
            code: one_of(ErrorCode::ALL),
            message: take_text(),
            key: take_optional_text().map(|it| Key::parsed(&it)),
        },
        6 => ServerFrame::Token {
            resume: take_text(),
            expires_in_ms: take_natural(),
            user_id: user_id(),
        },
        _ => return None,
    })
}

/// Tells a frame of this page: which one it is, and its values in the order that `js/shell.js` has.
#[expect(clippy::cast_precision_loss, reason = "no page has been open for 2^53 milliseconds")]
pub(crate) fn encode(frame: &ClientFrame<Meta>) {
    match frame {
        ClientFrame::Hello { token, resume, dial } => {
            say_index(0);
            say_text(token);
            say_optional_text(resume.as_deref());
            say_index(dial.0);
        }
        ClientFrame::Join { key, token, meta, age, away } => {
            about(1, key);
            say_optional_text(token.as_deref());
            say(meta.value());
            match age {
                Some(it) => say_number(*it as f64),
                None => say_optional_text(None),
            }
            if let Some(it) = away {
                say(&(*it).into());
            }
        }
        ClientFrame::Observe { key, token, invisible } => {
            about(2, key);
            say_optional_text(token.as_deref());
            if *invisible {
                say(&true.into());
            }
        }
        ClientFrame::Update { key, meta } => {
            about(3, key);
            say(meta.value());
        }
        ClientFrame::Pulse { key, name, value } => {
            about(4, key);
            say_text(name.as_str());
            say_optional_text(value.as_ref().map(PulseValue::as_str));
        }
        ClientFrame::Leave { key } => about(5, key),
        ClientFrame::Resync { key } => about(6, key),
        ClientFrame::LastSeen { key } => about(7, key),
        ClientFrame::Attention { away } => {
            say_index(8);
            say(&(*away).into());
        }
        ClientFrame::Token { token } => {
            say_index(9);
            say_text(token);
        }
        ClientFrame::Heartbeat => say_index(10),
    }
}

/// Tells what a page that is closed while it is disconnected posts to the relay.
pub(crate) fn encode_beacon(resume: &str, dial: Dial, keys: &[Key]) {
    say_text(resume);
    say_index(dial.0);
    for key in keys {
        say_text(key.as_str());
    }
}

fn about(frame: u32, key: &Key) {
    say_index(frame);
    say_text(key.as_str());
}

fn presence() -> PresenceHere {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number")]
    PresenceHere {
        session: session(),
        user: User::take(),
        since: take_number() as i64,
        state: one_of(PresenceState::ALL),
        meta: Meta::new(take()),
    }
}

fn session() -> SessionId {
    SessionId::new(take_bits())
}

pub(crate) fn key() -> Key {
    Key::parsed(&take_text())
}

fn rev() -> Rev {
    Rev(take_natural())
}

#[expect(clippy::indexing_slicing, reason = "JavaScript has found the place in a list of as many")]
fn one_of<T: Copy>(all: &[T]) -> T {
    all[take_index() as usize]
}

/// Whose a token is, if the relay says so.
fn user_id() -> Option<UserId> {
    take_optional_text().map(|it| UserId::parsed(&it))
}

fn list<T>(item: impl Fn() -> T) -> Vec<T> {
    let mut items = Vec::new();
    for _ in 0..take_index() {
        items.push(item());
    }
    items
}
