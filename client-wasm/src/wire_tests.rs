//! This codec and the one in `presence-protocol`, held to the same texts and to each other.
#![expect(
    clippy::unwrap_used,
    reason = "clippy takes only what is under cfg(test) alone for a test"
)]

use crate::meta::Meta;
use crate::user::{PresenceHere, User};
use crate::wire;
use js_sys::Array;
use presence_protocol as protocol;
use presence_protocol::{
    ClientFrame, Delta, Dial, ErrorCode, Info, Key, LeaveBeacon, LeaveReason, Presence,
    PresenceState, ServerFrame, Snapshot, Updated, decode_client, decode_server,
};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    fn give(values: &Array);
    fn heard() -> Array;
    fn written(said: &Array) -> String;
    #[wasm_bindgen(js_name = beacon)]
    fn written_beacon(said: &Array) -> String;
}

type Frame = ServerFrame<Meta, User>;

fn decode(data: &JsValue) -> Option<Frame> {
    give(&Array::of1(data));
    wire::decode()
}

fn encode(frame: &ClientFrame<Meta>) -> String {
    wire::encode(frame);
    written(&heard())
}

fn encode_beacon(resume: &str, dial: Dial, keys: &[Key]) -> String {
    wire::encode_beacon(resume, dial, keys);
    written_beacon(&heard())
}

/// Texts of `presence-protocol/fixtures`, by name.
macro_rules! fixtures {
    ($folder:literal: $($name:literal)*) => {
        [$(($name, include_str!(concat!(
            "../../presence-protocol/fixtures/", $folder, "/", $name, ".json"
        )))),*]
    };
}

#[wasm_bindgen_test]
fn a_golden_server_frame_means_what_the_other_codec_says() {
    for (name, text) in fixtures!("server":
        "delta-away" "delta-joined" "delta-left" "delta-mixed" "delta-nothing" "delta-pulses"
        "delta-updated" "error"
        "error-key" "heartbeat" "heartbeat-no-keys" "snapshot" "snapshot-avatars" "snapshot-empty" "snapshot-info" "snapshot-names"
        "snapshot-odd-meta" "token" "token-older" "welcome" "welcome-older" "welcome-resumed"
    ) {
        let expected = in_browser(decode_server(text.trim_end()).unwrap());
        assert_eq!(decode(&text.trim_end().into()), Some(expected), "{name}");
    }
}

