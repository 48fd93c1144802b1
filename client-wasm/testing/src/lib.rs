//! What stands behind `whoshere/testing`: a whole relay, its network and other people's pages, in
//! virtual time.
//!
//! The relay is [`presence_core::relay::Relay`], the other people's pages are
//! [`presence_core::Session`]s: the very rules that run in production. Only sockets and clocks are
//! not real. `testing.js` puts this behind a page's `WebSocket` and `setTimeout`.

mod relay;
mod token;
mod world;

use crate::world::{ToPage, World};
use core::time::Duration;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

/// The relay and everybody else.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Simulation(World);

#[wasm_bindgen]
impl Simulation {
    /// A relay that nobody is connected to. Times are milliseconds after 1970.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(seed: u32, now: f64) -> Self {
        Self(World::new(seed.into(), whole(now)))
    }

    /// When something happens by itself.
    #[wasm_bindgen(js_name = nextAt)]
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
    pub fn next_at(&self) -> Option<f64> {
        self.0.next_at().map(|it| it as f64)
    }

    /// Lets everything happen until a moment.
    pub fn run(&mut self, until: f64) {
        self.0.run(whole(until));
    }

    /// What the page under test gets next: a link, what it is, and a text or a code. Empty if nothing.
    pub fn poll(&mut self) -> Vec<JsValue> {
        let Some((link, what)) = self.0.poll_page() else { return Vec::new() };
        let (name, rest) = match what {
            ToPage::Open => ("open", JsValue::UNDEFINED),
            ToPage::Text(text) => ("message", JsValue::from_str(&text)),
            ToPage::Close(code) => ("close", code.into()),
        };
        vec![link.into(), name.into(), rest]
    }

    /// The page under test dials.
    pub fn dial(&mut self) -> u32 {
        self.0.dial_from_page()
    }

    /// The page under test sends a text.
    pub fn send(&mut self, link: u32, text: String) {
        self.0.send_from_page(link, text);
    }

    /// The page under test closes a socket.
    pub fn close(&mut self, link: u32, code: u16) {
        self.0.close_from_page(link, code);
    }

    /// The page under test posts a beacon.
    pub fn beacon(&mut self, body: &str) {
        self.0.beacon(World::PAGE, body);
    }

    /// Somebody else opens a page, as what it is to be there. Returns its number.
    ///
    /// # Errors
    ///
    /// `bad_key`, `bad_meta` or `bad_mode`.
    pub fn open(
        &mut self,
        token: String,
        key: &str,
        meta: &str,
        mode: &str,
    ) -> Result<u32, JsValue> {
        self.0.open(token, key, meta, mode).map_err(JsValue::from_str)
    }

    /// Somebody else's page changes its meta.
    ///
    /// # Errors
    ///
    /// `bad_meta`.
    pub fn update(&mut self, tab: u32, patch: &str) -> Result<(), JsValue> {
        self.0.update(tab, patch).map_err(JsValue::from_str)
    }

    /// Somebody else's page says something for the moment, in JSON, or with `undefined` no longer.
    ///
    /// # Errors
    ///
    /// `bad_pulse`.
    #[expect(clippy::needless_pass_by_value, reason = "wasm-bindgen has no Option<&str>")]
    pub fn pulse(&mut self, tab: u32, name: &str, value: Option<String>) -> Result<(), JsValue> {
        self.0.pulse(tab, name, value.as_deref()).map_err(JsValue::from_str)
    }

    /// The tab of somebody else's page goes behind others, or comes back.
    #[wasm_bindgen(js_name = hideTab)]
    pub fn hide_tab(&mut self, tab: u32, is_hidden: bool) {
        self.0.hide_tab(tab, is_hidden);
    }

    /// Somebody else's page is closed.
    #[wasm_bindgen(js_name = closeTab)]
    pub fn close_tab(&mut self, tab: u32) {
        self.0.close_tab(tab);
    }

    /// The network of a page goes: the page under test is 0. With a reset both ends learn of it.
    pub fn drop(&mut self, machine: u32, is_reset: bool) {
        self.0.drop_network(machine, is_reset);
    }

    /// The network of a page is back.
    #[wasm_bindgen(js_name = restore)]
    pub fn restore(&mut self, machine: u32) {
        self.0.restore_network(machine);
    }

    /// The relay stops, as it does for a deploy.
    #[wasm_bindgen(js_name = stopRelay)]
    pub fn stop_relay(&mut self) {
        self.0.stop_relay();
    }

    /// The relay starts again.
    #[wasm_bindgen(js_name = startRelay)]
    pub fn start_relay(&mut self) {
        self.0.start_relay();
    }

    /// A user is put out of a key, or of all, and kept out for so many seconds.
    ///
    /// # Errors
    ///
    /// `bad_user`, `bad_key`, or `no_relay` while it is stopped.
    #[expect(clippy::needless_pass_by_value, reason = "wasm-bindgen has no Option<&str>")]
    pub fn kick(&mut self, user: &str, key: Option<String>, seconds: f64) -> Result<(), JsValue> {
        let lasting = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.0.kick(user, key.as_deref(), lasting).map_err(JsValue::from_str)
    }

    /// Whom somebody else's page sees, as JSON.
    #[must_use]
    pub fn members(&self, tab: u32) -> String {
        self.0.members(tab).to_string()
    }

    /// How the connection of somebody else's page is.
    #[must_use]
    pub fn state(&self, tab: u32) -> String {
        self.0.state(tab).to_owned()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn whole(millis: f64) -> u64 {
    millis as u64
}
