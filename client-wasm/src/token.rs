//! Where tokens come from: the page.

use crate::js::function;
use js_sys::{Function, Promise};
use std::rc::Rc;
use wasm_bindgen::prelude::{JsCast, JsValue};

/// The page's token, or its function that fetches one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenSource(pub(crate) JsValue);

impl TokenSource {
    /// Gets a token. `done` is called once at most: never if the page's promise never settles.
    pub(crate) fn fetch(&self, done: impl Fn(Result<String, JsValue>) + 'static) {
        let Some(fetch) = self.0.dyn_ref::<Function>() else {
            return done(self.0.as_string().ok_or(JsValue::UNDEFINED));
        };
        let done = Rc::new(done);
        match fetch.call0(&JsValue::UNDEFINED) {
            Err(thrown) => done(Err(thrown)),
            Ok(value) => {
                let failed = done.clone();
                let token = move |it: JsValue| match it.as_string().filter(|it| !it.is_empty()) {
                    Some(token) => done(Ok(token)),
                    None => done(Err(it)),
                };
                // JavaScript owns both: a promise may settle long after this page has lost interest.
                let _ = Promise::resolve(&value)
                    .unchecked_ref::<Thenable>()
                    .then(&function(token), &function(move |it| failed(Err(it))));
            }
        }
    }
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    type Thenable;

    #[wasm_bindgen(method)]
    fn then(this: &Thenable, fulfilled: &Function, rejected: &Function) -> JsValue;
}
