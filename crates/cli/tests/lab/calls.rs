//! What a run asks of the kernel and of Open vSwitch, call by call, as strace(1) sees it.

use std::collections::BTreeMap;
use std::fs;

use super::guest::Guest;

const TRACE: &str = "/tmp/calls";

/// The system calls of a run, without those about memory and those in which threads wait for each other, of which it is
/// a matter of timing how many there are.
pub(crate) struct Calls(Vec<String>);

impl Calls {
    /// Those of a run of the program, which must succeed.
    pub(crate) fn of(guest: &Guest, arguments: &[&str]) -> Self {
        let program = guest.program().to_str().unwrap();
        let strace = ["-f", "-qq", "-o", TRACE, "-e", "trace=!%memory,futex,epoll_wait", program];
        guest.run("strace", &[&strace, arguments].concat());
        let text = fs::read_to_string(TRACE).unwrap();
        fs::remove_file(TRACE).unwrap();
        // `PROCESS NAME(ARGUMENTS) = RESULT`; where another thread comes between, the rest has a line of its own.
        let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start());
        let calls = calls.filter(|call| call.starts_with(|first: char| first.is_ascii_lowercase()));
        Self(calls.map(str::to_owned).collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// How many symbolic links are read.
    pub(crate) fn links(&self) -> usize {
        self.0.iter().filter(|call| call.starts_with("readlink")).count()
    }

    /// The messages to the kernel by netlink, by type, and to daemons by their sockets: how many each.
    pub(crate) fn messages(&self) -> BTreeMap<&str, usize> {
        let mut messages = BTreeMap::new();
        for call in self.0.iter().filter(|call| ["send", "write"].iter().any(|name| call.starts_with(name))) {
            let kind = match call.split_once("nlmsg_type=") {
                Some((_, message)) => message.split([',', ' ']).next().unwrap(),
                None if call.contains(r#""{\""#) => "JSON-RPC",
                // To a terminal, or to another thread.
                None if call.starts_with("write") => continue,
                None => "other",
            };
            *messages.entry(kind).or_default() += 1;
        }
        messages
    }
}
