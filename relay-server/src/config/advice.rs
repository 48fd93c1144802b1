//! What a relay does as it was asked to, although hardly anybody means it.

use super::Args;
use humantime::format_duration;
use presence_core::relay::RelayConfig;
use presence_protocol::limits;
use std::net::IpAddr;
use std::time::Duration;

/// How long the service's unit and the container of docs/operating.md give a relay to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Of that, what ending takes once all pages are told: sockets, what is kept, and webhooks, 5 s each.
const ENDING: Duration = Duration::from_secs(15);

impl Args {
    /// What an operator should know of what is asked for, a sentence each.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let all = [
            self.of_origins(),
            self.of_grace(),
            self.of_one_user_in_a_key(),
            self.of_one_user(),
            self.of_data(),
            self.of_audience(),
            self.of_metrics(),
            self.of_stopping(),
        ];
        all.into_iter().flatten().collect()
    }

    fn of_origins(&self) -> Option<String> {
        let text = "no --origin is given, so every browser will be refused";
        (!self.dev && self.origins.is_empty()).then(|| text.to_owned())
    }

    fn of_grace(&self) -> Option<String> {
        let relay =
            RelayConfig { grace: self.grace, heartbeat: self.heartbeat, ..RelayConfig::default() };
        let least = relay.least_grace();
        let (grace, least_text) = (format_duration(self.grace), format_duration(least));
        (self.grace < least).then(|| {
            format!(
                "--grace {grace} is over before a page whose heartbeat is late was asked and could \
                 answer, which takes {least_text}: pages that are there will be closed"
            )
        })
    }

    fn of_one_user_in_a_key(&self) -> Option<String> {
        let (most, of_one) = (self.limits.presences_per_key, limits::MAX_PRESENCES_PER_USER);
        (usize::try_from(most).is_ok_and(|it| it <= of_one)).then(|| {
            format!(
                "--max-presences-per-key {most} is no more than the {of_one} that one user may have \
                 in a key, so one person can fill a key"
            )
        })
    }

    fn of_one_user(&self) -> Option<String> {
        let (most, of_one) = (self.limits.presences, self.limits.presences_per_user);
        (of_one == 0 || of_one >= most).then(|| {
            format!(
                "--max-presences-per-user {of_one} lets one person fill the relay, which holds \
                 --max-presences {most}"
            )
        })
    }

    fn of_data(&self) -> Option<String> {
        let is_kept = !self.last_seen.is_empty() || self.webhooks.is_set();
        (is_kept && self.data.is_none()).then(|| {
            "--last-seen or --webhook without --data: what is kept of who viewed what, and what is \
             still to be told, is gone with a restart"
                .to_owned()
        })
    }

    fn of_audience(&self) -> Option<String> {
        let is_set = |it: &Option<String>| it.as_ref().is_some_and(|it| !it.trim().is_empty());
        (is_set(&self.token_keys_url) && !is_set(&self.audience)).then(|| {
            "--token-keys-url without --audience: a token that was signed for another application \
             is good here as well"
                .to_owned()
        })
    }

    fn of_metrics(&self) -> Option<String> {
        let listen = self.metrics_listen?;
        (!is_inside(listen.ip())).then(|| {
            format!(
                "--metrics-listen {listen} is for operators only, and may be reached by anybody"
            )
        })
    }

    fn of_stopping(&self) -> Option<String> {
        let needed = self.drain_delay + ENDING;
        (needed > STOP_TIMEOUT).then(|| {
            format!(
                "--drain-delay makes stopping take up to {}: see that whoever stops the \
                 relay waits for that long (TimeoutStopSec of the service, which is {}, or \
                 --stop-timeout of a container)",
                format_duration(needed),
                format_duration(STOP_TIMEOUT)
            )
        })
    }
}

/// True for an address that the internet doesn't reach.
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => it.is_loopback() || it.is_private() || it.is_link_local(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const URL: &str = "--token-keys-url=https://login.example/jwks";

    #[test]
    fn nobody_is_told_anything_who_asks_for_nothing_odd() {
        assert_eq!(advice(&[]), [] as [&str; 0]);
        let args = ["--grace=6s", "--metrics-listen=10.0.0.1:1", URL, "--audience=here"];
        assert_eq!(advice(&args), [] as [&str; 0]);
    }

    #[test]
    fn a_grace_that_is_over_before_a_late_page_could_answer_is_odd() {
        check(&["--grace=5999ms"], "--grace 5s 999ms is over before");
        check(&["--grace=100ms", "--heartbeat=100ms"], "which takes 5s 10ms");
    }

    #[test]
    fn bounds_that_one_person_can_fill_are_odd() {
        check(&["--max-presences-per-key=100"], "one person can fill a key");
        check(&["--max-presences-per-user=0"], "lets one person fill the relay");
        check(&["--max-presences=500"], "--max-presences-per-user 1000 lets one person");
    }

    #[test]
    fn what_is_kept_in_memory_only_is_odd() {
        check(&["--last-seen=*"], "is gone with a restart");
        check(&["--webhook=https://app.example/hook"], "is gone with a restart");
        assert_eq!(advice(&["--last-seen=*", "--data=/tmp"]), [] as [&str; 0]);
    }

    #[test]
    fn keys_of_many_applications_without_an_audience_are_odd() {
        check(&[URL], "--token-keys-url without --audience");
        check(&[URL, "--audience= "], "--token-keys-url without --audience");
    }

    #[test]
    fn metrics_for_everybody_are_odd() {
        for open in ["0.0.0.0:1", "[::]:1", "203.0.113.7:1", "[2001:db8::1]:1"] {
            check(&["--metrics-listen", open], "may be reached by anybody");
        }
        for inside in ["127.0.0.1:1", "[::1]:1", "192.168.0.1:1", "[fd00::1]:1"] {
            assert_eq!(advice(&["--metrics-listen", inside]), [] as [&str; 0], "{inside}");
        }
    }

    #[test]
    fn stopping_that_takes_longer_than_the_service_waits_is_odd() {
        assert_eq!(advice(&["--drain-delay=45s", "--drain=9s"]), [] as [&str; 0]);
        check(&["--drain-delay=46s"], "take up to 1m 1s");
    }

    #[test]
    fn without_an_origin_only_a_relay_for_development_lets_browsers_in() {
        let texts = |flag| Args::try_parse_from(["whoshere-relay", flag]).unwrap().advice();
        assert!(texts("--secret=x")[0].starts_with("no --origin"));
        assert_eq!(texts("--dev"), [] as [&str; 0]);
    }

    fn advice(args: &[&str]) -> Vec<String> {
        let args = [&["whoshere-relay", "--origin=https://app.example"], args].concat();
        Args::try_parse_from(args).unwrap().advice()
    }

    #[track_caller]
    fn check(args: &[&str], says: &str) {
        let texts = advice(args);
        assert!(texts.len() == 1 && texts[0].contains(says), "{texts:?}");
    }
}
