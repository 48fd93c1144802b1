//! WebSocket frames (RFC 6455): a reader that keeps no buffer, and the few frames a relay writes.
//!
//! Headers are parsed and formatted by `tungstenite`; this module adds what a stream of frames needs.

use bytes::Bytes;
use presence_protocol::limits::MAX_CLIENT_FRAME_BYTES;
use presence_protocol::{Close, CloseCode};
use std::io::Cursor;
use std::ops::ControlFlow;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The longest header of a server's frame: two bytes and a length of eight.
const MAX_SERVER_HEADER: usize = 10;
/// The longest payload of a control frame.
const MAX_CONTROL_BYTES: usize = 125;

/// A ping without a payload.
pub(crate) const PING: Bytes = Bytes::from_static(&[0x89, 0]);

/// Something that a peer said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A whole text.
    Text(&'a str),
    /// One more piece of a message that is not whole yet.
    Fragment,
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong,
    /// The end, with the peer's code if it gave one.
    Close(Option<u16>),
}

/// What a peer did that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The bytes are not WebSocket frames of a client.
    Malformed(&'static str),
    /// A message is larger than a frame of this protocol may be.
    TooLarge,
}

impl Violation {
    /// How the connection is closed.
    pub(crate) const fn close_code(self) -> CloseCode {
        match self {
            Self::Malformed(_) => CloseCode::BadFrame,
            Self::TooLarge => CloseCode::TooLarge,
        }
    }
}

/// Cuts a stream of bytes into messages.
///
/// Messages are read where the bytes are. Only an incomplete frame and an incomplete message are kept,
/// and their memory is given back as soon as they are complete.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// Bytes that are not parsed yet.
    held: Vec<u8>,
    /// True if whole messages may be among them.
    is_interrupted: bool,
    /// The text whose pieces are arriving. Boxed because there hardly ever is one.
    #[expect(clippy::box_collection, reason = "it is 8 bytes in every connection instead of 24")]
    partial: Option<Box<Vec<u8>>>,
}

impl FrameReader {
    /// A reader that has been given the stream's first bytes already.
    pub(crate) fn starting_with(bytes: &[u8]) -> Self {
        Self { held: bytes.to_vec(), is_interrupted: !bytes.is_empty(), partial: None }
    }

    /// True if whole messages may be waiting here, so that reading goes on without further bytes.
    pub(crate) const fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }

    /// Takes the next bytes, which are overwritten, and hands over each message that is whole.
    ///
    /// When `on_message` says `Break` the messages behind stay here until the next call.
    pub(crate) fn read(
        &mut self,
        bytes: &mut [u8],
        mut on_message: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), Violation> {
        self.is_interrupted = false;
        let mut held = std::mem::take(&mut self.held);
        if held.is_empty() {
            let consumed = self.parse(bytes, &mut on_message)?;
            self.held = bytes.get(consumed..).unwrap_or_default().to_vec();
        } else {
            held.reserve_exact(bytes.len());
            held.extend_from_slice(bytes);
            let consumed = self.parse(&mut held, &mut on_message)?;
            // What is left may be a byte where there was a frame.
            self.held = if consumed == 0 {
                held
            } else {
                held.get(consumed..).unwrap_or_default().to_vec()
            };
        }
        Ok(())
    }

    /// Parses as many frames as there are. Returns how many bytes they occupied.
    fn parse(
        &mut self,
        bytes: &mut [u8],
        on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut consumed = 0;
        while let Some(rest) = bytes.get_mut(consumed..)
            && let Some((header, payload)) = Header::parse(rest)?
        {
            let start = consumed + payload.start;
            consumed += payload.end;
            let Some(payload) = bytes.get_mut(start..consumed) else { break };
            unmask(payload, header.mask);
            if self.frame(&header, payload, on_message)?.is_break() {
                self.is_interrupted = consumed < bytes.len();
                break;
            }
        }
        Ok(consumed)
    }

    /// Takes one whole, unmasked frame.
    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        on_message: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        Ok(match header.opcode {
            OpCode::Control(Control::Ping) => on_message(Message::Ping(payload)),
            OpCode::Control(Control::Pong) => on_message(Message::Pong),
            OpCode::Control(Control::Close) => on_message(Message::Close(close_code(payload)?)),
            OpCode::Data(Data::Continue) => {
                let Some(mut partial) = self.partial.take() else {
                    return Err(Violation::Malformed("a continuation of nothing"));
                };
                if partial.len() + payload.len() > MAX_CLIENT_FRAME_BYTES {
                    return Err(Violation::TooLarge);
                }
                if partial.capacity() - partial.len() < payload.len() {
                    // Not for each of the smallest pieces, and never beyond what a message may have.
                    let doubled = partial.len().max(payload.len());
                    partial.reserve_exact(doubled.min(MAX_CLIENT_FRAME_BYTES - partial.len()));
                }
                partial.extend_from_slice(payload);
                if header.is_final {
                    on_message(Message::Text(text_of(&partial)?))
                } else {
                    self.partial = Some(partial);
                    on_message(Message::Fragment)
                }
            }
            OpCode::Data(Data::Text) => {
                if self.partial.is_some() {
                    return Err(Violation::Malformed("a message inside a message"));
                }
                if header.is_final {
                    on_message(Message::Text(text_of(payload)?))
                } else {
                    self.partial = Some(Box::new(payload.to_vec()));
                    on_message(Message::Fragment)
                }
            }
            OpCode::Data(Data::Binary) => {
                return Err(Violation::Malformed("a message that is not text"));
            }
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
                return Err(Violation::Malformed("a reserved opcode"));
            }
        })
    }
}

