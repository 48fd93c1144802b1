//! What the program does besides serving: `check` and `token`.

use crate::Keyring;
use crate::auth::{Authority, TokenKey, redacted};
use crate::config::{Args, ConfigError, duration};
use crate::mint::{Mint, Wish};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use presence_core::relay::Capability;
use secrecy::ExposeSecret;
use std::fmt::Write;
use std::time::Duration;

/// What the program is asked for, as it is typed.
#[derive(Debug, Parser)]
#[command(name = "whoshere-relay", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Typed>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Subcommand)]
enum Typed {
    /// Says what a relay with these flags and variables would do, or why it wouldn't start.
    Check(Box<Args>),
    /// Makes a token, to try a relay with.
    #[command(mut_args(hide_if_unused))]
    Token(Box<TokenArgs>),
}

/// Under this heading are flags of the relay that a token is made for.
const RELAYS: &str = "The relay's flags";

/// What a token is to say.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The user's id.
    #[arg(long, value_name = "ID")]
    sub: String,
    /// The user's name. [default: the id]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The keys that the token is for, with commas in between. Example: `document:42,project:7:*`
    #[arg(long, value_name = "KEYS", value_delimiter = ',', required = true)]
    keys: Vec<String>,
    /// What it can do, with commas in between. [default: what a page needs]
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = capability)]
    can: Option<Vec<String>>,
    /// For how long it is good.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration(Duration::from_secs(1), Duration::from_secs(366 * 86_400)))]
    expires_in: Duration,
    #[command(flatten, next_help_heading = RELAYS)]
    relay: Args,
}

/// What the program is to do.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Args>),
    /// Say what it would do; the text lists each flag and what it is.
    Check(Box<Args>, String),
    /// Make a token.
    Token(Box<TokenArgs>),
}

impl Command {
    /// Reads the command line and the environment, or ends the program.
    #[must_use]
    pub fn parse() -> Self {
        let matches = command().get_matches();
        match Cli::from_arg_matches(&matches) {
            Ok(cli) => Self::of(cli, &matches),
            Err(error) => error.exit(),
        }
    }

    fn of(cli: Cli, matches: &ArgMatches) -> Self {
        match cli.command {
            None => Self::Serve(Box::new(cli.args)),
            Some(Typed::Token(args)) => Self::Token(args),
            Some(Typed::Check(args)) => {
                let matches = matches.subcommand_matches("check").unwrap_or(matches);
                Self::Check(args, listing(matches))
            }
        }
    }
}

/// The relay's own text is its manual's beginning.
fn command() -> clap::Command {
    let relay = Args::command();
    let about = relay.get_about().cloned().unwrap_or_default();
    let long_about = relay.get_long_about().cloned().unwrap_or_default();
    let all = Cli::command().about(about).long_about(long_about).mut_args(ignore_if_empty);
    all.mut_subcommands(|it| it.mut_args(ignore_if_empty))
}

/// In files of variables what is empty isn't set.
fn ignore_if_empty(arg: clap::Arg) -> clap::Arg {
    match arg.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => arg.env(clap::builder::Resettable::Reset),
        _ => arg,
    }
}

/// Most of the relay's flags mean nothing to a token, but may be set all the same.
fn hide_if_unused(arg: clap::Arg) -> clap::Arg {
    let is_relays = arg.get_help_heading() == Some(RELAYS);
    let is_used = ["secret", "secret_file", "audience", "issuer"].contains(&arg.get_id().as_str());
    arg.hide(is_relays && !is_used)
}

/// Each flag, what it is, and who says so. What is secret isn't shown.
fn listing(matches: &ArgMatches) -> String {
    let mut text = String::new();
    for arg in Args::command().get_arguments() {
        let (Some(flag), id) = (arg.get_long(), arg.get_id().as_str()) else { continue };
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("--{flag}"),
            Some(ValueSource::EnvVariable) => {
                arg.get_env().unwrap_or_default().to_string_lossy().into_owned()
            }
            _ => "default".to_owned(),
        };
        let values = matches.get_raw(id).into_iter().flatten();
        let values: Vec<_> = values.map(|it| it.to_string_lossy()).collect();
        let value = match &*values.join(",") {
            "" => "none".to_owned(),
            _ if arg.is_hide_env_values_set() => "(not shown)".to_owned(),
            url if ["webhook", "token_keys_url"].contains(&id) => redacted(url),
            value => value.to_owned(),
        };
        let _ = writeln!(text, "{flag:<28} {value:<28} {source}");
    }
    text
}