#[wasm_bindgen_test]
fn of_who_has_viewed_a_key_the_key_is_read() {
    for (_, text) in fixtures!("server": "last-seen" "last-seen-nobody") {
        let Ok(ServerFrame::LastSeen { key, .. }) = decode_server(text.trim_end()) else {
            unreachable!("it is a golden text")
        };
        let expected = Some(ServerFrame::LastSeen { key, seen: Vec::new() });
        assert_eq!(decode(&text.trim_end().into()), expected);
    }
    assert_eq!(decode(&r#"{"last_seen":{"key":"a b","seen":[]}}"#.into()), None);
}

#[wasm_bindgen_test]
fn a_golden_client_frame_is_written_to_the_byte() {
    for (name, text) in fixtures!("client":
        "attention-away" "attention-back" "heartbeat" "hello" "hello-resume" "join" "join-again" "join-away" "join-back" "join-bare" "join-token" "last-seen" "leave"
        "observe" "observe-invisible" "pulse" "pulse-end"
        "resync" "token" "update" "update-escapes"
    ) {
        let text = text.trim_end();
        let frame = match decode_client(text).unwrap() {
            ClientFrame::Join { key, token, meta, age, away } => {
                ClientFrame::Join { key, token, meta: in_engine(&meta), age, away }
            }
            ClientFrame::Observe { key, token, invisible } => {
                ClientFrame::Observe { key, token, invisible }
            }
            ClientFrame::Attention { away } => ClientFrame::Attention { away },
            ClientFrame::Update { key, meta } => {
                ClientFrame::Update { key, meta: in_engine(&meta) }
            }
            ClientFrame::Hello { token, resume, dial } => {
                ClientFrame::Hello { token, resume, dial }
            }
            ClientFrame::Leave { key } => ClientFrame::Leave { key },
            ClientFrame::Resync { key } => ClientFrame::Resync { key },
            ClientFrame::LastSeen { key } => ClientFrame::LastSeen { key },
            ClientFrame::Pulse { key, name, value } => ClientFrame::Pulse { key, name, value },
            ClientFrame::Token { token } => ClientFrame::Token { token },
            ClientFrame::Heartbeat => ClientFrame::Heartbeat,
        };
        assert_eq!(encode(&frame), text, "{name}");
    }
}

#[wasm_bindgen_test]
fn a_golden_beacon_is_written_to_the_byte() {
    for (name, text) in fixtures!("beacon": "leave" "leave-nothing") {
        let text = text.trim_end();
        let LeaveBeacon { resume, dial, keys } = LeaveBeacon::decode(text).unwrap();
        assert_eq!(encode_beacon(&resume, dial, &keys), text, "{name}");
    }
}

#[wasm_bindgen_test]
fn a_lenient_text_means_the_same_as_the_golden_one() {
    let rows = rows(include_str!("../../presence-protocol/fixtures/lenient/server.json"));
    for [name, text, same_as] in rows.iter().map(|it| fields(&it, ["name", "text", "same_as"])) {
        let expected = decode(&same_as);
        assert!(expected.is_some(), "{name:?}");
        assert_eq!(decode(&text), expected, "{name:?}");
    }
}

#[wasm_bindgen_test]
fn a_hostile_text_is_refused() {
    let rows = rows(include_str!("../../presence-protocol/fixtures/hostile/server.json"));
    for [name, text] in rows.iter().map(|it| fields(&it, ["name", "text"])) {
        assert_eq!(decode(&text), None, "{name:?}");
    }
}

#[wasm_bindgen_test]
fn every_name_of_the_protocol_is_known_by_its_place() {
    let same = |text: String| {
        let expected = in_browser(decode_server(&text).unwrap());
        assert_eq!(decode(&text.as_str().into()), Some(expected), "{text}");
    };
    for code in ErrorCode::ALL {
        same(format!(r#"{{"error":{{"code":"{}","message":"m"}}}}"#, code.name()));
    }
    let session = "00000000000000a1";
    for reason in LeaveReason::ALL {
        let left = format!(r#"{{"session":"{session}","reason":"{}"}}"#, reason.name());
        same(format!(r#"{{"delta":{{"key":"a","from":1,"to":2,"left":[{left}]}}}}"#));
    }
    for state in PresenceState::ALL {
        let updated = format!(r#"{{"session":"{session}","state":"{}"}}"#, state.name());
        same(format!(r#"{{"delta":{{"key":"a","from":1,"to":2,"updated":[{updated}]}}}}"#));
    }
}

#[wasm_bindgen_test]
fn what_is_no_text_is_refused() {
    for value in [JsValue::UNDEFINED, JsValue::NULL, 42.into(), Array::new().into()] {
        assert_eq!(decode(&value), None);
    }
}

fn rows(text: &str) -> Array {
    js_sys::JSON::parse(text).unwrap().into()
}

fn fields<const N: usize>(row: &JsValue, names: [&str; N]) -> [JsValue; N] {
    names.map(|name| js_sys::Reflect::get(row, &name.into()).unwrap())
}

fn in_engine(meta: &protocol::Meta) -> Meta {
    Meta::new(js_sys::JSON::parse(meta.as_str()).unwrap())
}

/// The user as JavaScript has it.
fn user_in_engine(user: &protocol::User) -> User {
    let json = |text: Option<&str>| match text {
        Some(text) => js_sys::JSON::parse(text).unwrap(),
        None => JsValue::NULL,
    };
    let object = js_sys::Object::new();
    let fields: [(&str, JsValue); 5] = [
        ("userId", user.id().as_str().into()),
        ("name", user.name().into()),
        ("color", user.color().to_string().into()),
        ("avatar", user.avatar().map_or(JsValue::NULL, |it| it.as_str().into())),
        ("info", json(user.info().map(Info::as_str))),
    ];
    for (name, value) in &fields {
        js_sys::Reflect::set(&object, &(*name).into(), value).unwrap();
    }
    give(&Array::of2(&user.id().as_str().into(), &object));
    User::take()
}

fn in_browser(frame: ServerFrame<protocol::Meta>) -> Frame {
    let presences = |them: Vec<Presence<protocol::Meta>>| -> Vec<PresenceHere> {
        let convert = |it: Presence<protocol::Meta>| {
            let Presence { session, user, since, state, meta } = it;
            let (user, meta) = (user_in_engine(&user), in_engine(&meta));
            PresenceHere { session, user, since, state, meta }
        };
        them.into_iter().map(convert).collect()
    };
    match frame {
        ServerFrame::Snapshot(it) => ServerFrame::Snapshot(Snapshot {
            key: it.key,
            rev: it.rev,
            presences: presences(it.presences),
        }),
        ServerFrame::Delta(it) => {
            let convert = |Updated { session, state, meta }| {
                let meta = meta.as_ref().map(in_engine);
                Updated { session, state, meta }
            };
            ServerFrame::Delta(Delta {
                key: it.key,
                from: it.from,
                to: it.to,
                joined: presences(it.joined),
                left: it.left,
                updated: it.updated.into_iter().map(convert).collect(),
                pulses: it.pulses,
            })
        }
        ServerFrame::Welcome(it) => ServerFrame::Welcome(it),
        ServerFrame::LastSeen { key, seen } => ServerFrame::LastSeen { key, seen },
        ServerFrame::Token { resume, expires_in_ms, user_id } => {
            ServerFrame::Token { resume, expires_in_ms, user_id }
        }
        ServerFrame::Heartbeat { revs } => ServerFrame::Heartbeat { revs },
        ServerFrame::Error { code, message, key } => ServerFrame::Error { code, message, key },
    }
}
