//! The keys that tokens are verified with: public keys as PEM, or a JWK set.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{PublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tracing::warn;

/// The longest text of keys.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// Most keys of one text. A token that names none may be held against all of them.
const MAX_KEYS: usize = 64;
/// The longest `kid`.
const MAX_KID_BYTES: usize = 256;
/// The shortest secret that HS256 is safe with.
pub(crate) const MIN_SECRET_BYTES: usize = 32;
/// The sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;
/// The bytes of a number of P-256, and of a key of Ed25519.
const CURVE_BYTES: usize = 32;

/// A key and the one algorithm that it is for. Which that is, its kind says, and never a token.
#[derive(Clone)]
pub(crate) struct TokenKey {
    /// Its name; a key without one may have signed any token.
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Where keys come from, which decides whether there may be secrets among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The operator's own machine.
    Here,
    /// An address: what can be fetched is no secret.
    Address,
}

/// Why a text isn't one of keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// It is too long.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// There are too many.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    /// It isn't written as it must be.
    #[error("it is neither PEM nor a JWK set, {{\"keys\":[…]}}: {0}")]
    Malformed(String),
    /// It has no key that a token can be verified with.
    #[error("it has no public key of Ed25519, P-256 or RSA that is meant for signatures")]
    None,
    /// It has a private key.
    #[error(
        "it has a private key, which stays where tokens are signed; \
         `openssl pkey -pubout -in FILE` writes the public one"
    )]
    Private,
    /// It has a certificate.
    #[error("it has a certificate; `openssl x509 -pubkey -noout -in FILE` writes its public key")]
    Certificate,
    /// It has a secret that anybody can fetch.
    #[error(
        "it has a secret (a key of type \"oct\"), which anybody who can fetch it could sign with"
    )]
    Secret,
    /// A secret is too short.
    #[error("it has a secret of fewer than {MIN_SECRET_BYTES} bytes")]
    ShortSecret,
    /// An RSA key is too short to be safe, or too long to be quick.
    #[error("it has an RSA key of {0} bits, and must have 2048 to 8192")]
    RsaBits(u32),
    /// A key's numbers are none.
    #[error("it has a key that is damaged, or of another curve")]
    Damaged,
    /// A key's name is too long.
    #[error("it has a `kid` of more than {MAX_KID_BYTES} bytes")]
    LongKid,
}

impl TokenKey {
    /// The key of a shared secret.
    pub(crate) fn of_secret(secret: &[u8]) -> Self {
        Self { kid: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// The keys of a text: PEM, or a JWK set.
    pub(crate) fn parse_all(text: &str, origin: Origin) -> Result<Vec<Self>, KeysError> {
        if text.len() > MAX_BYTES {
            return Err(KeysError::TooLong);
        }
        let keys = if is_jwk_set(text) { parse_jwk_set(text, origin)? } else { parse_pem(text)? };
        match keys.len() {
            0 => Err(KeysError::None),
            n if n > MAX_KEYS => Err(KeysError::TooMany),
            _ => Ok(keys),
        }
    }

    /// The keys of a text that had some before: a JWK set with none is how all are taken away. A file of PEM
    /// with none is one that is just being written.
    pub(crate) fn parse_again(text: &str, origin: Origin) -> Result<Vec<Self>, KeysError> {
        match Self::parse_all(text, origin) {
            Err(KeysError::None) if is_jwk_set(text) => Ok(Vec::new()),
            it => it,
        }
    }

    /// True if it may be the one that signed a token.
    pub(super) fn may_have_signed(&self, header: &Header) -> bool {
        let is_named = match (&self.kid, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        is_named && self.algorithm == header.alg
    }

    /// True if this is its name.
    pub(super) fn is_called(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) const fn key(&self) -> &DecodingKey {
        &self.key
    }

    /// The key of a public key in the form that certificates have it in.
    fn of_public_key(kid: Option<String>, der: &[u8]) -> Result<Self, KeysError> {
        let (algorithm, key) = if ParsedPublicKey::new(&ED25519, der).is_ok() {
            (Algorithm::EdDSA, DecodingKey::from_ed_der(der))
        } else if ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der).is_ok() {
            (Algorithm::ES256, DecodingKey::from_ec_der(der))
        } else {
            let rsa = PublicKey::from_der(der).map_err(|_| KeysError::Damaged)?;
            check_rsa_bits(rsa.modulus().big_endian_without_leading_zero())?;
            (Algorithm::RS256, DecodingKey::from_rsa_der(der))
        };
        Ok(Self { kid, algorithm, key })
    }
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |it: &Self| it.key.try_get_as_bytes().map(<[u8]>::to_vec).ok();
        (&self.kid, self.algorithm, bytes(self)) == (&other.kid, other.algorithm, bytes(other))
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish()
    }
}

fn is_jwk_set(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn parse_pem(text: &str) -> Result<Vec<TokenKey>, KeysError> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    let mut keys = Vec::new();
    for section in sections {
        match section.map_err(|_| KeysError::Malformed("a section of PEM is broken".to_owned()))? {
            (SectionKind::PublicKey, der) => keys.push(TokenKey::of_public_key(None, &der)?),
            (
                SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey,
                _,
            ) => return Err(KeysError::Private),
            (SectionKind::Certificate, _) => return Err(KeysError::Certificate),
            _ => {}
        }
    }
    Ok(keys)
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Box<RawValue>>,
}

/// What is read of a JWK (RFC 7517, RFC 7518, RFC 8037).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
    d: Option<IgnoredAny>,
}

