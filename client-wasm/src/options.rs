//! What a page passes to `connect` and `bar`.

use crate::error::{Code, PresenceError, error, option_error};
use crate::js::{Fields, as_object, keys, to_text};
use crate::key::{KeyError, fill};
use crate::meta::Meta;
use crate::token::TokenSource;
use crate::url::RelayUrl;
use presence_core::Dedupe;
use presence_protocol::Key;
use wasm_bindgen::prelude::{JsCast, JsValue};
use web_sys::{Document, Url};

/// The options of `connect`.
#[derive(Clone, Debug)]
pub(crate) struct ConnectOptions {
    pub(crate) url: RelayUrl,
    pub(crate) key: Key,
    pub(crate) token: TokenSource,
    pub(crate) meta: Meta,
    pub(crate) dedupe: Dedupe,
}

impl ConnectOptions {
    /// Reads them.
    pub(crate) fn parse(value: &JsValue, document: &Document) -> Result<Self, PresenceError> {
        let known = ["url", "key", "params", "token", "meta", "dedupe"];
        let options = known_options(value, "connect", &known)?;
        Ok(Self {
            url: url(&options.field("url"), document)?,
            key: key(&options.field("key"), &options.field("params"))?,
            token: TokenSource::new(options.field("token"))
                .ok_or_else(|| option_error("token", "must be a string or a function"))?,
            meta: match options.field("meta") {
                it if it.is_undefined() => Meta::empty(),
                it => Meta::given(&it)?,
            },
            dedupe: dedupe(&options.field("dedupe"))?,
        })
    }
}

/// The options of `bar`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BarOptions {
    /// Most dots; the others go behind a button.
    pub(crate) max: usize,
}

impl BarOptions {
    /// Reads them.
    pub(crate) fn parse(value: &JsValue) -> Result<Self, PresenceError> {
        if value.is_undefined() {
            return Ok(Self { max: 5 });
        }
        let options = known_options(value, "bar", &["max"])?;
        let max = options.field("max");
        if max.is_undefined() {
            return Ok(Self { max: 5 });
        }
        let number = max.as_f64().filter(|it| (1.0..=1000.0).contains(it) && it.fract() == 0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1000")]
        let max = number.map(|it| it as usize);
        Ok(Self { max: max.ok_or_else(|| option_error("max", "must be 1 to 1000"))? })
    }
}

/// An options object, after a look at the names in it.
fn known_options<'a>(
    value: &'a JsValue,
    of: &str,
    known: &[&str],
) -> Result<&'a Fields, PresenceError> {
    let options = as_object(value).ok_or_else(|| option_error(of, "takes an object of options"))?;
    for name in keys(options).iter().filter_map(|it| it.as_string()) {
        if !known.contains(&name.as_str()) {
            let problem = ["there is no option \"", &name, "\""].concat();
            return Err(option_error(of, &problem));
        }
    }
    Ok(options)
}

fn url(value: &JsValue, document: &Document) -> Result<RelayUrl, PresenceError> {
    let text = match value.dyn_ref::<Url>() {
        Some(url) => Some(url.href()),
        None => value.as_string(),
    };
    match text {
        Some(text) => RelayUrl::parse(&text, document),
        None => Err(option_error("url", "must be a string")),
    }
}

fn key(value: &JsValue, params: &JsValue) -> Result<Key, PresenceError> {
    let template = value.as_string().ok_or_else(|| option_error("key", "must be a string"))?;
    let params = match params {
        it if it.is_undefined() => None,
        it => Some(as_object(it).ok_or_else(|| option_error("params", "must be an object"))?),
    };
    let key = match params {
        Some(it) if keys(it).length() > 0 && !template.contains('{') => {
            Err(KeyError::NoPlaceholder)
        }
        _ => fill(&template, |name| params.and_then(|it| param(it, name))),
    };
    key.map_err(|problem| {
        let code = match problem {
            KeyError::Missing(_) => Code::MissingParam,
            KeyError::Braces | KeyError::NoPlaceholder | KeyError::Invalid(_) => Code::BadKey,
        };
        error(code, &problem.message())
    })
}

/// The value of a param of the page's own: a string, or a number as it is written.
fn param(params: &Fields, name: &str) -> Option<String> {
    let own = keys(params).includes(&JsValue::from_str(name), 0);
    let value = own.then(|| params.field(name))?;
    match value.as_f64() {
        Some(number) => number.is_finite().then(|| to_text(&value)),
        None => value.as_string(),
    }
}

fn dedupe(value: &JsValue) -> Result<Dedupe, PresenceError> {
    match value.as_string().as_deref() {
        None if value.is_undefined() => Ok(Dedupe::User),
        Some("user") => Ok(Dedupe::User),
        Some("none") => Ok(Dedupe::None),
        _ => Err(option_error("dedupe", "must be \"user\" or \"none\"")),
    }
}
