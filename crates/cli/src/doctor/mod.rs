//! `vdpa doctor`: is this host ready, and if it is not, what is missing and what to type.
//!
//! ```text
//!   host ── collect ──► Evidence ── examine ──► Vec<Check> ──► text, JSON, exit code
//!                          │  ▲
//!                     save │  │ open
//!                          ▼  │
//!                        bundle (a .tar.gz for a support case)
//! ```
//!
//! Whatever is looked at is looked at once, by [`collect()`], and becomes [`Evidence`]: the files that were read, to
//! the letter, and what the kernel and the daemons answered. Each check is a pure function of it. So a bundle says
//! on another machine what the host itself would say, and a test is a piece of evidence.
//!
//! | file | its job |
//! |---|---|
//! | `evidence.rs` | what there is to know of a host, as data |
//! | `recording.rs` | files as they were read, and the reader that keeps them |
//! | `redact.rs` | what of a file is kept: secrets never become evidence |
//! | `collect/` | looks at the host, by way of the layers; changes nothing |
//! | `check.rs` | one check with its verdict |
//! | `checks/` | the checks, one topic a file; `mod.rs` lists them |
//! | `minimums.rs`, `minimums.toml` | from which version on things work, and why |
//! | `bundle.rs` | evidence as an archive, and back |
//! | `page.rs` | `docs/doctor.md`, written from the list of checks |
//!
//! What is absent: no check looks at the host, no check depends on another, and nothing is repaired.

pub mod bundle;
mod check;
mod checks;
pub mod collect;
pub mod evidence;
#[cfg(test)]
mod fixture;
mod minimums;
pub mod page;
mod recording;
mod redact;

pub use check::{Check, Verdict};
pub use checks::{TOPICS, Topic, examine};
pub use collect::collect;
pub(crate) use collect::session_address;
pub use evidence::Evidence;
pub use recording::Recording;