fn parse_jwk_set(text: &str, origin: Origin) -> Result<Vec<TokenKey>, KeysError> {
    let set: JwkSet = serde_json::from_str(text).map_err(|error| {
        // Its words may be the text's own, which may be long, or a secret.
        KeysError::Malformed(format!("line {}, column {}", error.line(), error.column()))
    })?;
    let (mut keys, mut flaw) = (Vec::new(), None);
    for (n, jwk) in (1..).zip(set.keys) {
        match Jwk::parse(&jwk).and_then(|it| it.into_key(origin)) {
            Ok(Some(key)) if keys.len() < MAX_KEYS => keys.push(key),
            Ok(None) => {}
            Err(error @ (KeysError::Private | KeysError::Secret)) => return Err(error),
            // The others are as good as they were (RFC 7517, section 5).
            not_taken => {
                let error = not_taken.err().unwrap_or(KeysError::TooMany);
                warn!(%error, n, "a key of a set is passed over");
                flaw = flaw.or(Some(error));
            }
        }
    }
    match flaw {
        Some(flaw) if keys.is_empty() => Err(flaw),
        _ => Ok(keys),
    }
}

impl Jwk {
    /// An error also if it is dangerous in a way that only shows in what is there.
    fn parse(json: &RawValue) -> Result<Self, KeysError> {
        serde_json::from_str(json.get()).map_err(|_| {
            #[derive(Deserialize)]
            struct Hint {
                d: Option<IgnoredAny>,
            }
            match serde_json::from_str(json.get()) {
                Ok(Hint { d: Some(_) }) => KeysError::Private,
                Ok(Hint { d: None }) | Err(_) => KeysError::Damaged,
            }
        })
    }

    /// `None` if it is for something else, as RFC 7517 wants it; an error if it is dangerous.
    fn into_key(self, origin: Origin) -> Result<Option<TokenKey>, KeysError> {
        if self.d.is_some() {
            return Err(KeysError::Private);
        }
        if self.kty == "oct" && origin == Origin::Address {
            return Err(KeysError::Secret);
        }
        if self.kid.as_ref().is_some_and(|it| it.len() > MAX_KID_BYTES) {
            return Err(KeysError::LongKid);
        }
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => "EdDSA",
            ("EC", Some("P-256")) => "ES256",
            ("RSA", _) => "RS256",
            ("oct", _) => "HS256",
            _ => return Ok(None),
        };
        let is_for_signatures = self.purpose.as_ref().is_none_or(|it| it == "sig")
            && self.key_ops.as_ref().is_none_or(|it| it.iter().any(|it| it == "verify"))
            && self.alg.as_ref().is_none_or(|it| it == algorithm);
        if !is_for_signatures {
            return Ok(None);
        }
        let kid = self.kid;
        let key = match algorithm {
            "EdDSA" => TokenKey::of_public_key(kid, &exactly(self.x)?)?,
            "ES256" => {
                let point = [vec![4], exactly(self.x)?, exactly(self.y)?].concat();
                TokenKey::of_public_key(kid, &point)?
            }
            "RS256" => {
                let (n, e) = (decode(self.n)?, decode(self.e)?);
                check_rsa_bits(&n)?;
                let components = PublicKeyComponents { n, e };
                let der: PublicKeyX509Der<'_> =
                    components.as_der().map_err(|_| KeysError::Damaged)?;
                TokenKey::of_public_key(kid, der.as_ref())?
            }
            _ => {
                let secret = decode(self.k)?;
                if secret.len() < MIN_SECRET_BYTES {
                    return Err(KeysError::ShortSecret);
                }
                TokenKey { kid, ..TokenKey::of_secret(&secret) }
            }
        };
        Ok(Some(key))
    }
}

fn check_rsa_bits(modulus: &[u8]) -> Result<(), KeysError> {
    let zeros = modulus.iter().take_while(|it| **it == 0).count();
    let significant = modulus.get(zeros..).unwrap_or_default();
    let n_bytes = u32::try_from(significant.len()).unwrap_or(u32::MAX);
    let first = significant.first().map_or(0, |it| it.leading_zeros());
    let n_bits = n_bytes.saturating_mul(8).saturating_sub(first);
    if RSA_BITS.contains(&n_bits) { Ok(()) } else { Err(KeysError::RsaBits(n_bits)) }
}

/// A number as a JWK has it.
fn decode(text: Option<String>) -> Result<Vec<u8>, KeysError> {
    text.and_then(|it| URL_SAFE_NO_PAD.decode(it).ok()).ok_or(KeysError::Damaged)
}

/// A number of a curve.
fn exactly(text: Option<String>) -> Result<Vec<u8>, KeysError> {
    decode(text).ok().filter(|it| it.len() == CURVE_BYTES).ok_or(KeysError::Damaged)
}

#[cfg(test)]
pub(in crate::auth) mod tests;
