//! What the fuzzers reach of this crate's inside; see `tests/fuzz`.

use crate::TokenRules;
use crate::auth::{Authority, Keyring, Origin, TokenKey};
use crate::frames::{FrameReader, Message};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
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

/// Reads a text as the keys of tokens, as those of a file and as those of an address.
///
/// # Panics
///
/// If it gives too many keys, a secret that anybody can fetch, a key that takes what nobody has signed, or
/// a complaint that is as long as the text likes.
pub fn token_keys(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let fetched = TokenKey::parse_all(text, Origin::Address);
    let read = TokenKey::parse_all(text, Origin::Here);
    for error in [&fetched, &read].into_iter().filter_map(|it| it.as_ref().err()) {
        assert!(error.to_string().len() <= 512, "{error}");
    }
    if let Ok(keys) = &fetched {
        assert!(keys.iter().all(|it| it.algorithm() != Algorithm::HS256), "a secret: {text}");
        assert_eq!(Ok(keys), read.as_ref(), "a file may hold what an address may");
    }
    let Ok(keys) = read else { return };
    assert!((1..=64).contains(&keys.len()), "{} keys", keys.len());
    let authority = Authority::new(Keyring::new(keys), &TokenRules::default());
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    for (algorithm, bytes) in [("HS256", 32), ("EdDSA", 64), ("ES256", 64), ("RS256", 256)] {
        let header = encode(format!(r#"{{"alg":"{algorithm}"}}"#).as_bytes());
        let claims = encode(br#"{"sub":"a","keys":["*"],"exp":99999999999}"#);
        let token = format!("{header}.{claims}.{}", encode(&vec![5; bytes]));
        assert!(authority.check(&token).is_err(), "nobody has signed it: {token} {text}");
    }
}
