//! Keys, and the patterns of tokens.

use presence_core::relay::KeyPattern;
use presence_protocol::Key;

/// A pattern and a key, a line each.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Some((pattern, key)) = text.split_once('\n') else { return };
    let Some(key) = Key::parse(key) else { return };
    let is_plain = |it: char| it.is_ascii_alphanumeric() || ":_-./@".contains(it);
    assert!(key.as_str().chars().all(is_plain) && (1..=128).contains(&key.as_str().len()));
    let Some(parsed) = KeyPattern::parse(pattern) else { return };
    // By the words of the documentation rather than by the code.
    let covers = match pattern.find('*') {
        Some(star) => {
            assert_eq!(star + 1, pattern.len(), "a `*` that isn't the end");
            pattern.as_bytes().iter().zip(key.as_str().bytes()).take(star).all(|(a, b)| *a == b)
                && key.as_str().len() >= star
        }
        None => pattern == key.as_str(),
    };
    assert_eq!(parsed.matches(&key), covers, "{pattern} {}", key.as_str());
}
