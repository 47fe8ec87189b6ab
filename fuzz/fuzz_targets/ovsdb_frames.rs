//! A stream is cut into the same messages however it arrives, and what serde_json takes for an object is a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdpa_ovs::ovsdb::{
    frame::{Frame, FrameError, Limits, Splitter},
    message::Message,
};

const LIMITS: Limits = Limits { size: 4096, depth: 16 };

fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let (mut splitter, mut frames) = (Splitter::new(LIMITS), Vec::new());
    for piece in pieces {
        splitter.feed(piece);
        loop {
            match splitter.frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let (whole, error) = cut(std::iter::once(bytes));
    let (parts, other) = cut(bytes.chunks(usize::from(piece).max(1)));
    assert_eq!((&whole, error), (&parts, other));
    for frame in whole {
        let message = Message::read(&frame);
        let json: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(&frame.text);
        let Ok(object) = json else { continue };
        assert!(frame.members.len() >= object.len(), "a member was overlooked");
        for member in &frame.members {
            let name: String = serde_json::from_slice(&frame.text[member.name.clone()]).expect("a name");
            serde_json::from_slice::<serde_json::Value>(&frame.text[member.value.clone()]).expect("a value");
            assert!(object.contains_key(&name));
        }
        let method_is_text = object.get("method").is_none_or(|method| method.is_string() || method.is_null());
        if frame.members.len() == object.len() && method_is_text {
            message.expect("a message of sound JSON, no member twice");
        }
    }
});
