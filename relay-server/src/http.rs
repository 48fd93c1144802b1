//! The HTTP half: routes, and the loop that accepts connections.

use crate::lobby::Lobby;
use crate::metrics::Turned;
use crate::mint::Mint;
use crate::problem::Problem;
use crate::proxies::Peer;
use crate::stream::{Impatient, Stream};
use crate::tls::Tls;
use crate::{App, Readiness, api, beacon, dev, log, upgrade};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Request, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use presence_protocol::PATH;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

/// How long a peer may say nothing.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may then take to agree on keys, if TLS is spoken.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may then take to say what it wants, however often it says a little of it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may then take to say it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is buffered of a request.
const BUFFER_BYTES: usize = 16 * 1024;
/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Ends the connection that a request came in on, whatever it still has to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct HangUp(pub(crate) CancellationToken);

/// What is served.
pub(crate) fn routes(app: &Arc<App>, dev: Option<(&dev::Dev, Mint)>) -> Router {
    let mut routes = Router::new();
    // The demo's folder has an answer to everything.
    if dev.as_ref().is_none_or(|(dev, _)| dev.demo.is_none()) {
        routes = routes.fallback(async || Problem::not_found());
    }
    if let Some((dev, mint)) = dev {
        routes = routes.merge(dev::routes(dev, mint));
    }
    let timeout = from_fn(in_time);
    routes
        .route(PATH, get(upgrade::upgrade))
        .route("/v1/leave", post(beacon::leave).layer(timeout.clone()))
        .merge(api::routes(app).layer(timeout))
        .route("/v1/{*rest}", any(async || Problem::not_found()))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(beacon::MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(app), log::number))
        .with_state(Arc::clone(app))
        .merge(health(app))
}

/// Answers in time, also somebody who says what they want so slowly that there is nothing to answer.
async fn in_time(request: axum::extract::Request, next: Next) -> Response {
    let answer = timeout(REQUEST_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::too_slow().into_response())
}

/// How the relay is, for supervisors and load balancers.
pub(crate) fn health(app: &Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(Arc::clone(app))
}

/// Whether pages should be sent here: not before their tokens can be verified, nor once the relay was told to
/// stop.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    match app.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        Readiness::NoKeys => {
            let why = "token_keys_unreachable: the address of the keys has not answered yet\n";
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// Accepts connections until the relay stops; each has a seat in the lobby until it is upgraded.
pub(crate) async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    routes: Router,
    lobby: &Arc<Lobby>,
    tls: Option<Arc<Tls>>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer(address.ip());
                let address = app.address_of_socket(peer);
                // Shaking hands costs more than anything else that a stranger can ask for.
                if tls.is_some() && address.is_some_and(|it| app.spent.handshake(it).is_err()) {
                    app.counters.turned(Turned::TooOften);
                    debug!("dropping a connection: its address shakes hands too often");
                    continue;
                }
                let Some(seat) = lobby.enter(address) else {
                    // Even saying why costs too much.
                    app.counters.turned(Turned::Unheard);
                    debug!("dropping a connection: too many of its address are being upgraded");
                    continue;
                };
                // A frame is written in one piece, so waiting for more would only delay it.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "a connection was closed before it was accepted");
                }
                let (own, routes, tls) = (Arc::clone(app), routes.clone(), tls.clone());
                app.tasks.spawn(async move {
                    serve(own, stream, tls, peer, routes).await;
                    drop(seat);
                });
            }
            Err(error) => {
                warn!(%error, "can't accept connections for the moment");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one HTTP connection, until it is upgraded or closed.
async fn serve(
    app: Arc<App>,
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    peer: Peer,
    routes: Router,
) {
    // Who says nothing gets no buffer.
    match timeout(SILENCE_TIMEOUT, stream.peek(&mut [0])).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return debug!(%error, "a connection broke before it said anything"),
        Err(_) => {
            app.counters.turned(Turned::Silent);
            return debug!("a connection said nothing");
        }
    }
    // Boxed, so that nobody who says nothing takes the memory that answering needs.
    Box::pin(async {
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                failed => {
                    app.counters.turned(Turned::Handshake);
                    match failed {
                        Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
                        _ => debug!("a TLS handshake took too long"),
                    }
                    return;
                }
            },
        };
        answer(&app, stream, peer, routes).await;
    })
    .await;
}

/// Answers what a connection asks for.
async fn answer(app: &App, stream: Stream, peer: Peer, routes: Router) {
    let hang_up = HangUp::default();
    let own = hang_up.clone();
    let routes = routes.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(own.clone());
        request
    });
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Impatient::new(stream)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = async {
        tokio::select! {
            served = connection.as_mut() => served,
            () = app.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match hang_up.0.run_until_cancelled(served).await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            if error.is_timeout() {
                app.counters.turned(Turned::Trickled);
            } else if error.is_parse_too_large() {
                app.counters.turned(Turned::Oversize);
            }
            debug!(%error, "an HTTP connection failed");
        }
        None => debug!("an HTTP connection held what is scarce for too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_says_nothing_is_small() {
        fn size_of_future<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
            size_of::<F>()
        }
        let size = size_of_future(serve);
        assert!(size <= 640, "{size} bytes");
    }
}
