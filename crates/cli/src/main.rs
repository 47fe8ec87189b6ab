//! The `vdpa` command.
fn main() {}
