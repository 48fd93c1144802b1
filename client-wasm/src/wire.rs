//! The protocol's codec for a browser: JavaScript reads and checks a frame (`js/shell.js`), and hands over its
//! values one after the other.
//!
//! It is held to the same `fixtures/` as the relay's codec in `presence-protocol`.

use crate::meta::Meta;
use js_sys::{Array, JsString};
use presence_protocol::{
    AvatarUrl, ClientFrame, Color, Delta, Dial, Epoch, EpochInfo, ErrorCode, Info, Key,
    LeaveReason, Left, Presence, PresenceState, Pulse, PulseName, PulseValue, Rev, ServerFrame,
    SessionId, Snapshot, Updated, User, UserId, Welcome,
};
use std::sync::Arc;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    #[wasm_bindgen(js_name = frame)]
    fn write_frame(
        name: &str,
        key: Option<&str>,
        token: Option<&str>,
        resume: Option<&str>,
        dial: Option<u32>,
        meta: &JsValue,
        age: Option<f64>,
        away: Option<bool>,
        pulse: Option<&str>,
        value: Option<&str>,
        invisible: Option<bool>,
    ) -> JsString;
    #[wasm_bindgen(js_name = beacon)]
    fn write_beacon(resume: &str, dial: u32, keys: &Array) -> JsString;
    fn read(data: &JsValue) -> i32;
    fn take() -> JsValue;
    #[wasm_bindgen(js_name = take)]
    fn take_text() -> String;
    #[wasm_bindgen(js_name = take)]
    fn take_number() -> f64;
}

/// Reads a relay's frame; `None` if it isn't one.
pub(crate) fn decode(data: &JsValue) -> Option<ServerFrame<Meta>> {
    Some(match read(data) {
        0 => ServerFrame::Welcome(Welcome {
            session: SessionId::new(bits()),
            resume: take_text(),
            resumed: take().as_bool()?,
            heartbeat_ms: natural(),
            grace_ms: natural(),
            expires_in_ms: natural(),
            user_id: user_id()?,
            epoch: EpochInfo { id: Epoch::new(bits()), age_ms: natural() },
        }),
        1 => ServerFrame::Snapshot(Snapshot {
            key: key()?,
            rev: Rev(natural()),
            presences: list(presence)?,
        }),
        2 => ServerFrame::Delta(Delta {
            key: key()?,
            from: Rev(natural()),
            to: Rev(natural()),
            joined: list(presence)?,
            left: list(|| {
                let session = SessionId::new(bits());
                Some(Left { session, reason: LeaveReason::from_name(&take_text())? })
            })?,
            updated: list(|| {
                let session = SessionId::new(bits());
                let state = match take().as_string() {
                    Some(it) => Some(PresenceState::from_name(&it)?),
                    None => None,
                };
                Some(Updated { session, state, meta: Meta::given(take()) })
            })?,
            pulses: list(|| {
                let session = SessionId::new(bits());
                let name = PulseName::parse(&take_text())?;
                let value = match take().as_string() {
                    Some(it) => Some(PulseValue::parse(&it)?),
                    None => None,
                };
                Some(Pulse { session, name, value })
            })?,
        }),
        3 => ServerFrame::Heartbeat { revs: list(|| Some((key()?, Rev(natural()))))? },
        4 => ServerFrame::LastSeen { key: key()?, seen: Vec::new() },
        5 => ServerFrame::Error {
            code: ErrorCode::from_name(&take_text())?,
            message: take_text(),
            key: match take().as_string() {
                Some(it) => Some(Key::parse(&it)?),
                None => None,
            },
        },
        6 => ServerFrame::Token {
            resume: take_text(),
            expires_in_ms: natural(),
            user_id: user_id()?,
        },
        _ => return None,
    })
}

/// Writes a frame of this page.
#[expect(clippy::cast_precision_loss, reason = "no page has been open for 2^53 milliseconds")]
pub(crate) fn encode(frame: &ClientFrame<Meta>) -> JsString {
    let (mut key_, mut token_, mut resume_, mut dial_) = (None, None, None, None);
    let (mut meta_, mut age_, mut away_) = (&JsValue::UNDEFINED, None, None);
    let (mut pulse_, mut value_, mut invisible_) = (None, None, None);
    let name = match frame {
        ClientFrame::Hello { token, resume, dial } => {
            (token_, resume_, dial_) = (Some(token.as_str()), resume.as_deref(), Some(dial.0));
            "hello"
        }
        ClientFrame::Join { key, token, meta, age, away } => {
            (key_, token_, meta_) = (Some(key), token.as_deref(), meta.value());
            age_ = age.map(|it| it as f64);
            away_ = *away;
            "join"
        }
        ClientFrame::Observe { key, token, invisible } => {
            (key_, token_) = (Some(key), token.as_deref());
            invisible_ = invisible.then_some(true);
            "observe"
        }
        ClientFrame::Update { key, meta } => {
            (key_, meta_) = (Some(key), meta.value());
            "update"
        }
        ClientFrame::Pulse { key, name, value } => {
            key_ = Some(key);
            (pulse_, value_) = (Some(name.as_str()), value.as_ref().map(PulseValue::as_str));
            "pulse"
        }
        ClientFrame::Leave { key } => {
            key_ = Some(key);
            "leave"
        }
        ClientFrame::Resync { key } => {
            key_ = Some(key);
            "resync"
        }
        ClientFrame::LastSeen { key } => {
            key_ = Some(key);
            "last_seen"
        }
        ClientFrame::Attention { away } => {
            away_ = Some(*away);
            "attention"
        }
        ClientFrame::Token { token } => {
            token_ = Some(token.as_str());
            "token"
        }
        ClientFrame::Heartbeat => "heartbeat",
    };
    let key_ = key_.map(Key::as_str);
    write_frame(name, key_, token_, resume_, dial_, meta_, age_, away_, pulse_, value_, invisible_)
}

/// Writes what a page that is closed while it is disconnected posts to the relay.
pub(crate) fn encode_beacon(resume: &str, dial: Dial, keys: &[Key]) -> JsString {
    let names = Array::new();
    for key in keys {
        names.push(&JsValue::from_str(key.as_str()));
    }
    write_beacon(resume, dial.0, &names)
}

fn presence() -> Option<Presence<Meta>> {
    let session = SessionId::new(bits());
    let id = UserId::parse(&take_text())?;
    let name = take_text();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "three bytes")]
    let [_, red, green, blue] = (take_number() as u32).to_be_bytes();
    let user = User::new(id, &name, Color([red, green, blue])).ok()?;
    let user = user.with_avatar(take().as_string().map(|it| AvatarUrl::parsed(&it)));
    let info = match take().as_string() {
        Some(it) => Some(Info::from_json_value(&it)?),
        None => None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "a whole number")]
    let since = take_number() as i64;
    let state = PresenceState::from_name(&take_text())?;
    Some(Presence {
        session,
        user: Arc::new(user.with_info(info)),
        since,
        state,
        meta: Meta::given(take())?,
    })
}

/// The 64 bits of an id.
fn bits() -> u64 {
    (natural() << 32) | natural()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a natural number")]
fn natural() -> u64 {
    take_number() as u64
}

fn key() -> Option<Key> {
    Key::parse(&take_text())
}

/// Whose a token is, if the relay says so.
fn user_id() -> Option<Option<UserId>> {
    match take().as_string() {
        Some(it) => UserId::parse(&it).map(Some),
        None => Some(None),
    }
}

fn list<T>(item: impl Fn() -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    for _ in 0..natural() {
        items.push(item()?);
    }
    Some(items)
}
