//! `--dev`: the demo, the SDK, and tokens for whoever asks. On this machine only.

use crate::App;
use crate::mint::{Mint, Wish};
use crate::problem::Problem;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, HOST, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tower_http::services::{ServeDir, ServeFile};

/// How long a token is good for unless `ttl` says otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// What a proxy adds to a request, one or the other of them.
const FORWARDING: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

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
    if FORWARDING.iter().any(|it| headers.contains_key(*it)) {
        let message = "a proxy brought this, and through it anybody may have asked";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "proxied", message));
    }
    let Query(query) = query.map_err(|_| Problem::bad_request("say who: /dev/token?user=alice"))?;
    let ttl = match query.ttl.as_deref().map(humantime::parse_duration) {
        None => DEFAULT_TTL,
        Some(Ok(ttl)) => ttl,
        Some(Err(_)) => return Err(Problem::bad_request("ttl must be a duration such as 90s")),
    };
    let wish = Wish {
        user: &query.user,
        name: query.name.as_deref(),
        color: query.color.as_deref(),
        avatar: query.avatar.as_deref(),
        keys: query.keys.as_deref().unwrap_or("*").split(',').collect(),
        can: query.can.as_deref().map(|it| it.split(',').collect()),
        expires_in: ttl,
    };
    mint.sign(&wish).map_err(|_| Problem::bad_request("no token can be made of this"))
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
