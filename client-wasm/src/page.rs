//! What crosses between this crate and JavaScript, one value after the other: that takes a tenth of what functions
//! with as many parameters take. What is taken was checked by JavaScript.

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(raw_module = "./js/shell.js")]
extern "C" {
    /// The next part of a call, or of the frame that was read last.
    pub(crate) fn take() -> JsValue;
    #[wasm_bindgen(js_name = take)]
    pub(crate) fn take_optional_text() -> Option<String>;
    #[wasm_bindgen(js_name = take)]
    pub(crate) fn take_number() -> f64;
    /// A whole number that is a small one, or 1 for `true` and 0 for `false`.
    #[wasm_bindgen(js_name = takeInt)]
    fn take_int() -> i32;

    /// Says one part of an answer, of what is to be done or of a frame.
    pub(crate) fn say(value: &JsValue);
    #[wasm_bindgen(js_name = say)]
    pub(crate) fn say_optional_text(text: Option<&str>);
    #[wasm_bindgen(js_name = say)]
    pub(crate) fn say_number(number: f64);
    #[wasm_bindgen(js_name = sayInt)]
    fn say_int(number: i32);
}

pub(crate) fn take_text() -> String {
    take_optional_text().unwrap_or_default()
}

pub(crate) fn take_index() -> u32 {
    take_int().cast_unsigned()
}

pub(crate) fn take_flag() -> bool {
    take_int() != 0
}

/// A natural number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
pub(crate) fn take_natural() -> u64 {
    take_number() as u64
}

/// The 64 bits of an id, in two halves: all of it is no number of JavaScript.
pub(crate) fn take_bits() -> u64 {
    (take_natural() << 32) | take_natural()
}

pub(crate) fn say_text(text: &str) {
    say_optional_text(Some(text));
}

pub(crate) fn say_index(index: u32) {
    say_int(index.cast_signed());
}

/// Says 1 or 0.
pub(crate) fn say_flag(flag: bool) {
    say_int(flag.into());
}

/// Says an id, in two halves.
pub(crate) fn say_bits(bits: u64) {
    let [high, low] = halves(bits);
    say_index(high);
    say_index(low);
}

#[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
pub(crate) const fn halves(bits: u64) -> [u32; 2] {
    [(bits >> 32) as u32, bits as u32]
}
