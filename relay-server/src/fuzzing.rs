//! What the fuzzers reach of this crate's inside; see `tests/fuzz`.

use crate::TokenRules;
use crate::auth::{Authority, Keyring, TokenKey};
use crate::frames::{FrameReader, Message};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::ops::ControlFlow;

const SECRET: &str = "what fuzzers sign their tokens with";

/// Reads a socket's bytes that come in pieces of a size: the texts, and how it ended if it did.
#[must_use]
pub fn messages(stream: &[u8], piece: usize) -> (Vec<String>, Option<String>) {
    let mut reader = FrameReader::default();
    let (mut texts, mut end) = (Vec::new(), None);
    for piece in stream.chunks(piece.max(1)) {
        let result = reader.read(&mut piece.to_vec(), |message| {
            match message {
                Message::Text(text) => texts.push(text.to_owned()),
                Message::Close(code) => {
                    end = Some(format!("closed with {code:?}"));
                    return ControlFlow::Break(());
                }
                Message::Fragment | Message::Ping(_) | Message::Pong => {}
            }
            ControlFlow::Continue(())
        });
        if let Err(violation) = result {
            end = Some(format!("{violation:?}"));
        }
        if end.is_some() {
            break;
        }
    }
    (texts, end)
}

/// Checks a token: the text itself, and one that is signed whose header is the first line.
///
/// # Panics
///
/// If a token is taken that nobody has signed as tokens must be.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let keyring = Keyring::new([TokenKey::of_secret(SECRET.as_bytes())]);
    let authority = Authority::new(keyring, &TokenRules::default());
    assert!(authority.check(text).is_err(), "nobody knows the secret");
    let Some((header, claims)) = text.split_once('\n') else { return };
    let encode = |text| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref());
    let taken = authority.check(&format!("{signed}.{signature}")).is_ok();
    assert!(!taken || (header.contains("HS256") && claims.contains("exp")), "{text}");
    assert!(authority.check(&format!("{signed}.")).is_err(), "a token without a signature");
}
