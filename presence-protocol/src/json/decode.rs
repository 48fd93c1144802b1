//! From text to frames.

use super::{FrameError, LeaveBeacon};
use crate::limits::{MAX_KEYS_PER_CONNECTION, MAX_SAFE_INTEGER, MAX_TOKEN_BYTES};
use crate::{
    AvatarUrl, ClientFrame, Color, Delta, Dial, Epoch, EpochInfo, ErrorCode, Info, Key,
    LeaveReason, Left, Meta, Presence, PresenceState, Pulse, PulseName, PulseValue, Rev, Seen,
    ServerFrame, SessionId, Snapshot, Updated, User, UserId, Welcome,
};
use core::fmt;
use core::marker::PhantomData;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Reads a client's frame.
///
/// # Errors
///
/// A [`FrameError`] that says what an `error` frame has to say.
pub fn decode_client(text: &str) -> Result<ClientFrame<Meta>, FrameError> {
    Ok(match parse(text)? {
        wire::Client::Hello(Object(it)) => ClientFrame::Hello {
            token: token("token", it.token, None)?,
            resume: it.resume.map(|it| token("resume", it, None)).transpose()?,
            dial: Dial(it.dial),
        },
        wire::Client::Join(Object(it)) => {
            let key = key(&it.key)?;
            ClientFrame::Join {
                token: it.token.map(|it| token("token", it, Some(&key))).transpose()?,
                meta: match it.meta {
                    Some(raw) => meta(raw, &key)?,
                    None => Meta::empty(),
                },
                age: it.age.map(|it| number("age", it, Some(&key))).transpose()?,
                away: it.away,
                key,
            }
        }
        wire::Client::Observe(Object(it)) => {
            let key = key(&it.key)?;
            ClientFrame::Observe {
                token: it.token.map(|it| token("token", it, Some(&key))).transpose()?,
                invisible: it.invisible.unwrap_or(false),
                key,
            }
        }
        wire::Client::Update(Object(it)) => {
            let key = key(&it.key)?;
            ClientFrame::Update { meta: meta(it.meta, &key)?, key }
        }
        wire::Client::Pulse(Object(it)) => {
            let key = key(&it.key)?;
            let (name, value) = said(&it.name, it.value.as_deref(), &key)?;
            ClientFrame::Pulse { key, name, value }
        }
        wire::Client::Leave(Object(it)) => ClientFrame::Leave { key: key(&it.key)? },
        wire::Client::Resync(Object(it)) => ClientFrame::Resync { key: key(&it.key)? },
        wire::Client::LastSeen(Object(it)) => ClientFrame::LastSeen { key: key(&it.key)? },
        wire::Client::Attention(Object(it)) => ClientFrame::Attention { away: it.away },
        wire::Client::Token(Object(it)) => {
            ClientFrame::Token { token: token("token", it.token, None)? }
        }
        wire::Client::Heartbeat(Object(wire::Nothing {})) => ClientFrame::Heartbeat,
    })
}

