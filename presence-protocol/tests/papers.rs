//! `PROTOCOL.md` says what the code does: the same codes, reactions and limits, and examples that are
//! frames.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that can't go on fails; clippy.toml knows test functions, but not their helpers"
)]

use presence_protocol::{Close, CloseCode, ErrorCode, PATH, Reaction, SUBPROTOCOL, Wait, limits};
use std::collections::BTreeSet;
use std::time::Duration;

const PROTOCOL: &str = include_str!("../../PROTOCOL.md");

#[test]
fn close_codes_are_unique_and_round_trip() {
    let codes: BTreeSet<_> = CloseCode::ALL.iter().map(|it| it.code()).collect();
    let names: BTreeSet<_> = CloseCode::ALL.iter().map(|it| it.name()).collect();

    assert_eq!((codes.len(), names.len()), (CloseCode::ALL.len(), CloseCode::ALL.len()));
    assert!(CloseCode::ALL.is_sorted_by_key(|it| it.code()));
    for close in CloseCode::ALL {
        assert_eq!(CloseCode::from_code(close.code()), Some(*close));
    }
    for other in (0..=u16::MAX).filter(|it| !codes.contains(it)) {
        assert_eq!(CloseCode::from_code(other), None);
    }
}

#[test]
fn a_restart_says_in_its_code_how_long_to_wait() {
    for tenths in 0..=99 {
        let duration = Duration::from_millis(u64::from(tenths) * 100);
        let wait = Wait::about(duration + Duration::from_millis(99));
        assert_eq!(wait.duration(), duration);
        assert_eq!(Close::restarting(wait).code(), 4500 + tenths);
        assert_eq!(Wait::from_code(4500 + tenths), Some(wait));
    }
    for other in (0..4500).chain(4600..=u16::MAX) {
        assert_eq!(Wait::from_code(other), None);
    }
    for close in CloseCode::ALL {
        assert_eq!(Close::from(*close).code(), close.code());
    }
    for long in [Duration::from_secs(10), Duration::from_secs(30), Duration::MAX] {
        assert_eq!(Wait::about(long), Wait::MAX);
    }
}

#[test]
fn a_page_may_close_with_the_codes_that_are_the_clients() {
    // `WebSocket.close` takes 1000 and 3000 to 4999 only; 1001 is the browser's own.
    for close in CloseCode::ALL {
        let code = close.code();
        assert!(matches!(code, 1000 | 1001 | 4000..=4999), "{code}");
    }
}

#[test]
fn error_codes_are_unique_and_round_trip() {
    let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|it| it.name()).collect();

    assert_eq!(names.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
    }
    for other in ["", "BadFrame", "bad_frame ", "constructor"] {
        assert_eq!(ErrorCode::from_name(other), None);
    }
}

