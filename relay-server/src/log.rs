//! What is logged, and which request a line is about.
//!
//! Above level trace no line names a person, a key, a token or an address of a client.

use crate::App;
use crate::problem::Refused;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{Instrument, Span, debug, debug_span, error_span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A line of JSON for programs.
    Json,
}

/// Logs to standard error from now on. Does nothing if something else has been set up to do so.
///
/// # Errors
///
/// [`ParseError`] if the filter isn't one.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
    Ok(())
}

/// Counts requests.
#[derive(Debug, Default)]
pub(crate) struct Requests(AtomicU64);

/// Which request since the relay's start; a socket has the number of the request that it began as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId(u64);

impl RequestId {
    /// What is logged within is about this request.
    pub(crate) fn span(self) -> Span {
        error_span!(parent: None, "request", id = self.0)
    }

    /// The same for places that are too busy to make a span unless level debug is looked at.
    pub(crate) fn debug_span(self) -> Span {
        debug_span!(parent: None, "request", id = self.0)
    }
}

/// Gives a request its number, and says how it was answered.
pub(crate) async fn number(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId(app.requests.0.fetch_add(1, Ordering::Relaxed) + 1);
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    // The path itself has keys and users in it.
    let route = request.extensions().get::<MatchedPath>().cloned();
    async {
        let response = next.run(request).await;
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        let (status, refused) = (response.status().as_u16(), response.extensions().get());
        match refused {
            Some(Refused(code)) => {
                app.counters.refused(code);
                debug!(%method, route, status, code, "refused");
            }
            None => debug!(%method, route, status, "answered"),
        }
        response
    }
    .instrument(id.span())
    .await
}
