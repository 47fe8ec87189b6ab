//! Any bytes as a receipt: refused, or read; what is read says what it wants without a stumble and can be written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdpa_cli::receipt::Receipt;

fuzz_target!(|bytes: &[u8]| {
    let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) else { return };
    let _ = receipt.wanted().len() + receipt.intended().len();
    let _ = receipt.initial_of(&receipt.all_stages());
    let mut ended = receipt.clone();
    ended.finish();

    let written = serde_json::to_vec(&receipt).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Receipt>(&written).expect("what is written can be read"), receipt);
});
