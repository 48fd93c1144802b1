//! Flags and environment variables, read once.

mod advice;
mod kept;

pub use kept::Surplus;

use crate::auth::{self, Address, MIN_SECRET_BYTES, Place, TokenKey, redacted};
use crate::log::LogFormat;
use crate::{
    AddressError, Dev, Keyring, KeysError, Limits, LoadError, MAX_GREETING, Origin, Origins,
    Proxies, SqliteStore, Store, StoreError, Tls, TlsError, TokenRules, WebhookFlags,
    WebhookSecretError, Webhooks,
};
use clap::{CommandFactory, Parser};
use ipnet::IpNet;
use presence_core::relay::{KeyPattern, LastSeenRules, RelayConfig};
use presence_protocol::Wait;
use secrecy::{ExposeSecret, SecretString};
use std::env;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// What the relay is asked for, as it is typed.
///
/// `--help` is the operator's manual, so each text says what the flag does, its unit and an example.
#[derive(Debug, Parser)]
#[command(
    name = "whoshere-relay",
    version,
    about = "Shows who is looking at a page right now: the relay between the pages.",
    long_about = "Shows who is looking at a page right now: the relay between the pages.\n\n\
        Pages connect with a WebSocket to /v1/presence and say who they are with a token (a JWT) \
        that your application signs, with the secret it shares with this relay or with a key of \
        which the relay has the public half. The token names the user (`sub`, `name`), the keys the user may join (`keys`, such as \
        [\"document:42\", \"project:7:*\"]) and when it expires (`exp`).\n\n\
        To try it on your own machine:   whoshere-relay --dev\n\
        To run it behind a TLS proxy:    WHOSHERE_SECRET=... whoshere-relay --origin https://app.example"
)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    ///
    /// TLS is the business of a proxy in front, or of --tls-cert. Example: 0.0.0.0:8080
    #[arg(long, env = "WHOSHERE_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Address and port of what is for operators only: /metrics for Prometheus, /healthz and /readyz.
    /// [default: none]
    ///
    /// Keep it where only your own machines come. Example: 127.0.0.1:9464
    #[arg(long, env = "WHOSHERE_METRICS_LISTEN", value_name = "ADDR")]
    pub metrics_listen: Option<SocketAddr>,

    /// Speak TLS: a file with the certificate, and those that vouch for it behind it, in PEM.
    ///
    /// Whenever the file or that of the key changes, new connections get what is there then; what can't
    /// be used is not taken. Example: /etc/letsencrypt/live/relay.example/fullchain.pem
    #[arg(long, env = "WHOSHERE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM.
    ///
    /// Example: /etc/letsencrypt/live/relay.example/privkey.pem
    #[arg(long, env = "WHOSHERE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The secret that your application signs tokens with (HS256): at least 32 bytes.
    ///
    /// Better given by the variable or by --secret-file, since other users of a machine can see flags.
    #[arg(long, env = "WHOSHERE_SECRET", value_name = "TEXT", hide_env_values = true)]
    pub secret: Option<SecretString>,

    /// A file that holds the secret; a line break at its end doesn't count.
    ///
    /// Example: /run/secrets/whoshere
    #[arg(long, env = "WHOSHERE_SECRET_FILE", value_name = "FILE", conflicts_with = "secret")]
    pub secret_file: Option<PathBuf>,

    /// Public keys of those who sign tokens (Ed25519, P-256 or RSA): PEM, one after the other, or a JWK
    /// set.
    ///
    /// Besides the secret or instead of it.
    #[arg(long, env = "WHOSHERE_TOKEN_KEYS", value_name = "TEXT", hide_env_values = true)]
    pub token_keys: Option<SecretString>,

    /// A file of such keys, read again when it changes; a JWK set may hold secrets as well.
    ///
    /// Example: /etc/whoshere/jwks.json
    #[arg(long, env = "WHOSHERE_TOKEN_KEYS_FILE", value_name = "FILE")]
    pub token_keys_file: Option<PathBuf>,

    /// The address of a JWK set, asked again every 5 minutes, and, at most once in 10 s, when a token
    /// names a key that isn't known.
    ///
    /// While it doesn't answer the keys stay as they are. Example:
    /// `https://login.example/.well-known/jwks.json`
    #[arg(long, env = "WHOSHERE_TOKEN_KEYS_URL", value_name = "URL")]
    pub token_keys_url: Option<String>,

    /// Whose certificate the address of the keys must have: a file of them in PEM. [default: of those
    /// that browsers believe]
    ///
    /// Example: /etc/ssl/certs/our-own.pem
    #[arg(long, env = "WHOSHERE_TOKEN_KEYS_CA", value_name = "FILE", requires = "token_keys_url")]
    pub token_keys_ca: Option<PathBuf>,

    /// The secret that the relay signs its own resume tokens with: at least 32 bytes.
    ///
    /// Pages that reconnect after a restart are recognised as long as it stays the same. [default:
    /// derived from the secret]
    #[arg(long, env = "WHOSHERE_RESUME_SECRET", value_name = "TEXT", hide_env_values = true)]
    pub resume_secret: Option<SecretString>,

    /// The `aud` that a token must have. [default: not looked at]
    #[arg(long, env = "WHOSHERE_AUDIENCE", value_name = "TEXT")]
    pub audience: Option<String>,

    /// The `iss` that a token must have. [default: not looked at]
    #[arg(long, env = "WHOSHERE_ISSUER", value_name = "TEXT")]
    pub issuer: Option<String>,

    /// For how long an expired token is still taken, if clocks differ; whole seconds, at most 10m.
    ///
    /// Example: 5s
    #[arg(
        long,
        env = "WHOSHERE_TOKEN_LEEWAY",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = leeway
    )]
    pub token_leeway: Duration,

    /// An origin whose pages may connect, exactly as browsers send it, or with `*.` for every subdomain.
    /// May be repeated, or a list with commas.
    ///
    /// Pages of any other origin are refused; programs that send no origin are not. Example:
    /// `https://app.example,https://*.app.example`
    #[arg(
        long = "origin",
        env = "WHOSHERE_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = origin
    )]
    pub origins: Vec<Origin>,

    /// How long somebody whose connection broke stays visible before the others see them leave.
    ///
    /// Example: 1m
    #[arg(
        long,
        env = "WHOSHERE_GRACE",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(Duration::from_millis(100), Duration::from_secs(3600))
    )]
    pub grace: Duration,

    /// How often a page says that it is still there. Longer saves traffic, shorter notices silent
    /// losses sooner.
    ///
    /// Example: 20s
    #[arg(
        long,
        env = "WHOSHERE_HEARTBEAT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(Duration::from_millis(100), Duration::from_secs(300))
    )]
    pub heartbeat: Duration,

    /// When the relay is told to stop (SIGTERM): over how long pages are told to come back, so that not
    /// all come at once. With few pages it is less: two milliseconds for each.
    ///
    /// Nobody sees anybody leave, since pages come back well within the grace. Example: 9s
    #[arg(
        long,
        env = "WHOSHERE_DRAIN",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration(Duration::ZERO, Wait::MAX.duration())
    )]
    pub drain: Duration,

    /// For how long the relay goes on as ever after it was told to stop, while /readyz says no: the time
    /// in which a load balancer notices. A second signal ends it.
    ///
    /// Whoever stops the relay must wait for this and 15 s more: the service's unit waits for 60 s.
    ///
    /// Example: 10s
    #[arg(
        long,
        env = "WHOSHERE_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = duration(Duration::ZERO, Duration::from_secs(600))
    )]
    pub drain_delay: Duration,

    /// Keys of which is kept who viewed them and when, for "Last viewed by alice 12 minutes ago": exact
    /// ones, or beginnings followed by `*`. May be repeated, or a list with commas. [default: none]
    ///
    /// Whoever may join such a key is told. A token with `"last_seen": false` forbids it for its user. What
    /// was kept of keys that are named no longer is removed at the next start, all of it if none is named.
    /// Example: `document:*`
    #[arg(
        long,
        env = "WHOSHERE_LAST_SEEN",
        value_name = "KEYS",
        value_delimiter = ',',
        value_parser = pattern
    )]
    pub last_seen: Vec<KeyPattern>,

    /// For how long it is kept.
    ///
    /// Example: 7d
    #[arg(
        long,
        env = "WHOSHERE_LAST_SEEN_RETENTION",
        value_name = "DURATION",
        default_value = "30d",
        value_parser = duration(Duration::from_secs(1), Duration::from_secs(3650 * 86_400))
    )]
    pub last_seen_retention: Duration,

    /// The folder in which the relay keeps what has to outlive it: who viewed what, and what a webhook is
    /// still to be told. [default: none, so it is kept in memory and lost at the end]
    ///
    /// A relay that is killed loses the last quarter of a second at most. Example: /var/lib/whoshere
    #[arg(long, env = "WHOSHERE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would become the program's own help text")]
    pub webhooks: WebhookFlags,

    /// Most connections at a time; each takes a few kilobytes and one open file. Up to 8192 that have not
    /// said hello yet are not counted.
    ///
    /// Mind the system's limit for open files (`ulimit -n`).
    #[arg(
        long,
        env = "WHOSHERE_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 20_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_connections: u32,

    /// How many messages a second are read from one connection; 0 is no limit.
    ///
    /// Twice as many may come at once. What comes faster is read later: nothing is lost.
    #[arg(
        long,
        env = "WHOSHERE_MAX_FRAMES_PER_SECOND",
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub max_frames_per_second: u32,

    #[command(flatten)]
    #[expect(missing_docs, reason = "its doc comment would become the program's own help text")]
    pub limits: Limits,

    /// A proxy in front of the relay, or a network of them, whose X-Forwarded-For or Forwarded is
    /// believed. May be repeated, or a list with commas.
    ///
    /// From anybody else these headers mean nothing. Example: 127.0.0.1,10.0.0.0/8
    #[arg(
        long = "trusted-proxy",
        env = "WHOSHERE_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// For development: mints tokens for whoever asks, at /dev/token?user=alice, and lets pages of its
    /// own address connect. On loopback addresses only.
    ///
    /// Without a secret a random one is made at every start. There is no variable for it, so that none
    /// is left behind where a relay is run for real.
    #[arg(long)]
    pub dev: bool,

    /// With --dev: the folder of a demo, served at /. Its doc.html is the page of every /docs/{id}.
    ///
    /// Example: www
    #[arg(long, value_name = "DIR", requires = "dev")]
    pub demo: Option<PathBuf>,

    /// With --dev: the folder of the built browser SDK, served at /sdk/.
    ///
    /// Example: client-wasm/pkg
    #[arg(long, value_name = "DIR", requires = "dev")]
    pub sdk: Option<PathBuf>,

    /// What is logged, to standard error: a level, or a list of target=level.
    ///
    /// People, keys and addresses of clients are logged at level trace only, and tokens never. Example:
    /// `info,relay_server=debug`
    #[arg(
        long,
        env = "WHOSHERE_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = log_filter
    )]
    pub log: String,

    /// In which form: `text` for people or `json` for programs, a line of JSON each.
    #[arg(long, env = "WHOSHERE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// Everything that the relay needs to know, checked.
