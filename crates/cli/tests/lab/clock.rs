//! A clock that jumps while `vdpa` waits.

use super::guest::Guest;
use super::host_file;
use super::state::State;

/// Seconds: more than two VFs' waits may last, and less than the lab lets a test last, by the guest's clock.
const FAR: i64 = 200;

/// Puts the system's clock forward, or back, until the value returned is dropped.
struct Jump<'a> {
    guest: &'a Guest,
    seconds: i64,
}

impl<'a> Jump<'a> {
    fn by(guest: &'a Guest, seconds: i64) -> Self {
        set_clock(guest, seconds);
        Self { guest, seconds }
    }
}

impl Drop for Jump<'_> {
    fn drop(&mut self) {
        set_clock(self.guest, -self.seconds);
    }
}

fn set_clock(guest: &Guest, by: i64) {
    let now: i64 = guest.run("date", &["+%s"]).parse().unwrap();
    guest.run("date", &["--set", &format!("@{}", now + by)]);
}

/// A limit by the time of day would end now, or never. Ours are by the monotonic clock.
#[test]
fn a_clock_that_jumps_ends_no_wait_and_leaves_nothing_behind() {
    let guest = Guest::new();
    let before = State::of(&guest);
    guest.write_host_file(&host_file("dpdk", "kernel"));
    for jump in [FAR, -FAR] {
        let mut setup = guest.begin(&["setup"]);
        setup.has_made_true("eswitch of");
        let jumped = Jump::by(&guest, jump);
        setup.succeeds();
        guest.vdpa(&["status"]).succeeds();
        // The receipt, the units and the rows are of another time than the `teardown` from here on.
        let mut teardown = guest.begin(&["teardown"]);
        teardown.has_made_true("dpdk-vdpa process of");
        drop(jumped);
        teardown.succeeds();
        State::of(&guest).is(&before);
    }
}
