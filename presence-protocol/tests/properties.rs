//! What holds of the JSON codec for all frames and for all texts.
#![cfg(feature = "json")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that can't go on fails; clippy.toml knows test functions, but not their helpers"
)]

use presence_protocol::{
    AvatarUrl, ClientFrame, Color, Delta, Dial, Epoch, EpochInfo, ErrorCode, FrameError, Info, Key,
    LeaveBeacon, LeaveReason, Left, Meta, Presence, PresenceState, Pulse, PulseName, PulseValue,
    Rev, Seen, ServerFrame, SessionId, Snapshot, Updated, User, UserId, Welcome, decode_client,
    decode_server, encode_client, encode_server,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::sync::Arc;

const MAX_EXACT: u64 = (1 << 53) - 1;

proptest! {
    #[test]
    fn a_client_frame_survives_the_wire(frame in client_frame()) {
        prop_assert_eq!(decode_client(&encode_client(&frame)), Ok(frame));
    }

    #[test]
    fn a_server_frame_survives_the_wire(frame in server_frame()) {
        let text = server_text(&frame);
        prop_assert_eq!(decode_server(&text), Ok(frame));
    }

    #[test]
    fn a_beacon_survives_the_wire(resume in text(), dial in dial(), keys in vec(key(), 0..=64)) {
        let beacon = LeaveBeacon { resume, dial, keys };
        prop_assert_eq!(LeaveBeacon::decode(&beacon.encode()), Ok(beacon));
    }

    #[test]
    fn what_is_written_is_json_and_in_the_form_of_json_stringify(frame in server_frame()) {
        // Metas are passed on as they came, and the arbitrary ones came in that form.
        let text = server_text(&frame);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value.to_string().len(), text.len());
    }

    #[test]
    fn no_text_upsets_the_decoders(text in any::<String>()) {
        decode_everything(&text)?;
    }

    #[test]
    fn no_json_upsets_the_decoders(name in "[a-z]{0,9}", body in json_value()) {
        decode_everything(&body)?;
        decode_everything(&format!(r#"{{"{name}":{body}}}"#))?;
    }

    #[test]
    fn no_damaged_frame_upsets_the_decoders(
        text in prop_oneof![
            client_frame().prop_map(|it| encode_client(&it)),
            server_frame().prop_map(|it| server_text(&it)),
        ],
        damages in vec(damage(), 1..4),
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        for damage in &damages {
            damage.apply(&mut chars);
        }
        decode_everything(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn a_frame_cut_short_is_no_frame(frame in client_frame(), at in any::<Index>()) {
        let text = encode_client(&frame);
        let cut: String = text.chars().take(at.index(text.chars().count())).collect();
        let error = decode_client(&cut).unwrap_err();
        prop_assert_eq!(error.code, ErrorCode::BadFrame);
    }
}

/// Decodes a text in every way. What is accepted must survive being written again.
fn decode_everything(text: &str) -> Result<(), TestCaseError> {
    match decode_client(text) {
        Ok(frame) => prop_assert_eq!(decode_client(&encode_client(&frame)), Ok(frame)),
        Err(error) => tame(&error)?,
    }
    match decode_server(text) {
        Ok(frame) => prop_assert_eq!(decode_server(&server_text(&frame)), Ok(frame)),
        Err(error) => tame(&error)?,
    }
    match LeaveBeacon::decode(text) {
        Ok(beacon) => prop_assert_eq!(LeaveBeacon::decode(&beacon.encode()), Ok(beacon)),
        Err(error) => tame(&error)?,
    }
    Ok(())
}

fn tame(error: &FrameError) -> Result<(), TestCaseError> {
    prop_assert!(error.message.chars().count() <= 200);
    prop_assert!(!error.message.chars().any(char::is_control));
    Ok(())
}

fn server_text(frame: &ServerFrame<Meta>) -> String {
    let mut out = Vec::new();
    encode_server(frame, &mut out);
    String::from_utf8(out).unwrap()
}

/// Something that happens to a text.
#[derive(Clone, Debug)]
enum Damage {
    Remove { from: Index, n_chars: usize },
    Repeat { from: Index, n_chars: usize },
    Insert { at: Index, text: String },
}

impl Damage {
    fn apply(&self, chars: &mut Vec<char>) {
        match self {
            Self::Remove { from, n_chars } => {
                let from = from.index(chars.len() + 1);
                let to = (from + n_chars).min(chars.len());
                chars.drain(from..to);
            }
            Self::Repeat { from, n_chars } => {
                let from = from.index(chars.len() + 1);
                let to = (from + n_chars).min(chars.len());
                let again = chars[from..to].to_vec();
                chars.splice(to..to, again);
            }
            Self::Insert { at, text } => {
                let at = at.index(chars.len() + 1);
                chars.splice(at..at, text.chars());
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let poison = select(vec![
        "\0",
        "\"",
        "\\",
        "\\ud800",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "-1",
        "1.5",
        "1e999",
        "9007199254740992",
        "18446744073709551616",
        "{}",
        "[]",
        "\"\"",
        "\"key\":\"a\",",
        "\u{2028}",
    ]);
    let inserted = prop_oneof![
        poison.prop_map(str::to_owned),
        Just("[".repeat(600)),
        Just("{\"a\":".repeat(600)),
        any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        (any::<Index>(), 1_usize..40).prop_map(|(from, n_chars)| Damage::Remove { from, n_chars }),
        (any::<Index>(), 1_usize..40).prop_map(|(from, n_chars)| Damage::Repeat { from, n_chars }),
        (any::<Index>(), inserted).prop_map(|(at, text)| Damage::Insert { at, text }),
    ]
}

fn pulse_name() -> impl Strategy<Value = PulseName> {
    "[a-z]{1,16}".prop_map(|it| PulseName::parse(&it).unwrap())
}

fn pulse_value() -> impl Strategy<Value = PulseValue> {
    text().prop_filter_map("too long", |it| PulseValue::parse(&it))
}

fn client_frame() -> impl Strategy<Value = ClientFrame<Meta>> {
    prop_oneof![
        (text(), option::of(text()), dial()).prop_map(|(token, resume, dial)| ClientFrame::Hello {
            token,
            resume,
            dial
        }),
        (key(), option::of(text()), meta(), option::of(exact()), option::of(any::<bool>()))
            .prop_map(|(key, token, meta, age, away)| ClientFrame::Join {
                key,
                token,
                meta,
                age,
                away
            }),
        (key(), option::of(text()), any::<bool>())
            .prop_map(|(key, token, invisible)| ClientFrame::Observe { key, token, invisible }),
        any::<bool>().prop_map(|away| ClientFrame::Attention { away }),
        (key(), meta()).prop_map(|(key, meta)| ClientFrame::Update { key, meta }),
        (key(), pulse_name(), option::of(pulse_value()))
            .prop_map(|(key, name, value)| ClientFrame::Pulse { key, name, value }),
        key().prop_map(|key| ClientFrame::Leave { key }),
        key().prop_map(|key| ClientFrame::Resync { key }),
        key().prop_map(|key| ClientFrame::LastSeen { key }),
        text().prop_map(|token| ClientFrame::Token { token }),
        Just(ClientFrame::Heartbeat),
    ]
}

fn server_frame() -> impl Strategy<Value = ServerFrame<Meta>> {
    let snapshot = (key(), rev(), vec(presence(), 0..4))
        .prop_map(|(key, rev, presences)| Snapshot { key, rev, presences });
    let left = (session(), select(vec![LeaveReason::Left, LeaveReason::Timeout]))
        .prop_map(|(session, reason)| Left { session, reason });
    let updated = (session(), option::of(state()), option::of(meta()))
        .prop_map(|(session, state, meta)| Updated { session, state, meta });
    let pulse = (session(), pulse_name(), option::of(pulse_value()))
        .prop_map(|(session, name, value)| Pulse { session, name, value });
    let lists = (vec(presence(), 0..3), vec(left, 0..3), vec(updated, 0..3), vec(pulse, 0..3));
    let delta = (key(), rev(), rev(), lists).prop_map(
        |(key, from, to, (joined, left, updated, pulses))| Delta {
            key,
            from,
            to,
            joined,
            left,
            updated,
            pulses,
        },
    );
    prop_oneof![
        welcome().prop_map(ServerFrame::Welcome),
        snapshot.prop_map(ServerFrame::Snapshot),
        delta.prop_map(ServerFrame::Delta),
        vec((key(), rev()), 0..4).prop_map(|revs| ServerFrame::Heartbeat { revs }),
        (key(), vec((user(), exact()), 0..4)).prop_map(|(key, seen)| {
            let seen = seen.into_iter();
            let seen = seen.map(|(user, ago_ms)| Seen { user: Arc::new(user), ago_ms }).collect();
            ServerFrame::LastSeen { key, seen }
        }),
        (text(), exact(), option::of(user_id())).prop_map(|(resume, expires_in_ms, user_id)| {
            ServerFrame::Token { resume, expires_in_ms, user_id }
        }),
        (select(ErrorCode::ALL.to_vec()), text(), option::of(key()))
            .prop_map(|(code, message, key)| ServerFrame::Error { code, message, key }),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let epoch = (any::<u64>().prop_map(Epoch::new), exact())
        .prop_map(|(id, age_ms)| EpochInfo { id, age_ms });
    let times = (exact(), exact(), exact());
    (session(), text(), any::<bool>(), times, option::of(user_id()), epoch).prop_map(
        |(session, resume, resumed, times, user_id, epoch)| {
            let (heartbeat_ms, grace_ms, expires_in_ms) = times;
            Welcome {
                session,
                resume,
                resumed,
                heartbeat_ms,
                grace_ms,
                expires_in_ms,
                user_id,
                epoch,
            }
        },
    )
}

fn presence() -> impl Strategy<Value = Presence<Meta>> {
    (session(), user(), since(), state(), meta()).prop_map(|(session, user, since, state, meta)| {
        Presence { session, user: Arc::new(user), since, state, meta }
    })
}

fn user() -> impl Strategy<Value = User> {
    let id = user_id();
    let color = any::<[u8; 3]>().prop_map(Color);
    let info = meta().prop_filter_map("too large", |it| Info::from_json_value(it.as_str()));
    (id, name(60), color, option::of(avatar()), option::of(info)).prop_map(
        |(id, name, color, avatar, info)| {
            User::new(id, &name, color).unwrap().with_avatar(avatar).with_info(info)
        },
    )
}

fn user_id() -> impl Strategy<Value = UserId> {
    name(30).prop_map(|it| UserId::parse(&it).unwrap())
}

fn avatar() -> impl Strategy<Value = AvatarUrl> {
    ("(https://[a-z.]{1,9}|http://localhost)?/[!-.0-[\\]-~é]{0,40}")
        .prop_map(|it| AvatarUrl::parse(&it).unwrap())
}

/// A name of that many characters at most, among them those that codecs get wrong.
fn name(max_chars: usize) -> impl Strategy<Value = String> {
    let odd =
        select(vec!['"', '\\', '/', '\u{2028}', '\u{2029}', '\u{feff}', '👩', '\u{200d}', 'é']);
    let char = prop_oneof![odd, any::<char>()].prop_filter("no control", |it| !it.is_control());
    vec(char, 1..=max_chars).prop_map(|it| it.into_iter().collect())
}

/// Any text, control characters included.
fn text() -> impl Strategy<Value = String> {
    let odd = select(vec!['"', '\\', '\0', '\u{8}', '\u{c}', '\n', '\r', '\t', '\u{1f}', '\u{7f}']);
    vec(prop_oneof![odd, any::<char>()], 0..40).prop_map(|it| it.into_iter().collect())
}

fn meta() -> impl Strategy<Value = Meta> {
    vec((text(), json_value()), 0..4).prop_filter_map("fits", |fields| {
        let field = |(name, value): (String, String)| {
            format!("{}:{value}", serde_json::Value::String(name))
        };
        let fields: Vec<_> = fields.into_iter().map(field).collect();
        let text = format!("{{{}}}", fields.join(","));
        // Twice the same name is one field less when it is read, which another property counts.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        (value.to_string().len() == text.len()).then(|| Meta::from_json_value(&text).ok())?
    })
}

/// The text of a JSON value.
fn json_value() -> impl Strategy<Value = String> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    });
    nested.prop_map(|it| it.to_string())
}

fn key() -> impl Strategy<Value = Key> {
    "[A-Za-z0-9:_./@-]{1,128}".prop_map(|it| Key::parse(&it).unwrap())
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId::new)
}

fn state() -> impl Strategy<Value = PresenceState> {
    select(vec![PresenceState::Active, PresenceState::Away, PresenceState::Reconnecting])
}

fn rev() -> impl Strategy<Value = Rev> {
    exact().prop_map(Rev)
}

fn dial() -> impl Strategy<Value = Dial> {
    any::<u32>().prop_map(Dial)
}

/// A number that JavaScript holds exactly.
fn exact() -> impl Strategy<Value = u64> {
    prop_oneof![0..=MAX_EXACT, Just(MAX_EXACT), Just(0)]
}

fn since() -> impl Strategy<Value = i64> {
    let max = MAX_EXACT.cast_signed();
    prop_oneof![-max..=max, -1000_i64..1000, Just(-max), Just(max)]
}