#[derive(Debug)]
pub struct Config {
    /// The keys that tokens are signed with.
    pub keyring: Keyring,
    /// What resume tokens are signed with.
    pub resume_secret: ResumeSecret,
    /// What a token must say.
    pub token: TokenRules,
    /// Which pages may connect.
    pub origins: Origins,
    /// The core's durations and bounds.
    pub relay: RelayConfig,
    /// How many messages a second are read from one connection; 0 is no limit.
    pub max_frames_per_second: u32,
    /// How much one address or one user may ask for.
    pub limits: Limits,
    /// Which proxies are believed.
    pub proxies: Proxies,
    /// Over how long pages are told to come back when the relay stops.
    pub drain: Duration,
    /// For how long the relay goes on before that.
    pub drain_delay: Duration,
    /// What is kept of who viewed what, if anything.
    pub last_seen: Option<LastSeen>,
    /// Who is told of who comes and goes, if anybody.
    pub webhooks: Option<Webhooks>,
    /// How the relay proves who it is, if it speaks TLS itself.
    pub tls: Option<Tls>,
    /// What is served for development, if anything.
    pub dev: Option<Dev>,
}

/// What resume tokens are signed with.
#[derive(Clone, Debug)]
pub enum ResumeSecret {
    /// A secret of its own.
    Own(SecretString),
    /// One that is derived from the secret that tokens are signed with.
    DerivedFrom(SecretString),
}

