//! What dpdk-vdpa writes at its prompt, in whatever pieces it arrives: the same replies, and counters by queue.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdpa_datapath::dpdk::{Dialogue, QueueCounters};

fuzz_target!(|input: &[u8]| {
    // The first byte says in how large pieces the rest arrives.
    let Some((&size, bytes)) = input.split_first() else { return };
    let whole = Dialogue::default().push(bytes);
    let mut dialogue = Dialogue::default();
    let pieces: Vec<String> = bytes.chunks(usize::from(size).max(1)).flat_map(|piece| dialogue.push(piece)).collect();
    assert_eq!(pieces, whole);
    for reply in whole {
        for queue in QueueCounters::read(&reply) {
            assert!(queue.counters.iter().all(|(name, _)| !name.contains('\n')), "{queue:?}");
        }
    }
});
