//! What an operator says about webhooks.

use super::{Outbox, WebhookSecret, Webhooks};
use crate::auth::{Address, redacted};
use crate::config::{ConfigError, pattern};
use presence_core::relay::KeyPattern;
use secrecy::SecretString;
use std::path::Path;

/// Flags.
#[derive(Clone, Debug, clap::Args)]
pub struct WebhookFlags {
    /// An address of your application that is told who comes and goes, once it is certain: `joined`, `left`,
    /// `key.occupied` and `key.vacated`. With `https:`, or on this machine. [default: none]
    ///
    /// What it doesn't take is sent again for some hours; with --data also after a restart. Example:
    /// `https://app.example/hooks/presence`
    #[arg(long, env = "WHOSHERE_WEBHOOK", value_name = "URL")]
    pub webhook: Option<String>,

    /// The secret that these requests are signed with: `whsec_` and the Base64 of 24 to 64 bytes.
    ///
    /// Better given by the variable, since other users of a machine can see flags. docs/webhooks.md says how
    /// to verify them.
    #[arg(long, env = "WHOSHERE_WEBHOOK_SECRET", value_name = "TEXT", hide_env_values = true)]
    pub webhook_secret: Option<SecretString>,

    /// Of which keys it is told: exact ones, or beginnings followed by `*`. May be repeated, or a list with
    /// commas.
    ///
    /// Example: `document:*`
    #[arg(
        long,
        env = "WHOSHERE_WEBHOOK_KEYS",
        value_name = "KEYS",
        value_delimiter = ',',
        default_value = "*",
        value_parser = pattern
    )]
    pub webhook_keys: Vec<KeyPattern>,
}

impl WebhookFlags {
    /// True if somebody is to be told.
    pub(crate) fn is_set(&self) -> bool {
        self.webhook.as_ref().is_some_and(|it| !it.trim().is_empty())
    }

    /// Checks them, and opens what is kept.
    pub(crate) fn load(self, data: Option<&Path>) -> Result<Option<Webhooks>, ConfigError> {
        if !self.is_set() {
            return Ok(None);
        }
        let url = self.webhook.unwrap_or_default();
        let address = Address::parse(&url, None)
            .map_err(|error| ConfigError::WebhookAddress { url: redacted(&url), error })?;
        let secret = self.webhook_secret.ok_or(ConfigError::WebhookSecretMissing)?;
        let secret = WebhookSecret::parse(&secret).map_err(ConfigError::WebhookSecretUnusable)?;
        let outbox = Outbox::open(data).map_err(|error| ConfigError::StoreUnusable {
            place: data.unwrap_or_else(|| Path::new("memory")).to_owned(),
            error: error.into(),
        })?;
        Ok(Some(Webhooks { keys: self.webhook_keys, address, secret, outbox }))
    }
}
