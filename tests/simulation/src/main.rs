//! `simulation`: runs seeds of the simulated world and says which ones go wrong.

use std::process::ExitCode;

const HELP: &str = "\
Runs whole systems of pages and a relay in virtual time, one for each seed.

  simulation [--seeds N] [--from SEED]   N seeds (default 2000) from SEED (default 0) on
  simulation --seed SEED                 one seed, with everything that happened
";

#[expect(clippy::print_stdout, reason = "it is a command-line tool")]
fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let place = arguments.iter().position(|it| it == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    if arguments.iter().any(|it| it == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = number("--seed") {
        let world = simulation::chaos::run(seed, true);
        println!("{}", world.trace.unwrap_or_default().join("\n"));
        println!("{:?}", world.faults);
        return if world.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (seeds, from) = (number("--seeds").unwrap_or(2_000), number("--from").unwrap_or(0));
    let mut failed = 0;
    for seed in from..from + seeds {
        let world = simulation::chaos::run(seed, false);
        if !world.faults.is_empty() {
            failed += 1;
            println!("seed {seed}: {}", world.faults.join("; "));
            println!("  again: cargo run -q --profile simulation -p simulation -- --seed {seed}");
        }
    }
    println!("{} passed, {failed} failed", seeds - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
