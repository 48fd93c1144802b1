//! What is measured, and how it is asked for.

mod count;
mod crowd;
mod idle;
mod outgoing;
mod pages;
mod reference;
mod restart;
mod server;
mod storm;
mod system;
mod table;
mod wire;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use reference::Reference;
use serde_json::json;
use server::Server;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use system::Cores;

/// Open files that are needed besides the connections.
const OTHER_FILES: u64 = 100;

/// Measures the relay: what a delivery costs, what an idle connection costs.
///
/// Builds the relay, starts it on a core of its own with its default settings, and puts load on it from
/// another core. CPU time and memory are read from the kernel. Without a part, all of them run.
#[derive(Debug, Parser)]
#[command(bin_name = "npm run bench --")]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,

    /// Prints one line of JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,

    /// For how many seconds each rate of `outgoing` is measured, and its reference as long.
    #[arg(long, global = true, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,

    /// A relay that is built already. [default: `cargo build --release -p relay-server` makes one]
    #[arg(long, global = true, value_name = "FILE")]
    relay: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Updates delivered per CPU second while all viewers of one key send.
    Outgoing {
        /// How many viewers.
        #[arg(long, default_value_t = 100, value_parser = viewers)]
        viewers: usize,
        /// Updates a second of each viewer; may be repeated.
        #[arg(long = "rate", default_values_t = [10, 20, 50], value_parser = clap::value_parser!(u32).range(1..=100))]
        rates: Vec<u32>,
    },
    /// Memory and CPU time of connections that do nothing but stay.
    Idle {
        /// How many connections.
        #[arg(long, default_value_t = 5000, value_parser = viewers)]
        connections: usize,
    },
    /// The time until everybody sees everybody when all come at once.
    JoinStorm {
        /// How many viewers.
        #[arg(long, default_value_t = 200, value_parser = viewers)]
        viewers: usize,
    },
    /// What people see of a restart of the relay under all of their pages.
    Restart {
        /// How many sessions, ten in each key.
        #[arg(long, default_value_t = 5000, value_parser = viewers)]
        sessions: usize,
    },
    /// The bare reference of `outgoing`, which starts it itself.
    #[command(hide = true)]
    Reference(Reference),
}

/// What all parts need to know.
#[derive(Debug)]
struct Bench {
    relay: PathBuf,
    cores: Option<Cores>,
    seconds: Duration,
}

impl Bench {
    fn start_relay(&self) -> Result<Server> {
        Server::relay(&self.relay, self.cores)
    }
}

pub(crate) fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let Args { part, json, seconds, relay } = args;
    if let Some(Part::Reference(reference)) = part {
        return reference.serve();
    }
    let relay = relay.map_or_else(server::build_relay, Ok)?;
    let open_files = system::raise_open_files()?;
    let cores = Cores::find()?;
    match cores {
        Some(Cores { measured, load }) => {
            eprintln!("relay and reference run on core {measured}, the load on core {load}");
        }
        None => eprintln!("there is only one core, so the load disturbs what it measures"),
    }
    let bench = Bench { relay, cores, seconds: Duration::from_secs(seconds) };
    let parts = match part {
        Some(part) => vec![part],
        None => ["outgoing", "idle", "join-storm", "restart"]
            .into_iter()
            .filter_map(|name| Args::parse_from(["load", name]).part)
            .collect(),
    };
    let mut all = serde_json::Map::new();
    let mut is_seen = false;
    for part in parts {
        let (name, result, text, remarks) = match part {
            Part::Outgoing { viewers, rates } => {
                let results = rates
                    .into_iter()
                    .map(|rate| {
                        eprintln!("outgoing: {viewers} viewers, {rate} updates a second each …");
                        outgoing::run(&bench, viewers, rate)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let title = format!(
                    "outgoing: {viewers} viewers of one key, each sends updates; {seconds} s a column"
                );
                let text = format!("{title}\n{}", outgoing::table(&results));
                ("outgoing", json!(results), text, outgoing::remarks(&results))
            }
            Part::Idle { connections } => {
                let connections = connections.min(most_connections(open_files)?);
                eprintln!("idle: {connections} connections …");
                let result = idle::run(&bench, connections)?;
                let text =
                    format!("idle: everybody joined, ten to a key\n{}", idle::table(&result));
                ("idle", json!(result), text, idle::remarks(&result))
            }
            Part::JoinStorm { viewers } => {
                eprintln!("join-storm: {viewers} viewers …");
                let result = storm::run(&bench, viewers)?;
                let title = "join-storm: everybody joins one key at the same moment";
                let text = format!("{title}\n{}", storm::table(&result));
                ("join_storm", json!(result), text, Vec::new())
            }
            Part::Restart { sessions } => {
                let sessions = sessions.min(most_connections(open_files)?);
                eprintln!("restart: {sessions} sessions …");
                let result = restart::run(&bench, sessions)?;
                let title = "restart: everybody's SDK goes on, ten to a key";
                let text = format!("{title}\n{}", restart::table(&result));
                is_seen |= restart::is_seen(&result);
                ("restart", json!(result), text, restart::remarks(&result))
            }
            Part::Reference(_) => continue,
        };
        if !json {
            println!("\n{text}");
        }
        for remark in remarks {
            eprintln!("{name}: {remark}");
        }
        all.insert(name.to_owned(), result);
    }
    if json {
        println!("{}", serde_json::Value::Object(all));
    }
    // A figure may be the machine's; what somebody sees of a restart is a broken promise.
    ensure!(!is_seen, "the restart was seen, or somebody was back too late");
    Ok(())
}

/// How many connections the system allows.
fn most_connections(open_files: u64) -> Result<usize> {
    let possible = usize::try_from(open_files.saturating_sub(OTHER_FILES))?;
    if possible < 5000 {
        eprintln!("no more than {open_files} open files are allowed here");
    }
    Ok(possible)
}

fn viewers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 2..=19_000) => Ok(number),
        _ => Err("a number from 2 to 19000".to_owned()),
    }
}