/// What this module needs of a header that has been checked.
struct Header {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
}

impl Header {
    /// The first frame's header and where its payload is; `None` if it isn't whole yet.
    ///
    /// What can't become a frame of this protocol is refused before its payload is waited for.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, std::ops::Range<usize>)>, Violation> {
        let mut cursor = Cursor::new(bytes);
        let header = FrameHeader::parse(&mut cursor)
            .map_err(|_| Violation::Malformed("a reserved opcode"))?;
        let Some((header, length)) = header else { return Ok(None) };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Malformed("a reserved bit is set"));
        }
        let Some(mask) = header.mask else {
            return Err(Violation::Malformed("a client's frame must be masked"));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > MAX_CONTROL_BYTES => {
                return Err(Violation::Malformed("a control frame is long or in pieces"));
            }
            OpCode::Data(_) if length > MAX_CLIENT_FRAME_BYTES => return Err(Violation::TooLarge),
            OpCode::Control(_) | OpCode::Data(_) => {}
        }
        let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        let payload = start..start.saturating_add(length);
        let header = Self { opcode: header.opcode, is_final: header.is_final, mask };
        Ok((payload.end <= bytes.len()).then_some((header, payload)))
    }
}

fn text_of(payload: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(payload).map_err(|_| Violation::Malformed("a text that is not UTF-8"))
}

/// The code of a close frame. The reason behind it is for people, and is not read.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [high, low, ..] => Ok(Some(u16::from_be_bytes([*high, *low]))),
        [_] => Err(Violation::Malformed("half a close code")),
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    let mask_word = u32::from_ne_bytes(mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ mask_word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// A whole text frame. `buffer` is scratch space; `write` appends the payload to it.
pub(crate) fn text(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    // The header's size depends on the payload's, which is known last: it is put right in front.
    buffer.clear();
    buffer.resize(MAX_SERVER_HEADER, 0);
    write(buffer);
    let length = buffer.len().saturating_sub(MAX_SERVER_HEADER);
    let (header, header_size) = server_header(OpCode::Data(Data::Text), length);
    let start = MAX_SERVER_HEADER - header_size;
    if let (Some(place), Some(header)) =
        (buffer.get_mut(start..MAX_SERVER_HEADER), header.get(..header_size))
    {
        place.copy_from_slice(header);
    }
    Bytes::copy_from_slice(buffer.get(start..).unwrap_or_default())
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    control(Control::Pong, &[payload])
}

/// A close frame of the protocol's table.
pub(crate) fn close(close: impl Into<Close>) -> Bytes {
    let close = close.into();
    control(Control::Close, &[&close.code().to_be_bytes(), close.name().as_bytes()])
}

/// The answer to a peer's close frame.
pub(crate) fn close_echo(code: Option<u16>) -> Bytes {
    match code {
        Some(code) => control(Control::Close, &[&code.to_be_bytes()]),
        None => control(Control::Close, &[]),
    }
}

fn control(kind: Control, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|it| it.len()).sum();
    let (header, header_size) = server_header(OpCode::Control(kind), length);
    let mut frame = header.get(..header_size).unwrap_or_default().to_vec();
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.into()
}

/// A server's header and how many of its bytes count.
fn server_header(opcode: OpCode, length: usize) -> ([u8; MAX_SERVER_HEADER], usize) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length = length as u64;
    let mut bytes = [0; MAX_SERVER_HEADER];
    // The array holds the longest header there is, so writing to it can't fail.
    let _ = header.format(length, &mut bytes.as_mut_slice());
    (bytes, header.len(length))
}

#[cfg(test)]
mod tests;
