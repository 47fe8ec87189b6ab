//! What a command has to be allowed to do: asked before it begins, and not found out halfway.
//!
//! Who may only look needs nothing here: `plan`, `status`, `doctor`, `flows`, `topology` and `firmware show` go as far as
//! the kernel lets them, and say what they were not told. That files belong to root is said where one is opened; this is
//! about what root itself may lack, in a container or under a service manager: capabilities(7).

use rustix::thread::{CapabilitySet, capabilities};

use crate::error::Error;

/// A capability by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capability {
    name: &'static str,
    set: CapabilitySet,
}

/// Switching an eswitch, VFs' MACs, links, tc and vDPA devices: netlink.
pub(crate) const NET_ADMIN: Capability = Capability { name: "CAP_NET_ADMIN", set: CapabilitySet::NET_ADMIN };
/// Entering a network namespace: setns(2).
pub(crate) const SYS_ADMIN: Capability = Capability { name: "CAP_SYS_ADMIN", set: CapabilitySet::SYS_ADMIN };

/// Fails where this process lacks one of these, with all that it lacks.
///
/// # Errors
/// [`Error::Privilege`].
pub(crate) fn require(command: &'static str, needed: &[Capability]) -> Result<(), Error> {
    // A kernel that does not tell will refuse by itself.
    let Ok(held) = capabilities(None) else { return Ok(()) };
    lacking(command, needed, held.effective)
}

fn lacking(command: &'static str, needed: &[Capability], held: CapabilitySet) -> Result<(), Error> {
    let missing: Vec<_> =
        needed.iter().filter(|one| !held.contains(one.set)).map(|one| one.name.to_owned()).collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Privilege { command, missing }) }
}

/// What to do about what is missing.
pub(crate) fn hint(command: &str) -> String {
    format!("run as root: `sudo vdpa {command}`; in a container or a service, let it have what is named")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_with_the_command_to_type() {
        let needed = [NET_ADMIN, SYS_ADMIN];
        lacking("verify", &needed, CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN).unwrap();
        let error = lacking("verify", &needed, CapabilitySet::CHOWN).unwrap_err();
        assert_eq!(error.to_string(), "`vdpa verify` needs CAP_NET_ADMIN and CAP_SYS_ADMIN");
        assert!(error.hint().is_some_and(|hint| hint.contains("`sudo vdpa verify`")), "{:?}", error.hint());
        let error = lacking("setup", &[NET_ADMIN], CapabilitySet::empty()).unwrap_err();
        assert_eq!(error.to_string(), "`vdpa setup` needs CAP_NET_ADMIN");
    }
}
