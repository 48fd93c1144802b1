//! Whose request it is: the address of the socket, or what a trusted proxy says.

use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(pub Vec<IpNet>);

/// The address of the socket that a request came in on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Proxies {
    /// The address that a request comes from: the last one in the chain that no trusted proxy has.
    ///
    /// Everything before it may have been written by the client. A chain that makes no sense, or two
    /// that don't agree, end at the proxy that handed them on: who writes such headers shares the
    /// limits of others who do, and can pass for nobody.
    pub(crate) fn client(&self, Peer(peer): Peer, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trust(peer) {
            return peer;
        }
        let by_both = [&X_FORWARDED_FOR, &FORWARDED].map(|name| self.last_hop(name, headers, peer));
        match by_both {
            [Some(one), Some(other)] if one != other => peer,
            [one, other] => one.or(other).unwrap_or(peer),
        }
    }

    /// True if a request names a client that is not believed.
    pub(crate) fn ignore(&self, Peer(peer): Peer, headers: &HeaderMap) -> bool {
        !self.trust(peer.to_canonical())
            && (headers.contains_key(&X_FORWARDED_FOR) || headers.contains_key(FORWARDED))
    }

    /// True for the address of a proxy that is believed.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|it| it.contains(&address))
    }

    /// Follows a header from the proxy that is known backwards. `None` if there is no such header.
    fn last_hop(&self, name: &HeaderName, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
        let read = if *name == FORWARDED { forwarded_for } else { address };
        let mut hop = None;
        let mut lines = headers.get_all(name).iter().collect::<Vec<_>>();
        lines.reverse();
        for line in lines {
            let line = line.to_str().unwrap_or_default();
            for entry in line.rsplit(',') {
                let Some(address) = read(entry.trim()) else { return hop.or(Some(peer)) };
                hop = Some(address);
                if !self.trust(address) {
                    return hop;
                }
            }
        }
        hop
    }
}

/// The `for` of an element of `Forwarded` (RFC 7239). Quoted commas are not understood, and no address
/// has any.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|it| it.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()));
    parsed.ok().map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    #[track_caller]
    fn check(peer: &str, lines: &[(&'static str, &str)], expected: &str) {
        let proxies = Proxies(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer(peer.parse().unwrap());
        assert_eq!(proxies.client(peer, &headers).to_string(), expected);
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        check("192.0.2.1", &[("x-forwarded-for", "198.51.100.1")], "192.0.2.1");
        check("192.0.2.1", &[("forwarded", "for=198.51.100.1")], "192.0.2.1");
        check(PROXY, &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1");
        check(PROXY, &[], PROXY);
    }

    #[test]
    fn what_a_client_writes_itself_is_in_front_and_counts_for_nothing() {
        check(PROXY, &[("x-forwarded-for", "203.0.113.9, 198.51.100.1")], "198.51.100.1");
        let two_lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "198.51.100.1")];
        check(PROXY, &two_lines, "198.51.100.1");
        check(PROXY, &[("forwarded", "for=203.0.113.9, for=198.51.100.1")], "198.51.100.1");
    }

    #[test]
    fn trusted_proxies_in_between_are_passed_over() {
        check(PROXY, &[("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.0.0.2")], "198.51.100.1");
        check(
            "fd00::1",
            &[("forwarded", "for=198.51.100.1;by=x, for=\"[fd00::2]:1\"")],
            "198.51.100.1",
        );
        check(PROXY, &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3");
    }

    #[test]
    fn addresses_are_read_in_every_form_that_proxies_write() {
        check(PROXY, &[("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1");
        check(PROXY, &[("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1");
        check(PROXY, &[("x-forwarded-for", "2001:db8::1")], "2001:db8::1");
        check(PROXY, &[("forwarded", "proto=https;For=\"[2001:db8::1]\"")], "2001:db8::1");
        check(PROXY, &[("x-forwarded-for", "::ffff:198.51.100.1")], "198.51.100.1");
    }

    #[test]
    fn nonsense_and_contradictions_end_at_the_proxy() {
        for nonsense in ["", "unknown", "_hidden", "1.2.3", "198.51.100.1, ,", "a b"] {
            check(PROXY, &[("x-forwarded-for", nonsense)], PROXY);
        }
        check(PROXY, &[("x-forwarded-for", "unknown, 10.0.0.2")], "10.0.0.2");
        check(PROXY, &[("forwarded", "by=198.51.100.1")], PROXY);
        let liar = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=203.0.113.9")];
        check(PROXY, &liar, PROXY);
        let agreed = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1")];
        check(PROXY, &agreed, "198.51.100.1");
    }
}
