//! From frames to text.

use crate::limits::MAX_SAFE_INTEGER;
use crate::{
    ClientFrame, Delta, Key, LeaveBeacon, Left, Meta, Presence, Pulse, PulseName, PulseValue, Rev,
    Seen, ServerFrame, Snapshot, Updated, User, UserId, Welcome,
};
use core::fmt::{self, Write};

/// Writes a client's frame.
#[must_use]
pub fn encode_client(frame: &ClientFrame<Meta>) -> String {
    let mut out = String::new();
    // A `String` takes everything, and so does every `Display` below.
    let _ = client(&mut out, frame);
    out
}

/// Appends a relay's frame to a buffer. Allocates nothing but the buffer's growth.
pub fn encode_server(frame: &ServerFrame<Meta>, out: &mut Vec<u8>) {
    // A `Vec` takes everything, and so does every `Display` below.
    let _ = server(&mut Bytes(out), frame);
}

impl LeaveBeacon {
    /// Writes the body of the request.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        let _ = beacon(&mut out, self);
        out
    }
}

fn client<W: Write>(out: &mut W, frame: &ClientFrame<Meta>) -> fmt::Result {
    match frame {
        ClientFrame::Hello { token, resume, dial } => {
            write!(out, r#"{{"hello":{{"token":{}"#, Quoted(token))?;
            if let Some(resume) = resume {
                write!(out, r#","resume":{}"#, Quoted(resume))?;
            }
            write!(out, r#","dial":{}}}}}"#, dial.0)
        }
        ClientFrame::Join { key, token, meta, age, away } => {
            write!(out, r#"{{"join":{{"key":"{key}""#)?;
            if let Some(token) = token {
                write!(out, r#","token":{}"#, Quoted(token))?;
            }
            write!(out, r#","meta":{}"#, meta.as_str())?;
            if let Some(age) = age {
                write!(out, r#","age":{}"#, Millis(*age))?;
            }
            if let Some(away) = away {
                write!(out, r#","away":{away}"#)?;
            }
            out.write_str("}}")
        }
        ClientFrame::Observe { key, token, invisible } => {
            write!(out, r#"{{"observe":{{"key":"{key}""#)?;
            if let Some(token) = token {
                write!(out, r#","token":{}"#, Quoted(token))?;
            }
            if *invisible {
                out.write_str(r#","invisible":true"#)?;
            }
            out.write_str("}}")
        }
        ClientFrame::Update { key, meta } => {
            write!(out, r#"{{"update":{{"key":"{key}","meta":{}}}}}"#, meta.as_str())
        }
        ClientFrame::Pulse { key, name, value } => {
            write!(out, r#"{{"pulse":{{"key":"{key}""#)?;
            said(out, name, value.as_ref())?;
            out.write_str("}}")
        }
        ClientFrame::Leave { key } => write!(out, r#"{{"leave":{{"key":"{key}"}}}}"#),
        ClientFrame::Resync { key } => write!(out, r#"{{"resync":{{"key":"{key}"}}}}"#),
        ClientFrame::LastSeen { key } => write!(out, r#"{{"last_seen":{{"key":"{key}"}}}}"#),
        ClientFrame::Attention { away } => write!(out, r#"{{"attention":{{"away":{away}}}}}"#),
        ClientFrame::Token { token } => {
            write!(out, r#"{{"token":{{"token":{}}}}}"#, Quoted(token))
        }
        ClientFrame::Heartbeat => out.write_str(r#"{"heartbeat":{}}"#),
    }
}

fn server<W: Write>(out: &mut W, frame: &ServerFrame<Meta>) -> fmt::Result {
    match frame {
        ServerFrame::Welcome(it) => welcome(out, it),
        ServerFrame::Snapshot(it) => snapshot(out, it),
        ServerFrame::Delta(it) => delta(out, it),
        ServerFrame::Heartbeat { revs } => {
            out.write_str(r#"{"heartbeat":{"revs":"#)?;
            list(out, revs, rev)?;
            out.write_str("}}")
        }
        ServerFrame::LastSeen { key, seen } => {
            write!(out, r#"{{"last_seen":{{"key":"{key}","seen":"#)?;
            list(out, seen, |out, Seen { user: who, ago_ms }| {
                out.write_str(r#"{"user":"#)?;
                user(out, who)?;
                write!(out, r#","ago_ms":{}}}"#, Millis(*ago_ms))
            })?;
            out.write_str("}}")
        }
        ServerFrame::Token { resume, expires_in_ms, user_id: id } => {
            let (resume, expires_in_ms) = (Quoted(resume), Millis(*expires_in_ms));
            write!(out, r#"{{"token":{{"resume":{resume},"expires_in_ms":{expires_in_ms}"#)?;
            user_id(out, id.as_ref())?;
            out.write_str("}}")
        }
        ServerFrame::Error { code, message, key } => {
            let (code, message) = (code.name(), Quoted(message));
            write!(out, r#"{{"error":{{"code":"{code}","message":{message}"#)?;
            if let Some(key) = key {
                write!(out, r#","key":"{key}""#)?;
            }
            out.write_str("}}")
        }
    }
}

fn beacon<W: Write>(out: &mut W, beacon: &LeaveBeacon) -> fmt::Result {
    let LeaveBeacon { resume, dial, keys } = beacon;
    write!(out, r#"{{"resume":{},"dial":{},"keys":"#, Quoted(resume), dial.0)?;
    list(out, keys, |out, key| write!(out, r#""{key}""#))?;
    out.write_char('}')
}

fn welcome<W: Write>(out: &mut W, welcome: &Welcome) -> fmt::Result {
    let Welcome {
        session,
        resume,
        resumed,
        heartbeat_ms,
        grace_ms,
        expires_in_ms,
        user_id: id,
        epoch,
    } = welcome;
    write!(
        out,
        concat!(
            r#"{{"welcome":{{"session":"{}","resume":{},"resumed":{},"heartbeat_ms":{},"#,
            r#""grace_ms":{},"expires_in_ms":{}"#
        ),
        session,
        Quoted(resume),
        resumed,
        Millis(*heartbeat_ms),
        Millis(*grace_ms),
        Millis(*expires_in_ms),
    )?;
    user_id(out, id.as_ref())?;
    write!(out, r#","epoch":{{"id":"{}","age_ms":{}}}}}}}"#, epoch.id, Millis(epoch.age_ms))
}

/// Whose a token is, behind other fields.
fn user_id<W: Write>(out: &mut W, id: Option<&UserId>) -> fmt::Result {
    match id {
        Some(id) => write!(out, r#","user_id":{}"#, Quoted(id.as_str())),
        None => Ok(()),
    }
}

fn snapshot<W: Write>(out: &mut W, snapshot: &Snapshot<Meta>) -> fmt::Result {
    let Snapshot { key, rev, presences } = snapshot;
    write!(out, r#"{{"snapshot":{{"key":"{key}","rev":{},"presences":"#, rev.0)?;
    list(out, presences, presence)?;
    out.write_str("}}")
}

fn delta<W: Write>(out: &mut W, delta: &Delta<Meta>) -> fmt::Result {
    let Delta { key, from, to, joined, left, updated, pulses } = delta;
    write!(out, r#"{{"delta":{{"key":"{key}","from":{},"to":{}"#, from.0, to.0)?;
    if !joined.is_empty() {
        out.write_str(r#","joined":"#)?;
        list(out, joined, presence)?;
    }
    if !left.is_empty() {
        out.write_str(r#","left":"#)?;
        list(out, left, gone)?;
    }
    if !updated.is_empty() {
        out.write_str(r#","updated":"#)?;
        list(out, updated, changed)?;
    }
    if !pulses.is_empty() {
        out.write_str(r#","pulses":"#)?;
        list(out, pulses, pulse)?;
    }
    out.write_str("}}")
}

fn rev<W: Write>(out: &mut W, (key, rev): &(Key, Rev)) -> fmt::Result {
    write!(out, r#"{{"key":"{key}","rev":{}}}"#, rev.0)
}

fn presence<W: Write>(out: &mut W, presence: &Presence<Meta>) -> fmt::Result {
    let Presence { session, user: who, since, state, meta } = presence;
    write!(out, r#"{{"session":"{session}","user":"#)?;
    user(out, who)?;
    let (state, meta) = (state.name(), meta.as_str());
    write!(out, r#","since":{since},"state":"{state}","meta":{meta}}}"#)
}

fn user<W: Write>(out: &mut W, user: &User) -> fmt::Result {
    let (id, name) = (Quoted(user.id().as_str()), Quoted(user.name()));
    write!(out, r#"{{"id":{id},"name":{name},"color":"{}""#, user.color())?;
    if let Some(avatar) = user.avatar() {
        write!(out, r#","avatar":{}"#, Quoted(avatar.as_str()))?;
    }
    if let Some(info) = user.info() {
        write!(out, r#","info":{}"#, info.as_str())?;
    }
    out.write_char('}')
}

fn gone<W: Write>(out: &mut W, left: &Left) -> fmt::Result {
    write!(out, r#"{{"session":"{}","reason":"{}"}}"#, left.session, left.reason.name())
}

fn changed<W: Write>(out: &mut W, updated: &Updated<Meta>) -> fmt::Result {
    let Updated { session, state, meta } = updated;
    write!(out, r#"{{"session":"{session}""#)?;
    if let Some(state) = state {
        write!(out, r#","state":"{}""#, state.name())?;
    }
    if let Some(meta) = meta {
        write!(out, r#","meta":{}"#, meta.as_str())?;
    }
    out.write_char('}')
}

fn pulse<W: Write>(out: &mut W, pulse: &Pulse) -> fmt::Result {
    let Pulse { session, name, value } = pulse;
    write!(out, r#"{{"session":"{session}""#)?;
    said(out, name, value.as_ref())?;
    out.write_char('}')
}

/// The fields of a pulse that both directions have.
fn said<W: Write>(out: &mut W, name: &PulseName, value: Option<&PulseValue>) -> fmt::Result {
    write!(out, r#","name":"{name}""#)?;
    match value {
        Some(value) => write!(out, r#","value":{}"#, Quoted(value.as_str())),
        None => Ok(()),
    }
}

fn list<W: Write, T>(
    out: &mut W,
    items: &[T],
    one: impl Fn(&mut W, &T) -> fmt::Result,
) -> fmt::Result {
    let mut separator = "[";
    for item in items {
        out.write_str(separator)?;
        one(out, item)?;
        separator = ",";
    }
    out.write_str(if items.is_empty() { "[]" } else { "]" })
}

/// A byte buffer that text is appended to.
struct Bytes<'a>(&'a mut Vec<u8>);

impl Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A duration in milliseconds, no longer than a JavaScript number can tell exactly.
///
/// A token may expire in a billion years; the page that reads its `welcome` must not fail for that.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.min(MAX_SAFE_INTEGER).fmt(f)
    }
}

/// A text as a JSON string, escaped as `JSON.stringify` does it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |it: char| it < ' ' || it == '"' || it == '\\';
        f.write_char('"')?;
        for run in self.0.split_inclusive(special) {
            f.write_str(run.trim_end_matches(special))?;
            match run.chars().next_back().filter(|it| special(*it)) {
                None => {}
                Some('"') => f.write_str("\\\"")?,
                Some('\\') => f.write_str("\\\\")?,
                Some('\u{8}') => f.write_str("\\b")?,
                Some('\u{c}') => f.write_str("\\f")?,
                Some('\n') => f.write_str("\\n")?,
                Some('\r') => f.write_str("\\r")?,
                Some('\t') => f.write_str("\\t")?,
                Some(control) => write!(f, "\\u{:04x}", u32::from(control))?,
            }
        }
        f.write_char('"')
    }
}
