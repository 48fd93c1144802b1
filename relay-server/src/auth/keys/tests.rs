use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::engine::general_purpose::STANDARD;

/// `openssl genrsa 1024 | openssl rsa -pubout`
const SHORT_RSA: &str = include_str!("tests/rsa-1024.pem");
/// `openssl ecparam -genkey -name secp384r1 | openssl ec -pubout`
const P384: &str = include_str!("tests/p-384.pem");
/// `openssl req -x509 -newkey ed25519 -nodes`
const CERTIFICATE: &str = include_str!("tests/certificate.pem");

/// Somebody who signs tokens.
pub(in crate::auth) enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub(in crate::auth) fn one_of_each() -> [Self; 3] {
        [Self::new_ed(), Self::new_ec(), Self::new_rsa()]
    }

    fn new_ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    fn new_ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn new_rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// One of the same kind.
    pub(in crate::auth) fn another(&self) -> Self {
        match self {
            Self::Ed(_) => Self::new_ed(),
            Self::Ec(_) => Self::new_ec(),
            Self::Rsa(_) => Self::new_rsa(),
        }
    }

    pub(in crate::auth) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    pub(in crate::auth) fn header(&self, kid: Option<&str>) -> String {
        let kid = kid.map_or_else(String::new, |kid| format!(r#","kid":"{kid}""#));
        format!(r#"{{"alg":"{}"{kid}}}"#, self.algorithm())
    }

    /// Signs any header, also one that lies.
    pub(in crate::auth) fn sign(&self, header: &str, claims: &str) -> String {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let (random, message) = (SystemRandom::new(), signed.as_bytes());
        let signature = match self {
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public key as certificates have it.
    pub(in crate::auth) fn public_key(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ed(pair) => pair.public_key().as_der(),
            Self::Ec(pair) => pair.public_key().as_der(),
            Self::Rsa(pair) => pair.public_key().as_der(),
        }
        .unwrap();
        der.as_ref().to_vec()
    }

    pub(in crate::auth) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_key())
    }

    pub(in crate::auth) fn jwk(&self, kid: Option<&str>) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let kid = kid.map_or_else(String::new, |kid| format!(r#","kid":"{kid}""#));
        match self {
            Self::Ed(pair) => {
                let x = encode(pair.public_key().as_ref());
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{kid}}}"#)
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"{kid}}}"#)
            }
            Self::Rsa(pair) => {
                let key = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let (n, e) = (encode(&key.n), encode(&key.e));
                format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"{kid}}}"#)
            }
        }
    }
}

pub(in crate::auth) fn jwk_set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

#[test]
fn keys_are_read_as_pem_and_as_a_jwk_set_and_are_the_same() {
    let signers = Signer::one_of_each();
    let pem: String = signers.iter().map(Signer::pem).collect();
    let of_pem = here(&pem).unwrap();
    let of_set = here(&jwk_set(&signers.each_ref().map(|it| it.jwk(None)))).unwrap();
    let algorithms = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];
    for keys in [&of_pem, &of_set] {
        let found: Vec<_> = keys.iter().map(TokenKey::algorithm).collect();
        assert_eq!(found, algorithms);
    }
    let shown = format!("{of_set:?}");
    assert!(!shown.contains("Decoding"), "keys are not shown: {shown}");
}

