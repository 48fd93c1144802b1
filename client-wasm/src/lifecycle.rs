//! The page's life.

use crate::js::Callback;
use js_sys::Function;
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    #[wasm_bindgen(js_name = watchPage)]
    fn watch_page(on_event: &Function) -> Function;

    /// True while the page is loaded ahead of time, for a reader who may never come.
    #[wasm_bindgen(js_name = isPrerendering)]
    pub(crate) fn is_prerendering() -> bool;
}

/// What happened to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageEvent {
    /// It is being closed, or put into the back-forward cache.
    Hide,
    /// It is shown: for the first time, or back from there.
    Show,
    /// The network or the reader is back.
    Wake,
    /// It was loaded ahead of time, and is now looked at.
    Activate,
}

/// Listens as long as it lives.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    stop: Function,
    _callback: Callback,
}

impl Lifecycle {
    pub(crate) fn new(on_event: impl Fn(PageEvent) + 'static) -> Self {
        let callback = Callback::new(move |event: JsValue| {
            on_event(match event.as_string().as_deref() {
                Some("hide") => PageEvent::Hide,
                Some("show") => PageEvent::Show,
                Some("activate") => PageEvent::Activate,
                _ => PageEvent::Wake,
            });
        });
        let stop = watch_page(callback.as_ref().unchecked_ref());
        Self { stop, _callback: callback }
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        let _ = self.stop.call0(&JsValue::UNDEFINED);
    }
}
