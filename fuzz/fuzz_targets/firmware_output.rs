//! What firmware tools print, or anything else: it is read or refused, and what is read can be printed and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdpa_hw::firmware::{Keeper, Settings, read, reset_levels};

fuzz_target!(|text: &str| {
    if let Ok(levels) = reset_levels(text) {
        assert!(!levels.is_empty());
    }
    let Ok(cards) = read(text, Keeper::Saved) else { return };
    let printed: String = cards.iter().map(Settings::to_string).collect();
    assert_eq!(read(&printed, Keeper::Saved).expect("what we print can be read"), cards, "{printed}");
});
