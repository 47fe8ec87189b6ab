//! A line of a flow dump is bad, or prints as it was: as a whole, in types, and as a dump of many.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdpa_ovs::flow::{Actions, Dump, FlowLine, Key};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(Key::of(text).to_string(), text);
        assert_eq!(Actions::of(text).to_string(), text);
    }
    let mut dump = Dump::new(bytes);
    while let Some(entry) = dump.next_entry().expect("bytes can be read") {
        let Some(Ok(line)) = entry.flow else { continue };
        let flow = line.parse();
        assert_eq!(flow.to_string(), line.text);
        assert_eq!(FlowLine::scan(line.text), Ok(line), "a line by itself is what it is among others");
        let mut brief = String::new();
        line.brief_key(&mut brief);
        assert!(brief.len() <= line.key.len());
        let attributes: Vec<String> = line
            .attributes()
            .map(|(name, content)| content.map_or_else(|| name.to_owned(), |content| format!("{name}({content})")))
            .collect();
        assert_eq!(attributes.join(","), line.key);
        assert_eq!(line.each_action().collect::<Vec<_>>().join(","), line.actions);
    }
});
