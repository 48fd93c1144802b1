//! What a wrong HTTP request is told (RFC 9457): a status, a code for programs and a sentence for people.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// Why a request was refused.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(serialize_with = "number")]
    status: StatusCode,
    #[serde(skip)]
    retry_after: Option<Duration>,
    code: &'static str,
    #[serde(rename = "detail")]
    message: Cow<'static, str>,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, retry_after: None, code, message: message.into() }
    }

    /// The address or the token's user asks for too much; `wait` is how long to ask for nothing.
    pub(crate) fn too_often(wait: Duration) -> Self {
        let message = "this address, or this user, asks too often";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message);
        Self { retry_after: Some(wait), ..problem }
    }

    pub(crate) fn bad_request(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found() -> Self {
        let message = "there is no such address: /v1/openapi.json says which there are";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "that can't be done with this address";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(crate) fn too_slow() -> Self {
        let message = "the request wasn't whole, or had no answer, in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    /// The user was put out by the application.
    pub(crate) fn kicked() -> Self {
        Self::new(StatusCode::FORBIDDEN, "kicked", "this user was put out, for a while")
    }

    pub(crate) fn upgrade_required(message: &'static str) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after, code) = (self.status, self.retry_after, self.code);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if status == StatusCode::UPGRADE_REQUIRED {
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = retry_after {
            // Whole seconds, and not too few.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response.extensions_mut().insert(Refused(code));
        response
    }
}

/// What a refusal leaves in its response for those who count and log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(crate) &'static str);