#[test]
fn every_paper_links_to_what_is_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let targets = text.split("](").skip(1).filter_map(|it| it.split(')').next());
        for target in targets.filter(|it| !it.contains("://") && !it.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            if !std::path::Path::new(root).join(file).exists() {
                missing.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_table_of_close_codes_is_the_codes_own() {
    let written: Vec<_> = table("Close codes").into_iter().map(first_three).collect();
    let coded = CloseCode::ALL.iter().map(|it| {
        let reaction = match it.reaction() {
            Reaction::Retry => "retry",
            Reaction::FetchToken => "fetch token",
            Reaction::BackOff => "back off",
            Reaction::Wait => "wait",
            Reaction::Stop => "stop",
        };
        let code = match it {
            CloseCode::Restarting => "4500 to 4599".to_owned(),
            _ => it.code().to_string(),
        };
        [code, format!("`{}`", it.name()), reaction.to_owned()]
    });
    assert_eq!(written, coded.collect::<Vec<_>>());
}

#[test]
fn the_table_of_error_codes_is_the_codes_own() {
    let written: Vec<_> = table("Error codes").into_iter().map(|it| it[0].clone()).collect();
    let coded = ErrorCode::ALL.iter().map(|it| format!("`{}`", it.name()));
    assert_eq!(written, coded.collect::<Vec<_>>());
}

#[test]
fn the_table_of_limits_is_the_codes_own() {
    let bytes = |label: &str, n: usize| (label.to_owned(), format!("{n} bytes"));
    let count = |label: &str, n: usize, unit: &str| (label.to_owned(), format!("{n} {unit}"));
    let time = |label: &str, it: Duration| (label.to_owned(), format!("{} s", it.as_secs()));
    let coded = [
        bytes("key", limits::MAX_KEY_BYTES),
        bytes("user id", limits::MAX_USER_ID_BYTES),
        bytes("user name", limits::MAX_USER_NAME_BYTES),
        bytes("avatar", limits::MAX_AVATAR_BYTES),
        bytes("info", limits::MAX_INFO_BYTES),
        bytes("meta", limits::MAX_META_BYTES),
        count("meta's depth", limits::MAX_META_DEPTH, "levels"),
        bytes("pulse's name", limits::MAX_PULSE_NAME_BYTES),
        bytes("pulse's value", limits::MAX_PULSE_BYTES),
        count("pulses of a presence", limits::MAX_PULSES_PER_PRESENCE, "pulses"),
        bytes("client's message", limits::MAX_CLIENT_FRAME_BYTES),
        bytes("token", limits::MAX_TOKEN_BYTES),
        count("keys of a connection", limits::MAX_KEYS_PER_CONNECTION, "keys"),
        count("presences in a key", limits::MAX_PRESENCES_PER_KEY, "presences"),
        count("presences of a user in a key", limits::MAX_PRESENCES_PER_USER, "presences"),
        count("answer about last seen", limits::MAX_LAST_SEEN, "users"),
        ("number".to_owned(), limits::MAX_SAFE_INTEGER.to_string()),
        time("time to `hello`", limits::HELLO_TIMEOUT),
        time("heartbeat", limits::HEARTBEAT),
        time("answer to a heartbeat or ping", limits::ANSWER_TIMEOUT),
        time("grace", limits::GRACE),
        time("life of a pulse", limits::PULSE_TTL),
        time("loss until `reconnecting`", limits::DIM_AFTER),
    ];
    let rows = table("Limits");
    let written: Vec<_> = rows.into_iter().map(|it| (it[0].clone(), it[1].clone())).collect();

    assert_eq!(written, coded);
    let constants = include_str!("../src/limits.rs").matches("pub const ").count();
    assert_eq!(constants, coded.len(), "a limit is missing here and perhaps in PROTOCOL.md");
}

#[test]
fn the_endpoint_is_the_codes_own() {
    assert!(section("Connection").contains(&format!("path `{PATH}`")));
    assert!(section("Connection").contains(&format!("subprotocol `{SUBPROTOCOL}`")));
}

#[cfg(feature = "json")]
#[test]
fn every_example_is_written_as_the_codec_writes_it() {
    use presence_protocol::{
        LeaveBeacon, decode_client, decode_server, encode_client, encode_server,
    };

    let client = examples("What a client sends");
    let server = examples("What a relay sends");
    let beacon = examples("Beacon");
    assert!(client.len() >= 6 && server.len() >= 5 && beacon.len() == 1);
    for text in client {
        assert_eq!(encode_client(&decode_client(text).expect(text)), text);
    }
    for text in server {
        let mut out = Vec::new();
        encode_server(&decode_server(text).expect(text), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
    for text in beacon {
        assert_eq!(LeaveBeacon::decode(text).expect(text).encode(), text);
    }
}

/// The lines of a section's code blocks.
#[cfg(feature = "json")]
fn examples(heading: &str) -> Vec<&'static str> {
    section(heading).lines().filter(|it| it.starts_with('{')).collect()
}

/// The cells of a section's first table, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let rows = section(heading).lines().skip_while(|it| !it.starts_with('|'));
    let rows = rows.take_while(|it| it.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|it| it.trim().into()).collect();
    rows.map(cells).collect()
}

fn section(heading: &str) -> &'static str {
    let (_, section) =
        PROTOCOL.split_once(&format!("\n## {heading}\n")).expect("the section is there");
    section.split("\n## ").next().unwrap_or(section)
}

fn first_three(row: Vec<String>) -> [String; 3] {
    let [first, second, third, _meaning] = row.try_into().expect("four cells");
    [first, second, third]
}
