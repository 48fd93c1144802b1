//! WebSocket frames (RFC 6455), as far as a client of this protocol needs them.

use anyhow::{Result, bail, ensure};
use presence_protocol::{PATH, SUBPROTOCOL};
use std::net::SocketAddr;

/// The mask of every frame. A client of real pages takes a new one each time; unmasking costs the same.
const MASK: [u8; 4] = [0x5e, 0x3a, 0xc7, 0x91];

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// What asks for a WebSocket.
pub(crate) fn upgrade_request(relay: SocketAddr) -> String {
    format!(
        "GET {PATH} HTTP/1.1\r\nHost: {relay}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIGxvYWQgcHJvZ3JhbQ==\r\n\
         Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
}

/// How long the answer to it is; `None` if it isn't whole yet.
pub(crate) fn upgraded(answer: &[u8]) -> Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = memchr::memmem::find(answer, END) else { return Ok(None) };
    let is_upgraded = answer.starts_with(b"HTTP/1.1 101 ");
    ensure!(is_upgraded, "no upgrade: {}", String::from_utf8_lossy(answer));
    Ok(Some(end + END.len()))
}

/// Appends a client's frame: final, masked, with a payload of less than 64 KiB.
pub(crate) fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    const MASKED: u8 = 0x80;
    out.push(0x80 | opcode);
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => out.push(MASKED | length),
        _ => {
            out.push(MASKED | 126);
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A server's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Header and payload.
    pub(crate) size: usize,
}

/// The first frame of a stream's bytes; `None` if it isn't whole yet.
pub(crate) fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        bail!("the relay sent a fragment, a reserved bit or a masked frame");
    }
    let (length, rest) = match second {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(short), rest),
    };
    let Some(payload) = usize::try_from(length).ok().and_then(|it| rest.get(..it)) else {
        return Ok(None);
    };
    let size = bytes.len() - rest.len() + payload.len();
    Ok(Some(Frame { opcode: first & 0x0f, payload, size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_frame_is_final_masked_and_as_long_as_it_says() {
        let mut out = Vec::new();
        push_frame(&mut out, TEXT, b"abcde");
        assert_eq!(out[..6], [0x81, 0x85, 0x5e, 0x3a, 0xc7, 0x91]);
        let unmasked: Vec<u8> =
            out[6..].iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(unmasked, b"abcde");
        out.clear();
        push_frame(&mut out, TEXT, &[0; 300]);
        assert_eq!(out[..4], [0x81, 0xfe, 1, 44]);
        assert_eq!(out.len(), 4 + 4 + 300);
    }

    #[test]
    fn frames_of_all_three_lengths_are_cut_once_they_are_whole() {
        for (header, length) in [
            (vec![0x81, 5], 5),
            (vec![0x81, 126, 1, 0], 256),
            (vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65536),
        ] {
            let size = header.len() + length;
            let bytes: Vec<u8> = header.into_iter().chain(vec![b'x'; length + 3]).collect();
            for part in [0, 1, 2, size - 1] {
                assert_eq!(first_frame(&bytes[..part]).unwrap(), None);
            }
            let frame = first_frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.len(), frame.size), (TEXT, length, size));
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for bytes in [[0x01, 0], [0xc1, 0], [0x81, 0x80]] {
            assert!(first_frame(&bytes).is_err());
        }
    }
}
