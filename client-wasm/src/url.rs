//! Where the relay is.

use crate::error::{Code, PresenceError, error};
use web_sys::{Document, Url};

/// The relay's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelayUrl {
    /// Its WebSocket endpoint.
    pub(crate) socket: String,
    /// Where a page that is closed while it is disconnected says goodbye.
    pub(crate) beacon: String,
}

impl RelayUrl {
    /// Reads what the page wrote: `wss:`, `ws:`, `https:` or `http:`, or relative to the page.
    pub(crate) fn parse(text: &str, document: &Document) -> Result<Self, PresenceError> {
        let refused = || error(Code::BadUrl, &["url: \"", text, "\" can't be a relay's"].concat());
        let base = document.base_uri().ok().flatten().unwrap_or_default();
        let url = Url::new_with_base(text, &base).map_err(|_| refused())?;
        let (socket, beacon) = schemes(&url.protocol()).ok_or_else(refused)?;
        url.set_hash("");
        url.set_protocol(socket);
        let socket = url.href();
        url.set_protocol(beacon);
        let beacon = Url::new_with_base("leave", &url.href()).map_err(|_| refused())?.href();
        Ok(Self { socket, beacon })
    }
}

/// The schemes of the socket and of the beacon, for the scheme that the page wrote.
fn schemes(written: &str) -> Option<(&'static str, &'static str)> {
    match written {
        "wss:" | "https:" => Some(("wss:", "https:")),
        "ws:" | "http:" => Some(("ws:", "http:")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secure_scheme_stays_secure() {
        assert_eq!(schemes("https:"), Some(("wss:", "https:")));
        assert_eq!(schemes("wss:"), Some(("wss:", "https:")));
        assert_eq!(schemes("http:"), Some(("ws:", "http:")));
        assert_eq!(schemes("javascript:"), None);
        assert_eq!(schemes("WSS:"), None);
    }
}
