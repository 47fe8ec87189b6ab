//! The dpdk-vdpa program.

use super::super::check::Check;
use super::super::evidence::Evidence;
use crate::config::Datapath;

/// Whether it is there.
pub(super) fn program(evidence: &Evidence) -> Vec<Check> {
    const SOURCE: &str = "PATH, /usr/local/bin, /opt";
    if !evidence.wants(Datapath::Dpdk) {
        return vec![Check::pass("dpdk-vdpa", "no VF is to be served by it", "the host file")];
    }
    vec![match &evidence.answers.dpdk.program {
        Ok(program) => Check::pass("dpdk-vdpa", program.display().to_string(), SOURCE),
        Err(why) if why.contains("there is no dpdk-vdpa program") => {
            let check = Check::pass("dpdk-vdpa", why.clone(), SOURCE);
            let why = "VFs with `datapath = \"dpdk\"` are served by it";
            let remedy = "build examples/vdpa of DPDK's source, and install it as /usr/local/bin/dpdk-vdpa";
            if evidence.answers.wanted.is_some() { check.fail(why) } else { check.warn(why) }.remedy(remedy)
        }
        Err(why) => Check::unknown("dpdk-vdpa", why, SOURCE),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, healthy, refused};

    #[test]
    fn a_missing_program_fails_where_it_is_needed() {
        let mut evidence = healthy();
        assert!(check(&evidence, "dpdk-vdpa").passes("/usr/local/bin/dpdk-vdpa"));
        evidence.answers.dpdk.program =
            Err("there is no dpdk-vdpa program: looked for /usr/bin/dpdk-vdpa".to_owned());
        assert!(check(&evidence, "dpdk-vdpa").fails("served by it"));
        let vfs = evidence.answers.wanted.take().unwrap().vfs;
        assert!(check(&evidence, "dpdk-vdpa").warns("served by it"));
        let mut evidence = healthy();
        evidence.answers.wanted.as_mut().unwrap().vfs = vfs[1..].to_vec();
        assert!(check(&evidence, "dpdk-vdpa").passes("no VF is to be served by it"));
    }

    #[test]
    fn a_program_that_cannot_be_looked_for_is_unknown() {
        let mut evidence = healthy();
        evidence.answers.dpdk.program = refused("look for dpdk-vdpa");
        assert!(check(&evidence, "dpdk-vdpa").is_unknown("look for dpdk-vdpa"));
    }
}
