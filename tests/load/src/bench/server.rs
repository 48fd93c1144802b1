//! The processes that are measured: the relay and the reference.

use super::system::{self, Cores, Usage};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What both processes say when they can be connected to; an address follows.
pub(crate) const LISTENING: &str = "listening on http://";
/// The secret that tokens are signed with.
pub(crate) const SECRET: &str = "the secret of the load program, long enough";

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds the relay, as it is released. Returns its program.
pub(crate) fn build_relay() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--package=relay-server", "--bin=whoshere-relay"])
        .status()
        .context("cargo can't be started")?;
    ensure!(built.success(), "the relay could not be built");
    // Cargo puts the programs of a profile side by side, and those of all profiles under one folder.
    let own = env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program is not in a folder of cargo's")?;
    let relay = target.join("release/whoshere-relay");
    ensure!(relay.is_file(), "the relay was built, but is not at {}", relay.display());
    Ok(relay)
}

/// A process that serves on a port of this machine. It ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    address: SocketAddr,
    /// Kept open for what it may still say.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the relay with its defaults, on a free port.
    pub(crate) fn relay(program: &PathBuf, cores: Option<Cores>) -> Result<Self> {
        Self::relay_at(SocketAddr::from(([127, 0, 0, 1], 0)), program, cores)
    }

    /// Starts the relay with its defaults, but for what one address may do: here all come from one.
    pub(crate) fn relay_at(
        listen: SocketAddr,
        program: &PathBuf,
        cores: Option<Cores>,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .arg(format!("--listen={listen}"))
            .args(["--origin=http://localhost", "--log=warn"])
            .arg("--max-connects-per-address=0")
            .env("WHOSHERE_SECRET", SECRET);
        Self::start(command, cores).context("the relay can't be started")
    }

    /// Starts this program as something else.
    pub(crate) fn this_program(args: &[String], cores: Option<Cores>) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(args);
        Self::start(command, cores).context("this program can't be started as a reference")
    }

    /// Starts a process on the measured core and waits until it listens.
    fn start(mut command: Command, cores: Option<Cores>) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // A process begins on the core of the thread that starts it.
        let spawned = match cores {
            Some(cores) => {
                system::pin(cores.measured)?;
                let spawned = command.spawn();
                system::pin(cores.load)?;
                spawned
            }
            None => command.spawn(),
        };
        let mut child = spawned?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let stdout = child.stdout.take().context("it has no output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let Some(address) = line.trim().strip_prefix(LISTENING).and_then(|it| it.parse().ok())
        else {
            let _ = child.kill();
            bail!("it ended with {} instead of listening", child.wait()?);
        };
        Ok(Self { child, pid, address, _stdout: stdout })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid)
    }

    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        system::resident_bytes(self.pid)
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) -> Result<()> {
        Ok(kill(self.pid, Signal::SIGTERM)?)
    }

    /// True once it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let give_up_at = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < give_up_at {
            if self.has_ended()? {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
        bail!("process {} did not end within {STOP_TIMEOUT:?} of SIGTERM", self.pid)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; then these do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
