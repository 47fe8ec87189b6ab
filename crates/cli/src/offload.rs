//! Proof of offload: what is in the datapath, who forwards it, and why a card does not.
//!
//! | file | its job |
//! |---|---|
//! | `survey.rs` | one look at flows, filters, ports and settings |
//! | `joined.rs` | a flow with its filter: joined by UFID, and by match where the filter has none |
//! | `reason.rs` | the reasons for which a flow is not offloaded, in words |
//! | `why.rs` | which of them holds first |
//! | `verdict.rs` | two looks while packets flow: is each direction offloaded? |
//!
//! Nothing here changes the host.

mod joined;
mod reason;
mod survey;
mod verdict;
mod why;

pub use joined::{Forwarder, Joined};
pub use reason::{KINDS, Kind, Reason};
pub use survey::{Port, Survey};
pub use verdict::{Direction, Explained, Least, Sent, Slow, Verdict, Window, judge};
pub use why::why;
