//! `--dev`: the demo, the SDK, and tokens for whoever asks. On this machine only.

use crate::App;
use crate::auth::TokenRules;
use crate::problem::Problem;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, HOST, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower_http::services::{ServeDir, ServeFile};

/// How long a token is good for unless `ttl` says otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// What `--dev` adds.
#[derive(Clone, Debug)]
pub struct Dev {
    /// The secret that tokens are signed with.
    pub secret: SecretString,
    /// The folder of the demo, served at `/`.
    pub demo: Option<PathBuf>,
    /// The folder of the built SDK, served at `/sdk/`.
    pub sdk: Option<PathBuf>,
}

/// Signs tokens with the secret that the relay checks them with.
pub(crate) struct Mint {
    key: EncodingKey,
    rules: TokenRules,
}

impl Mint {
    pub(crate) fn new(secret: &SecretString, rules: TokenRules) -> Self {
        Self { key: EncodingKey::from_secret(secret.expose_secret().as_bytes()), rules }
    }
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint").finish_non_exhaustive()
    }
}

/// The routes that `--dev` adds.
pub(crate) fn routes(dev: &Dev, mint: Mint) -> Router<Arc<App>> {
    let mut routes = Router::new().route("/dev/token", get(token).with_state(Arc::new(mint)));
    if let Some(sdk) = &dev.sdk {
        routes = routes.nest_service("/sdk", ServeDir::new(sdk));
    }
    if let Some(demo) = &dev.demo {
        routes = routes
            .route_service("/docs/{id}", ServeFile::new(demo.join("doc.html")))
            .fallback_service(ServeDir::new(demo));
    }
    // What was just built again must not come from a browser's cache.
    routes.layer(map_response(async |mut response: Response| {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }))
}

#[derive(Debug, Deserialize)]
struct TokenQuery {
    user: String,
    name: Option<String>,
    color: Option<String>,
    avatar: Option<String>,
    keys: Option<String>,
    can: Option<String>,
    ttl: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    can: Option<Vec<&'a str>>,
    exp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

/// `GET /dev/token?user=alice[&name=…][&color=…][&avatar=…][&keys=document:1,project:*]
/// [&can=join,pulse][&ttl=90s]`: a token, as plain text.
async fn token(
    State(mint): State<Arc<Mint>>,
    headers: HeaderMap,
    query: Result<Query<TokenQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<String, Problem> {
    // A foreign page can point a name of its own at this machine, and would then be same-origin.
    if !is_loopback_name(&headers) {
        let message = "tokens are minted for http://localhost and http://127.0.0.1 only";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", message));
    }
    let Query(query) = query.map_err(|_| Problem::bad_request("say who: /dev/token?user=alice"))?;
    let ttl = match query.ttl.as_deref().map(humantime::parse_duration) {
        None => DEFAULT_TTL,
        Some(Ok(ttl)) => ttl,
        Some(Err(_)) => return Err(Problem::bad_request("ttl must be a duration such as 90s")),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = Claims {
        sub: &query.user,
        name: query.name.as_deref(),
        color: query.color.as_deref(),
        avatar: query.avatar.as_deref(),
        keys: query.keys.as_deref().unwrap_or("*").split(',').collect(),
        can: query.can.as_deref().map(|it| it.split(',').collect()),
        exp: now.saturating_add(ttl).as_secs_f64(),
        aud: mint.rules.audience.as_deref(),
        iss: mint.rules.issuer.as_deref(),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &mint.key)
        .map_err(|_| Problem::bad_request("no token can be made of this"))
}

fn is_loopback_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|it| it.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_served_tokens() {
        let served = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            is_loopback_name(&headers)
        };
        assert!(
            ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]", "[::1]:1"]
                .map(served)
                .iter()
                .all(|it| *it)
        );
        assert!(
            !["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1:80"]
                .map(served)
                .iter()
                .any(|it| *it)
        );
    }
}
