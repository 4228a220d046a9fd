//! What a process cost: its time on processors, and its memory.

use std::time::Duration;

/// Whose cost.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Whose {
    /// Of this process, with all its threads.
    Own,
    /// Of the processes that this one started and waited for.
    Children,
}

/// What was spent so far.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// User and system time, in all threads. The clock ticks of `/proc` would be too coarse.
    pub cpu: Duration,
    /// The most memory at any time, in bytes; of several processes, that of the largest. A child's begins
    /// with what its parent had when it started it: the parent has to be small.
    pub peak: u64,
}

/// What was spent so far.
///
/// # Panics
/// Where the system does not tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn of(whose: Whose) -> Usage {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike as _};

    let usage = getrusage(match whose {
        Whose::Own => UsageWho::RUSAGE_SELF,
        Whose::Children => UsageWho::RUSAGE_CHILDREN,
    })
    .unwrap();
    let time = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Usage {
        cpu: time(usage.user_time()) + time(usage.system_time()),
        peak: usage.max_rss().unsigned_abs() * 1024,
    }
}

/// Nothing that could be measured.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn of(_: Whose) -> Usage {
    Usage::default()
}

/// The most memory that this process has had, in bytes, whatever its parent had.
#[must_use]
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kibibytes.and_then(|n| n.parse().ok()).unwrap_or(0) * 1024
}

/// The one in the middle: a machine that is busy for a moment makes outliers.
///
/// # Panics
/// Without values.
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
    fn the_median_ignores_outliers() {
        assert_eq!(median([5.0, 1e9, 1.0]), 5.0);
        assert_eq!(median([2.0]), 2.0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_and_memory_are_seen() {
        let before = of(Whose::Own).cpu;
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        assert!(of(Whose::Own).cpu > before);
        assert!(peak() > 32 << 20, "{} of {}", peak(), block.len());
    }
}
