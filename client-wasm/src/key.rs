//! Filling in a key like `document:{doc_id}`.

use presence_protocol::Key;

/// Why a key could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// A `{` without its `}`, a `}` without its `{`, or nothing between them.
    Braces,
    /// A placeholder that `params` has no value for, or an empty one.
    Missing(String),
    /// There are params, but the key has no place for any.
    NoPlaceholder,
    /// What came out isn't a key.
    Invalid(String),
}

impl KeyError {
    /// A sentence for the developer.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Braces => "key: a placeholder is written {name}".into(),
            Self::Missing(name) => {
                ["params: \"", name, "\" is missing or empty, and key needs it"].concat()
            }
            Self::NoPlaceholder => {
                "key: there are params, but no {placeholder} to put them in".into()
            }
            Self::Invalid(key) => {
                ["key: \"", key, "\" isn't 1 to 128 letters, digits and :_-./@"].concat()
            }
        }
    }
}

/// Puts the params in place of the placeholders of `template`. `param` gives the value of a name.
pub(crate) fn fill(
    template: &str,
    mut param: impl FnMut(&str) -> Option<String>,
) -> Result<Key, KeyError> {
    let mut key = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or(KeyError::Braces)?;
        if name.is_empty() || name.contains('{') || before.contains('}') {
            return Err(KeyError::Braces);
        }
        let value = param(name).filter(|it| !it.is_empty());
        key.push_str(before);
        key.push_str(&value.ok_or_else(|| KeyError::Missing(name.into()))?);
        rest = after;
    }
    if rest.contains('}') {
        return Err(KeyError::Braces);
    }
    key.push_str(rest);
    Key::parse(&key).ok_or(KeyError::Invalid(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, KeyError> {
        let key = fill(template, |name| match name {
            "doc_id" => Some("42".into()),
            "team" => Some("red".into()),
            "empty" => Some(String::new()),
            "spaced" => Some("a b".into()),
            _ => None,
        });
        key.map(|it| it.as_str().into())
    }

    #[test]
    fn params_take_the_place_of_placeholders() {
        assert_eq!(filled("document:{doc_id}"), Ok("document:42".into()));
        assert_eq!(filled("{team}/{doc_id}/{team}"), Ok("red/42/red".into()));
        assert_eq!(filled("lobby"), Ok("lobby".into()));
    }

    #[test]
    fn a_param_that_is_missing_or_empty_is_named() {
        assert_eq!(filled("document:{docid}"), Err(KeyError::Missing("docid".into())));
        assert_eq!(filled("document:{empty}"), Err(KeyError::Missing("empty".into())));
        assert!(KeyError::Missing("docid".into()).message().contains("\"docid\""));
    }

    #[test]
    fn braces_that_are_no_placeholder_are_refused() {
        for template in ["a{", "a}", "a{}", "a{b", "a}b{doc_id}", "a{{doc_id}}", "a{doc_id}}"] {
            assert_eq!(filled(template), Err(KeyError::Braces), "{template}");
        }
    }

    #[test]
    fn what_is_no_key_is_shown() {
        assert_eq!(filled("document:{spaced}"), Err(KeyError::Invalid("document:a b".into())));
        assert_eq!(filled(""), Err(KeyError::Invalid(String::new())));
        assert!(filled(&"k".repeat(128)).is_ok());
        assert!(filled(&"k".repeat(129)).is_err());
    }
}
