//! JavaScript values, as far as this crate looks into them.

use js_sys::{Array, JsString};
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// An object whose fields are read by name. Unlike `Reflect.get`, it needs no string object.
    #[derive(Clone, Debug)]
    pub(crate) type Fields;

    #[wasm_bindgen(method, structural, indexing_getter)]
    pub(crate) fn field(this: &Fields, name: &str) -> JsValue;

    #[wasm_bindgen(catch, js_namespace = JSON, js_name = parse)]
    pub(crate) fn parse_json(text: &JsValue) -> Result<JsValue, JsValue>;

    /// `undefined` for what JSON has no word for.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = stringify)]
    pub(crate) fn to_json(value: &JsValue) -> Result<Option<JsString>, JsValue>;

    #[wasm_bindgen(js_namespace = Object, js_name = freeze)]
    pub(crate) fn freeze(value: &JsValue);

    #[wasm_bindgen(js_namespace = Object, js_name = keys)]
    pub(crate) fn keys(value: &Fields) -> Array;
}

/// The value as an object; `None` for anything else, `null` and arrays included.
pub(crate) fn as_object(value: &JsValue) -> Option<&Fields> {
    (value.is_object() && !Array::is_array(value)).then(|| value.unchecked_ref())
}

/// The value as an array.
pub(crate) fn as_array(value: &JsValue) -> Option<&Array> {
    Array::is_array(value).then(|| value.unchecked_ref())
}
