//! libFuzzer with one target, which `MLS_FUZZ_TARGET` names. `scripts/fuzz` builds and calls it.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use mls_fuzz::{TARGETS, Target};
use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How long any input may take, and how long each byte of it.
const FLOOR: Duration = Duration::from_millis(10);
const PER_BYTE: Duration = Duration::from_micros(1);

/// How many bytes of memory an input may take.
const MAX_MEMORY: usize = 64 << 20;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("MLS_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!("MLS_FUZZ_TARGET={name:?} is not one of {}", names.join(", "))
    })
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let floor = FLOOR * TARGET.floor;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let allowed = floor + PER_BYTE * length;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut took = time(bytes);
    let memory = MEMORY.peak_usage().saturating_sub(before);
    assert!(memory <= MAX_MEMORY, "{length} bytes took {} MiB of memory", memory >> 20);
    // The first run pays for what is set up once, and for interrupts.
    for _ in 0..5 {
        if took <= allowed {
            return Corpus::Keep;
        }
        took = took.min(time(bytes));
    }
    assert!(took <= allowed, "{length} bytes took {took:?}, and {allowed:?} is allowed");
    Corpus::Keep
});

/// Runs the target and returns how long this thread was computing.
fn time(bytes: &[u8]) -> Duration {
    let start = now();
    (TARGET.run)(bytes);
    now().saturating_sub(start)
}

fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
