//! Throughput between two ends.
//!
//! | file | its job |
//! |---|---|
//! | `iperf.rs` | what iperf3 printed, in types |

mod iperf;

pub use iperf::{Cpu, Measured, Refusal, Stream, Throughput, read};
