//! What the fuzzers reach of this crate's inside; see `tests/fuzz`.

#![expect(clippy::panic, reason = "that is how a target says what it has found")]

use crate::TokenRules;
use crate::auth::{Authority, Keyring, Origin, TokenKey};
use crate::frames::{FrameReader, Message};
use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use std::ops::ControlFlow;
use std::sync::LazyLock;

const SECRET: &str = "what fuzzers sign their tokens with";
/// `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, which guards nothing.
const RSA: &str = include_str!("fuzzing/rsa-2048.pem");
/// What the corpus has a token of from everybody who signs.
const CLAIMS: &str = r#"{"sub":"alice","keys":["document:*"],"exp":4000000000}"#;

/// Those whose keys are known.
static SIGNERS: LazyLock<[Signer; 4]> = LazyLock::new(Signer::all);

/// What checks their tokens. Another key goes by the name of the first, as one that is being replaced does.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let former = Signer { pair: Pair::ed(8), kid: "ed" };
    let jwks: Vec<_> = [&former].into_iter().chain(&*SIGNERS).filter_map(Signer::jwk).collect();
    let set = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
    let keys = TokenKey::parse_all(&set, Origin::Here).unwrap_or_else(|it| panic!("{it}"));
    let keys = keys.into_iter().chain([TokenKey::of_secret(SECRET.as_bytes())]);
    Authority::new(Keyring::new(keys), &TokenRules::default())
});

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

/// Checks a token: the text itself, and what is signed by each of those whose keys are known if the text is
/// a line of a header and the claims.
///
/// # Panics
///
/// If a token is taken that nobody has signed as tokens must be.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if takes_token(text) {
        let signed = text.rsplit_once('.').map(|it| it.0);
        let known = signed.and_then(|it| it.split_once('.')).map(|(header, claims)| {
            let decode = |it| BASE64_URL_SAFE_NO_PAD.decode(it).unwrap_or_default();
            (decode(header), decode(claims))
        });
        let has_signed = |it: &Signer| {
            known.as_ref().is_some_and(|(header, claims)| {
                *header == it.header().into_bytes() && claims == CLAIMS.as_bytes()
            })
        };
        assert!(SIGNERS.iter().any(has_signed), "nobody has signed it: {text}");
    }
    let Some((header, claims)) = text.split_once('\n') else { return };
    let encode = |text| BASE64_URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(header), encode(claims));
    assert!(!takes_token(&format!("{signed}.")), "a token without a signature: {text}");
    for signer in &*SIGNERS {
        // Signing with RSA takes a thousand times as long, and is tried where it may matter.
        if matches!(signer.pair, Pair::Rsa(_)) && !header.contains("RS") {
            continue;
        }
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()));
        if takes_token(&format!("{signed}.{signature}")) {
            let header = serde_json::from_str::<Header>(header);
            let header = header.unwrap_or_else(|it| panic!("no header, and taken: {it}: {text}"));
            assert_eq!(header.alg, signer.algorithm(), "{text}");
            assert!(header.crit.is_none(), "{text}");
            // The secret has no name.
            let is_named = header.kid.is_none_or(|it| signer.kid.is_empty() || it == signer.kid);
            assert!(is_named, "another key's name: {text}");
            assert!(claims.contains("exp") || claims.contains('\\'), "{text}");
        }
    }
}

/// True if a token is one of a user whose key is known.
#[must_use]
pub fn takes_token(token: &str) -> bool {
    AUTHORITY.check(token).is_ok()
}

/// A token from everybody who signs: the name of its algorithm, and itself.
#[must_use]
pub fn signed_tokens() -> Vec<(String, String)> {
    let token = |it: &Signer| {
        let [header, claims] =
            [&it.header(), CLAIMS].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{claims}");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(it.sign(signed.as_bytes()));
        (format!("{:?}", it.algorithm()), format!("{signed}.{signature}"))
    };
    SIGNERS.iter().map(token).collect()
}

/// Somebody who signs tokens, and the name of their key.
struct Signer {
    pair: Pair,
    kid: &'static str,
}

enum Pair {
    Secret,
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Pair {
    fn ed(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        Self::Ed(pair.unwrap_or_else(|it| panic!("{it}")))
    }

    fn ec() -> Result<Self, Box<dyn std::error::Error>> {
        let scalar = [7; 32];
        let private = agreement::PrivateKey::from_private_key(&ECDH_P256, &scalar)?;
        let public = private.compute_public_key()?;
        let (algorithm, public) = (&ECDSA_P256_SHA256_FIXED_SIGNING, public.as_ref());
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, public)?;
        Ok(Self::Ec(pair))
    }

    fn rsa() -> Result<Self, Box<dyn std::error::Error>> {
        use rustls_pki_types::PrivatePkcs8KeyDer;
        use rustls_pki_types::pem::PemObject;
        let der = PrivatePkcs8KeyDer::from_pem_slice(RSA.as_bytes())?;
        Ok(Self::Rsa(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())?))
    }
}

impl Signer {
    fn all() -> [Self; 4] {
        let [ec, rsa] = [Pair::ec(), Pair::rsa()].map(|it| it.unwrap_or_else(|it| panic!("{it}")));
        [
            Self { pair: Pair::Secret, kid: "" },
            Self { pair: Pair::ed(7), kid: "ed" },
            Self { pair: ec, kid: "ec" },
            Self { pair: rsa, kid: "rsa" },
        ]
    }

    const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Secret => Algorithm::HS256,
            Pair::Ed(_) => Algorithm::EdDSA,
            Pair::Ec(_) => Algorithm::ES256,
            Pair::Rsa(_) => Algorithm::RS256,
        }
    }

    fn header(&self) -> String {
        format!(r#"{{"alg":"{:?}","kid":"{}"}}"#, self.algorithm(), self.kid)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Secret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Ec(pair) => {
                pair.sign(&random, message).map(|it| it.as_ref().to_vec()).unwrap_or_default()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.map(|()| signature).unwrap_or_default()
            }
        }
    }

    /// The public key, if it has one.
    fn jwk(&self) -> Option<String> {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let key = match &self.pair {
            Pair::Secret => return None,
            Pair::Ed(pair) => {
                format!(
                    r#""kty":"OKP","crv":"Ed25519","x":"{}""#,
                    encode(pair.public_key().as_ref())
                )
            }
            Pair::Ec(pair) => {
                // After a byte that says that both are there.
                let (x, y) = pair.public_key().as_ref().get(1..)?.split_at(32);
                format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, encode(x), encode(y))
            }
            Pair::Rsa(pair) => {
                let key = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                format!(r#""kty":"RSA","n":"{}","e":"{}""#, encode(&key.n), encode(&key.e))
            }
        };
        Some(format!(r#"{{{key},"kid":"{}"}}"#, self.kid))
    }
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
