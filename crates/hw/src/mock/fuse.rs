//! Faults on purpose: the n-th operation on the machine fails.

use serde::{Deserialize, Serialize};

/// Blows at one operation of a run and says what becomes of it and of those after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fuse {
    /// The operation that fails, counted from 1 since the fuse was put in.
    pub at: u64,
    /// Whether it fails before or after it has taken effect.
    pub when: When,
    /// Whether later operations fail too.
    pub lasting: Lasting,
    /// How many operations there were since the fuse was put in.
    #[serde(default)]
    pub(super) seen: u64,
    /// The verb and object of the operation at which it blew.
    #[serde(default)]
    pub(super) blown: Option<(String, String)>,
}

/// Where in the operation the fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It fails and nothing has changed.
    Before,
    /// It has taken effect, and fails all the same.
    After,
}

/// How long the fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasting {
    /// Only that operation fails.
    Once,
    /// Every later operation with the same verb on the same object fails too.
    SameOperation,
    /// Every later operation fails too: the machine takes no more orders.
    Everything,
}

impl Fuse {
    /// A fuse that blows at operation `at`, counted from 1.
    pub fn new(at: u64, when: When, lasting: Lasting) -> Self {
        Self { at, when, lasting, seen: 0, blown: None }
    }

    /// Whether the fuse has blown.
    pub fn has_blown(&self) -> bool {
        self.blown.is_some()
    }

    /// Counts one operation and says where it is to fail, if it is.
    pub(super) fn strikes(&mut self, verb: &str, object: &str) -> Option<When> {
        self.seen += 1;
        match (&self.blown, self.lasting) {
            (None, _) if self.seen == self.at => {
                self.blown = Some((verb.to_owned(), object.to_owned()));
                Some(self.when)
            }
            // What keeps failing keeps failing before its effect: a machine that says no and obeys for ever is none.
            (Some(_), Lasting::Everything) => Some(When::Before),
            (Some((v, o)), Lasting::SameOperation) if v == verb && o == object => Some(When::Before),
            _ => None,
        }
    }
}