/// Reads a relay's frame.
///
/// # Errors
///
/// A [`FrameError`] if the text isn't a frame of this protocol. A relay never sends such a text.
pub fn decode_server(text: &str) -> Result<ServerFrame<Meta>, FrameError> {
    Ok(match parse(text)? {
        wire::Server::Welcome(Object(it)) => ServerFrame::Welcome(welcome(it)?),
        wire::Server::Snapshot(Object(it)) => {
            let key = key(&it.key)?;
            ServerFrame::Snapshot(Snapshot {
                rev: rev("rev", it.rev, &key)?,
                presences: list(it.presences, |it| presence(&it, &key))?,
                key,
            })
        }
        wire::Server::Delta(Object(it)) => {
            let key = key(&it.key)?;
            ServerFrame::Delta(Delta {
                from: rev("from", it.from, &key)?,
                to: rev("to", it.to, &key)?,
                joined: list(it.joined.unwrap_or_default(), |it| presence(&it, &key))?,
                left: list(it.left.unwrap_or_default(), |it| left(&it, &key))?,
                updated: list(it.updated.unwrap_or_default(), |it| updated(&it, &key))?,
                pulses: list(it.pulses.unwrap_or_default(), |it| pulse(&it, &key))?,
                key,
            })
        }
        wire::Server::Heartbeat(Object(it)) => ServerFrame::Heartbeat {
            revs: list(it.revs, |it| {
                let key = key(&it.key)?;
                let rev = rev("rev", it.rev, &key)?;
                Ok((key, rev))
            })?,
        },
        wire::Server::LastSeen(Object(it)) => {
            let key = key(&it.key)?;
            let seen = list(it.seen, |it| {
                let Object(who) = it.user;
                let ago_ms = number("ago_ms", it.ago_ms, Some(&key))?;
                Ok(Seen { user: Arc::new(user(&who, &key)?), ago_ms })
            })?;
            ServerFrame::LastSeen { key, seen }
        }
        wire::Server::Token(Object(it)) => ServerFrame::Token {
            resume: token("resume", it.resume, None)?,
            expires_in_ms: number("expires_in_ms", it.expires_in_ms, None)?,
            user_id: user_id(it.user_id.as_deref())?,
        },
        wire::Server::Error(Object(it)) => ServerFrame::Error {
            code: ErrorCode::from_name(&it.code).ok_or_else(|| unknown("code", &it.code, None))?,
            message: it.message,
            key: it.key.as_deref().map(key).transpose()?,
        },
    })
}

