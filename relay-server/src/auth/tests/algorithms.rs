//! Whose signature a token may have.

use super::*;
use crate::auth::keys::tests::{Signer, jwk_set};

#[test]
fn a_token_may_be_signed_with_each_of_the_algorithms() {
    for signer in Signer::one_of_each() {
        let authority = of_set(&jwk_set(&[signer.jwk(Some("one"))]));
        for header in [signer.header(Some("one")), signer.header(None)] {
            let token = signer.sign(&header, &claims(""));
            assert!(authority.check(&token).is_ok(), "{header}");
            assert_eq!(refusal(&authority, &spoilt(&token)), Refusal::Denied, "{header}");
        }
        let expired = signer.sign(&signer.header(Some("one")), expired_claims());
        assert!(matches!(authority.check(&expired), Err(AuthError::Expired)));
        let other = signer.another().sign(&signer.header(Some("one")), &claims(""));
        assert_eq!(refusal(&authority, &other), Refusal::Denied, "another key of the same kind");
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    for signer in Signer::one_of_each() {
        let (pem, der) = (signer.pem(), signer.public_key());
        let keys = TokenKey::parse_all(&pem, Origin::Here).unwrap();
        let secret = TokenKey::of_secret(SECRET.as_bytes());
        let authority =
            Authority::new(Keyring::new(keys.into_iter().chain([secret])), &TokenRules::default());
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &der] {
            for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"one"}"#] {
                let token = sign_with_bytes(secret, header, &claims(""));
                assert_eq!(refusal(&authority, &token), Refusal::Denied, "{header}");
            }
        }
    }
}

#[test]
fn a_key_is_for_one_algorithm_only_whatever_a_token_says() {
    let signers = Signer::one_of_each();
    let jwks = signers.iter().zip(["a", "b", "c"]).map(|(it, kid)| it.jwk(Some(kid)));
    let authority = of_set(&jwk_set(&jwks.collect::<Vec<_>>()));
    for (signer, kid) in signers.iter().zip(["a", "b", "c"]) {
        for algorithm in ["EdDSA", "ES256", "RS256", "HS256", "PS256", "RS512", "ES384", "none"] {
            for named in ["a", "b", "c"] {
                let header = format!(r#"{{"alg":"{algorithm}","kid":"{named}"}}"#);
                let token = signer.sign(&header, &claims(""));
                let is_right = algorithm == signer.algorithm() && named == kid;
                assert_eq!(authority.check(&token).is_ok(), is_right, "{kid}: {header}");
                if !is_right {
                    assert_eq!(refusal(&authority, &token), Refusal::Denied, "{kid}: {header}");
                }
            }
        }
    }
}

#[test]
fn what_a_token_says_must_be_understood_is_refused() {
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
    ] {
        let token = sign_with_bytes(SECRET.as_bytes(), header, &claims(""));
        assert!(matches!(check(&token), Err(AuthError::Critical)), "{header}");
    }
}

#[test]
fn keys_that_a_token_brings_along_mean_nothing() {
    let authority = Authority::new(keyring(), &TokenRules::default());
    for signer in Signer::one_of_each() {
        let header = format!(
            r#"{{"alg":"{}","jwk":{},"jku":"https://evil.example/jwks","x5u":"https://evil.example/"}}"#,
            signer.algorithm(),
            signer.jwk(None)
        );
        let token = signer.sign(&header, &claims(""));
        assert_eq!(refusal(&authority, &token), Refusal::Denied, "{header}");
    }
}

#[test]
fn a_kid_that_is_not_known_is_refused_for_good_if_the_keys_never_change() {
    let [signer, ..] = &Signer::one_of_each();
    let authority = of_set(&jwk_set(&[signer.jwk(Some("one"))]));
    let token = signer.sign(&signer.header(Some("two")), &claims(""));
    assert_eq!(refusal(&authority, &token), Refusal::Denied);
}

fn of_set(set: &str) -> Authority {
    let keys = TokenKey::parse_all(set, Origin::Here).unwrap();
    Authority::new(Keyring::new(keys), &TokenRules::default())
}

fn refusal(authority: &Authority, token: &str) -> Refusal {
    authority.check(token).unwrap_err().refusal()
}

/// With another signature of the same length.
fn spoilt(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    signature[9] ^= 1;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sign_with_bytes(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}
