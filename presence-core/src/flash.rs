//! Which joins and leaves become a message on the page.
