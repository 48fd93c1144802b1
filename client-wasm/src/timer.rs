//! One timer.

use crate::js::Callback;
use core::cell::Cell;
use core::time::Duration;
use js_sys::Function;
use presence_core::Time;
use wasm_bindgen::prelude::{JsCast, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, milliseconds: f64) -> f64;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: f64);
}

/// The longest delay that a browser doesn't take for none at all.
const LONGEST: Duration = Duration::from_millis(0x7fff_ffff);

/// A timer that can be armed again and again. It never fires once it is dropped.
#[derive(Debug)]
pub(crate) struct Timer {
    callback: Callback,
    armed: Cell<Option<(Time, f64)>>,
}

impl Timer {
    pub(crate) fn new(callback: impl Fn() + 'static) -> Self {
        Self { callback: Callback::new(move |_| callback()), armed: Cell::new(None) }
    }

    /// Makes it fire at a moment, or not at all.
    pub(crate) fn arm(&self, now: Time, at: Option<Time>) {
        let armed = self.armed.take();
        if let (Some(at), Some((armed_at, _))) = (at, &armed)
            && at == *armed_at
        {
            return self.armed.set(armed);
        }
        if let Some((_, timer)) = armed {
            clear_timeout(timer);
        }
        if let Some(at) = at {
            let delay = at.since(now).min(LONGEST).as_secs_f64() * 1000.0;
            let timer = set_timeout(self.callback.as_ref().unchecked_ref(), delay);
            self.armed.set(Some((at, timer)));
        }
    }

    /// Says that it has fired, so that it is armed anew even for the same moment.
    pub(crate) fn fired(&self) {
        self.armed.set(None);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.armed.take() {
            clear_timeout(timer);
        }
    }
}
