//! `POST /v1/leave`: the goodbye of a page that is closed while it is disconnected.

use crate::App;
use crate::limits::TooOften;
use crate::problem::Problem;
use crate::proxies::Peer;
use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use presence_protocol::{ErrorCode, FrameError, LeaveBeacon};
use std::sync::Arc;
use std::time::Duration;

/// The largest body. A beacon holds a resume token and at most 64 keys.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// Takes the beacon. Its content type isn't looked at: `text/plain` is what a browser may send to
/// another origin without asking first, and a page that is being closed can't ask.
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<StatusCode, Problem> {
    // Before the body is waited for, lest those who are turned away cost as much as the others.
    app.knock(peer, request.headers()).1.map_err(|it| match it {
        TooOften::Busy => Problem::too_often(Duration::from_secs(1)),
        TooOften::Flood { wait } => Problem::too_often(wait),
    })?;
    let body = String::from_request(request, &app).await.map_err(|rejection| {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(status, "too_large", "a beacon must not be larger than 64 KiB")
            }
            _ => Problem::bad_request("the body can't be read as UTF-8 text"),
        }
    })?;
    let LeaveBeacon { resume, dial, keys } =
        LeaveBeacon::decode(&body).map_err(|FrameError { code, message, .. }| match code {
            ErrorCode::TooManyKeys => {
                Problem::new(StatusCode::BAD_REQUEST, "too_many_keys", message)
            }
            ErrorCode::BadKey => Problem::new(StatusCode::BAD_REQUEST, "bad_key", message),
            _ => Problem::new(StatusCode::BAD_REQUEST, "bad_frame", message),
        })?;
    let claims = app.resume_key.verify(&resume).ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "denied", "the resume token is not one of ours")
    })?;
    app.shared.with(|core, now| core.beacon(now, &claims, dial, &keys));
    Ok(StatusCode::NO_CONTENT)
}
