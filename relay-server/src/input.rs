//! What a message means: decoded, its tokens checked, ready for the core.

use crate::App;
use crate::limits::Pace;
use crate::log::RequestId;
use crate::shared::Core;
use presence_core::Time;
use presence_core::relay::{Command, ConnId, Grant, Refusal, ResumeClaims};
use presence_protocol::{ClientFrame, CloseCode, Dial, FrameError, UserId, decode_client};
use tracing::{debug, trace};

/// Something that a connection said, for the core.
#[derive(Debug)]
pub(crate) enum Input {
    /// The first frame.
    Hello { grant: Result<Grant, Refusal>, resume: Option<ResumeClaims>, dial: Dial },
    /// A later frame.
    Command(Command),
    /// A message that isn't a frame.
    Bad(FrameError),
    /// A sign of life.
    Heard,
    /// A later frame, of somebody who says too much.
    Excess(Command),
    /// Something of somebody who has said far too much for long, or who connects too often.
    Abuse(Box<Self>),
}

impl Input {
    /// What a whole text means.
    pub(crate) fn from_text(text: &str, app: &App, request: RequestId) -> Self {
        let frame = decode_client(text);
        match &frame {
            // Tokens are secrets, also in a log of everything.
            Ok(ClientFrame::Hello { dial, .. }) => trace!(target: "wire", ?dial, "hello"),
            Ok(ClientFrame::Join { key, .. }) => trace!(target: "wire", %key, "join"),
            Ok(ClientFrame::Observe { key, .. }) => trace!(target: "wire", %key, "observe"),
            Ok(ClientFrame::Token { .. }) => trace!(target: "wire", "token"),
            Ok(_) => trace!(target: "wire", text, "frame"),
            Err(error) => trace!(target: "wire", code = error.code.name(), "no frame"),
        }
        match frame {
            Ok(ClientFrame::Hello { token, resume, dial }) => Self::Hello {
                grant: check(&token, app, request),
                // A resume token that isn't ours is as good as none: the session is a new one.
                resume: resume.and_then(|it| app.resume_key.verify(&it)),
                dial,
            },
            Ok(ClientFrame::Join { key, token, meta, age, away }) => {
                let grant = token.map(|it| check(&it, app, request));
                Self::Command(Command::Join { key, grant, meta, age, away })
            }
            Ok(ClientFrame::Observe { key, token, invisible }) => {
                let grant = token.map(|it| check(&it, app, request));
                Self::Command(Command::Observe { key, grant, invisible })
            }
            Ok(ClientFrame::Attention { away }) => Self::Command(Command::Attention { away }),
            Ok(ClientFrame::Update { key, meta }) => Self::Command(Command::Update { key, meta }),
            Ok(ClientFrame::Pulse { key, name, value }) => {
                Self::Command(Command::Pulse { key, name, value })
            }
            Ok(ClientFrame::Leave { key }) => Self::Command(Command::Leave { key }),
            Ok(ClientFrame::Resync { key }) => Self::Command(Command::Resync { key }),
            Ok(ClientFrame::LastSeen { key }) => Self::Command(Command::LastSeen { key }),
            Ok(ClientFrame::Token { token }) => {
                Self::Command(Command::Token { grant: check(&token, app, request) })
            }
            Ok(ClientFrame::Heartbeat) => Self::Command(Command::Heartbeat),
            Err(error) => Self::Bad(error),
        }
    }

    /// Whose token it brings to speak for from now on.
    pub(crate) fn user(&self) -> Option<&UserId> {
        match self {
            Self::Hello { grant: Ok(grant), .. }
            | Self::Command(Command::Token { grant: Ok(grant) }) => Some(grant.user.id()),
            _ => None,
        }
    }

    /// The same, of somebody who speaks at this pace.
    pub(crate) fn at(self, pace: Pace) -> Self {
        match (pace, self) {
            (Pace::Abuse, it) => Self::Abuse(Box::new(it)),
            (Pace::Excess, Self::Command(command)) => Self::Excess(command),
            (Pace::Excess | Pace::Free, it) => it,
        }
    }

    /// Tells the core.
    pub(crate) fn apply(self, core: &mut Core, now: Time, conn: ConnId) {
        match self {
            Self::Hello { grant, resume, dial } => core.hello(now, conn, grant, resume, dial),
            Self::Command(command) => core.frame(now, conn, command),
            Self::Bad(FrameError { code, message, key }) => {
                core.bad_frame(now, conn, code, message, key);
            }
            Self::Heard => core.heard(now, conn),
            Self::Excess(command) => core.excess(now, conn, command),
            Self::Abuse(input) => {
                core.refuse(now, conn, CloseCode::Busy);
                // It means nothing any more, and is counted.
                input.apply(core, now, conn);
            }
        }
    }
}

fn check(token: &str, app: &App, request: RequestId) -> Result<Grant, Refusal> {
    let _entered = request.span().entered();
    app.authority.check(token).map_err(|error| {
        // The library's reason names no claims' values.
        debug!(target: "relay_server::auth", error = %with_sources(&error), "token refused");
        error.refusal()
    })
}

/// What an error says, and the errors behind it.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
