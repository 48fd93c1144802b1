//! The page's life.

use crate::js::Callback;
use js_sys::Function;
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    #[wasm_bindgen(js_name = watchPage)]
    fn watch_page(on_event: &Function, is_attentive: bool) -> Function;

    /// True while the tab is behind others.
    #[wasm_bindgen(js_name = isHidden)]
    pub(crate) fn is_hidden() -> bool;

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
    /// Its tab went behind others.
    Look,
    /// Somebody has touched it.
    Input,
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
    pub(crate) fn new(is_attentive: bool, on_event: impl Fn(PageEvent) + 'static) -> Self {
        let callback = Callback::new(move |event: JsValue| {
            on_event(match event.as_f64() {
                Some(0.0) => PageEvent::Hide,
                Some(1.0) => PageEvent::Show,
                Some(3.0) => PageEvent::Look,
                Some(4.0) => PageEvent::Input,
                Some(5.0) => PageEvent::Activate,
                _ => PageEvent::Wake,
            });
        });
        let stop = watch_page(callback.as_ref().unchecked_ref(), is_attentive);
        Self { stop, _callback: callback }
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        let _ = self.stop.call0(&JsValue::UNDEFINED);
    }
}