/// What is kept of who viewed what, and where.
#[derive(Debug)]
pub struct LastSeen {
    /// Of which keys, and for how long.
    pub rules: LastSeenRules,
    /// Where.
    pub store: Box<dyn Store>,
}

/// Why a relay can't start as it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing to check tokens with.
    #[error(
        "secret_missing: set WHOSHERE_SECRET (or --secret-file) to the secret that your application \
         signs tokens with, or WHOSHERE_TOKEN_KEYS (or --token-keys-file, --token-keys-url) to its \
         public keys; to try the relay on your own machine, start it with --dev"
    )]
    SecretMissing,
    /// There is nothing to sign resume tokens with.
    #[error(
        "resume_secret_missing: tokens are signed with keys that the relay has only the public half \
         of, so set WHOSHERE_RESUME_SECRET as well; `openssl rand -hex 32` makes a good one"
    )]
    ResumeSecretMissing,
    /// A secret is too short.
    #[error(
        "secret_too_short: {name} has {n_bytes} bytes, it must have at least {MIN_SECRET_BYTES}; \
         `openssl rand -hex 32` makes a good one"
    )]
    SecretTooShort {
        /// Which secret.
        name: &'static str,
        /// How long it is.
        n_bytes: usize,
    },
    /// The secret's file can't be read.
    #[error("secret_unreadable: can't read {}", path.display())]
    SecretUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// Keys that aren't, or that can't be trusted.
    #[error("token_keys_unusable: {place}")]
    TokenKeysUnusable {
        /// Where they come from.
        place: String,
        /// What is wrong.
        #[source]
        error: KeysError,
    },
    /// A file or an address of keys that can't be read.
    #[error("token_keys_unreachable: {place}")]
    TokenKeysUnreachable {
        /// Which.
        place: String,
        /// Why.
        #[source]
        error: LoadError,
    },
    /// An address of keys that isn't one.
    #[error("token_keys_address: {url}")]
    TokenKeysAddress {
        /// What was given, without what may be secret in it.
        url: String,
        /// Why it is none.
        #[source]
        error: AddressError,
    },
    /// The certificates for the address of keys can't be read.
    #[error("token_keys_ca_unreadable: can't read {}", path.display())]
    TokenKeysCaUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// Development on an address that others can reach.
    #[error(
        "dev_not_loopback: --dev gives a token to whoever asks, so it listens on a loopback address \
         only, such as 127.0.0.1:8080, and not on {listen}"
    )]
    DevNotLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// A variable that no flag has.
    #[error("unknown_variable: {0} means nothing; `whoshere-relay --help` has the names")]
    UnknownVariable(String),
    /// Development behind a proxy.
    #[error(
        "dev_behind_proxy: --dev gives a token to whoever asks, and through a proxy that may be \
         anybody; leave out --trusted-proxy"
    )]
    DevBehindProxy,
    /// A folder that isn't there.
    #[error("no_folder: {flag} {} is not a folder", path.display())]
    NoFolder {
        /// The flag.
        flag: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// A database that can't be used.
    #[error("store_unusable: {} can't be used to keep what has to outlive the relay", place.display())]
    StoreUnusable {
        /// Its folder, or that it is in memory.
        place: PathBuf,
        /// What the database says.
        #[source]
        error: StoreError,
    },
    /// A certificate that can't be used.
    #[error("tls_unusable: --tls-cert and --tls-key can't be used")]
    TlsUnusable(#[source] TlsError),
    /// A database that isn't asked for any more and can't be removed.
    #[error("not_forgotten: {} has a database that is asked for no longer and can't be removed", path.display())]
    NotForgotten {
        /// Its folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// A webhook's address that isn't one.
    #[error("webhook_address: --webhook {url} can't be told anything")]
    WebhookAddress {
        /// What was given, without what may be secret in it.
        url: String,
        /// What is wrong with it.
        #[source]
        error: AddressError,
    },
    /// A webhook without a secret.
    #[error(
        "webhook_secret_missing: set WHOSHERE_WEBHOOK_SECRET, so that your application can tell the relay \
         from others; `echo whsec_$(openssl rand -base64 32)` makes a good one"
    )]
    WebhookSecretMissing,
    /// A webhook's secret that isn't one.
    #[error("webhook_secret_unusable: the webhook's secret can't be used")]
    WebhookSecretUnusable(#[source] WebhookSecretError),
    /// No randomness for a secret.
    #[error("no_randomness: a random secret could not be made")]
    NoRandomness,
}

/// Those of the variables that look like a flag's and are none's: most likely they are misspelt.
pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let command = Args::command();
    let known: Vec<_> = command.get_arguments().filter_map(|it| it.get_env()).collect();
    let unknown = names.filter(|it| !known.contains(&it.as_os_str()));
    let unknown = unknown.map(|it| it.to_string_lossy().into_owned());
    unknown.filter(|it| it.starts_with("WHOSHERE_")).collect()
}

