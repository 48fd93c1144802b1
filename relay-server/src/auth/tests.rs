mod algorithms;
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "it is written for others: a block of docs/tokens.md")]
mod presence_token;

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use presence_protocol::Key;

const SECRET: &str = "a secret of at least thirty-two bytes";

#[test]
fn a_token_names_the_user_and_the_keys() {
    let grant = check(&token(&claims(""))).unwrap();
    assert_eq!(grant.user.id().as_str(), "alice");
    assert_eq!(grant.user.name(), "alice", "the id, unless the token has a name");
    assert!(grant.covers(&key("document:42")));
    assert!(grant.covers(&key("project:7:a")));
    assert!(!grant.covers(&key("document:43")));
    assert!((3590..=3600).contains(&grant.expires_in.as_secs()));

    let named = check(&token(&claims(r##","name":"Alice A.","color":"#0a0B0c""##))).unwrap();
    assert_eq!(named.user.name(), "Alice A.");
    assert_eq!(named.user.color(), Color([10, 11, 12]));
}

#[test]
fn what_the_paper_about_tokens_signs_is_taken() {
    let token = presence_token::presence_token(SECRET, "7", "Jürgen 😀", &["document:*"]).unwrap();
    let grant = check(&token).unwrap();
    assert_eq!((grant.user.id().as_str(), grant.user.name()), ("7", "Jürgen 😀"));
    assert!(grant.covers(&key("document:42")) && !grant.covers(&key("folder:1")));
}

#[test]
fn a_color_is_the_names_sha1_unless_the_token_has_one() {
    // printf alice | sha1sum
    assert_eq!(color_of_name("alice").to_string(), "#522b27");
    // printf bob | sha1sum
    assert_eq!(color_of_name("bob").to_string(), "#48181a");
    // printf 'Jürgen 😀' | sha1sum
    assert_eq!(color_of_name("Jürgen 😀").to_string(), "#4394d9");
    for bad in ["red;background:url(x)", "red", "#12345", "#1234567", "", "522b27", "#gggggg"] {
        let grant = check(&token(&claims(&format!(r#","color":"{bad}""#)))).unwrap();
        assert_eq!(grant.user.color().to_string(), "#522b27", "{bad}");
    }
}

#[test]
fn an_avatar_is_what_the_token_says_or_none() {
    let avatar = |more: &str| {
        let grant = check(&token(&claims(more))).unwrap();
        grant.user.avatar().map(|it| it.as_str().to_owned())
    };
    assert_eq!(avatar(""), None);
    assert_eq!(avatar(r#","avatar":null"#), None);
    let address = "https://cdn.example/alice.png";
    assert_eq!(avatar(&format!(r#","avatar":"{address}""#)).as_deref(), Some(address));
    for bad in ["javascript:alert(1)", "//evil.example/a", "http://cdn.example/a", ""] {
        assert_eq!(avatar(&format!(r#","avatar":"{bad}""#)), None, "{bad}");
    }
}

#[test]
fn an_info_is_a_small_object_or_none() {
    let info = |more: &str| {
        let grant = check(&token(&claims(more))).unwrap();
        grant.user.info().map(|it| it.as_str().to_owned())
    };
    assert_eq!(info(""), None);
    assert_eq!(info(r#","info":null"#), None);
    let object = r#"{"role":"editor","n":1e2}"#;
    assert_eq!(info(&format!(r#","info":{object}"#)).as_deref(), Some(object));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1024));
    for bad in ["[1]", r#""editor""#, "7", "true", &large] {
        assert_eq!(info(&format!(r#","info":{bad}"#)), None, "{bad}");
    }
}

#[test]
fn a_token_can_forbid_to_keep_when_its_user_viewed_something() {
    for (more, may) in
        [("", true), (r#","last_seen":true"#, true), (r#","last_seen":false"#, false)]
    {
        assert_eq!(check(&token(&claims(more))).unwrap().last_seen, may, "{more}");
    }
    assert!(check(&token(&claims(r#","last_seen":"no""#))).is_err(), "not taken for a yes");
}

#[test]
fn a_token_can_what_it_says_and_unless_it_says_what_a_page_needs() {
    let can = |more: &str| check(&token(&claims(more))).unwrap().can;
    assert_eq!(can(""), Capabilities::OF_A_PAGE);
    assert_eq!(can(r#","can":null"#), Capabilities::OF_A_PAGE);
    assert_eq!(can(r#","can":[]"#), Capabilities::NONE);
    assert_eq!(can(r#","can":["fly"]"#), Capabilities::NONE, "what isn't known allows nothing");
    let two = Capabilities::parse(["observe", "kick"]);
    assert_eq!(can(r#","can":["kick","observe","fly","kick"]"#), two);
    for bad in [r#""join""#, r#"{"join":true}"#, r#"[1]"#, r#"[["join"]]"#, "true"] {
        let refusal = check(&token(&claims(&format!(r#","can":{bad}"#)))).unwrap_err().refusal();
        assert_eq!(refusal, Refusal::Denied, "{bad}");
    }
}

#[test]
fn an_expired_token_is_told_from_one_that_is_denied() {
    let expired = token(expired_claims());
    assert!(matches!(check(&expired), Err(AuthError::Expired)));
    assert_eq!(check(&expired).unwrap_err().refusal(), Refusal::Expired);
    let early = token(&claims(r#","nbf":4000000000"#));
    assert_eq!(check(&early).unwrap_err().refusal(), Refusal::Expired);

    // Who didn't sign it can't find out that it has expired.
    let forged = sign("another secret of thirty-two bytes!!", expired_claims());
    assert_eq!(check(&forged).unwrap_err().refusal(), Refusal::Denied);
}

#[test]
fn leeway_is_given_as_configured() {
    let exp = now() - 3;
    let token = token(&format!(r#"{{"sub":"alice","keys":["*"],"exp":{exp}}}"#));
    assert!(matches!(check(&token), Err(AuthError::Expired)));
    let rules = TokenRules { leeway: Duration::from_secs(60), ..TokenRules::default() };
    let grant = Authority::new(keyring(), &rules).check(&token).unwrap();
    assert!((55..=57).contains(&grant.expires_in.as_secs()), "it lives on for the leeway");
}

#[test]
fn what_is_not_signed_with_the_secret_and_hs256_is_denied() {
    #[track_caller]
    fn denied(token: &str) {
        assert_eq!(check(token).unwrap_err().refusal(), Refusal::Denied);
    }
    let good = token(&claims(""));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let payload = signed.split_once('.').unwrap().1;

    denied("");
    denied("garbage");
    denied("..");
    denied(&sign("another secret of thirty-two bytes!!", &claims("")));
    denied(&format!("{signed}."));
    denied(&format!("{signed}.{}", signature.replace(['a', 'b', 'c', 'd', 'e'], "x")));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","typ":"JWT"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":["HS256","none"]}"#,
    ] {
        let header = URL_SAFE_NO_PAD.encode(header);
        denied(&format!("{header}.{payload}."));
        denied(&format!("{header}.{payload}.{signature}"));
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let claims: serde_json::Value = serde_json::from_str(&claims("")).unwrap();
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        denied(&jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap());
    }
    assert!(matches!(check(&"a".repeat(MAX_TOKEN_BYTES + 1)), Err(AuthError::TooLong)));
}

#[test]
fn claims_that_are_missing_or_wrong_are_denied() {
    #[track_caller]
    fn denied(claims: &str) {
        assert_eq!(check(&token(claims)).unwrap_err().refusal(), Refusal::Denied, "{claims}");
    }
    let long = |n_bytes: usize| "a".repeat(n_bytes);
    denied(r#"{"sub":"alice","keys":["*"]}"#);
    denied(r#"{"sub":"alice","keys":["*"],"exp":"4000000000"}"#);
    denied(r#"{"sub":"alice","keys":["*"],"exp":null}"#);
    denied(r#"{"sub":"alice","keys":["*"],"exp":-1}"#);
    denied(r#"{"keys":["*"],"exp":4000000000}"#);
    denied(r#"{"sub":"","keys":["*"],"exp":4000000000}"#);
    denied(r#"{"sub":7,"keys":["*"],"exp":4000000000}"#);
    denied(&format!(r#"{{"sub":"{}","keys":["*"],"exp":4000000000}}"#, long(129)));
    denied(r#"{"sub":"a\u0000b","keys":["*"],"exp":4000000000}"#);
    denied(&claims(r#","name":"""#));
    denied(&claims(r#","name":"a\nb""#));
    denied(&claims(&format!(r#","name":"{}""#, long(257))));
    denied(r#"{"sub":"alice","exp":4000000000}"#);
    denied(r#"{"sub":"alice","keys":"*","exp":4000000000}"#);
    denied(r#"{"sub":"alice","keys":["a*b"],"exp":4000000000}"#);
    denied(r#"{"sub":"alice","keys":["document:42",""],"exp":4000000000}"#);
    denied("[]");

    let longest = format!(r#"{{"sub":"{}","keys":[],"exp":4000000000}}"#, long(128));
    assert!(check(&token(&longest)).is_ok());
    // These are names like any other.
    for name in ["__proto__", "constructor", "<img onerror=alert(1)>"] {
        let claims = format!(r#"{{"sub":"{name}","keys":[],"exp":4000000000}}"#);
        assert_eq!(check(&token(&claims)).unwrap().user.name(), name);
    }
}

#[test]
fn audience_and_issuer_are_looked_at_if_they_are_configured() {
    let rules = TokenRules {
        audience: Some("relay".into()),
        issuer: Some("app".into()),
        ..TokenRules::default()
    };
    let strict = Authority::new(keyring(), &rules);
    let check_strictly =
        |more: &str| strict.check(&token(&claims(more))).map_err(|it| it.refusal());
    assert!(check_strictly(r#","aud":"relay","iss":"app""#).is_ok());
    assert!(check_strictly(r#","aud":["else","relay"],"iss":"app""#).is_ok());
    for wrong in [
        "",
        r#","aud":"relay""#,
        r#","iss":"app""#,
        r#","aud":"else","iss":"app""#,
        r#","aud":"relay","iss":"else""#,
    ] {
        assert_eq!(check_strictly(wrong).unwrap_err(), Refusal::Denied, "{wrong}");
    }
    assert!(check(&token(&claims(r#","aud":"else","iss":"else""#))).is_ok());
}

fn check(token: &str) -> Result<Grant, AuthError> {
    Authority::new(keyring(), &TokenRules::default()).check(token)
}

fn keyring() -> Keyring {
    Keyring::new([TokenKey::of_secret(SECRET.as_bytes())])
}

/// The claims of a good token, and more.
fn claims(more: &str) -> String {
    let exp = now() + 3600;
    format!(r#"{{"sub":"alice","keys":["document:42","project:7:*"],"exp":{exp}{more}}}"#)
}

fn expired_claims() -> &'static str {
    r#"{"sub":"alice","keys":["*"],"exp":1700000000}"#
}

fn token(claims: &str) -> String {
    sign(SECRET, claims)
}

/// Signs any text, also one that a library would refuse to sign.
fn sign(secret: &str, claims: &str) -> String {
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}
