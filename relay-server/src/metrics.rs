//! `GET /metrics`: what the relay holds and has done, as Prometheus reads it.
//!
//! Most of it is counted by the core as plain numbers under the lock that it needs anyway, and copied
//! when somebody asks. No user and no key is in a label.

use crate::problem::Problem;
use crate::{App, Readiness, http};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use presence_core::relay::stats::{Counted, Counts, Dropped, Ended, Received, Sent, Stats};
use presence_protocol::{CloseCode, ErrorCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// With what a token or an origin is refused, wherever that is.
const AUTH_REFUSALS: [&str; 7] = [
    CloseCode::Denied.name(),
    CloseCode::Expired.name(),
    CloseCode::OriginDenied.name(),
    ErrorCode::KeyDenied.name(),
    ErrorCode::KeyExpired.name(),
    ErrorCode::TokenDenied.name(),
    ErrorCode::TokenExpired.name(),
];

/// Why something was dropped that the relay's rules never hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// A connection, before it could say anything: too many of its address are being upgraded.
    Unheard,
    /// Something that an address wanted more often than it may.
    TooOften,
    /// A connection that said nothing.
    Silent,
    /// A connection that doesn't shake hands over TLS, or not in time.
    Handshake,
    /// A request that wasn't whole in time.
    Trickled,
    /// A request whose headers are too large.
    Oversize,
}

impl Turned {
    const ALL: [Self; 6] = [
        Self::Unheard,
        Self::TooOften,
        Self::Silent,
        Self::Handshake,
        Self::Trickled,
        Self::Oversize,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Unheard => "unheard",
            Self::TooOften => "too_often",
            Self::Silent => "silent",
            Self::Handshake => "handshake",
            Self::Trickled => "trickled",
            Self::Oversize => "oversize",
        }
    }
}

/// What only the shell knows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// In the order of [`Turned::ALL`].
    turned: [AtomicU64; Turned::ALL.len()],
    /// How often a peer spoke so fast that it had to wait.
    throttled: AtomicU64,
    /// Answers over HTTP that refused something, by code.
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    pub(crate) fn turned(&self, why: Turned) {
        if let Some(count) = self.turned.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn refused(&self, code: &'static str) {
        *self.lock_refused().entry(code).or_default() += 1;
    }

    fn lock_refused(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is served to those who watch over the relay.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    let mut registry = Registry::with_prefix("whoshere");
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    registry.register_collector(Box::new(Scrape { app: Arc::clone(app), started }));
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry));
    http::health(app)
        .merge(metrics)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Collects everything when it is asked for.
#[derive(Debug)]
struct Scrape {
    app: Arc<App>,
    /// When the relay started, in seconds since 1970.
    started: f64,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(encoder);
        let app = &self.app;
        let stats = app.shared.with(|core, _| core.stats());
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.family("build_info", "The relay's version", MetricType::Gauge, [(version, 1)])?;
        out.gauge("start_time_seconds", "When the relay started, since 1970", self.started)?;
        let is_ready = u64::from(app.readiness() == Readiness::Ready);
        let help = "1 unless the relay was told to stop, or has no keys of tokens yet";
        out.gauge("ready", help, is_ready)?;
        let backplane = [([("kind", "memory")], 1)];
        let help = "1 while the backplane puts changes in order, which that in memory always does";
        out.family("backplane_up", help, MetricType::Gauge, backplane)?;
        self.encode_holdings(&mut out, &stats)?;
        self.encode_events(&mut out, &stats)?;
        self.encode_webhooks(&mut out)
    }
}

impl Scrape {
    /// What there is.
    fn encode_holdings(&self, out: &mut Writer<'_>, stats: &Stats) -> fmt::Result {
        for (name, help, value) in [
            ("connections", "Sockets, greeted or not", stats.connections),
            ("sessions", "Sockets that speak for a session", stats.sessions),
            ("keys", "Keys with somebody in them, or looking at them", stats.keys),
            ("presences", "Sessions in keys, lost ones included that are held", stats.presences),
            ("members", "Users in keys, as people see them", stats.members),
            ("observers", "Sessions that look at keys unseen", stats.observers),
            ("watchers", "Streams of events to servers that watch keys", stats.watchers),
        ] {
            out.gauge(name, help, u64::try_from(value).unwrap_or(u64::MAX))?;
        }
        Ok(())
    }

