//! A socket's bytes, and the texts in them.

use core::fmt::Debug;
use presence_protocol::{
    FrameError, LeaveBeacon, decode_client, decode_server, encode_client, encode_server,
};

/// The first byte says how the stream is cut; the rest is the stream, and a text as well.
pub(crate) fn run(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else { return };
    let whole = relay_server::fuzzing::messages(stream, stream.len());
    let cut = relay_server::fuzzing::messages(stream, usize::from(*piece));
    assert_eq!(whole, cut, "what is read depends on how it came");
    whole.0.iter().for_each(|it| text(it));
    if let Ok(it) = core::str::from_utf8(stream) {
        text(it);
    }
}

/// What can be read can be written, and is the same when it is read again.
fn text(text: &str) {
    again(decode_client(text), encode_client, decode_client);
    again(decode_server(text), server_text, decode_server);
    again(LeaveBeacon::decode(text), LeaveBeacon::encode, LeaveBeacon::decode);
}

fn server_text(frame: &presence_protocol::ServerFrame<presence_protocol::Meta>) -> String {
    let mut out = Vec::new();
    encode_server(frame, &mut out);
    String::from_utf8(out).unwrap_or_else(|it| panic!("a frame that isn't text: {it}"))
}

fn again<T: Debug + PartialEq>(
    first: Result<T, FrameError>,
    encode: impl Fn(&T) -> String,
    decode: impl Fn(&str) -> Result<T, FrameError>,
) {
    match first {
        Ok(first) => {
            let written = encode(&first);
            assert_eq!(decode(&written).as_ref(), Ok(&first), "{written}");
        }
        // It goes to the peer, so it must not be as long as the peer likes.
        Err(error) => assert!(error.message.len() <= 512, "{error:?}"),
    }
}
