//! What the core needs from its surroundings: frames as bytes, and signatures.

use crate::frames;
use crate::resume::ResumeKey;
use bytes::Bytes;
use presence_core::relay::{Host, ResumeClaims};
use presence_protocol::{Meta, ServerFrame, encode_server};

/// A buffer that grew beyond this for one large snapshot is given back.
const KEEP_BYTES: usize = 64 * 1024;

/// Encodes frames as whole WebSocket frames, header included. Server frames are unmasked, so the same
/// bytes serve everybody.
#[derive(Debug)]
pub(crate) struct WireHost {
    resume_key: ResumeKey,
    /// Frames are written here first, so that each is kept in exactly as many bytes as it has.
    buffer: Vec<u8>,
}

impl WireHost {
    pub(crate) const fn new(resume_key: ResumeKey) -> Self {
        Self { resume_key, buffer: Vec::new() }
    }
}

impl Host for WireHost {
    type Frame = Bytes;

    fn encode(&mut self, frame: &ServerFrame<Meta>) -> Bytes {
        let bytes = frames::text(&mut self.buffer, |out| encode_server(frame, out));
        if self.buffer.capacity() > KEEP_BYTES {
            self.buffer = Vec::new();
        }
        bytes
    }

    fn size(frame: &Bytes) -> usize {
        frame.len()
    }

    fn seal(&mut self, claims: &ResumeClaims) -> String {
        self.resume_key.sign(claims)
    }
}
