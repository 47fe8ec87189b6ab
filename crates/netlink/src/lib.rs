//! Generic-netlink TLVs, extended acks and one socket for the netlink families that no crate covers.

mod refusal;

pub use refusal::{Errno, Refusal};
