//! What the kernel knows of processes, and where it lets them run.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs::read_to_string;
use std::time::Duration;

/// Two cores: one for what is measured and one for the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) measured: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// The first and the last core that this process may use, or `None` if there is only one.
    pub(crate) fn find() -> Result<Option<Self>> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("can't tell the usable cores")?;
        let is_usable = |core: &usize| allowed.is_set(*core).unwrap_or(false);
        let mut usable = (0..CpuSet::count()).filter(is_usable);
        let first = usable.next();
        Ok(first.zip(usable.next_back()).map(|(measured, load)| Self { measured, load }))
    }
}

/// Confines this thread, and whatever it starts from now on, to a core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores).with_context(|| format!("can't pin to core {core}"))
}

/// Raises the limit of open files as far as it goes, for this process and those that it starts.
/// Returns the limit.
pub(crate) fn raise_open_files() -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// The time that its threads were on a core, user and kernel together.
    pub(crate) cpu: Duration,
    /// The same in the kernel's ticks of 10 ms, told apart. Good for their ratio.
    pub(crate) user_ticks: u64,
    pub(crate) kernel_ticks: u64,
    /// System calls of the `write` family: `write` and `writev`, but not `send`.
    pub(crate) n_writes: u64,
}

impl Usage {
    pub(crate) fn of(pid: Pid) -> Result<Self> {
        let stat = read_to_string(format!("/proc/{pid}/stat"))?;
        let (user_ticks, kernel_ticks) = ticks(&stat).context("/proc/PID/stat is unreadable")?;
        // Not every kernel counts system calls.
        let io = read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(Self {
            cpu: cpu_time(clock_getcpuclockid(pid)?)?,
            user_ticks,
            kernel_ticks,
            n_writes: number_after(&io, "syscw:").unwrap_or(0),
        })
    }

    /// What was used since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            kernel_ticks: self.kernel_ticks.saturating_sub(earlier.kernel_ticks),
            n_writes: self.n_writes.saturating_sub(earlier.n_writes),
        }
    }

    /// What was used in both of two stretches of time.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            user_ticks: self.user_ticks + other.user_ticks,
            kernel_ticks: self.kernel_ticks + other.kernel_ticks,
            n_writes: self.n_writes + other.n_writes,
        }
    }

    /// Which part of the CPU time went to the kernel.
    pub(crate) fn kernel_share(self) -> f64 {
        self.kernel_ticks as f64 / ((self.user_ticks + self.kernel_ticks) as f64).max(1.0)
    }
}

/// This process's own CPU time.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_time(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// The memory of a process that is in RAM, in bytes.
pub(crate) fn resident_bytes(pid: Pid) -> Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let kib = number_after(&status, "VmRSS:").context("/proc/PID/status names no VmRSS")?;
    Ok(kib * 1024)
}

fn cpu_time(clock: ClockId) -> Result<Duration> {
    Ok(Duration::from(clock_gettime(clock)?))
}

/// User and kernel ticks from the text of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The second field is the program's name, which may hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.split_once(name)?.1.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "123 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 71 29 0 0 20 0 3 0 999";
        assert_eq!(ticks(stat), Some((71, 29)));
    }

    #[test]
    fn numbers_are_found_behind_their_names() {
        let status = "Name:\tx\nVmHWM:\t   90 kB\nVmRSS:\t   84 kB\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(84));
        assert_eq!(number_after(status, "VmSwap:"), None);
    }

    #[test]
    fn the_two_accounts_of_a_process_agree() {
        let before = Usage::of(Pid::this()).unwrap();
        let end = own_cpu().unwrap() + Duration::from_millis(300);
        while own_cpu().unwrap() < end {}
        let used = Usage::of(Pid::this()).unwrap().since(before);
        assert!(used.cpu >= Duration::from_millis(300));
        let ticks = used.user_ticks + used.kernel_ticks;
        let by_clock = u64::try_from(used.cpu.as_millis()).unwrap() / 10;
        assert!(ticks.abs_diff(by_clock) <= 3, "{ticks} ticks, {by_clock} by the clock");
    }
}
