//! Tests in two halves, between which the lab's VM reboots.
//!
//! `m::before_reboot` and `m::after_reboot` in one module `m` belong together: they run in one VM, in this order, and
//! what the first half leaves on the disk is there for the second. Without its other half neither would mean anything,
//! so a filter that names one keeps both.

const BEFORE: &str = "::before_reboot";
const AFTER: &str = "::after_reboot";

/// The name of the test that belongs to this one, if it is a half.
pub(super) fn other_half(test: &str) -> Option<String> {
    let other = |from, to| test.strip_suffix(from).map(|module: &str| format!("{module}{to}"));
    other(BEFORE, AFTER).or_else(|| other(AFTER, BEFORE))
}

/// The tests as they are to run: each alone, or two halves in their order.
pub(super) fn cases(tests: &[String]) -> Vec<Vec<&str>> {
    let mut cases = Vec::new();
    for test in tests {
        let half = other_half(test).and_then(|half| tests.iter().find(|test| **test == half));
        match half {
            // The second half comes with the first.
            Some(_) if test.ends_with(AFTER) => {}
            half => cases.push(std::iter::once(test).chain(half).map(String::as_str).collect()),
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_run_in_their_order_and_not_in_that_of_their_names() {
        let tests = ["a", "boot::after_reboot", "boot::before_reboot", "z::after_reboot"].map(str::to_owned);
        let expected: [&[&str]; 3] =
            [&["a"], &["boot::before_reboot", "boot::after_reboot"], &["z::after_reboot"]];
        assert_eq!(cases(&tests), expected);
    }

    #[test]
    fn each_half_knows_the_other() {
        assert_eq!(other_half("boot::before_reboot").as_deref(), Some("boot::after_reboot"));
        assert_eq!(other_half("boot::after_reboot").as_deref(), Some("boot::before_reboot"));
        assert_eq!(other_half("boot::rebooting"), None);
    }
}
