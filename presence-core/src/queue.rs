//! A small queue, for the half of this crate that browsers download: they have what a `Vec` takes already, and a
//! `VecDeque` takes as much again.

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// What came in, since the others were turned round.
    new: Vec<T>,
    /// What goes out, the last one first.
    next: Vec<T>,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { new: Vec::new(), next: Vec::new() }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.new.push(item);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.next.is_empty() {
            core::mem::swap(&mut self.new, &mut self.next);
            self.next.reverse();
        }
        self.next.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn it_is_a_queue(steps in proptest::collection::vec(any::<Option<u8>>(), 0..60)) {
            let (mut queue, mut model) = (Queue::new(), VecDeque::new());
            for step in steps {
                if let Some(item) = step {
                    queue.push(item);
                    model.push_back(item);
                } else {
                    prop_assert_eq!(queue.pop(), model.pop_front());
                }
            }
        }
    }
}