impl Args {
    /// Checks what was asked for, and leaves everything as it is. Returns what a start would remove.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that says what to change.
    pub fn check(mut self) -> Result<Vec<Surplus>, ConfigError> {
        if let Some(name) = unknown_variables(env::vars_os().map(|it| it.0)).pop() {
            return Err(ConfigError::UnknownVariable(name));
        }
        // Everything else is tried with nothing to keep it in.
        let folder = self.data.take_if(|it| it.is_dir());
        let (last_seen, has_webhook) = (self.last_seen.clone(), self.webhooks.is_set());
        if let Some((place, error)) = self.into_config()?.keyring.take_failure() {
            // A relay would start, and take no token until the address answers.
            return Err(ConfigError::TokenKeysUnreachable { place, error });
        }
        folder.map_or_else(|| Ok(Vec::new()), |it| kept::check(&it, &last_seen, has_webhook))
    }

    /// The secret that tokens are signed with, if there is one.
    pub(crate) fn secret(&self) -> Result<Option<SecretString>, ConfigError> {
        match (&self.secret, &self.secret_file) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(path)) => read_secret(path.clone()).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// What a token must say.
    pub(crate) fn token_rules(&self) -> TokenRules {
        // In files of variables what is empty isn't set.
        let set = |it: &Option<String>| it.clone().filter(|it| !it.trim().is_empty());
        TokenRules {
            audience: set(&self.audience),
            issuer: set(&self.issuer),
            leeway: self.token_leeway,
        }
    }

