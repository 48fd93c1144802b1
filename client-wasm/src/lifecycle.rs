//! The page's life: put away, restored, woken, shown for the first time.

use crate::dom::{Listener, document, window};
use crate::js::Fields;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::VisibilityState;

/// What happened to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageEvent {
    /// It is being closed, or put into the back-forward cache.
    Hide,
    /// It came back from there.
    Show,
    /// The network or the reader is back.
    Wake,
    /// It was loaded ahead of time, and is now looked at.
    Activate,
}

/// Listens as long as it lives.
///
/// Never to `beforeunload` or `unload`: the one comes when the reader then decides to stay, the other
/// not at all on a phone, and both keep the page out of the back-forward cache.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    _listeners: [Listener; 6],
}

impl Lifecycle {
    pub(crate) fn new(on_event: impl Fn(PageEvent) + 'static) -> Self {
        let on_event = Rc::new(on_event);
        let on = |event: PageEvent, applies: fn(&Fields) -> bool| {
            let on_event = on_event.clone();
            move |it: &Fields| {
                if applies(it) {
                    on_event(event);
                }
            }
        };
        let always = |_: &Fields| true;
        let (window, document) = (window(), document());
        Self {
            _listeners: [
                Listener::new(&window, "pagehide", on(PageEvent::Hide, always)),
                Listener::new(
                    &window,
                    "pageshow",
                    on(PageEvent::Show, |it| it.field("persisted").is_truthy()),
                ),
                Listener::new(&window, "online", on(PageEvent::Wake, always)),
                Listener::new(&document, "visibilitychange", on(PageEvent::Wake, |_| is_visible())),
                Listener::new(&document, "resume", on(PageEvent::Wake, always)),
                Listener::new(&document, "prerenderingchange", on(PageEvent::Activate, always)),
            ],
        }
    }
}

/// True while the page is loaded ahead of time, for a reader who may never come.
pub(crate) fn is_prerendering() -> bool {
    document().unchecked_ref::<Fields>().field("prerendering").is_truthy()
}

fn is_visible() -> bool {
    document().visibility_state() == VisibilityState::Visible
}
