//! Tokens, read as the relay reads them but for the signature: a test has no secret to keep.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::time::Duration;
use presence_core::Time;
use presence_core::relay::{Capabilities, Grant, KeyPattern, Refusal};
use presence_protocol::limits::MAX_TOKEN_BYTES;
use presence_protocol::{AvatarUrl, Color, Info, User, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The claims that the relay reads.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    name: Option<String>,
    color: Option<String>,
    avatar: Option<String>,
    info: Option<Box<RawValue>>,
    keys: Vec<String>,
    can: Option<Vec<String>>,
    exp: f64,
}

/// Who somebody is and which keys they may join.
pub(crate) fn check(now: Time, token: &str) -> Result<Grant, Refusal> {
    let claims = read(token).ok_or(Refusal::Denied)?;
    let now = Duration::from_millis(now.as_millis());
    let exp = Duration::try_from_secs_f64(claims.exp).unwrap_or(Duration::MAX);
    let expires_in = exp.saturating_sub(now);
    if expires_in.is_zero() {
        return Err(Refusal::Expired);
    }
    let keys = claims.keys.iter().map(|it| KeyPattern::parse(it)).collect::<Option<_>>();
    let user = user_of(&claims).ok_or(Refusal::Denied)?;
    let can = claims
        .can
        .map_or(Capabilities::OF_A_PAGE, |can| Capabilities::parse(can.iter().map(String::as_str)));
    Ok(Grant {
        user: Arc::new(user),
        keys: keys.ok_or(Refusal::Denied)?,
        can,
        expires_in,
        last_seen: true,
    })
}

fn read(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn user_of(claims: &Claims) -> Option<User> {
    let id = UserId::parse(&claims.sub)?;
    let name = claims.name.as_deref().unwrap_or(&claims.sub);
    let color = claims.color.as_deref().and_then(Color::parse);
    let user = User::new(id, name, color.unwrap_or_else(|| color_of_name(name))).ok()?;
    let info = claims.info.as_deref().and_then(|it| Info::from_json_value(it.get()));
    let avatar = claims.avatar.as_deref().and_then(AvatarUrl::parse);
    Some(user.with_avatar(avatar).with_info(info))
}

/// The color that follows a name everywhere: the first three bytes of its SHA-1.
fn color_of_name(name: &str) -> Color {
    let [red, green, blue, ..] = sha1_smol::Sha1::from(name).digest().bytes();
    Color([red, green, blue])
}