    /// Checks what was asked for.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that says what to change.
    pub fn into_config(self) -> Result<Config, ConfigError> {
        if self.dev && !self.listen.ip().is_loopback() {
            return Err(ConfigError::DevNotLoopback { listen: self.listen });
        }
        if self.dev && !self.trusted_proxies.is_empty() {
            return Err(ConfigError::DevBehindProxy);
        }
        let folders = [("--demo", &self.demo), ("--sdk", &self.sdk), ("--data", &self.data)];
        for (flag, folder) in folders {
            if let Some(path) = folder.as_ref().filter(|it| !it.is_dir()) {
                return Err(ConfigError::NoFolder { flag, path: path.clone() });
            }
        }
        let secret = match self.secret()? {
            None if self.dev => Some(random_secret(aws_lc_rs::rand::fill)?),
            secret => secret,
        };
        let token = self.token_rules();
        let resume_secret = self.resume_secret.filter(|it| !it.expose_secret().is_empty());
        for (name, secret) in [("the secret", &secret), ("the resume secret", &resume_secret)] {
            if let Some(secret) = secret {
                check_length(name, secret)?;
            }
        }
        let keyring = KeySources {
            text: self.token_keys,
            file: self.token_keys_file,
            url: self.token_keys_url,
            authorities: self.token_keys_ca,
        };
        let keyring = keyring.load(secret.as_ref())?;
        if keyring.is_empty() {
            return Err(ConfigError::SecretMissing);
        }
        let resume_secret = match (resume_secret, &secret) {
            (Some(own), _) => ResumeSecret::Own(own),
            (None, Some(secret)) => ResumeSecret::DerivedFrom(secret.clone()),
            (None, None) => return Err(ConfigError::ResumeSecretMissing),
        };
        let dev = secret.filter(|_| self.dev);
        let data = self.data.clone();
        let defaults = RelayConfig::default();
        let limits = self.limits;
        let most = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let most_if_any = |it| NonZeroU32::new(it).map_or(usize::MAX, |it| most(it.get()));
        let config = Config {
            keyring,
            resume_secret,
            token,
            origins: Origins { listed: self.origins, same_host: self.dev },
            relay: RelayConfig {
                grace: self.grace,
                heartbeat: self.heartbeat,
                max_connections: most(self.max_connections),
                // Who is given up takes a moment to go.
                max_greeting: 2 * MAX_GREETING,
                max_connections_per_user: most_if_any(limits.connections_per_user),
                max_presences: most(limits.presences),
                max_presences_per_user_in_all: most_if_any(limits.presences_per_user),
                max_presences_per_key: most(limits.presences_per_key),
                max_keys_per_connection: most(limits.keys_per_connection),
                ..defaults
            },
            max_frames_per_second: self.max_frames_per_second,
            limits,
            proxies: Proxies(self.trusted_proxies),
            drain: self.drain,
            drain_delay: self.drain_delay,
            webhooks: self.webhooks.load(self.data.as_deref())?,
            last_seen: last_seen(self.last_seen, self.last_seen_retention, self.data)?,
            tls: self
                .tls_cert
                .zip(self.tls_key)
                .map(|(cert, key)| Tls::load(cert, key))
                .transpose()
                .map_err(ConfigError::TlsUnusable)?,
            dev: dev.map(|secret| Dev { secret, demo: self.demo, sdk: self.sdk }),
        };
        // What was kept when it was asked for is kept no longer.
        if let Some(folder) = data {
            let (has_views, has_webhook) = (config.last_seen.is_some(), config.webhooks.is_some());
            for removed in kept::remove(&folder, has_views, has_webhook)? {
                warn!(%removed, "what is asked for no longer was removed");
            }
        }
        Ok(config)
    }
}

/// Where the keys of tokens are, apart from the secret.
struct KeySources {
    text: Option<SecretString>,
    file: Option<PathBuf>,
    url: Option<String>,
    authorities: Option<PathBuf>,
}

impl KeySources {
    fn load(self, secret: Option<&SecretString>) -> Result<Keyring, ConfigError> {
        let secret = secret.map(|it| TokenKey::of_secret(it.expose_secret().as_bytes()));
        let text = self.text.filter(|it| !it.expose_secret().trim().is_empty());
        let fixed = text.map(|text| {
            // Files of variables have no other way to write a line break.
            let text = text.expose_secret().replace("\\n", "\n");
            TokenKey::parse_all(&text, auth::Origin::Here).map_err(|error| {
                ConfigError::TokenKeysUnusable { place: "WHOSHERE_TOKEN_KEYS".to_owned(), error }
            })
        });
        let mut keyring = Keyring::new(fixed.transpose()?.into_iter().flatten().chain(secret));
        if let Some(path) = self.file {
            load_place(&mut keyring, Place::File(path))?;
        }
        if let Some(url) = self.url {
            let authorities = self.authorities.map(|path| {
                std::fs::read_to_string(&path)
                    .map_err(|error| ConfigError::TokenKeysCaUnreadable { path, error })
            });
            let address = Address::parse(&url, authorities.transpose()?.as_deref())
                .map_err(|error| ConfigError::TokenKeysAddress { url: redacted(&url), error })?;
            load_place(&mut keyring, Place::Address(Box::new(address)))?;
        }
        Ok(keyring)
    }
}

