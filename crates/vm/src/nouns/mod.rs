//! The nouns of this layer: validated at the door, `Display` and `FromStr` round-trip, no I/O.

mod alias;
mod domain;
mod interface;
mod version;

pub use alias::Alias;
pub use domain::DomainName;
pub use interface::{Interface, Role, Source};
pub use version::Version;
