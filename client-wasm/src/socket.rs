//! One WebSocket, owned: its listeners go before it does.

use crate::js::{Callback, Fields};
use js_sys::JsString;
use presence_protocol::{CloseCode, Dial, SUBPROTOCOL};
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    // Not web-sys's: that one takes text as UTF-8, to make of it what `JSON.stringify` had made.
    #[derive(Debug)]
    type WebSocket;

    #[wasm_bindgen(constructor, catch)]
    fn new(url: &str, protocol: &str) -> Result<WebSocket, JsValue>;
    #[wasm_bindgen(method, getter, js_name = readyState)]
    fn ready_state(this: &WebSocket) -> u32;
    #[wasm_bindgen(method, catch)]
    fn send(this: &WebSocket, text: &JsString) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &WebSocket, code: u16) -> Result<(), JsValue>;
}

/// The state of a socket that can be sent something.
const OPEN: u32 = 1;

/// What a socket tells.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// It is open.
    Open,
    /// Something came in: a text, or what isn't one.
    Message(JsValue),
    /// It is closed, with this code.
    Closed(u16),
}

/// A socket, and the dial that it was opened for.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) dial: Dial,
    socket: WebSocket,
    callback: Callback,
}

impl Socket {
    /// Opens one. `None` if the browser refuses, as it does an insecure one from a secure page.
    pub(crate) fn open(
        url: &str,
        dial: Dial,
        on_event: impl Fn(SocketEvent) + 'static,
    ) -> Option<Self> {
        let socket = WebSocket::new(url, SUBPROTOCOL).ok()?;
        let callback = Callback::new(move |event: JsValue| {
            let event: &Fields = event.unchecked_ref();
            on_event(match event.field("type").as_string().as_deref() {
                Some("open") => SocketEvent::Open,
                Some("message") => SocketEvent::Message(event.field("data")),
                _ => SocketEvent::Closed(close_code(event)),
            });
        });
        let socket = Self { dial, socket, callback };
        socket.set_handlers(socket.callback.as_ref());
        Some(socket)
    }

    /// Sends a text. A socket that isn't open any more will say so by itself, and the browser would
    /// complain in the console if it were sent something until then.
    pub(crate) fn send(&self, text: &JsString) {
        if self.socket.ready_state() == OPEN {
            let _ = self.socket.send(text);
        }
    }

    /// Closes it for good. It tells nothing any more.
    pub(crate) fn close(self, code: CloseCode) {
        self.set_handlers(&JsValue::NULL);
        let _ = self.socket.close(code.code());
    }

    fn set_handlers(&self, value: &JsValue) {
        let handlers: &Fields = self.socket.unchecked_ref();
        for name in ["onopen", "onmessage", "onclose"] {
            handlers.set_field(name, value);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.set_handlers(&JsValue::NULL);
    }
}

fn close_code(event: &Fields) -> u16 {
    let code = event.field("code").as_f64().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let code = code as u16;
    code
}
