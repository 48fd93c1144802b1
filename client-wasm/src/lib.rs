//! The browser SDK of whoshere: who else is looking at this page right now.
//!
//! This crate is the shell around [`presence_core::Session`], where all rules are. It owns the socket,
//! the timer, the page's life, and when something flashes. Of the protocol it knows no more than its codec.
//!
//! What is exported here are plain functions on numbered handles. `js/here.js` makes the object of them
//! that pages see, and `js/options.js` checks what they pass in. What is imported is in `js/shell.js`.
//! Bars and flashes are drawn by `js/bar.js` and `js/dom.js`: JavaScript, because there it is a tenth of the
//! size. `index.js` is the package's entry and `index.d.ts` its contract.

mod clock;
mod driver;
mod error;
mod flash;
mod handle;
mod js;
mod lifecycle;
mod members;
mod meta;
mod open_key;
mod socket;
mod text;
mod timer;
mod token;
mod wire;
#[cfg(all(test, target_arch = "wasm32"))]
mod wire_tests;

pub use crate::error::PresenceError;

use crate::driver::{Driver, RelayUrls};
use crate::flash::{FlashTeller, Teller};
use crate::handle::Handle;
use crate::meta::Meta;
use crate::open_key::Standing;
use crate::token::TokenSource;
use core::time::Duration;
use js_sys::{Array, Function};
use presence_core::Dedupe;
use presence_core::flash::FlashRules;
use presence_protocol::Key;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// Enters a key. The page counts as away while it is hidden and after `idle_ms` without an input, or never
/// if that is 0. `sink` is called with the name of each event and its parts.
///
/// # Errors
///
/// A [`PresenceError`] if the key or the meta isn't one, or if the key is open with the other `dedupe`.
#[expect(clippy::too_many_arguments, reason = "an object would be read field by field")]
#[wasm_bindgen]
pub fn open(
    socket_url: String,
    beacon_url: String,
    key: &str,
    token: JsValue,
    meta: &JsValue,
    is_deduped: bool,
    idle_ms: u32,
    sink: Function,
) -> Result<u32, PresenceError> {
    let key = Key::parse(key).ok_or_else(|| {
        let message = "key: it must be 1 to 128 letters, digits and :_-./@";
        PresenceError::new("bad_key", message)
    })?;
    let meta = Meta::given(meta)?;
    let dedupe = if is_deduped { Dedupe::User } else { Dedupe::None };
    // Last, so that nothing is left behind of a call that makes no sense.
    let idle = (idle_ms > 0).then(|| Duration::from_millis(idle_ms.into()));
    let driver = Driver::of(RelayUrls { socket_url, beacon_url }, TokenSource(token), idle);
    Handle::open(&driver, key, meta, dedupe, sink)
}

/// Everybody who is here, oldest first; nobody once the handle has left.
#[wasm_bindgen]
pub fn members(handle: u32) -> Array {
    Handle::of(handle).map_or_else(Array::new, |it| it.members())
}

/// How the connection is.
#[wasm_bindgen]
pub fn state(handle: u32) -> String {
    Handle::of(handle).map_or("stopped", |it| it.state()).into()
}

/// How long the last heartbeat's answer took, in milliseconds.
#[wasm_bindgen(js_name = roundTrip)]
pub fn round_trip(handle: u32) -> Option<f64> {
    Handle::of(handle).and_then(|it| it.round_trip())
}

/// Changes what the others see of this page. Means nothing once the handle has left.
///
/// # Errors
///
/// A [`PresenceError`] if what comes out isn't a meta.
#[wasm_bindgen]
pub fn update(handle: u32, patch: &JsValue) -> Result<(), PresenceError> {
    Handle::of(handle).map_or(Ok(()), |it| it.update(patch))
}

/// Says something that is true for a moment only, as JSON; `None` ends it. False if the name isn't one, the
/// text is too long, or they are too many. Means nothing once the handle has left.
#[expect(clippy::needless_pass_by_value, reason = "it comes from JavaScript")]
#[must_use]
#[wasm_bindgen]
pub fn pulse(handle: u32, name: &str, value: Option<String>) -> bool {
    Handle::of(handle).is_none_or(|it| it.pulse(name, value.as_deref()))
}

/// Asks who has viewed the key. `sink` is called with `seen` and the text of the answer.
#[wasm_bindgen(js_name = askLastSeen)]
pub fn ask_last_seen(handle: u32) {
    if let Some(handle) = Handle::of(handle) {
        handle.ask_last_seen();
    }
}

/// What the members are worth: nothing is known yet (0), up to date (1), out of reach for longer than the
/// grace (2), or ended (3).
#[wasm_bindgen]
pub fn standing(handle: u32) -> u32 {
    Handle::of(handle).map_or(Standing::Stopped, |it| it.standing()) as u32
}

/// Lets `teller` show and say who joins and who leaves. The number that is returned ends that.
#[wasm_bindgen]
pub fn flash(handle: u32, teller: Teller, joins: bool, leaves: bool, mute_above: u32) -> u32 {
    let rules = FlashRules { joins, leaves, mute_above: mute_above as usize };
    let flashes = FlashTeller::new(teller, rules);
    Handle::of(handle).map_or(0, |it| it.add_flashes(flashes))
}

/// Keeps what flashes where it is, while somebody reads it.
#[wasm_bindgen]
pub fn hold(handle: u32, part: u32, is_held: bool) {
    if let Some(handle) = Handle::of(handle) {
        handle.hold(part, is_held);
    }
}

/// Takes flashes away.
#[wasm_bindgen]
pub fn remove(handle: u32, part: u32) {
    if let Some(handle) = Handle::of(handle) {
        handle.remove(part);
    }
}

/// Leaves at once, and takes flashes away.
#[wasm_bindgen]
pub fn leave(handle: u32) {
    Handle::leave(handle);
}
