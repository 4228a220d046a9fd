//! Measures the CPU time and the peak memory of processes.

use std::time::Duration;

/// The process that is measured.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Process {
    /// This process, with all its threads.
    Own,
    /// The processes that this one started and waited for.
    Children,
}

/// The CPU time and the peak memory so far.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// User and system time of all threads. It is not from `/proc`, whose clock ticks are too coarse.
    pub cpu: Duration,
    /// The peak memory in bytes; for several processes, that of the largest. The value of a child is at
    /// least the memory of its parent when the child was started, so the parent must be small.
    pub peak: u64,
}

/// Returns the CPU time and the peak memory so far.
///
/// # Panics
/// Panics if the system call fails.
#[cfg(target_os = "linux")]
#[must_use]
pub fn measure(process: Process) -> Usage {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike as _};

    let usage = getrusage(match process {
        Process::Own => UsageWho::RUSAGE_SELF,
        Process::Children => UsageWho::RUSAGE_CHILDREN,
    })
    .unwrap();
    let time = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Usage {
        cpu: time(usage.user_time()) + time(usage.system_time()),
        peak: usage.max_rss().unsigned_abs() * 1024,
    }
}

/// Returns zero, because nothing can be measured on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn measure(_: Process) -> Usage {
    Usage::default()
}

/// Returns the peak memory of this process in bytes, without that of its parent.
#[must_use]
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kibibytes.and_then(|n| n.parse().ok()).unwrap_or(0) * 1024
}

/// Returns the median, which ignores outliers from a machine that is busy for a moment.
///
/// # Panics
/// Panics if there are no values.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_ignores_outliers() {
        assert_eq!(median([5.0, 1e9, 1.0]), 5.0);
        assert_eq!(median([2.0]), 2.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_and_memory_are_measured() {
        let before = measure(Process::Own).cpu;
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        assert!(measure(Process::Own).cpu > before);
        assert!(peak() > 32 << 20, "{} of {}", peak(), block.len());
    }
}
