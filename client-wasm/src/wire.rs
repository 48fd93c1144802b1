//! The protocol's codec for a browser: the engine's own JSON, read and written field by field.
//!
//! It is held to the same `fixtures/` as the relay's codec in `presence-protocol`.

use crate::js::{Fields, as_array, as_object, keys, parse_json, to_json};
use crate::meta::Meta;
use js_sys::{Array, JsString};
use presence_protocol::limits::MAX_SAFE_INTEGER;
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
}

/// Reads a relay's frame; `None` if it isn't one.
pub(crate) fn decode(text: &JsValue) -> Option<ServerFrame<Meta>> {
    if !text.is_string() {
        return None;
    }
    let message = parse_json(text).ok()?;
    let message = as_object(&message)?;
    let names = keys(message);
    let name = names.get(0).as_string().filter(|_| names.length() == 1)?;
    let body = message.field(&name);
    let body = as_object(&body)?;
    Some(match name.as_str() {
        "welcome" => ServerFrame::Welcome(welcome(body)?),
        "snapshot" => ServerFrame::Snapshot(Snapshot {
            key: key(body)?,
            rev: rev(body, "rev")?,
            presences: list(body, "presences", presence)?,
        }),
        "delta" => ServerFrame::Delta(Delta {
            key: key(body)?,
            from: rev(body, "from")?,
            to: rev(body, "to")?,
            joined: list_or_nothing(body, "joined", presence)?,
            left: list_or_nothing(body, "left", left)?,
            updated: list_or_nothing(body, "updated", updated)?,
            pulses: list_or_nothing(body, "pulses", pulse)?,
        }),
        "heartbeat" => ServerFrame::Heartbeat {
            revs: list(body, "revs", |it| Some((key(it)?, rev(it, "rev")?)))?,
        },
        // What it says is for JavaScript, which reads the text itself.
        "last_seen" => ServerFrame::LastSeen { key: key(body)?, seen: Vec::new() },
        "token" => ServerFrame::Token {
            resume: text_of(body, "resume")?,
            expires_in_ms: number(body, "expires_in_ms")?,
        },
        "error" => ServerFrame::Error {
            code: ErrorCode::from_name(&text_of(body, "code")?)?,
            message: text_of(body, "message")?,
            key: optional(body, "key", |_| key(body))?,
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

fn welcome(it: &Fields) -> Option<Welcome> {
    let epoch = it.field("epoch");
    let epoch = as_object(&epoch)?;
    Some(Welcome {
        session: session(it)?,
        resume: text_of(it, "resume")?,
        resumed: it.field("resumed").as_bool()?,
        heartbeat_ms: number(it, "heartbeat_ms")?,
        grace_ms: number(it, "grace_ms")?,
        expires_in_ms: number(it, "expires_in_ms")?,
        epoch: EpochInfo {
            id: Epoch::parse(&text_of(epoch, "id")?)?,
            age_ms: number(epoch, "age_ms")?,
        },
    })
}

fn presence(it: &Fields) -> Option<Presence<Meta>> {
    let user = it.field("user");
    let user = as_object(&user)?;
    let id = UserId::parse(&text_of(user, "id")?)?;
    let color = Color::parse(&text_of(user, "color")?)?;
    let avatar = optional(user, "avatar", |it| AvatarUrl::parse(&it.as_string()?))?;
    let info = optional(user, "info", |it| {
        let text = to_json(as_object(it)?).ok()??;
        Info::from_json_value(&String::from(text))
    })?;
    let user = User::new(id, &text_of(user, "name")?, color).ok()?;
    Some(Presence {
        session: session(it)?,
        user: Arc::new(user.with_avatar(avatar).with_info(info)),
        since: whole(it, "since")?,
        state: state(it)?,
        meta: Meta::received(&it.field("meta"))?,
    })
}

fn left(it: &Fields) -> Option<Left> {
    let reason = LeaveReason::from_name(&text_of(it, "reason")?)?;
    Some(Left { session: session(it)?, reason })
}

fn updated(it: &Fields) -> Option<Updated<Meta>> {
    Some(Updated {
        session: session(it)?,
        state: optional(it, "state", |_| state(it))?,
        meta: optional(it, "meta", Meta::received)?,
    })
}

fn pulse(it: &Fields) -> Option<Pulse> {
    Some(Pulse {
        session: session(it)?,
        name: PulseName::parse(&text_of(it, "name")?)?,
        value: optional(it, "value", |it| PulseValue::parse(&it.as_string()?))?,
    })
}

fn session(it: &Fields) -> Option<SessionId> {
    SessionId::parse(&text_of(it, "session")?)
}

fn state(it: &Fields) -> Option<PresenceState> {
    PresenceState::from_name(&text_of(it, "state")?)
}

fn key(it: &Fields) -> Option<Key> {
    Key::parse(&text_of(it, "key")?)
}

fn rev(it: &Fields, name: &str) -> Option<Rev> {
    number(it, name).map(Rev)
}

fn number(it: &Fields, name: &str) -> Option<u64> {
    u64::try_from(whole(it, name)?).ok()
}

/// A whole number that JavaScript can tell from its neighbours.
#[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is a number to both")]
fn whole(it: &Fields, name: &str) -> Option<i64> {
    let value = it.field(name).as_f64()?;
    let max = MAX_SAFE_INTEGER as f64;
    if !(-max..=max).contains(&value) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
    let whole = value as i64;
    (whole as f64 == value).then_some(whole)
}

fn text_of(it: &Fields, name: &str) -> Option<String> {
    it.field(name).as_string()
}

/// A field that may be missing or `null`, but not wrong.
fn optional<T>(
    it: &Fields,
    name: &str,
    read: impl FnOnce(&JsValue) -> Option<T>,
) -> Option<Option<T>> {
    match given(it, name) {
        Some(value) => read(&value).map(Some),
        None => Some(None),
    }
}

/// A field that is neither missing nor `null`.
fn given(it: &Fields, name: &str) -> Option<JsValue> {
    let value = it.field(name);
    (!value.is_undefined() && !value.is_null()).then_some(value)
}

fn list<T>(it: &Fields, name: &str, read: impl Fn(&Fields) -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    each(&it.field(name), &mut |it| read(it).map(|it| items.push(it)))?;
    Some(items)
}

fn list_or_nothing<T>(
    it: &Fields,
    name: &str,
    read: impl Fn(&Fields) -> Option<T>,
) -> Option<Vec<T>> {
    let mut items = Vec::new();
    if let Some(list) = given(it, name) {
        each(&list, &mut |it| read(it).map(|it| items.push(it)))?;
    }
    Some(items)
}

/// Takes each object of a list. Not generic: the loop is the larger part, and there are five lists.
fn each(list: &JsValue, take: &mut dyn FnMut(&Fields) -> Option<()>) -> Option<()> {
    let list = as_array(list)?;
    for place in 0..list.length() {
        take(as_object(&list.get(place))?)?;
    }
    Some(())
}
