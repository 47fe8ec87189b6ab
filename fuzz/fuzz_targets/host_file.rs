//! Any text as a host file: it is a host, or one mistake with a place in the text and something to do about it.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vdpa_cli::config;

fuzz_target!(|text: &str| {
    match config::parse(Path::new("host.toml"), text) {
        Ok(host) => {
            assert!(!host.nics.is_empty(), "a host without a card");
            for nic in &host.nics {
                assert!(nic.vfs.iter().enumerate().all(|(at, vf)| usize::from(vf.index.get()) == at), "{nic:?}");
            }
        }
        Err(mistake) => {
            assert!(!mistake.message.is_empty() && !mistake.hint.is_empty(), "{mistake:?}");
            if let Some(place) = mistake.place {
                assert!(place.line >= 1 && place.line <= text.lines().count().max(1) + 1, "{place:?}");
                assert!(!place.shown().is_empty(), "{place:?}");
            }
        }
    }
});
