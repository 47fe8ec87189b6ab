//! Five hundred times there and back, on one simulated host: nothing is left of it, neither on the host nor in the program.

mod common;

use common::{Bench, alike, reference};

/// How often the host is set up and torn down.
const ROUNDS: u32 = 500;
/// Rounds after which the program has all that it keeps for good: threads of the runtime, buffers of the allocator.
const WARM: u32 = 100;
/// What memory may grow by from then on, in KiB: about 50 bytes a statement and round.
const SLACK_KIB: u64 = 8 * 1024;

/// What this process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    files: usize,
    threads: usize,
    memory_kib: u64,
}

impl Held {
    fn now() -> Self {
        let count = |directory| std::fs::read_dir(directory).unwrap().count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory_kib = resident.and_then(|rest| rest.trim().strip_suffix(" kB")).unwrap().parse().unwrap();
        Self { files: count("/proc/self/fd"), threads: count("/proc/self/task"), memory_kib }
    }
}

#[tokio::test]
async fn five_hundred_rounds_leave_nothing_on_the_host_and_nothing_in_the_program() {
    let bench = Bench::new();
    let before = bench.settled_snapshot().await;
    let mut warm = None;
    for round in 1..=ROUNDS {
        let done =
            bench.setup(reference()).await.unwrap_or_else(|failure| panic!("round {round}: {failure:?}"));
        assert!(done.changed, "round {round} had nothing to do");
        bench.teardown().await.unwrap_or_else(|failure| panic!("round {round}: {failure:?}"));
        assert!(!bench.has_receipt(), "round {round} left its receipt");
        // The mock's own memory of what was done to it, and what the test was told.
        bench.host.machine.meddle(|state| state.journal.clear());
        bench.told.forget();
        if round % 50 == 0 {
            alike(&before, &bench.settled_snapshot().await, &format!("after round {round}"));
        }
        if round == WARM {
            warm = Some(Held::now());
        }
    }
    let (warm, end) = (warm.unwrap(), Held::now());
    assert_eq!(warm.files, end.files, "file descriptors leak: {warm:?}, {end:?}");
    assert!(end.threads <= warm.threads + 1, "threads leak: {warm:?}, {end:?}");
    assert!(end.memory_kib <= warm.memory_kib + SLACK_KIB, "memory leaks: {warm:?}, {end:?}");
    println!(
        "{ROUNDS} rounds: {} file descriptors, {} KiB after {WARM}, {} KiB at the end",
        end.files, warm.memory_kib, end.memory_kib
    );
}
