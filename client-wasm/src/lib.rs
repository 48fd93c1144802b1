//! The browser SDK of whoshere: who else is looking at this page right now.
//!
//! This crate is the shell around [`presence_core::Session`], where all rules are: the codec, and what
//! stands for members in JavaScript. Socket, timer, the page's life and whatever is drawn are JavaScript
//! (`js/connection.js`, `js/bar.js`, `js/dom.js`), because there they are a tenth of the size.
//!
//! What is exported here are plain functions on numbered drivers. `js/connection.js` feeds them what
//! happens, does what [`poll`] says, and arms one timer by [`delay`]. What is imported is in `js/shell.js`.
//! `index.js` is the package's entry and `index.d.ts` its contract.

mod clock;
mod driver;
mod flash;
mod js;
mod members;
mod meta;
mod text;
mod wire;
#[cfg(all(test, target_arch = "wasm32"))]
mod wire_tests;

use crate::driver::Driver;
use crate::flash::Teller;
use core::time::Duration;
use js_sys::Array;
use presence_core::Dedupe;
use presence_core::flash::FlashRules;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// A new driver, and its number. The page counts as away while it is hidden and after `idle_ms` without an
/// input, or never if that is 0.
#[must_use]
#[wasm_bindgen]
pub fn start(idle_ms: u32, is_hidden: bool, seed: f64) -> u32 {
    let idle = (idle_ms > 0).then(|| Duration::from_millis(idle_ms.into()));
    Driver::start(idle, is_hidden, seed)
}

/// Forgets a driver; calls with its number mean nothing any more.
#[wasm_bindgen]
pub fn stop(driver: u32) {
    Driver::stop(driver);
}

/// The next thing to do, as a name and what it is about; `undefined` if there is none.
#[must_use]
#[wasm_bindgen]
pub fn poll(driver: u32) -> JsValue {
    Driver::of(driver).map_or(JsValue::UNDEFINED, |it| it.poll())
}

/// In how many milliseconds to call [`timer`]; infinite if there is nothing to wait for.
#[must_use]
#[wasm_bindgen]
pub fn delay(driver: u32) -> f64 {
    Driver::of(driver).and_then(|it| it.delay()).unwrap_or(f64::INFINITY)
}

/// Does what has become due.
#[wasm_bindgen]
pub fn timer(driver: u32) {
    if let Some(driver) = Driver::of(driver) {
        driver.timer();
    }
}

/// Something has happened to the page: it is being closed or put into the back-forward cache (0), shown (1),
/// the network or the reader is back (2), its tab went behind others (3), somebody has touched it (4).
#[wasm_bindgen(js_name = pageEvent)]
pub fn page_event(driver: u32, event: u32, is_hidden: bool) {
    if let Some(driver) = Driver::of(driver) {
        driver.page_event(event, is_hidden);
    }
}

/// A socket is open.
#[wasm_bindgen(js_name = socketOpen)]
pub fn socket_open(driver: u32, dial: u32) {
    if let Some(driver) = Driver::of(driver) {
        driver.socket_open(dial);
    }
}

/// Something came in: a text, or what isn't one. What is to be done with it at once comes back, as from
/// [`poll`].
#[must_use]
#[wasm_bindgen(js_name = socketMessage)]
pub fn socket_message(driver: u32, dial: u32, data: &JsValue) -> JsValue {
    Driver::of(driver).map_or(JsValue::UNDEFINED, |it| it.socket_message(dial, data))
}

/// A socket was closed, or could not be opened.
#[wasm_bindgen(js_name = socketClosed)]
pub fn socket_closed(driver: u32, dial: u32, code: u16) {
    if let Some(driver) = Driver::of(driver) {
        driver.socket_closed(dial, code);
    }
}

/// The page's token, or `None` if there is none to be had now.
#[wasm_bindgen]
pub fn token(driver: u32, fetch: u32, token: Option<String>) {
    if let Some(driver) = Driver::of(driver) {
        driver.token(fetch, token);
    }
}

/// Enters a key, or changes its meta if it is entered already.
#[wasm_bindgen]
pub fn join(driver: u32, key: &str, meta: &JsValue, is_deduped: bool) {
    let dedupe = if is_deduped { Dedupe::User } else { Dedupe::None };
    if let Some(driver) = Driver::of(driver) {
        driver.join(key, meta, dedupe);
    }
}

/// Leaves a key at once.
#[wasm_bindgen]
pub fn leave(driver: u32, key: &str) {
    if let Some(driver) = Driver::of(driver) {
        driver.leave(key);
    }
}

/// Says something that is true for a moment only, as JSON; `None` ends it. False if the name isn't one, the
/// text is too long, or they are too many.
#[expect(clippy::needless_pass_by_value, reason = "it comes from JavaScript")]
#[must_use]
#[wasm_bindgen]
pub fn pulse(driver: u32, key: &str, name: &str, value: Option<String>) -> bool {
    Driver::of(driver).is_none_or(|it| it.pulse(key, name, value.as_deref()))
}

/// Asks who has viewed a key.
#[wasm_bindgen(js_name = askLastSeen)]
pub fn ask_last_seen(driver: u32, key: &str) {
    if let Some(driver) = Driver::of(driver) {
        driver.ask_last_seen(key);
    }
}

/// Everybody who is in a key, oldest first.
#[must_use]
#[wasm_bindgen]
pub fn members(driver: u32, key: &str) -> Array {
    Driver::of(driver).and_then(|it| it.list(key)).unwrap_or_default()
}

/// How long the last heartbeat's answer took, in milliseconds; not a number if there was none.
#[must_use]
#[wasm_bindgen(js_name = roundTrip)]
pub fn round_trip(driver: u32) -> f64 {
    Driver::of(driver).map_or(f64::NAN, |it| it.round_trip())
}

/// Lets `teller` show and say who joins a key and who leaves it. The number that is returned ends that.
#[must_use]
#[wasm_bindgen]
pub fn flash(
    driver: u32,
    key: &str,
    teller: Teller,
    joins: bool,
    leaves: bool,
    mute_above: u32,
) -> u32 {
    let rules = FlashRules { joins, leaves, mute_above: mute_above as usize };
    Driver::of(driver).and_then(|it| it.add_flashes(key, teller, rules)).unwrap_or_default()
}

/// Keeps what flashes where it is, while somebody reads it.
#[wasm_bindgen]
pub fn hold(driver: u32, flashes: u32, is_held: bool) {
    if let Some(driver) = Driver::of(driver) {
        driver.hold(flashes, is_held);
    }
}

/// Takes flashes away.
#[wasm_bindgen]
pub fn remove(driver: u32, flashes: u32) {
    if let Some(driver) = Driver::of(driver) {
        driver.remove(flashes);
    }
}