#[test]
fn a_set_may_have_secrets_if_it_is_a_file_but_not_if_anybody_can_fetch_it() {
    let secret = |n_bytes: usize| {
        let k = URL_SAFE_NO_PAD.encode(vec![7; n_bytes]);
        jwk_set(&[format!(r#"{{"kty":"oct","kid":"a","k":"{k}"}}"#)])
    };
    let keys = here(&secret(32)).unwrap();
    assert_eq!(keys.first().unwrap().algorithm(), Algorithm::HS256);
    assert_eq!(here(&secret(31)), Err(KeysError::ShortSecret));
    assert_eq!(fetched(&secret(32)), Err(KeysError::Secret));
    let [signer, ..] = Signer::one_of_each();
    let mixed = secret(32).replace("]}", &format!(",{}]}}", signer.jwk(None)));
    assert_eq!(fetched(&mixed), Err(KeysError::Secret), "also beside good ones");
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let [signer, ..] = Signer::one_of_each();
    let good = signer.jwk(Some("good"));
    for other in [
        r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#,
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
        r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#,
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#,
        r#"{"kty":"RSA","use":"enc","n":"AA","e":"AQAB"}"#,
        r#"{"kty":"RSA","alg":"PS256","n":"AA","e":"AQAB"}"#,
        r#"{"kty":"RSA","alg":"RSA-OAEP","n":"AA","e":"AQAB"}"#,
        r#"{"kty":"RSA","key_ops":["encrypt"],"n":"AA","e":"AQAB"}"#,
    ] {
        let keys = fetched(&jwk_set(&[other.to_owned(), good.clone()])).unwrap();
        assert_eq!(keys.len(), 1, "{other}");
        assert_eq!(fetched(&jwk_set(&[other.to_owned()])), Err(KeysError::None), "{other}");
    }
    for more in [r#""use":"sig""#, r#""alg":"EdDSA""#, r#""key_ops":["verify"]"#, r#""x5c":["AA"]"#]
    {
        let jwk = good.replacen('{', &format!("{{{more},"), 1);
        assert_eq!(fetched(&jwk_set(&[jwk])).unwrap().len(), 1, "{more}");
    }
}

#[test]
fn what_is_no_key_is_refused_and_it_is_said_why() {
    for (text, error) in [
        ("", KeysError::None),
        ("garbage", KeysError::None),
        (r#"{"keys":[]}"#, KeysError::None),
        (SHORT_RSA, KeysError::RsaBits(1024)),
        (P384, KeysError::Damaged),
        (CERTIFICATE, KeysError::Certificate),
        (&pem("PUBLIC KEY", b"garbage"), KeysError::Damaged),
        (&pem("PRIVATE KEY", b"anything"), KeysError::Private),
        (&pem("EC PRIVATE KEY", b"anything"), KeysError::Private),
        (&pem("RSA PRIVATE KEY", b"anything"), KeysError::Private),
        (&" ".repeat(MAX_BYTES + 1), KeysError::TooLong),
    ] {
        assert_eq!(here(text), Err(error), "{text}");
    }
    for text in ["{", "{}", r#"{"kty":"OKP"}"#, r#"{"keys":{}}"#] {
        assert!(matches!(here(text), Err(KeysError::Malformed(_))), "{text}");
    }
    let half = "-----BEGIN PUBLIC KEY-----\nMCow\n";
    assert!(matches!(here(half), Err(KeysError::Malformed(_))));
    let long = "x".repeat(1000);
    for text in [format!(r#"{{"keys":"{long}"}}"#), format!("-----BEGIN {long}")] {
        let complaint = here(&text).unwrap_err().to_string();
        assert!(complaint.len() < 200, "{complaint}");
    }
}

#[test]
fn a_jwk_that_is_wrong_is_passed_over_and_a_set_of_nothing_else_is_refused() {
    let [signer, ..] = Signer::one_of_each();
    let good = signer.jwk(Some("good"));
    let (long, zeros) = (URL_SAFE_NO_PAD.encode([0xff; 256]), URL_SAFE_NO_PAD.encode([0; 300]));
    let short = URL_SAFE_NO_PAD.encode([[0; 128], [0xff; 128]].concat());
    let huge = URL_SAFE_NO_PAD.encode([0xff; 1025]);
    let coordinate = URL_SAFE_NO_PAD.encode([7; 32]);
    for (jwk, error) in [
        (format!(r#"{{"kty":"RSA","n":"{short}","e":"AQAB"}}"#), KeysError::RsaBits(1024)),
        (format!(r#"{{"kty":"RSA","n":"{huge}","e":"AQAB"}}"#), KeysError::RsaBits(8200)),
        (format!(r#"{{"kty":"RSA","n":"{zeros}","e":"AQAB"}}"#), KeysError::RsaBits(0)),
        // With an exponent of 1 everything is a signature.
        (format!(r#"{{"kty":"RSA","n":"{long}","e":"AQ"}}"#), KeysError::Damaged),
        (format!(r#"{{"kty":"RSA","n":"{long}","e":"Ag"}}"#), KeysError::Damaged),
        (format!(r#"{{"kty":"RSA","n":"{long}","e":""}}"#), KeysError::Damaged),
        (format!(r#"{{"kty":"RSA","n":"{long}"}}"#), KeysError::Damaged),
        (format!(r#"{{"kty":"RSA","n":"+{long}","e":"AQAB"}}"#), KeysError::Damaged),
        (format!(r#"{{"kty":"RSA","n":"{long}","e":"AQAB","d":"AQ"}}"#), KeysError::Private),
        (r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(), KeysError::Damaged),
        (r#"{"kty":"OKP","crv":"Ed25519"}"#.to_owned(), KeysError::Damaged),
        // Not on the curve.
        (
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{coordinate}","y":"{coordinate}"}}"#),
            KeysError::Damaged,
        ),
        (format!(r#"{{"kty":"EC","crv":"P-256","x":"{coordinate}"}}"#), KeysError::Damaged),
        (r#"{"kty":"oct"}"#.to_owned(), KeysError::Damaged),
        ("1".to_owned(), KeysError::Damaged),
        (r#"{"n":"AQAB"}"#.to_owned(), KeysError::Damaged),
        (r#"{"d":"AQAB"}"#.to_owned(), KeysError::Private),
        (format!(r#"{{"kty":"X","kid":"{}"}}"#, "a".repeat(257)), KeysError::LongKid),
    ] {
        let is_dangerous = error == KeysError::Private;
        assert_eq!(here(&jwk_set(std::slice::from_ref(&jwk))), Err(error), "{jwk}");
        let beside = here(&jwk_set(&[jwk.clone(), good.clone()]));
        match is_dangerous {
            true => assert_eq!(beside, Err(KeysError::Private), "{jwk}"),
            false => assert_eq!(beside.unwrap().len(), 1, "the good one is taken beside {jwk}"),
        }
    }
}

#[test]
fn there_are_no_more_keys_than_a_token_may_be_held_against() {
    let [signer, ..] = Signer::one_of_each();
    let set = |n: usize| jwk_set(&vec![signer.jwk(None); n]);
    assert_eq!(here(&set(MAX_KEYS)).unwrap().len(), MAX_KEYS);
    assert_eq!(here(&set(MAX_KEYS + 1)).unwrap().len(), MAX_KEYS, "the first are taken");
    assert_eq!(here(&signer.pem().repeat(MAX_KEYS + 1)), Err(KeysError::TooMany));
}

fn here(text: &str) -> Result<Vec<TokenKey>, KeysError> {
    TokenKey::parse_all(text, Origin::Here)
}

fn fetched(text: &str) -> Result<Vec<TokenKey>, KeysError> {
    TokenKey::parse_all(text, Origin::Address)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
