//! The browser SDK of whoshere: who else is looking at this page right now.
//!
//! This crate is the shell around [`presence_core::Session`], where all rules are: the codec, and what
//! stands for members in JavaScript. Socket, timer, the page's life and whatever is drawn are JavaScript
//! (`js/connection.js`, `js/bar.js`, `js/dom.js`), because there they are a tenth of the size.
//!
//! What is exported here is one function on numbered drivers. `js/connection.js` feeds it what happens, does
//! what it says is to be done, and arms one timer. What is imported is in `js/shell.js`.
//! `index.js` is the package's entry and `index.d.ts` its contract.

mod clock;
mod driver;
mod flash;
mod members;
mod meta;
mod page;
mod user;
mod wire;
#[cfg(all(test, target_arch = "wasm32"))]
mod wire_tests;

use crate::driver::Driver;
use wasm_bindgen::prelude::wasm_bindgen;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// Everything that goes in: what happens to a page, what it wants, and its questions. What each call is called
/// and takes is in `js/call.js`. One function, because each would be converted to by code of its own; it says its
/// answer as it takes its parts, one after the other.
#[wasm_bindgen]
pub fn call(driver: u32, what: u32) {
    Driver::call(driver, what);
}
