//! What a frame of the relay holds, found without decoding it.
//!
//! The load shares a small machine with what it measures, so it counts by looking for `{"session":"`.
//! This relies on how the relay writes frames down, which the tests hold against its encoder, and on
//! metas without such texts, which is what the load itself sends.

use memchr::memmem;

const ENTRY: &[u8] = br#"{"session":""#;
const LEFT: &[u8] = br#","left":["#;
const UPDATED: &[u8] = br#","updated":["#;

/// A session's id as it is written.
pub(crate) type SessionText = [u8; 16];

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Snapshot { rev: u64, n_presences: u64 },
    Delta(DeltaContent),
    Heartbeat,
    Error,
    Other,
}

/// What a delta holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeltaContent {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) n_joined: u64,
    pub(crate) n_left: u64,
    /// How many of the others were updated.
    pub(crate) n_updated_others: u64,
    /// How often the receiver itself was: 0 or 1.
    pub(crate) n_updated_own: u64,
}

/// Looks at a frame's text from the view of one of the sessions.
pub(crate) fn look(text: &[u8], own: &SessionText) -> Content {
    if text.starts_with(br#"{"delta":"#) {
        delta(text, own).map_or(Content::Other, Content::Delta)
    } else if text.starts_with(br#"{"snapshot":"#) {
        number(text, br#","rev":"#).map_or(Content::Other, |(rev, rest)| Content::Snapshot {
            rev,
            n_presences: entries(rest).count() as u64,
        })
    } else if text.starts_with(br#"{"heartbeat":"#) {
        Content::Heartbeat
    } else if text.starts_with(br#"{"error":"#) {
        Content::Error
    } else {
        Content::Other
    }
}

fn delta(text: &[u8], own: &SessionText) -> Option<DeltaContent> {
    let (from, rest) = number(text, br#","from":"#)?;
    let (to, rest) = number(rest, br#","to":"#)?;
    let (rest, updated) = split_at(rest, UPDATED);
    let (joined, left) = split_at(rest, LEFT);
    let mut content = DeltaContent {
        from,
        to,
        n_joined: entries(joined).count() as u64,
        n_left: entries(left).count() as u64,
        ..DeltaContent::default()
    };
    for session in entries(updated) {
        if session.starts_with(own) {
            content.n_updated_own += 1;
        } else {
            content.n_updated_others += 1;
        }
    }
    Some(content)
}

/// What follows each `{"session":"`.
fn entries(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    memmem::find_iter(text, ENTRY).filter_map(|at| text.get(at + ENTRY.len()..))
}

/// What is before a text, and what is from it on.
fn split_at<'a>(text: &'a [u8], at: &[u8]) -> (&'a [u8], &'a [u8]) {
    text.split_at(memmem::find(text, at).unwrap_or(text.len()))
}

/// The number after a name, and what is behind it.
fn number<'a>(text: &'a [u8], name: &[u8]) -> Option<(u64, &'a [u8])> {
    let digits = text.get(memmem::find(text, name)? + name.len()..)?;
    let n_digits = digits.iter().take_while(|it| it.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(n_digits);
    Some((str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use presence_protocol::{
        Color, Delta, ErrorCode, Key, LeaveReason, Left, Meta, Presence, PresenceState, Rev,
        ServerFrame, SessionId, Snapshot, Updated, User, UserId, encode_server,
    };
    use std::sync::Arc;

    const OWN: &SessionText = b"0000000000000002";

    #[test]
    fn snapshots_are_counted() {
        let content = seen(&ServerFrame::Snapshot(Snapshot {
            key: key(),
            rev: Rev(17),
            presences: (1..=3).map(presence).collect(),
        }));
        assert_eq!(content, Content::Snapshot { rev: 17, n_presences: 3 });
    }

    #[test]
    fn each_list_of_a_delta_is_counted_by_itself() {
        for (n_joined, n_left, n_updated) in
            [(0, 0, 1), (0, 0, 5), (1, 0, 0), (0, 2, 0), (2, 3, 0), (3, 0, 4), (0, 4, 2), (1, 2, 3)]
        {
            let content = seen(&ServerFrame::Delta(Delta {
                key: key(),
                from: Rev(9),
                to: Rev(12),
                joined: (100..).take(n_joined).map(presence).collect(),
                left: (200..).take(n_left).map(gone).collect(),
                updated: (1..).take(n_updated).map(updated).collect(),
                pulses: Vec::new(),
            }));
            let own = u64::from(n_updated >= 2);
            assert_eq!(
                content,
                Content::Delta(DeltaContent {
                    from: 9,
                    to: 12,
                    n_joined: n_joined as u64,
                    n_left: n_left as u64,
                    n_updated_others: n_updated as u64 - own,
                    n_updated_own: own,
                })
            );
        }
    }

    #[test]
    fn other_frames_are_told_apart() {
        assert_eq!(seen(&ServerFrame::Heartbeat { revs: vec![] }), Content::Heartbeat);
        let (code, message) = (ErrorCode::NotJoined, "no".to_owned());
        assert_eq!(seen(&ServerFrame::Error { code, message, key: None }), Content::Error);
        assert_eq!(look(b"0123", OWN), Content::Other);
        assert_eq!(look(br#"{"delta":{}}"#, OWN), Content::Other);
    }

    fn seen(frame: &ServerFrame<Meta>) -> Content {
        let mut text = Vec::new();
        encode_server(frame, &mut text);
        look(&text, OWN)
    }

    fn key() -> Key {
        Key::parse("load:1").unwrap()
    }

    fn presence(session: u64) -> Presence<Meta> {
        let user = User::new(UserId::parse("u").unwrap(), "U", Color::parse("#000000").unwrap());
        Presence {
            session: SessionId::new(session),
            user: Arc::new(user.unwrap()),
            since: 3,
            state: PresenceState::Active,
            meta: meta(),
        }
    }

    fn gone(session: u64) -> Left {
        Left { session: SessionId::new(session), reason: LeaveReason::Left }
    }

    fn updated(session: u64) -> Updated<Meta> {
        Updated { session: SessionId::new(session), state: None, meta: Some(meta()) }
    }

    fn meta() -> Meta {
        Meta::from_json_value(r#"{"section":"goals","is_typing":true,"n":7}"#).unwrap()
    }
}
