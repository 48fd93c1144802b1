//! Every text under `fixtures/` means what it is said to mean.
//!
//! `client`, `server` and `beacon` hold one golden text a file: it decodes to the value that is
//! written here, and that value is written as exactly these bytes. `lenient` holds texts that mean
//! the same as another, `hostile` texts that are refused, and with which code. Other codecs of the
//! protocol are held to the same files.
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
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

const RESUME: &str = "v1.c2Vzc2lvbg.c2ln";
const TOKEN: &str = "header.payload.signature";
const MAX_EXACT: u64 = 9_007_199_254_740_991;

#[test]
fn a_client_frame_is_what_its_golden_text_says() {
    let join = |name: &str, token: Option<&str>, meta_text: &str, age| ClientFrame::Join {
        key: key(name),
        token: token.map(Into::into),
        meta: meta(meta_text),
        age,
        away: None,
    };
    let away = ClientFrame::Join {
        key: key("document:42"),
        token: None,
        meta: meta("{}"),
        age: Some(5),
        away: Some(true),
    };
    let back = ClientFrame::Join {
        key: key("a"),
        token: None,
        meta: meta("{}"),
        age: None,
        away: Some(false),
    };
    let observe = |token: Option<&str>, invisible| ClientFrame::Observe {
        key: key("document:42"),
        token: token.map(Into::into),
        invisible,
    };
    let update = |text: &str| ClientFrame::Update { key: key("document:42"), meta: meta(text) };
    check_golden(
        "client",
        decode_client,
        |it| encode_client(it).into_bytes(),
        [
            ("hello", ClientFrame::Hello { token: TOKEN.into(), resume: None, dial: Dial(1) }),
            (
                "hello-resume",
                ClientFrame::Hello {
                    token: TOKEN.into(),
                    resume: Some(RESUME.into()),
                    dial: Dial(u32::MAX),
                },
            ),
            ("join", join("document:42", None, r#"{"section":"goals","is_typing":false}"#, None)),
            ("join-bare", join("a", None, "{}", None)),
            ("join-away", away),
            ("join-back", back),
            ("observe", observe(None, false)),
            ("observe-invisible", observe(Some("other.payload.signature"), true)),
            ("attention-away", ClientFrame::Attention { away: true }),
            ("attention-back", ClientFrame::Attention { away: false }),
            ("join-again", join("document:42", None, "{}", Some(1200))),
            (
                "join-token",
                join(
                    "team/7@acme.example:board_1-2",
                    Some("other.payload.signature"),
                    r#"{"n":-1.5e-7}"#,
                    Some(0),
                ),
            ),
            ("update", update(r#"{"is_typing":true,"caret":{"path":[0,3,1],"offset":12}}"#)),
            (
                "update-escapes",
                update(concat!(
                    r#"{"q":"\"\\\n\u0001","emoji":"👩‍👩‍👧","line":""#,
                    "\u{2028}",
                    r#"","__proto__":{"a":1},"constructor":null}"#
                )),
            ),
            (
                "pulse",
                ClientFrame::Pulse {
                    key: key("document:42"),
                    name: pulse_name("cursor"),
                    value: Some(pulse_value(r#"["goals",0.5,0.25]"#)),
                },
            ),
            (
                "pulse-end",
                ClientFrame::Pulse {
                    key: key("document:42"),
                    name: pulse_name("abcdefghijklmnop"),
                    value: None,
                },
            ),
            ("leave", ClientFrame::Leave { key: key("document:42") }),
            ("resync", ClientFrame::Resync { key: key("document:42") }),
            ("last-seen", ClientFrame::LastSeen { key: key("document:42") }),
            ("token", ClientFrame::Token { token: TOKEN.into() }),
            ("heartbeat", ClientFrame::Heartbeat),
        ],
    );
}

#[test]
fn a_server_frame_is_what_its_golden_text_says() {
    let welcome =
        |session, resume: &str, resumed, expires_in_ms, user: Option<&str>, id, age_ms| {
            ServerFrame::Welcome(Welcome {
                session,
                resume: resume.into(),
                resumed,
                heartbeat_ms: 10_000,
                grace_ms: 30_000,
                expires_in_ms,
                user_id: user.and_then(UserId::parse),
                epoch: EpochInfo { id: Epoch::new(id), age_ms },
            })
        };
    let snapshot = |rev, presences| {
        ServerFrame::Snapshot(Snapshot { key: key("document:42"), rev: Rev(rev), presences })
    };
    let delta = |from, to, joined, left, updated| {
        let (key, from, to) = (key("document:42"), Rev(from), Rev(to));
        ServerFrame::Delta(Delta { key, from, to, joined, left, updated, pulses: vec![] })
    };
    let pulse = |session, name, value: Option<&str>| Pulse {
        session,
        name: pulse_name(name),
        value: value.map(pulse_value),
    };
    let presence = |session, user: &Arc<User>, since, state, meta_text: &str| Presence {
        session,
        user: user.clone(),
        since,
        state,
        meta: meta(meta_text),
    };
    let left = |session, reason| Left { session, reason };
    let updated = |session, state, meta_text: Option<&str>| Updated {
        session,
        state,
        meta: meta_text.map(meta),
    };
    let (active, reconnecting) = (PresenceState::Active, PresenceState::Reconnecting);
    let (first, second, third) = (
        SessionId::new(0xa1),
        SessionId::new(0xfedc_ba98_7654_3210),
        SessionId::new(0x0123_4567_89ab_cdef),
    );
    let renewed = |user: Option<&str>| ServerFrame::Token {
        resume: RESUME.into(),
        expires_in_ms: 3_600_000,
        user_id: user.and_then(UserId::parse),
    };
    let alice = user("u-1", "Alice", [0x35, 0x31, 0x82]);
    let bob = user(r#""b\ob""#, "Бо́б \"\\\" \u{2028} 👩‍👩‍👧 <b>", [0, 0xff, 0x7f]);
    let revs = vec![(key("document:42"), Rev(18)), (key("a"), Rev(0))];
    let oldest = -i64::try_from(MAX_EXACT).unwrap();

    check_golden(
        "server",
        decode_server,
        |it| {
            let mut out = b"before".to_vec();
            encode_server(it, &mut out);
            out.strip_prefix(b"before").expect("a frame is appended").to_vec()
        },
        [
            (
                "welcome",
                welcome(first, RESUME, false, 3_600_000, Some("u-1"), 0x5eed_0000_0000_0001, 5),
            ),
            (
                "welcome-resumed",
                welcome(second, "v1.bmV3.c2ln", true, MAX_EXACT, Some(r#""b\ob""#), 0, 0),
            ),
            (
                "welcome-older",
                welcome(first, RESUME, false, 3_600_000, None, 0x5eed_0000_0000_0001, 5),
            ),
            (
                "snapshot",
                snapshot(
                    7,
                    vec![
                        presence(first, &alice, -5, active, r#"{"section":"goals"}"#),
                        presence(second, &alice, 90_061, reconnecting, "{}"),
                    ],
                ),
            ),
            ("snapshot-empty", snapshot(0, vec![])),
            (
                "snapshot-names",
                snapshot(MAX_EXACT, vec![presence(third, &bob, oldest, active, "{}")]),
            ),
            (
                "snapshot-odd-meta",
                snapshot(
                    8,
                    vec![
                        presence(
                            first,
                            &alice,
                            0,
                            active,
                            r#"{"huge":1e999,"half":"\ud800","twice":1,"twice":2, "spaced" : [ ] }"#,
                        ),
                        presence(second, &alice, 1, active, r#"{"is_typing":true}"#),
                    ],
                ),
            ),
            (
                "snapshot-avatars",
                snapshot(
                    9,
                    vec![
                        presence(
                            first,
                            &with_avatar(&alice, "https://cdn.example/alice.png?size=2"),
                            -5,
                            active,
                            "{}",
                        ),
                        presence(
                            third,
                            &with_avatar(&user("u-2", "Bob", [0, 0xff, 0x7f]), "/bob\"s.svg"),
                            0,
                            active,
                            "{}",
                        ),
                    ],
                ),
            ),
            (
                "snapshot-info",
                snapshot(
                    9,
                    vec![
                        presence(
                            first,
                            &with_info(&alice, r#"{"role":"editor"}"#),
                            -5,
                            active,
                            "{}",
                        ),
                        presence(
                            third,
                            &with_info(&alice, r#"{"teams":["a",{"b":null}]}"#),
                            0,
                            active,
                            "{}",
                        ),
                    ],
                ),
            ),
            (
                "delta-joined",
                delta(7, 8, vec![presence(third, &alice, 120_000, active, "{}")], vec![], vec![]),
            ),
            (
                "delta-left",
                delta(
                    8,
                    9,
                    vec![],
                    vec![left(first, LeaveReason::Left), left(second, LeaveReason::Timeout)],
                    vec![],
                ),
            ),
            (
                "delta-updated",
                delta(
                    9,
                    10,
                    vec![],
                    vec![],
                    vec![
                        updated(first, Some(reconnecting), None),
                        updated(second, None, Some(r#"{"is_typing":true}"#)),
                        updated(third, Some(active), Some("{}")),
                    ],
                ),
            ),
            (
                "delta-mixed",
                delta(
                    10,
                    17,
                    vec![presence(third, &alice, 120_000, active, "{}")],
                    vec![left(first, LeaveReason::Timeout)],
                    vec![updated(second, Some(active), None)],
                ),
            ),
            (
                "delta-away",
                delta(
                    18,
                    19,
                    vec![],
                    vec![],
                    vec![updated(first, Some(PresenceState::Away), None)],
                ),
            ),
            (
                "delta-pulses",
                ServerFrame::Delta(Delta {
                    key: key("document:42"),
                    from: Rev(19),
                    to: Rev(21),
                    joined: vec![],
                    left: vec![],
                    updated: vec![],
                    pulses: vec![
                        pulse(first, "cursor", Some(r#"["goals",0.5,0.25]"#)),
                        pulse(second, "typing", None),
                    ],
                }),
            ),
            ("delta-nothing", delta(17, 18, vec![], vec![], vec![])),
            ("heartbeat", ServerFrame::Heartbeat { revs }),
            ("heartbeat-no-keys", ServerFrame::Heartbeat { revs: vec![] }),
            (
                "last-seen",
                ServerFrame::LastSeen {
                    key: key("document:42"),
                    seen: vec![
                        Seen { user: with_avatar(&alice, "/alice.png"), ago_ms: 720_000 },
                        Seen { user: bob, ago_ms: MAX_EXACT },
                    ],
                },
            ),
            ("last-seen-nobody", ServerFrame::LastSeen { key: key("a"), seen: vec![] }),
            ("token", renewed(Some("u-2"))),
            ("token-older", renewed(None)),
            (
                "error",
                ServerFrame::Error {
                    code: ErrorCode::BadFrame,
                    message: r#"this is not a frame: "\""#.into(),
                    key: None,
                },
            ),
            (
                "error-key",
                ServerFrame::Error {
                    code: ErrorCode::KeyDenied,
                    message: "no token of this connection allows the key".into(),
                    key: Some(key("document:43")),
                },
            ),
        ],
    );
}

#[test]
fn a_beacon_is_what_its_golden_text_says() {
    let beacon = |resume: &str, dial, keys| LeaveBeacon { resume: resume.into(), dial, keys };
    check_golden(
        "beacon",
        LeaveBeacon::decode,
        |it| it.encode().into_bytes(),
        [
            ("leave", beacon(RESUME, Dial(3), vec![key("document:42"), key("a")])),
            ("leave-nothing", beacon("", Dial(0), vec![])),
        ],
    );
}

#[test]
fn a_lenient_text_means_the_same_as_the_golden_one() {
    fn check<T: PartialEq + Debug>(file: &str, decode: impl Fn(&str) -> Result<T, FrameError>) {
        for row in rows(file) {
            let same_as = decode(&row["same_as"]).expect(&row["name"]);
            assert_eq!(decode(&row["text"]), Ok(same_as), "{file}: {}", row["name"]);
        }
    }
    check("lenient/client.json", decode_client);
    check("lenient/server.json", decode_server);
}

#[test]
fn a_hostile_text_is_refused_with_the_exact_code() {
    fn check<T: Debug>(file: &str, decode: impl Fn(&str) -> Result<T, FrameError>) {
        for row in rows(file) {
            let error = decode(&row["text"]).expect_err(&row["name"]);
            assert_eq!(error.code.name(), row["code"], "{file}: {}: {error}", row["name"]);
            assert_tame(&error);
        }
    }
    check("hostile/client.json", decode_client);
    check("hostile/server.json", decode_server);
    check("hostile/beacon.json", LeaveBeacon::decode);
}

#[test]
fn an_error_names_the_key_if_it_could_be_read() {
    let error = |text: &str| decode_client(text).unwrap_err();
    let long = "t".repeat(8193);

    assert_eq!(error(r#"{"join":{"key":"a","meta":[]}}"#).key, Some(key("a")));
    assert_eq!(error(r#"{"update":{"key":"a","meta":7}}"#).key, Some(key("a")));
    assert_eq!(error(&format!(r#"{{"join":{{"key":"a","token":"{long}"}}}}"#)).key, Some(key("a")));
    assert_eq!(error(r#"{"join":{"key":"a b","meta":[]}}"#).key, None);
}

#[test]
fn what_is_just_within_its_limits_is_accepted() {
    let value = "v".repeat(512);
    let pulse = format!(r#"{{"pulse":{{"key":"a","name":"a","value":"{value}"}}}}"#);
    assert!(decode_client(&pulse).is_ok());
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(15), "]".repeat(15));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(4088));
    let (long_key, long_token) = ("k".repeat(128), "t".repeat(8192));

    for text in [&nested, &large] {
        let frame = decode_client(&format!(r#"{{"update":{{"key":"a","meta":{text}}}}}"#));
        assert_eq!(frame, Ok(ClientFrame::Update { key: key("a"), meta: meta(text) }));
    }
    assert!(decode_client(&format!(r#"{{"leave":{{"key":"{long_key}"}}}}"#)).is_ok());
    let hello =
        format!(r#"{{"hello":{{"token":"{long_token}","resume":"{long_token}","dial":0}}}}"#);
    assert!(decode_client(&hello).is_ok());
    let age = format!(r#"{{"join":{{"key":"a","age":{MAX_EXACT}}}}}"#);
    assert!(decode_client(&age).is_ok());
    let keys = vec![key("a"); 64];
    let beacon = LeaveBeacon { resume: long_token, dial: Dial(1), keys };
    assert_eq!(LeaveBeacon::decode(&beacon.encode()), Ok(beacon));
}

#[test]
fn a_duration_that_javascript_cannot_tell_is_written_as_the_longest_it_can() {
    let mut out = Vec::new();
    encode_server(
        &ServerFrame::Welcome(Welcome {
            session: SessionId::new(1),
            resume: RESUME.into(),
            resumed: false,
            heartbeat_ms: 10_000,
            grace_ms: 30_000,
            expires_in_ms: u64::MAX,
            user_id: None,
            epoch: EpochInfo { id: Epoch::new(1), age_ms: 0 },
        }),
        &mut out,
    );
    let Ok(ServerFrame::Welcome(welcome)) = decode_server(str::from_utf8(&out).unwrap()) else {
        panic!("a welcome can be read");
    };
    assert_eq!(welcome.expires_in_ms, MAX_EXACT);
}

fn pulse_name(name: &str) -> PulseName {
    PulseName::parse(name).unwrap()
}

fn pulse_value(text: &str) -> PulseValue {
    PulseValue::parse(text).unwrap()
}

/// Checks all files of a folder, each of which must have its row here.
#[track_caller]
fn check_golden<T: Debug + PartialEq, const N: usize>(
    folder: &str,
    decode: impl Fn(&str) -> Result<T, FrameError>,
    encode: impl Fn(&T) -> Vec<u8>,
    expected: [(&str, T); N],
) {
    let mut files = golden(folder);
    for (name, value) in expected {
        let text = files.remove(name).unwrap_or_else(|| panic!("{folder}/{name}.json is missing"));
        assert_eq!(decode(&text).as_ref(), Ok(&value), "{folder}/{name}.json");
        assert_eq!(String::from_utf8(encode(&value)).as_ref(), Ok(&text), "{folder}/{name}.json");
    }
    assert!(files.is_empty(), "nothing is expected of {:?} in {folder}", files.keys());
}

/// The files of a folder without the line break at their ends, by name.
fn golden(folder: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(fixtures().join(folder)).unwrap().map(|file| {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().into();
        let text = fs::read_to_string(&path).unwrap();
        (name, text.strip_suffix('\n').expect("a line break at the end").into())
    });
    files.collect()
}

fn rows(file: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(fixtures().join(file)).unwrap();
    let rows: Vec<_> = serde_json::from_str(&text).unwrap();
    assert!(!rows.is_empty());
    rows
}

fn fixtures() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures"].iter().collect()
}

#[track_caller]
fn assert_tame(error: &FrameError) {
    let message = &error.message;
    assert!(message.chars().count() <= 200, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn meta(text: &str) -> Meta {
    Meta::from_json_value(text).unwrap()
}

fn user(id: &str, name: &str, color: [u8; 3]) -> Arc<User> {
    Arc::new(User::new(UserId::parse(id).unwrap(), name, Color(color)).unwrap())
}

fn with_info(user: &Arc<User>, info: &str) -> Arc<User> {
    Arc::new((**user).clone().with_info(Info::from_json_value(info)))
}

fn with_avatar(user: &User, avatar: &str) -> Arc<User> {
    Arc::new(user.clone().with_avatar(Some(AvatarUrl::parse(avatar).unwrap())))
}