    /// What has happened.
    fn encode_events(&self, out: &mut Writer<'_>, stats: &Stats) -> fmt::Result {
        let received = counted("kind", &stats.received, Received::ALL, Received::name);
        let help = "What peers sent, WebSocket's own frames aside";
        out.counters("frames_received", help, received)?;
        let sent = counted("kind", &stats.sent, Sent::ALL, Sent::name);
        let help = "What was written to peers, answers to WebSocket's own frames aside";
        out.counters("frames_sent", help, sent)?;
        out.counter("changes", "Things that happened to rosters", stats.changes)?;
        let help = "What of them was told, the last in a window winning, once for all viewers";
        out.counter("changes_told", help, stats.changes_told)?;
        out.counter("deltas", "Frames that told them, once for all viewers", stats.deltas)?;
        let buckets = stats.fan_out.buckets();
        let seconds = |bound: Option<u64>| bound.map_or(f64::INFINITY, |it| it as f64 / 1000.0);
        let buckets: Vec<_> = buckets.map(|(bound, n)| (seconds(bound), n)).collect();
        let n = buckets.iter().map(|(_, n)| n).sum();
        let help = "From a delta's first change to its being written, for each viewer";
        out.0
            .encode_descriptor("fan_out", help, Some(&Unit::Seconds), MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(stats.fan_out.sum().as_secs_f64(), n, &buckets, None)?;

        let closed = |code: &CloseCode| stats.closed.get(code.name()).copied().unwrap_or_default();
        let errors = |code: &ErrorCode| stats.errors.get(code.name()).copied().unwrap_or_default();
        let all = CloseCode::ALL.iter().map(|it| ([("code", it.name())], closed(it)));
        out.counter("opened", "Sockets that became connections", stats.opened)?;
        let ended = counted("reason", &stats.ended, Ended::ALL, Ended::name);
        out.counters("ended", "Those of them that are gone, each once", ended)?;
        let help = "Sockets that the relay closed, those too that were turned away before";
        out.counters("closed", help, all)?;
        let all = ErrorCode::ALL.iter().map(|it| ([("code", it.name())], errors(it)));
        out.counters("errors", "What peers were refused with an error", all)?;
        let over_http = self.app.counters.lock_refused().clone();
        let refusals = |code: &'static str| {
            let told = [&stats.closed, &stats.errors, &over_http];
            told.iter().filter_map(|it| it.get(code)).sum::<u64>()
        };
        let refused = AUTH_REFUSALS.map(|code| ([("code", code)], refusals(code)));
        let help = "Tokens and origins that were refused, on sockets and over HTTP";
        out.counters("auth_refusals", help, refused)?;

        let refused = over_http.into_iter().map(|(code, n)| ([("code", code)], n));
        out.counters("http_refusals", "Requests that were refused over HTTP", refused)?;

        let dropped = counted("reason", &stats.dropped, Dropped::ALL, Dropped::name);
        let turned = Turned::ALL.iter().zip(&self.app.counters.turned);
        let by_shell = turned.map(|(it, n)| ([("reason", it.name())], n.load(Ordering::Relaxed)));
        let dropped = dropped.chain(by_shell);
        out.counters("dropped", "What was dropped", dropped)?;
        let throttled = self.app.counters.throttled.load(Ordering::Relaxed);
        out.counter("throttled", "How often a peer that spoke too fast had to wait", throttled)
    }
}

impl Scrape {
    /// What became of what the webhook was to be told; zero without one.
    fn encode_webhooks(&self, out: &mut Writer<'_>) -> fmt::Result {
        let tally = self.app.shared.webhook_tally();
        let help = "Events that the webhook is still to be told";
        out.gauge("webhook_waiting", help, tally.waiting())?;
        let deliveries = tally.deliveries().map(|(result, n)| ([("result", result)], n));
        let help = "Requests to the webhook, each try counted";
        out.counters("webhook_deliveries", help, deliveries)?;
        let lost = tally.lost().map(|(reason, n)| ([("reason", reason)], n));
        out.counters("webhook_lost", "Events that the webhook is never told", lost)
    }
}

type Label = [(&'static str, &'static str); 1];

fn counted<K: Counted + 'static>(
    label: &'static str,
    counts: &Counts,
    all: &'static [K],
    name: fn(K) -> &'static str,
) -> impl Iterator<Item = (Label, u64)> {
    all.iter().map(move |it| ([(label, name(*it))], counts.of(*it)))
}

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: impl Into<Number>) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        match value.into() {
            Number::Whole(value) => ConstGauge::new(value).encode(encoder),
            Number::Real(value) => ConstGauge::new(value).encode(encoder),
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Label, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, values)
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Label, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (label, value) in values {
            let encoder = family.encode_family(&label)?;
            if kind == MetricType::Counter {
                ConstCounter::new(value).encode(encoder)?;
            } else {
                ConstGauge::new(value).encode(encoder)?;
            }
        }
        Ok(())
    }
}

enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}
