//! Runs libFuzzer with one target. `MLS_FUZZ_TARGET` names the target at build time, and the
//! program contains only the code of this target. This makes it faster, because libFuzzer checks
//! all counters of a program after each input. `scripts/fuzz` builds one program for each target.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mls_fuzz::Target;
use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The time limit for an empty input, and the additional time for each byte.
const FLOOR: Duration = Duration::from_millis(10);
const PER_BYTE: Duration = Duration::from_micros(1);

const TARGET: Target = match mls_fuzz::find(env!("MLS_FUZZ_TARGET")) {
    Some(target) => target,
    None => panic!("MLS_FUZZ_TARGET is not the name of a target"),
};

/// The slowest input until now, in percent of its time limit. Values up to 25 are not printed.
static SLOWEST: AtomicU64 = AtomicU64::new(25);

/// How many times a slow input is run again. An input fails only if every run is too slow. A single
/// run can be slow for other reasons: data that is created once, or other programs that use the
/// caches.
const MORE_RUNS: usize = 5;

fuzz_target!(|bytes: &[u8]| {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let allowed = FLOOR * TARGET.floor + PER_BYTE * length;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    // Measure the elapsed time first, which is never shorter than the CPU time. The system call for
    // the CPU time takes longer than many inputs, so only slow inputs use it.
    let start = Instant::now();
    (TARGET.run)(bytes);
    let mut took = start.elapsed();
    let memory = MEMORY.peak_usage().saturating_sub(before);
    assert!(memory <= TARGET.memory, "{length} bytes took {} MiB of memory", memory >> 20);
    for _ in 0..MORE_RUNS {
        if took <= allowed / 4 {
            return;
        }
        took = took.min(time(bytes));
    }
    let percent = u64::try_from(100 * took.as_micros() / allowed.as_micros()).unwrap_or(u64::MAX);
    if SLOWEST.fetch_max(percent, Ordering::Relaxed) < percent {
        eprintln!("slowest: {percent} % of the time limit");
    }
    assert!(took <= allowed, "{length} bytes took {took:?}, and {allowed:?} is allowed");
});

/// Runs the target and returns the CPU time of this thread.
fn time(bytes: &[u8]) -> Duration {
    let start = now();
    (TARGET.run)(bytes);
    now().saturating_sub(start)
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
