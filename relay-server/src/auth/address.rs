//! An address of somebody else, from which a JWK set is fetched, or which is told something.

use super::keys::MAX_BYTES;
use axum::http::Uri;
use axum::http::header::ACCEPT;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long an answer may take, from looking up the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much an answer's head may be.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Where it is, and how it is asked.
pub(crate) struct Address {
    url: Uri,
    agent: Agent,
}

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It isn't one, or not a safe one.
    #[error("not https://…, nor http://… on this machine, without a name and password")]
    Address,
    /// There is no certificate in the text.
    #[error("no certificate in PEM")]
    Certificate,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The network, the certificate, the time, or the size.
    #[error(transparent)]
    Http(#[from] Box<ureq::Error>),
    /// Another status than 200.
    #[error("it answered with the status {0}")]
    Status(u16),
}

impl Address {
    /// An address, and whose certificates are believed if not those that browsers believe.
    pub(crate) fn parse(url: &str, authorities: Option<&str>) -> Result<Self, AddressError> {
        let url: Uri = url.trim().parse().map_err(|_| AddressError::Address)?;
        let is_local = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let is_safe = match url.scheme_str() {
            Some("https") => true,
            Some("http") => is_local,
            _ => false,
        };
        let has_password = url.authority().is_none_or(|it| it.as_str().contains('@'));
        if !is_safe || has_password {
            return Err(AddressError::Address);
        }
        let roots = match authorities {
            None => RootCerts::WebPki,
            Some(pem) => roots(pem).ok_or(AddressError::Certificate)?,
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
            .root_certs(roots);
        let mut config = Agent::config_builder()
            .tls_config(tls.build())
            // What an address says of another one isn't what the operator has named.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_response_header_size(MAX_HEAD_BYTES)
            .max_idle_connections(0)
            .user_agent("whoshere-relay");
        if is_local {
            config = config.proxy(None);
        }
        Ok(Self { url, agent: config.build().new_agent() })
    }

    /// Sends it something. Returns the status of its answer.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &str) -> Result<u16, FetchError> {
        let post = self.agent.post(self.url.clone());
        let request = headers.iter().fold(post, |it, (name, value)| it.header(*name, *value));
        Ok(request.send(body).map_err(Box::new)?.status().as_u16())
    }

    /// What it holds now.
    pub(crate) fn fetch(&self) -> Result<String, FetchError> {
        let request = self.agent.get(self.url.clone());
        let request = request.header(ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.call().map_err(Box::new)?;
        if response.status() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = response.body_mut().with_config().limit(MAX_BYTES as u64);
        Ok(body.read_to_string().map_err(Box::new)?)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted_uri(&self.url))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&redacted_uri(&self.url)).finish()
    }
}

/// An address as it may be shown: its name, password and query may be secrets.
pub(crate) fn redacted(url: &str) -> String {
    url.trim().parse().map_or_else(|_| redacted_uri(&Uri::default()), |it| redacted_uri(&it))
}

fn redacted_uri(url: &Uri) -> String {
    let (Some(scheme), Some(host)) = (url.scheme_str(), url.host()) else {
        return "(not shown)".to_owned();
    };
    let port = url.port_u16().map_or_else(String::new, |it| format!(":{it}"));
    format!("{scheme}://{host}{port}{}", url.path())
}

fn roots(pem: &str) -> Option<RootCerts> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    let certificates: Vec<_> = certificates
        .map(|it| it.map(|it| Certificate::from_der(&it).to_owned()))
        .collect::<Result<_, _>>()
        .ok()?;
    (!certificates.is_empty()).then(|| certificates.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        for (url, shown) in [
            ("https://login.example/jwks", "https://login.example/jwks"),
            ("https://a:b@login.example:8443/keys?token=c", "https://login.example:8443/keys"),
            ("http://a@[::1]:80/jwks?c", "http://[::1]:80/jwks"),
            ("https://a:b c@login.example/", "(not shown)"),
            ("a:b@login.example", "(not shown)"),
            ("", "(not shown)"),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
        let address = Address::parse("https://login.example/jwks?key=hush", None).unwrap();
        assert_eq!(address.to_string(), "https://login.example/jwks");
        assert!(!format!("{address:?}").contains("hush"));
    }

    #[test]
    fn keys_are_fetched_over_tls_or_from_this_machine_only() {
        for good in [
            "https://login.example/.well-known/jwks.json",
            "https://login.example:8443/keys?v=1",
            "http://localhost:3000/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]:80/jwks",
        ] {
            assert!(Address::parse(good, None).is_ok(), "{good}");
        }
        for bad in [
            "",
            "login.example",
            "/jwks",
            "http://login.example/jwks",
            "http://localhost.evil.example/jwks",
            "http://127.0.0.1.evil.example/jwks",
            "http://127.0.0.1@evil.example/jwks",
            "https://name:password@login.example/jwks",
            "file:///etc/passwd",
            "ftp://login.example/jwks",
        ] {
            assert_eq!(Address::parse(bad, None).unwrap_err(), AddressError::Address, "{bad}");
        }
        let error = Address::parse("https://login.example/jwks", Some("garbage")).unwrap_err();
        assert_eq!(error, AddressError::Certificate);
    }
}