fn load_place(keyring: &mut Keyring, place: Place) -> Result<(), ConfigError> {
    let name = place.to_string();
    keyring.add_place(place).map_err(|error| match error {
        LoadError::Keys(error) => ConfigError::TokenKeysUnusable { place: name, error },
        error => ConfigError::TokenKeysUnreachable { place: name, error },
    })
}

fn last_seen(
    keys: Vec<KeyPattern>,
    retention: Duration,
    data: Option<PathBuf>,
) -> Result<Option<LastSeen>, ConfigError> {
    if keys.is_empty() {
        return Ok(None);
    }
    let store = data.as_deref().map_or_else(SqliteStore::in_memory, SqliteStore::open);
    let store = store.map_err(|error| ConfigError::StoreUnusable {
        place: data.unwrap_or_else(|| "memory".into()),
        error,
    })?;
    Ok(Some(LastSeen { rules: LastSeenRules::new(keys, retention), store: Box::new(store) }))
}

fn read_secret(path: PathBuf) -> Result<SecretString, ConfigError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).into()),
        Err(error) => Err(ConfigError::SecretUnreadable { path, error }),
    }
}

fn random_secret<E>(
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<SecretString, ConfigError> {
    let mut bytes = [0; MIN_SECRET_BYTES];
    fill(&mut bytes).map_err(|_| ConfigError::NoRandomness)?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect::<String>().into())
}

fn check_length(name: &'static str, secret: &SecretString) -> Result<(), ConfigError> {
    let n_bytes = secret.expose_secret().len();
    if n_bytes < MIN_SECRET_BYTES {
        return Err(ConfigError::SecretTooShort { name, n_bytes });
    }
    Ok(())
}

/// A parser of durations between two bounds.
pub(crate) fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let duration = humantime::parse_duration(text)
            .map_err(|_| "not a duration; write it like 30s, 500ms or 1m 30s".to_owned())?;
        if (least..=most).contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        Err(format!("it must be between {least} and {most}"))
    }
}

