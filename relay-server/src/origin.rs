//! Which pages may connect: the `Origin` that a browser sends, and nobody else can make it send.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// The origins that may connect.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// These, such as `https://app.example` or `https://*.app.example`.
    pub listed: Vec<Origin>,
    /// Pages that the relay serves itself, for development.
    pub same_host: bool,
}

/// A scheme, a host and, unless it is the scheme's own, a port, as a browser writes them; or all
/// subdomains of such a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    /// Everything between these two: `https://` and `.app.example`.
    Subdomains(String, String),
}

impl Origin {
    /// Parses an origin, or one whose host begins with `*.`; `None` if no browser would ever send it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let allowed = |it: char| it.is_ascii_graphic() && !"/?#@\\*,".contains(it);
        let has_own_port = match scheme {
            "https" => authority.ends_with(":443"),
            "http" => authority.ends_with(":80"),
            _ => false,
        };
        let (host, is_pattern) = match authority.strip_prefix("*.") {
            // Nobody owns everything below a top-level domain, but for this machine's own name.
            Some(host) if is_below_a_domain(host) => (host, true),
            Some(_) => return None,
            None => (authority, false),
        };
        let is_written_so = !text.chars().any(|it| it.is_ascii_uppercase()) && !has_own_port;
        let is_origin =
            is_written_so && !scheme.is_empty() && !host.is_empty() && host.chars().all(allowed);
        is_origin.then(|| {
            Self(if is_pattern {
                Pattern::Subdomains(format!("{scheme}://"), format!(".{host}"))
            } else {
                Pattern::Exact(text.into())
            })
        })
    }

    fn allows(&self, origin: &str) -> bool {
        match &self.0 {
            Pattern::Exact(exact) => exact == origin,
            Pattern::Subdomains(scheme, host) => origin
                .strip_prefix(scheme.as_str())
                .and_then(|it| it.strip_suffix(host.as_str()))
                .is_some_and(is_subdomain),
        }
    }
}

/// True for one or more labels of a host's name, and for nothing that could end a host's name early.
fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    })
}

fn is_below_a_domain(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || (name.contains('.') && !name.starts_with('.'))
}

impl Origins {
    /// True if a request with these headers may connect. A program that isn't a browser sends no
    /// origin; its token is what counts.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        self.listed.iter().any(|it| it.allows(origin))
            || (self.same_host && is_same_host(origin, headers))
    }
}

fn is_same_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|it| it.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    host.is_some() && host == authority
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1:8080".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_listed_origins_and_programs_without_one_may_connect() {
        let listed = vec![Origin::parse("https://app.example").unwrap()];
        let origins = Origins { listed, same_host: false };
        assert!(origins.allow(&headers(None)));
        assert!(origins.allow(&headers(Some("https://app.example"))));
        for foreign in [
            "https://evil.example",
            "https://app.example.evil.example",
            "http://app.example",
            "https://app.example:8443",
            "http://127.0.0.1:8080",
            "null",
        ] {
            assert!(!origins.allow(&headers(Some(foreign))), "{foreign}");
        }
    }

    #[test]
    fn a_star_stands_for_subdomains_of_any_depth_and_for_nothing_else() {
        let listed = ["https://*.app.example", "http://*.localhost:3000"];
        let listed = listed.map(|it| Origin::parse(it).unwrap()).to_vec();
        let origins = Origins { listed, same_host: false };
        for own in ["https://a.app.example", "https://b-1.a.app.example", "http://x.localhost:3000"]
        {
            assert!(origins.allow(&headers(Some(own))), "{own}");
        }
        for foreign in [
            "https://app.example",
            "https://.app.example",
            "https://a..app.example",
            "https://evilapp.example",
            "http://a.app.example",
            "https://a.app.example:8443",
            "https://a.app.example.evil.example",
            "https://evil.example/.app.example",
            "https://evil.example:1.app.example",
            "https://evil.example#.app.example",
            "https://user@a.app.example",
            "http://x.localhost",
        ] {
            assert!(!origins.allow(&headers(Some(foreign))), "{foreign}");
        }
    }

    #[test]
    fn for_development_a_page_of_the_relay_itself_may_connect() {
        let origins = Origins { listed: Vec::new(), same_host: true };
        assert!(origins.allow(&headers(Some("http://127.0.0.1:8080"))));
        assert!(!origins.allow(&headers(Some("http://127.0.0.1:8081"))));
        assert!(!origins.allow(&headers(Some("null"))));
    }

    #[test]
    fn what_no_browser_sends_is_no_origin() {
        for good in [
            "https://app.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "https://*.app.example",
            "http://*.localhost:3000",
        ] {
            assert!(Origin::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example:443",
            "HTTPS://app.example",
            "https://a@b",
            "https://*.example",
            "https://*",
            "https://*.",
            "https://*.*.app.example",
            "https://a.*.example",
            "https://*app.example",
            "https://*..app.example",
            "*",
            "null",
        ] {
            assert!(Origin::parse(bad).is_none(), "{bad}");
        }
    }
}
