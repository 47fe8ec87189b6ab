//! Evidence for tests: a host on which every check passes, to be made worse.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vdpa_eswitch::ParamValue;
use vdpa_hw::firmware::{Keeper, Setting};
use vdpa_hw::{Function, IfIndex, Role, Vf};
use vdpa_vm::Versions;

use super::check::{Check, Verdict};
use super::evidence::{Card, CardVf, Domain, Evidence, Seen, Switch};
use super::examine;
use super::recording::{Failure, Recording};
use crate::config;
use crate::host::{HOST_FILE, SimulatedHost};

/// The simulated host 105 with its PF up and steering by the driver.
pub(super) fn healthy() -> Evidence {
    let directory = tempfile::tempdir().unwrap();
    let simulated = SimulatedHost::host_105(directory.path());
    let file = config::parse(Path::new("host 105"), HOST_FILE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut evidence = runtime.block_on(super::collect(&simulated.host(), Some(&file)));
    evidence.steering("smfs");
    evidence
}

/// The same with huge pages of 1 GiB free on its two nodes, and nothing else.
pub(super) fn with_pages(node_0: u64, node_1: u64) -> Evidence {
    let mut evidence = healthy();
    let host = node_0 + node_1;
    for (directory, pages) in [
        ("/sys/kernel/mm/hugepages".to_owned(), host),
        ("/sys/devices/system/node/node0/hugepages".to_owned(), node_0),
        ("/sys/devices/system/node/node1/hugepages".to_owned(), node_1),
    ] {
        for attribute in ["nr_hugepages", "free_hugepages"] {
            evidence.file(&format!("{directory}/hugepages-1048576kB/{attribute}"), &pages.to_string());
        }
    }
    evidence
}

/// A host of which nothing could be found out.
pub(super) fn blind() -> Evidence {
    let mut evidence = healthy();
    let files = Arc::make_mut(&mut evidence.files);
    files.contents.values_mut().for_each(|read| *read = Err(Failure::denied()));
    files.listings.values_mut().for_each(|listed| *listed = Err(Failure::denied()));
    let answers = &mut evidence.answers;
    answers.cards = refused("list /sys/bus/pci/devices");
    answers.session = refused("read /proc");
    answers.switch = Err("nobody answers within 30 s".to_owned());
    answers.libvirt = refused("reach libvirt");
    answers.mgmtdevs = refused("list the vDPA management devices");
    answers.dpdk.program = refused("look for dpdk-vdpa");
    answers.dpdk.version = refused("run dpdk-vdpa");
    answers.domains.values_mut().for_each(|domain| *domain = refused("reach libvirt"));
    evidence
}

/// What cannot be seen for want of privilege.
pub(super) fn refused<T>(intent: &str) -> Seen<T> {
    Err(format!("cannot {intent}: Permission denied (os error 13)"))
}

/// What a topic says, all of it.
pub(super) fn checks(evidence: &Evidence, id: &str) -> Vec<Check> {
    examine(evidence).into_iter().filter(|check| check.id == id).collect()
}

/// The first thing that a topic says.
#[track_caller]
pub(super) fn check(evidence: &Evidence, id: &str) -> Check {
    checks(evidence, id).into_iter().next().unwrap_or_else(|| panic!("nothing is said of {id}"))
}

impl Failure {
    pub(super) fn denied() -> Self {
        Self::of(&std::io::Error::from_raw_os_error(vdpa_netlink::Errno::EACCES.0))
    }
}

impl Check {
    fn is(&self, verdict: Verdict, text: &str) -> bool {
        let said = self.why.as_ref().unwrap_or(&self.fact);
        let matches = self.verdict == verdict && said.contains(text);
        if !matches {
            eprintln!("{verdict} with {text:?} was expected: {self:#?}");
        }
        matches
    }

    /// Whether it passes with this in its fact.
    pub(super) fn passes(&self, fact: &str) -> bool {
        self.is(Verdict::Pass, fact)
    }

    /// Whether it warns for this reason, and says what to type.
    pub(super) fn warns(&self, why: &str) -> bool {
        self.is(Verdict::Warn, why) && self.remedy.is_some()
    }

    /// Whether it fails for this reason.
    pub(super) fn fails(&self, why: &str) -> bool {
        self.is(Verdict::Fail, why)
    }

    /// Whether it is unknown for this reason.
    pub(super) fn is_unknown(&self, reason: &str) -> bool {
        self.is(Verdict::Unknown, reason)
    }
}

impl Evidence {
    /// A file holds something else; its directories list it.
    pub(super) fn file(&mut self, path: &str, text: &str) {
        let files = Arc::make_mut(&mut self.files);
        files.contents.insert(path.into(), Ok(text.as_bytes().to_vec()));
        let mut child = Path::new(path);
        while let (Some(parent), Some(name)) = (child.parent(), child.file_name()) {
            let names = files.listings.entry(parent.to_owned()).or_insert_with(|| Ok(Vec::new()));
            let name = name.to_string_lossy().into_owned();
            match names {
                Ok(names) if names.contains(&name) => {}
                Ok(names) => names.push(name),
                unread @ Err(_) => *unread = Ok(vec![name]),
            }
            child = parent;
        }
    }

    /// A file or a directory is not there, nor is anything below it.
    pub(super) fn without(&mut self, path: &str) {
        let Recording { contents, listings, .. } = Arc::make_mut(&mut self.files);
        let stays = |file: &PathBuf| !file.starts_with(path);
        contents.retain(|file, _| stays(file));
        listings.retain(|file, _| stays(file));
        let (parent, name) = (Path::new(path).parent().unwrap(), Path::new(path).file_name().unwrap());
        if let Some(Ok(names)) = listings.get_mut(parent) {
            names.retain(|listed| listed.as_str() != name);
        }
    }

    /// A file or a directory is there and cannot be read.
    pub(super) fn unreadable(&mut self, path: &str) {
        let files = Arc::make_mut(&mut self.files);
        files.contents.insert(path.into(), Err(Failure::denied()));
        files.listings.insert(path.into(), Err(Failure::denied()));
    }

    pub(super) fn card(&mut self) -> &mut Card {
        &mut self.answers.cards.as_mut().unwrap()[0]
    }

    pub(super) fn function(&mut self) -> &mut Function {
        self.card().function.as_mut().unwrap()
    }

    pub(super) fn switch(&mut self) -> &mut Switch {
        self.answers.switch.as_mut().unwrap()
    }

    pub(super) fn domain(&mut self, name: &str) -> &mut Domain {
        self.answers.domains.get_mut(&name.parse().unwrap()).unwrap().as_mut().unwrap()
    }

    pub(super) fn libvirt(&mut self, libvirt: &str, hypervisor: &str) {
        let (libvirt, hypervisor) = (libvirt.to_owned(), hypervisor.to_owned());
        self.answers.libvirt = Ok(Versions { libvirt, hypervisor });
    }

    pub(super) fn firmware(&mut self, running: &str, stored: &str) {
        let versions = &mut self.card().info.as_mut().unwrap().versions;
        versions.running.insert("fw.version".to_owned(), running.to_owned());
        versions.stored.insert("fw.version".to_owned(), stored.to_owned());
    }

    /// A setting of the firmware, now and from the next boot on; an empty value is not told.
    pub(super) fn setting(&mut self, name: &str, current: &str, next: &str) {
        let settings = &mut self.card().firmware.as_mut().unwrap().settings;
        let (name, default, keeper) = (name.parse().unwrap(), None, Keeper::Simulated);
        settings.retain(|setting| setting.name != name);
        let (current, next) = (current.parse().ok(), next.parse().ok());
        settings.push(Setting { name, default, current, next, read_only: false, keeper });
    }

    pub(super) fn steering(&mut self, mode: &str) {
        self.set_param("flow_steering_mode", &ParamValue::Text(mode.to_owned()));
    }

    fn set_param(&mut self, name: &str, value: &ParamValue) {
        let params = self.card().params.as_mut().unwrap();
        let param = params.iter_mut().find(|param| param.name == name).unwrap();
        param.values.values_mut().for_each(|held| held.clone_from(value));
    }

    /// A VF that nobody holds, bound to its driver.
    pub(super) fn add_vf(&mut self, index: u16) -> &mut CardVf {
        let pf = self.function().clone();
        let vf = Vf::new(pf.address, index);
        let address = pf.address.offset_by(2 + index).unwrap();
        let function = Function { address, role: Role::Vf(vf), ..pf };
        self.card().vfs.push(CardVf {
            vf,
            function: Ok(function),
            users: Ok(Vec::new()),
            enabled: Ok([Some(true); 2]),
        });
        self.card().vfs.last_mut().unwrap()
    }

    pub(super) fn add_representor(&mut self, index: u32, name: &str) {
        let representor = (IfIndex(index), name.parse().unwrap());
        self.card().representors.as_mut().unwrap().push(representor);
    }
}
