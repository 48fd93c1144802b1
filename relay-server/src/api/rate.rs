//! How often the HTTP API may be asked, by an address and by a token's user.

use crate::App;
use crate::metrics::Turned;
use crate::problem::Problem;
use crate::proxies::Peer;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use presence_protocol::UserId;
use std::sync::Arc;
use std::time::Duration;

/// Lets an address ask, before its token is looked at. One whose tokens weren't good too often isn't let,
/// lest somebody tries.
pub(super) async fn hold(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let place = app.address_of_request(peer, request.headers());
    app.spent.request(place).map_err(|wait| too_often(&app, wait))?;
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        app.spent.failure(place);
    }
    Ok(response)
}

/// Lets a user ask, from wherever.
pub(super) fn hold_user(app: &App, user: &UserId) -> Result<(), Problem> {
    app.spent.request_of(user).map_err(|wait| too_often(app, wait))
}

fn too_often(app: &App, wait: Duration) -> Problem {
    app.counters.turned(Turned::TooOften);
    Problem::too_often(wait)
}
