//! What flashes in one place of the page, or is told to one listener.

use core::cell::{Cell, RefCell};
use js_sys::Array;
use presence_core::flash::{FlashKind, FlashOutput, FlashRules};
use presence_core::session::Event;
use presence_core::{Flashes, Time};
use presence_protocol::Key;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// Who shows and says it: `Teller` in `js/dom.js`.
    #[derive(Clone, Debug)]
    pub(crate) type Teller;

    #[wasm_bindgen(method, structural)]
    fn show(this: &Teller, id: u32, is_join: bool, members: &Array);
    #[wasm_bindgen(method, structural)]
    fn say(this: &Teller, is_join: bool, members: &Array);
    #[wasm_bindgen(method, structural)]
    fn hide(this: &Teller, id: u32);
    #[wasm_bindgen(method, structural)]
    fn end(this: &Teller);
}

/// Flashes, and who tells them. What that put into the page goes with this value.
#[derive(Debug)]
pub(crate) struct FlashTeller {
    pub(crate) id: u32,
    pub(crate) key: Key,
    teller: Teller,
    flashes: RefCell<Flashes<JsValue>>,
    is_over: Cell<bool>,
}

impl FlashTeller {
    pub(crate) const fn new(id: u32, key: Key, teller: Teller, rules: FlashRules) -> Self {
        let flashes = RefCell::new(Flashes::new(rules));
        Self { id, key, teller, flashes, is_over: Cell::new(false) }
    }

    /// Takes an event of the key; `member` stands for whom it is about.
    pub(crate) fn observe<M, U>(
        &self,
        now: Time,
        n_members: usize,
        event: &Event<M, U>,
        member: &JsValue,
    ) {
        self.flashes.borrow_mut().observe(now, n_members, event, |_| member.clone());
        self.draw();
    }

    /// Somebody reads these, or none any more.
    pub(crate) fn hold(&self, now: Time, read: [Option<u32>; 2]) {
        self.flashes.borrow_mut().hold(now, read);
        self.draw();
    }

    /// When there is something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.flashes.borrow().poll_timeout()
    }

    /// Does what has become due.
    pub(crate) fn handle_timeout(&self, now: Time) {
        self.flashes.borrow_mut().handle_timeout(now);
        self.draw();
    }

    /// Nothing is told from here on, not even what is due already.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
    }

    fn draw(&self) {
        while !self.is_over.get() {
            // What is told runs the page's own code, which may come back to here.
            let output = self.flashes.borrow_mut().poll_output();
            match output {
                None => break,
                Some(FlashOutput::Show { id, kind, who }) => {
                    self.teller.show(id, kind == FlashKind::Joined, &who.iter().collect());
                }
                Some(FlashOutput::Say { kind, who }) => {
                    self.teller.say(kind == FlashKind::Joined, &who.iter().collect());
                }
                Some(FlashOutput::Hide { id }) => self.teller.hide(id),
            }
        }
    }
}

impl Drop for FlashTeller {
    fn drop(&mut self) {
        self.teller.end();
    }
}