/// JWTs count in whole seconds.
fn leeway(text: &str) -> Result<Duration, String> {
    let leeway = duration(Duration::ZERO, Duration::from_secs(600))(text)?;
    match leeway.subsec_nanos() {
        0 => Ok(leeway),
        _ => Err("it must be whole seconds, like 5s".to_owned()),
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    let problem = "not an origin; write it as browsers send it, like https://app.example: in lower \
        case, without a path, and without the scheme's own port; https://*.app.example stands for the \
        subdomains";
    Origin::parse(text.trim()).ok_or_else(|| problem.to_owned())
}

pub(crate) fn pattern(text: &str) -> Result<KeyPattern, String> {
    KeyPattern::parse(text.trim()).ok_or_else(|| {
        "not a key; write document:42, or document:* for all that begin so".to_owned()
    })
}

fn log_filter(text: &str) -> Result<String, String> {
    let problem =
        |_| "not a filter; write it like info, or like info,relay_server=debug".to_owned();
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(problem)
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        "not an address or a network; write it like 10.0.0.1 or 10.0.0.0/8".to_owned()
    })?;
    let is_mapped = matches!(network, IpNet::V6(it) if it.network().to_ipv4_mapped().is_some());
    match network.prefix_len() {
        0 => Err("everybody can't be trusted; name the proxies".to_owned()),
        _ if is_mapped => Err("an IPv4 address in IPv6's form; write it like 10.0.0.1".to_owned()),
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "--secret=a secret of at least thirty-two bytes";
    const KEY: &str = include_str!("auth/keys/tests/ed25519.pem");

    #[test]
    fn without_random_numbers_there_is_no_secret_rather_than_a_known_one() {
        let error = random_secret(|_| Err(())).unwrap_err();
        assert!(error.to_string().starts_with("no_randomness: "));
        let secret = random_secret(|bytes| {
            bytes.fill(7);
            Ok::<_, ()>(())
        });
        assert_eq!(secret.unwrap().expose_secret(), "07".repeat(MIN_SECRET_BYTES));
    }

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_says_what_it_is_for() {
        for arg in Args::command().get_arguments() {
            assert!(arg.get_help().is_some(), "{} has no help", arg.get_id());
        }
    }

    #[test]
    fn without_dev_a_secret_of_some_length_is_needed() {
        assert!(refusal(&[]).starts_with("secret_missing: "));
        assert!(refusal(&["--secret", "short"]).starts_with("secret_too_short: "));
        assert!(refusal(&[SECRET, "--resume-secret", "short"]).starts_with("secret_too_short: "));
        assert!(refusal(&["--secret-file", "/nowhere"]).starts_with("secret_unreadable: "));
        assert!(config(&[SECRET]).is_ok());
        assert!(config(&["--dev"]).is_ok());
    }

    #[test]
    fn keys_take_the_place_of_a_secret_if_resume_tokens_have_one_of_their_own() {
        const OWN: &str = "--resume-secret=another secret of thirty-two bytes!!";
        let keys = format!("--token-keys={KEY}");
        assert!(refusal(&[&keys]).starts_with("resume_secret_missing: "));
        assert!(config(&[&keys, OWN]).is_ok());
        assert!(config(&[&keys, SECRET]).is_ok(), "or besides a secret");
        assert!(
            config(&[&keys.replace('\n', "\\n"), OWN]).is_ok(),
            "as files of variables have it"
        );
        assert!(config(&["--token-keys-file=src/auth/keys/tests/ed25519.pem", OWN]).is_ok());
        assert!(refusal(&["--token-keys= ", OWN]).starts_with("secret_missing: "));
    }

    #[test]
    fn keys_that_can_not_be_trusted_are_refused_and_it_is_said_why() {
        #[track_caller]
        fn check(args: &[&str], code: &str, why: &str) {
            let error = anyhow::Error::from(config(&[&[SECRET], args].concat()).unwrap_err());
            let text = format!("{error:#}");
            assert!(text.starts_with(&format!("{code}: ")) && text.contains(why), "{text}");
        }
        check(&["--token-keys=garbage"], "token_keys_unusable", "no public key");
        let short = "--token-keys-file=src/auth/keys/tests/rsa-1024.pem";
        check(&[short], "token_keys_unusable", "1024 bits");
        check(&["--token-keys-file=/nowhere"], "token_keys_unreachable", "/nowhere");
        check(&["--token-keys-file=/"], "token_keys_unreachable", "can't be read");
        let address = "--token-keys-url=http://login.example/jwks";
        check(&[address], "token_keys_address", "nor http://… on this machine");
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = format!("--token-keys-url=http://{closed}/jwks");
        let mut later = config(&[SECRET, &address]).unwrap().keyring;
        assert!(later.is_waiting() && later.take_failure().is_some(), "it may answer soon");
        let args = Args::try_parse_from(["whoshere-relay", SECRET, &address]).unwrap();
        let error = args.check().unwrap_err().to_string();
        assert!(error.starts_with("token_keys_unreachable: "), "{error}");
        let authorities = |path| ["--token-keys-url=https://login.example/jwks", path];
        check(&authorities("--token-keys-ca=/nowhere"), "token_keys_ca_unreadable", "/nowhere");
        let no_certificate = authorities("--token-keys-ca=src/auth/keys/tests/ed25519.pem");
        check(&no_certificate, "token_keys_address", "no certificate");
    }

    #[test]
    fn who_is_trusted_as_a_proxy_is_somebody_in_particular() {
        for good in ["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32"] {
            assert!(network(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("0.0.0.0/0", "everybody"),
            ("::/0", "everybody"),
            ("::ffff:10.0.0.0/104", "IPv6's form"),
            ("proxy.example", "not an address"),
        ] {
            assert!(network(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn dev_is_for_this_machine_only() {
        for public in ["0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080"] {
            assert!(refusal(&["--dev", "--listen", public]).starts_with("dev_not_loopback: "));
        }
        for loopback in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:8080"] {
            assert!(config(&["--dev", "--listen", loopback]).is_ok(), "{loopback}");
        }
        let proxied = refusal(&["--dev", "--trusted-proxy", "127.0.0.1"]);
        assert!(proxied.starts_with("dev_behind_proxy: "), "{proxied}");
        assert!(refusal(&["--dev", "--demo", "/nowhere"]).starts_with("no_folder: --demo"));
        assert!(Args::try_parse_from(["whoshere-relay", SECRET, "--demo", "www"]).is_err());
    }

    #[test]
    fn tls_needs_a_certificate_and_its_own_key() {
        let tls = |cert: &str, key: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/tls");
            let flags = [("--tls-cert", cert), ("--tls-key", key)];
            let flags = flags.map(|(flag, file)| format!("{flag}={folder}/{file}"));
            config(&[SECRET, &flags[0], &flags[1]]).map(|it| it.tls.is_some())
        };
        assert!(tls("one.crt", "one.key").unwrap());
        for (cert, key) in
            [("none.crt", "one.key"), ("one.crt", "other.key"), ("one.key", "one.key")]
        {
            let error = tls(cert, key).unwrap_err().to_string();
            assert!(error.starts_with("tls_unusable: "), "{error}");
        }
        let only_one = ["whoshere-relay", SECRET, "--tls-cert=/nowhere"];
        assert!(Args::try_parse_from(only_one).is_err());
    }

    #[test]
    fn what_can_not_work_is_refused_with_a_hint() {
        #[track_caller]
        fn check(args: &[&str], hint: &str) {
            let args = [&["whoshere-relay", SECRET], args].concat();
            let text = Args::try_parse_from(args).unwrap_err().to_string();
            assert!(text.contains(hint), "{text}");
        }
        check(&["--log", "loud=very"], "like info, or like");
        check(&["--grace", "30"], "write it like 30s");
        check(&["--grace", "0s"], "between 100ms and 1h");
        check(&["--token-leeway", "1500ms"], "whole seconds");
        check(&["--token-leeway", "11m"], "between 0s and 10m");
        check(&["--max-presences", "0"], "is not in 1..=10000000");
        check(&["--heartbeat", "1h"], "between 100ms and 5m");
        check(&["--drain", "10s"], "between 0s and 9s 900ms");
        check(&["--origin", "app.example"], "like https://app.example");
        check(&["--origin", "https://a.example,*"], "like https://app.example");
        check(&["--last-seen", "doc*ument"], "write document:42");
        check(&["--last-seen-retention", "0s"], "between 1s and");
        check(&["--trusted-proxy", "10.0.0.0/33"], "write it like 10.0.0.1");
        check(&["--trusted-proxy", "proxy.example"], "write it like 10.0.0.1");
        check(&["--max-connects-per-address", "1000001"], "is not in 0..=1000000");
        check(&["--max-connections", "0"], "is not in 1..=1000000");
        check(&["--listen", "8080"], "invalid socket address");
    }

    #[test]
    fn what_is_asked_for_is_what_is_done() {
        let config = config(&[
            SECRET,
            "--grace=1m 30s",
            "--heartbeat=500ms",
            "--origin=https://a.example,https://b.example",
            "--origin=http://localhost:3000",
            "--max-connections=7",
            "--max-connections-per-user=0",
            "--max-presences=500",
            "--max-presences-per-user=50",
        ])
        .unwrap();
        assert_eq!(config.relay.grace, Duration::from_secs(90));
        assert_eq!(config.relay.heartbeat, Duration::from_millis(500));
        assert_eq!(config.relay.max_connections, 7);
        assert_eq!(config.relay.max_connections_per_user, usize::MAX, "0 is no limit");
        assert_eq!(config.relay.max_presences, 500);
        assert_eq!(config.relay.max_presences_per_user_in_all, 50);
        assert_eq!(config.origins.listed.len(), 3);
        assert!(!config.origins.same_host);
        assert!(config.last_seen.is_none(), "nothing is kept unless it is asked for");
        assert!(!format!("{config:?}").contains("thirty-two"), "secrets are not shown");
    }

    #[test]
    fn keys_given_as_text_and_what_is_secret_in_addresses_are_not_shown() {
        let args = [
            "whoshere-relay",
            SECRET,
            "--token-keys=hush",
            "--token-keys-url=http://me:hush@login.example/jwks?key=hush",
        ];
        let args = Args::try_parse_from(args).unwrap();
        assert!(!format!("{:?}", args.token_keys).contains("hush"));
        let only_url = Args { token_keys: None, ..args };
        let error = format!("{:#}", anyhow::Error::from(only_url.into_config().unwrap_err()));
        assert!(error.starts_with("token_keys_address: http://login.example/jwks: "), "{error}");
        assert!(!error.contains("hush"), "{error}");
        let hook = refusal(&[SECRET, "--webhook=https://me:hush@app.example/hook?key=hush"]);
        assert!(hook.starts_with("webhook_address: --webhook https://app.example/hook "), "{hook}");
        assert!(!hook.contains("hush"), "{hook}");
    }

    #[test]
    fn a_variable_that_is_misspelt_is_found() {
        let names = ["WHOSHERE_ORIGIN", "WHOSHERE_ORIGINS", "PATH", "WHOSHERE_WEBHOOK_SECRET"];
        let unknown = unknown_variables(names.into_iter().map(OsString::from));
        assert_eq!(unknown, ["WHOSHERE_ORIGINS"]);
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let config = config(&[SECRET, "--audience=", "--issuer= "]).unwrap();
        assert_eq!((config.token.audience, config.token.issuer), (None, None));
    }

    #[test]
    fn what_people_viewed_is_kept_where_it_is_asked_for() {
        let asked = [SECRET, "--last-seen=document:*,wiki", "--last-seen-retention=7d"];
        let last_seen = config(&asked).unwrap().last_seen.unwrap();
        assert_eq!(last_seen.rules.keys.len(), 2);
        assert_eq!(last_seen.rules.retention, Duration::from_secs(7 * 86_400));
        assert!(refusal(&[SECRET, "--data=/nowhere"]).starts_with("no_folder: --data"));
    }

    fn config(args: &[&str]) -> Result<Config, ConfigError> {
        let args = [&["whoshere-relay"], args].concat();
        Args::try_parse_from(args).unwrap().into_config()
    }

    #[track_caller]
    fn refusal(args: &[&str]) -> String {
        config(args).unwrap_err().to_string()
    }
}
