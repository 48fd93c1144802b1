//! The relay's program: reads its flags, listens, serves until it is told to stop.

use anyhow::Context;
use relay_server::command::Command;
use relay_server::config::{Args, unknown_variables};
use relay_server::log;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Serve(args) => serve(*args).await,
        Command::Check(args, listing) => check(*args, &listing),
        Command::Token(args) => args.mint().map_err(Into::into).and_then(|token| print(&token)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A sentence, and never a backtrace: what went wrong here is the operator's to mend.
            let _ = writeln!(std::io::stderr(), "whoshere-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(args: Args, listing: &str) -> anyhow::Result<()> {
    print(listing)?;
    let advice = args.advice();
    for surplus in args.check()? {
        print(&format!("A start would remove {surplus}."))?;
    }
    for text in advice {
        print(&format!("Mind: {text}."))?;
    }
    print("A relay with these flags and variables would start.")
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("can't write to standard output")
}

async fn serve(args: Args) -> anyhow::Result<()> {
    log::start(&args.log, args.log_format)?;
    for name in unknown_variables(std::env::vars_os().map(|it| it.0)) {
        warn!("{name} means nothing; `whoshere-relay --help` has the names");
    }
    let advice = args.advice();
    let (listen, listen_metrics) = (args.listen, args.metrics_listen);
    let config = args.into_config()?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);

    let (listener, address) = listen_on(listen).await?;
    let metrics = match listen_metrics {
        Some(listen) => Some(listen_on(listen).await?),
        None => None,
    };
    if config.dev.is_some() {
        warn!(
            "DEVELOPMENT MODE: whoever can reach {address} gets a token for any user and any key"
        );
    }
    for text in advice {
        warn!("{text}");
    }
    // Programs that start a relay wait for this line. If nobody reads it that is no reason to stop.
    let mut stdout = std::io::stdout();
    if let Some((_, address)) = &metrics {
        let _ = writeln!(stdout, "metrics on http://{address}/metrics");
    }
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let _ = writeln!(stdout, "listening on {scheme}://{address}").and_then(|()| stdout.flush());

    let told_to_stop = async move || {
        tokio::select! {
            _ = interrupt.recv() => info!("interrupted"),
            _ = terminate.recv() => info!("told to terminate"),
        }
    };
    relay_server::run(listener, metrics.map(|it| it.0), config, told_to_stop).await?;
    Ok(())
}

async fn listen_on(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let address = listener.local_addr().context("can't tell which port was given")?;
    Ok((listener, address))
}
