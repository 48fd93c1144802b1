//! `GET /v1/presence`: from HTTP to a bare socket.
//!
//! Once the handshake is right the request is upgraded whatever else is wrong with it, because a page
//! can't read why an upgrade was refused: reasons are close codes.

use crate::limits::{Place, TooOften};
use crate::log::RequestId;
use crate::metrics::Turned;
use crate::problem::Problem;
use crate::proxies::Peer;
use crate::stream::{Impatient, Stream};
use crate::{App, socket};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use presence_core::relay::Full;
use presence_protocol::{CloseCode, SUBPROTOCOL};
use std::sync::{Arc, Once};
use tracing::{Instrument, debug, trace, warn};
use tungstenite::handshake::derive_accept_key;

/// Answers the request and starts the connection's task.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    mut request: Request,
) -> Result<Response, Problem> {
    let accept = accept_key(request.headers())?;
    let (address, may) = app.knock(peer, request.headers());
    let verdict = match may {
        Err(TooOften::Flood { wait }) => return Err(Problem::too_often(wait)),
        Err(TooOften::Busy) => Verdict::TurnAway,
        Ok(()) if !app.origins.allow(request.headers()) => Verdict::Refuse,
        Ok(()) => Verdict::Serve,
    };
    let on_upgrade = hyper::upgrade::on(&mut request);
    app.tasks.clone().spawn(begin(app, on_upgrade, address, id, verdict).instrument(id.span()));

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// What becomes of a socket.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Serve,
    /// Its origin is foreign.
    Refuse,
    /// Its address dials too often.
    TurnAway,
}

impl App {
    /// Somebody is at the door: where they are counted, and whether they have been there too often.
    pub(crate) fn knock(&self, peer: Peer, headers: &HeaderMap) -> (Place, Result<(), TooOften>) {
        let place = self.address_of_request(peer, headers);
        let may = self.spent.connect(place).inspect_err(|_| self.counters.turned(Turned::TooOften));
        (place, may)
    }

    /// Where a request is counted.
    pub(crate) fn address_of_request(&self, peer: Peer, headers: &HeaderMap) -> Place {
        if self.proxies.ignore(peer, headers) {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                warn!(
                    "a proxy seems to be in front, and is not believed: --trusted-proxy is missing"
                );
                trace!(peer = %peer.0, "it is this one");
            });
        }
        self.spent.of_address(self.proxies.client(peer, headers))
    }

    /// Where a socket is counted before it has said anything; `None` if it is a proxy's.
    pub(crate) fn address_of_socket(&self, Peer(peer): Peer) -> Option<Place> {
        let address = peer.to_canonical();
        (!self.proxies.trust(address)).then(|| self.spent.of_address(address))
    }
}

/// Waits for the socket and hands it to a task of its own, which is small.
async fn begin(
    app: Arc<App>,
    on_upgrade: OnUpgrade,
    address: Place,
    id: RequestId,
    verdict: Verdict,
) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%error, "a peer went away while it was upgraded"),
    };
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Impatient>>() else {
        return warn!("an upgraded connection is not what was accepted");
    };
    let stream = io.into_inner().into_inner();
    if matches!(verdict, Verdict::TurnAway) {
        debug!("refusing a connection: its address has begun too many");
        return turn_away(&app, stream, address);
    }
    match app.shared.connect() {
        Ok(conn) => {
            if matches!(verdict, Verdict::Refuse) {
                debug!("refusing a page of a foreign origin");
                app.shared.with(|core, now| core.refuse(now, conn, CloseCode::OriginDenied));
            }
            app.tasks.clone().spawn(socket::serve(app, stream, conn, address, id, &read_buf));
        }
        Err(Full) => {
            debug!("refusing a connection: there are --max-connections of them");
            turn_away(&app, stream, address);
        }
    }
}

/// Tells a socket that there is no room for it, unless too many of its address are being told already.
fn turn_away(app: &App, stream: Stream, address: Place) {
    match app.leaving.enter(Some(address)) {
        Some(seat) => {
            app.shared.with(|core, _| core.turned_away(CloseCode::Busy));
            app.tasks.spawn(socket::turn_away(stream, CloseCode::Busy, seat));
        }
        None => {
            app.counters.turned(Turned::Unheard);
            debug!("not even saying so: too many of its address are being told already");
        }
    }
}

/// Checks the handshake (RFC 6455, section 4.2.1) and computes what proves that it was understood.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
        return Err(Problem::upgrade_required("this address is for WebSockets only"));
    }
    if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
        return Err(Problem::upgrade_required("the WebSocket version must be 13"));
    }
    if !headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().any(|it| lists(it, SUBPROTOCOL)) {
        return Err(Problem::bad_request("the subprotocol whoshere.v1 must be offered"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|it| it.len() == 24);
    let key = key.ok_or(Problem::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| Problem::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"))
}

/// True if a header that is a list of tokens has this one, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|it| {
        it.to_str().is_ok_and(|it| it.split(',').any(|it| it.trim().eq_ignore_ascii_case(token)))
    })
}

/// True if a comma-separated list has exactly this entry.
fn lists(value: &HeaderValue, entry: &str) -> bool {
    value.to_str().is_ok_and(|it| it.split(',').any(|it| it.trim() == entry))
}