impl LeaveBeacon {
    /// Reads the body of the request.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] if it isn't one, names something that is no key, or too many keys.
    pub fn decode(text: &str) -> Result<Self, FrameError> {
        let Object(it) = parse::<Object<wire::Beacon<'_>>>(text)?;
        if it.keys.len() > MAX_KEYS_PER_CONNECTION {
            let message = format!("there must not be more than {MAX_KEYS_PER_CONNECTION} keys");
            return Err(FrameError { code: ErrorCode::TooManyKeys, message, key: None });
        }
        Ok(Self {
            resume: token("resume", it.resume, None)?,
            dial: Dial(it.dial),
            keys: it.keys.iter().map(|it| key(it)).collect::<Result<_, _>>()?,
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, FrameError> {
    serde_json::from_str(text).map_err(|error| {
        // The parser's sentence quotes what it met, of any length, and then says what it expected.
        let reason = shorten(&error.to_string(), 60, 100);
        FrameError {
            code: ErrorCode::BadFrame,
            message: format!("this is not a frame: {reason}"),
            key: None,
        }
    })
}

fn welcome(it: wire::Welcome<'_>) -> Result<Welcome, FrameError> {
    let Object(epoch) = it.epoch;
    Ok(Welcome {
        session: session(&it.session, None)?,
        resume: token("resume", it.resume, None)?,
        resumed: it.resumed,
        heartbeat_ms: number("heartbeat_ms", it.heartbeat_ms, None)?,
        grace_ms: number("grace_ms", it.grace_ms, None)?,
        expires_in_ms: number("expires_in_ms", it.expires_in_ms, None)?,
        user_id: user_id(it.user_id.as_deref())?,
        epoch: EpochInfo {
            id: Epoch::parse(&epoch.id).ok_or_else(|| unknown("id", &epoch.id, None))?,
            age_ms: number("age_ms", epoch.age_ms, None)?,
        },
    })
}

fn user_id(it: Option<&str>) -> Result<Option<UserId>, FrameError> {
    it.map(|it| UserId::parse(it).ok_or_else(|| unknown("user_id", it, None))).transpose()
}

fn presence(it: &wire::Presence<'_>, key: &Key) -> Result<Presence<Meta>, FrameError> {
    if it.since.unsigned_abs() > MAX_SAFE_INTEGER {
        return Err(inexact("since", Some(key)));
    }
    Ok(Presence {
        session: session(&it.session, Some(key))?,
        user: Arc::new(user(&it.user.0, key)?),
        since: it.since,
        state: state(&it.state, key)?,
        meta: meta(it.meta, key)?,
    })
}

fn user(it: &wire::User<'_>, key: &Key) -> Result<User, FrameError> {
    let id = UserId::parse(&it.id).ok_or_else(|| unknown("id", &it.id, Some(key)))?;
    let color = Color::parse(&it.color).ok_or_else(|| unknown("color", &it.color, Some(key)))?;
    let avatar = it.avatar.as_deref();
    let avatar = avatar
        .map(|it| AvatarUrl::parse(it).ok_or_else(|| unknown("avatar", it, Some(key))))
        .transpose()?;
    let user = User::new(id, &it.name, color);
    let user = user.map_err(|_| unknown("name", &it.name, Some(key)))?;
    let info = it.info.map(RawValue::get);
    let info = info
        .map(|it| Info::from_json_value(it).ok_or_else(|| unknown("info", it, Some(key))))
        .transpose()?;
    Ok(user.with_avatar(avatar).with_info(info))
}

fn left(it: &wire::Left<'_>, key: &Key) -> Result<Left, FrameError> {
    let reason = LeaveReason::from_name(&it.reason);
    Ok(Left {
        session: session(&it.session, Some(key))?,
        reason: reason.ok_or_else(|| unknown("reason", &it.reason, Some(key)))?,
    })
}

fn updated(it: &wire::Updated<'_>, key: &Key) -> Result<Updated<Meta>, FrameError> {
    Ok(Updated {
        session: session(&it.session, Some(key))?,
        state: it.state.as_deref().map(|it| state(it, key)).transpose()?,
        meta: it.meta.map(|it| meta(it, key)).transpose()?,
    })
}

fn pulse(it: &wire::PulseOf<'_>, key: &Key) -> Result<Pulse, FrameError> {
    let (name, value) = said(&it.name, it.value.as_deref(), key)?;
    Ok(Pulse { session: session(&it.session, Some(key))?, name, value })
}

/// The fields of a pulse that both directions have.
fn said(
    name: &str,
    value: Option<&str>,
    key: &Key,
) -> Result<(PulseName, Option<PulseValue>), FrameError> {
    let bad = |message: &str| FrameError {
        code: ErrorCode::BadPulse,
        message: message.to_owned(),
        key: Some(key.clone()),
    };
    let name = PulseName::parse(name)
        .ok_or_else(|| bad("a pulse's name must be 1 to 16 lower-case letters"))?;
    let value = value
        .map(|it| {
            PulseValue::parse(it)
                .ok_or_else(|| bad("a pulse's value must not be larger than 512 bytes"))
        })
        .transpose()?;
    Ok((name, value))
}

fn key(text: &str) -> Result<Key, FrameError> {
    Key::parse(text).ok_or_else(|| {
        let excerpt = shorten(text, 40, 0);
        let message = format!("key \"{excerpt}\" is not 1 to 128 letters, digits and :_-./@");
        FrameError { code: ErrorCode::BadKey, message, key: None }
    })
}

fn meta(raw: &RawValue, key: &Key) -> Result<Meta, FrameError> {
    Meta::from_json_value(raw.get()).map_err(|error| FrameError {
        code: ErrorCode::BadMeta,
        message: error.message().into(),
        key: Some(key.clone()),
    })
}

fn token(field: &str, text: String, key: Option<&Key>) -> Result<String, FrameError> {
    if text.len() > MAX_TOKEN_BYTES {
        let message = format!("{field} must not be longer than {MAX_TOKEN_BYTES} bytes");
        return Err(bad_frame(message, key));
    }
    Ok(text)
}

fn session(text: &str, key: Option<&Key>) -> Result<SessionId, FrameError> {
    SessionId::parse(text).ok_or_else(|| unknown("session", text, key))
}

fn state(text: &str, key: &Key) -> Result<PresenceState, FrameError> {
    PresenceState::from_name(text).ok_or_else(|| unknown("state", text, Some(key)))
}

fn rev(field: &str, value: u64, key: &Key) -> Result<Rev, FrameError> {
    number(field, value, Some(key)).map(Rev)
}

fn number(field: &str, value: u64, key: Option<&Key>) -> Result<u64, FrameError> {
    if value > MAX_SAFE_INTEGER {
        return Err(inexact(field, key));
    }
    Ok(value)
}

fn list<T, U>(
    items: Vec<Object<T>>,
    mut one: impl FnMut(T) -> Result<U, FrameError>,
) -> Result<Vec<U>, FrameError> {
    items.into_iter().map(|Object(it)| one(it)).collect()
}

fn unknown(field: &str, text: &str, key: Option<&Key>) -> FrameError {
    bad_frame(format!("{field} can't be \"{}\"", shorten(text, 40, 0)), key)
}

fn inexact(field: &str, key: Option<&Key>) -> FrameError {
    bad_frame(format!("{field} must fit a JavaScript number exactly"), key)
}

fn bad_frame(message: String, key: Option<&Key>) -> FrameError {
    FrameError { code: ErrorCode::BadFrame, message, key: key.cloned() }
}

/// The first and the last characters of a text, counted, with control characters replaced.
fn shorten(text: &str, head: usize, tail: usize) -> String {
    let clean = |it: char| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it };
    let n_chars = text.chars().count();
    if n_chars <= head + tail {
        return text.chars().map(clean).collect();
    }
    let (first, last) = (text.chars().take(head), text.chars().skip(n_chars - tail));
    first.chain(['…']).chain(last).map(clean).collect()
}

/// A JSON object. Structs alone would also accept an array of their fields.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// The frames in JSON's own types, borrowed from the text.
///
/// Externally tagged throughout: any other tagging buffers, and a raw meta can't be buffered.
mod wire {
    use super::{Cow, Object, RawValue};
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Client<'a> {
        Hello(Object<Hello>),
        #[serde(borrow)]
        Join(Object<Join<'a>>),
        Observe(Object<Observe<'a>>),
        Update(Object<Update<'a>>),
        Pulse(Object<Pulse<'a>>),
        Leave(Object<OfKey<'a>>),
        Resync(Object<OfKey<'a>>),
        LastSeen(Object<OfKey<'a>>),
        Token(Object<Token>),
        Attention(Object<Attention>),
        Heartbeat(Object<Nothing>),
    }

    #[derive(Deserialize)]
    pub(super) struct Hello {
        pub(super) token: String,
        pub(super) resume: Option<String>,
        pub(super) dial: u32,
    }

    #[derive(Deserialize)]
    pub(super) struct Join<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        pub(super) token: Option<String>,
        #[serde(borrow)]
        pub(super) meta: Option<&'a RawValue>,
        pub(super) age: Option<u64>,
        pub(super) away: Option<bool>,
    }

    #[derive(Deserialize)]
    pub(super) struct Observe<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        pub(super) token: Option<String>,
        pub(super) invisible: Option<bool>,
    }

    #[derive(Deserialize)]
    pub(super) struct Attention {
        pub(super) away: bool,
    }

    #[derive(Deserialize)]
    pub(super) struct Update<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) meta: &'a RawValue,
    }

    #[derive(Deserialize)]
    pub(super) struct Pulse<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) name: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) value: Option<Cow<'a, str>>,
    }

    #[derive(Deserialize)]
    pub(super) struct OfKey<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
    }

    #[derive(Deserialize)]
    pub(super) struct Nothing {}

    #[derive(Deserialize)]
    pub(super) struct Beacon<'a> {
        pub(super) resume: String,
        pub(super) dial: u32,
        #[serde(borrow)]
        pub(super) keys: Vec<Cow<'a, str>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Server<'a> {
        #[serde(borrow)]
        Welcome(Object<Welcome<'a>>),
        Snapshot(Object<Snapshot<'a>>),
        Delta(Object<Delta<'a>>),
        Heartbeat(Object<Heartbeat<'a>>),
        LastSeen(Object<LastSeen<'a>>),
        Token(Object<Renewed<'a>>),
        Error(Object<Error<'a>>),
    }

    #[derive(Deserialize)]
    pub(super) struct Welcome<'a> {
        #[serde(borrow)]
        pub(super) session: Cow<'a, str>,
        pub(super) resume: String,
        pub(super) resumed: bool,
        pub(super) heartbeat_ms: u64,
        pub(super) grace_ms: u64,
        pub(super) expires_in_ms: u64,
        #[serde(borrow)]
        pub(super) user_id: Option<Cow<'a, str>>,
        #[serde(borrow)]
        pub(super) epoch: Object<Epoch<'a>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Epoch<'a> {
        #[serde(borrow)]
        pub(super) id: Cow<'a, str>,
        pub(super) age_ms: u64,
    }

    #[derive(Deserialize)]
    pub(super) struct Snapshot<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        pub(super) rev: u64,
        #[serde(borrow)]
        pub(super) presences: Vec<Object<Presence<'a>>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Presence<'a> {
        #[serde(borrow)]
        pub(super) session: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) user: Object<User<'a>>,
        pub(super) since: i64,
        #[serde(borrow)]
        pub(super) state: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) meta: &'a RawValue,
    }

    #[derive(Deserialize)]
    pub(super) struct User<'a> {
        #[serde(borrow)]
        pub(super) id: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) name: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) color: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) avatar: Option<Cow<'a, str>>,
        #[serde(borrow)]
        pub(super) info: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    pub(super) struct Delta<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        pub(super) from: u64,
        pub(super) to: u64,
        #[serde(borrow)]
        pub(super) joined: Option<Vec<Object<Presence<'a>>>>,
        #[serde(borrow)]
        pub(super) left: Option<Vec<Object<Left<'a>>>>,
        #[serde(borrow)]
        pub(super) updated: Option<Vec<Object<Updated<'a>>>>,
        #[serde(borrow)]
        pub(super) pulses: Option<Vec<Object<PulseOf<'a>>>>,
    }

    #[derive(Deserialize)]
    pub(super) struct PulseOf<'a> {
        #[serde(borrow)]
        pub(super) session: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) name: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) value: Option<Cow<'a, str>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Left<'a> {
        #[serde(borrow)]
        pub(super) session: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) reason: Cow<'a, str>,
    }

    #[derive(Deserialize)]
    pub(super) struct Updated<'a> {
        #[serde(borrow)]
        pub(super) session: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) state: Option<Cow<'a, str>>,
        #[serde(borrow)]
        pub(super) meta: Option<&'a RawValue>,
    }

    #[derive(Deserialize)]
    pub(super) struct Heartbeat<'a> {
        #[serde(borrow)]
        pub(super) revs: Vec<Object<RevOfKey<'a>>>,
    }

    #[derive(Deserialize)]
    pub(super) struct RevOfKey<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        pub(super) rev: u64,
    }

    #[derive(Deserialize)]
    pub(super) struct Token {
        pub(super) token: String,
    }

    #[derive(Deserialize)]
    pub(super) struct Renewed<'a> {
        pub(super) resume: String,
        pub(super) expires_in_ms: u64,
        #[serde(borrow)]
        pub(super) user_id: Option<Cow<'a, str>>,
    }

    #[derive(Deserialize)]
    pub(super) struct LastSeen<'a> {
        #[serde(borrow)]
        pub(super) key: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) seen: Vec<Object<Seen<'a>>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Seen<'a> {
        #[serde(borrow)]
        pub(super) user: Object<User<'a>>,
        pub(super) ago_ms: u64,
    }

    #[derive(Deserialize)]
    pub(super) struct Error<'a> {
        #[serde(borrow)]
        pub(super) code: Cow<'a, str>,
        pub(super) message: String,
        #[serde(borrow)]
        pub(super) key: Option<Cow<'a, str>>,
    }
}
