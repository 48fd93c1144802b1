// presence_token.rs
use jsonwebtoken::errors::Error;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;

pub fn presence_token(secret: &str, id: &str, name: &str, keys: &[&str]) -> Result<String, Error> {
    let exp = get_current_timestamp() + 3600;
    let claims = json!({ "sub": id, "name": name, "keys": keys, "exp": exp });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))
}
