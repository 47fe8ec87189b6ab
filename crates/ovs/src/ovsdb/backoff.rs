//! How long to wait before connecting again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::remote::Remote;

/// A wait that doubles up to a limit, each with some chance in it: clients that lost one server together do not
/// come back together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// 50 ms to 8 s for a server of this machine, 1 s to 8 s for one that is reached by a network.
    pub(super) fn for_remotes(remotes: &[Remote]) -> Self {
        let least = if remotes.iter().all(Remote::is_local) { 50 } else { 1000 };
        Self { next: Duration::from_millis(least), most: Duration::from_secs(8) }
    }

    /// The next wait: from half of what is due to all of it.
    pub(super) fn next(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.most);
        // RandomState is seeded by the system, anew for each thread and different for each value.
        let chance = u32::try_from(RandomState::new().hash_one(()) % 1024).unwrap_or(0);
        due / 2 + due / 2 * chance / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        let waits = |remote: &str| {
            let mut backoff = Backoff::for_remotes(&[remote.parse().unwrap()]);
            std::iter::repeat_with(|| backoff.next()).take(12).collect::<Vec<_>>()
        };
        let (one, other) = (waits("unix:/a"), waits("unix:/a"));
        assert_ne!(one, other);
        assert!(one[0] >= Duration::from_millis(25) && one[0] <= Duration::from_millis(50));
        assert!(one[11] >= Duration::from_secs(4) && one[11] <= Duration::from_secs(8));
        assert!(waits("tcp:a")[0] >= Duration::from_millis(500));
    }
}