fn capability(word: &str) -> Result<String, String> {
    match Capability::from_name(word) {
        Some(_) => Ok(word.to_owned()),
        None => {
            let all: Vec<_> = Capability::ALL.iter().map(|it| it.name()).collect();
            Err(format!("not one of {}", all.join(", ")))
        }
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The relay itself wouldn't start.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing to sign with.
    #[error(
        "no_secret: a token is signed with the relay's secret (WHOSHERE_SECRET or --secret-file); \
         whoever has a private key signs with that"
    )]
    NoSecret,
    /// The relay would refuse it.
    #[error("token_refused: the relay would refuse such a token: {0}")]
    Refused(String),
}

impl TokenArgs {
    /// Makes the token.
    ///
    /// # Errors
    ///
    /// A [`TokenError`] that says what to change.
    pub fn mint(self) -> Result<String, TokenError> {
        let secret = self.relay.secret()?.ok_or(TokenError::NoSecret)?;
        let rules = self.relay.token_rules();
        let wish = Wish {
            user: &self.sub,
            name: self.name.as_deref(),
            keys: self.keys.iter().map(String::as_str).collect(),
            can: self.can.as_ref().map(|it| it.iter().map(String::as_str).collect()),
            expires_in: self.expires_in,
            ..Wish::default()
        };
        let refused = |error: &dyn std::error::Error| TokenError::Refused(error.to_string());
        let token = Mint::new(&secret, rules.clone()).sign(&wish).map_err(|it| refused(&it))?;
        let keyring = Keyring::new([TokenKey::of_secret(secret.expose_secret().as_bytes())]);
        Authority::new(keyring, &rules).check(&token).map_err(|it| refused(&it))?;
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "--secret=a secret that has more than thirty-two bytes";

    #[track_caller]
    fn parsed(args: &[&str]) -> Command {
        let matches = command().try_get_matches_from([&["whoshere-relay"], args].concat()).unwrap();
        Command::of(Cli::from_arg_matches(&matches).unwrap(), &matches)
    }

    #[track_caller]
    fn token(args: &[&str]) -> Result<String, TokenError> {
        match parsed(&[&["token"], args].concat()) {
            Command::Token(args) => args.mint(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_word_it_serves() {
        assert!(matches!(parsed(&[SECRET]), Command::Serve(_)));
        command().debug_assert();
    }

    #[test]
    fn a_check_lists_every_flag_and_no_secret() {
        let Command::Check(args, text) = parsed(&["check", SECRET, "--grace=1m"]) else {
            panic!("no check")
        };
        assert!(args.check().is_ok());
        let line = |flag: &str| {
            let mut lines = text.lines().map(|it| it.split_whitespace().collect::<Vec<_>>());
            lines.find(|it| it[0] == flag).unwrap().join(" ")
        };
        assert_eq!(line("grace"), "grace 1m --grace");
        assert_eq!(line("heartbeat"), "heartbeat 10s default");
        assert_eq!(line("secret"), "secret (not shown) --secret");
        assert_eq!(line("audience"), "audience none default");
        assert!(!text.contains("thirty-two"));
        let n_flags = Args::command().get_arguments().filter(|it| it.get_long().is_some()).count();
        assert_eq!(text.lines().count(), n_flags);
    }

    #[test]
    fn a_check_shows_of_addresses_what_is_no_secret() {
        let urls = ["--webhook=https://me:hush@app.example/hook?key=hush"];
        let keys = ["--token-keys-url=https://login.example/jwks?key=hush"];
        let Command::Check(_, text) = parsed(&[&["check", SECRET], &urls[..], &keys].concat())
        else {
            panic!("no check")
        };
        assert!(text.contains("https://app.example/hook ") && !text.contains("hush"), "{text}");
        assert!(text.contains("https://login.example/jwks "), "{text}");
    }

    #[test]
    fn a_check_finds_what_the_relay_would() {
        let Command::Check(args, _) = parsed(&["check", "--secret=short"]) else { panic!() };
        assert!(args.check().unwrap_err().to_string().starts_with("secret_too_short: "));
    }

    #[test]
    fn a_token_is_one_that_the_relay_takes() {
        let good = token(&[SECRET, "--sub=alice", "--keys=document:*,wiki", "--can=join,list"]);
        assert_eq!(good.unwrap().split('.').count(), 3);
        for wrong in [
            ["--sub=", "--keys=*", "--name=a"],
            ["--sub=alice", "--keys=doc*ument", "--name=a"],
            ["--sub=alice", "--keys=*", "--name="],
        ] {
            let error = token(&[&[SECRET], &wrong[..]].concat()).unwrap_err();
            assert!(error.to_string().starts_with("token_refused: "), "{error}");
        }
        let error = token(&["--sub=alice", "--keys=*"]).unwrap_err();
        assert!(error.to_string().starts_with("no_secret: "), "{error}");
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let args = ["whoshere-relay", "token", "--sub=a", "--keys=*", "--can=fly"];
        let error = command().try_get_matches_from(args).unwrap_err().to_string();
        assert!(error.contains("join, observe"), "{error}");
    }
}
