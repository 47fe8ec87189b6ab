//! Filters that `tc -s filter show` printed, as text or as JSON, read one by one in constant memory.
//!
//! What tc wrote of an action is kept as it is ([`ActionKind::Saved`]): devices have names there, which no index
//! of this machine stands for. Keys and values that read back as they were written are matches as the kernel's are; the
//! rest is [`Unread`].

mod json;
mod text;

use crate::{Action, ActionKind, Control, Filter, Flower, Key, Match, Unread};

pub use json::Json;
pub use text::Text;

/// The longest filter that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// A part of what tc printed.
#[derive(Debug)]
pub struct Entry {
    /// The line that it begins in, from 1.
    pub number: u64,
    /// The filter, or why it is none; nothing where it is the heading of a priority.
    pub filter: Result<Option<Saved>, String>,
}

/// A filter, and the text that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The filter.
    pub filter: Filter,
    /// What tc printed of it.
    pub text: String,
}

/// Adds what a rule looks at.
fn look_at(rule: &mut Flower, name: &str, value: &str) {
    let known = Key::ALL.iter().find(|key| key.name() == name);
    let read = known.and_then(|key| Match::parse(*key, value));
    match read.filter(|read| read.to_string() == format!("{name} {value}")) {
        Some(read) => rule.matches.push(read),
        None => rule.unread.push(Unread::Words(name.to_owned(), value.to_owned())),
    }
}

/// An action of which tc wrote this.
fn action(words: String, control: Option<Control>) -> Action {
    let control = control.unwrap_or(Control::Pipe);
    Action::new(ActionKind::Saved(words), control)
}
