//! How far a `setup` goes: a boot has to stop twice on the way.
//!
//! | until | made true | at boot |
//! |---|---|---|
//! | `card` | names, switch mode and settings, VFs, their MACs and drivers, bonds | before whatever looks at network devices |
//! | `datapath` | and the bridge, links, vDPA devices and processes | after Open vSwitch, before libvirt starts domains |
//! | `domains` | and the domains: everything | after libvirt |
//!
//! A `setup` that stops early leaves a receipt like any other, and the next one goes on from there. It asks nothing of
//! what has not been started at its time: not of ovsdb-server for the card, nor of libvirt before the domains. Where
//! more than it is to reach has been set up already, it sees to all of that: nothing is taken back for being beyond it.

use async_trait::async_trait;
use vdpa_vm::{DomainName, Domains, Status, Versions, View};

use crate::config::{Datapath, HostFile, VfSpec};
use crate::receipt::Receipt;
use crate::step::Step;

/// How far a `setup` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, clap::ValueEnum)]
pub enum Until {
    /// What is the card's own.
    Card,
    /// What carries packets.
    Datapath,
    /// Everything.
    #[default]
    Domains,
}

impl Until {
    /// Every statement's place.
    fn of(step: &Step) -> Self {
        match step {
            Step::Firmware { .. }
            | Step::Autoprobe { .. }
            | Step::Names { .. }
            | Step::Steering { .. }
            | Step::Encap { .. }
            | Step::EswitchMode { .. }
            | Step::Vfs { .. }
            | Step::VfAttributes { .. }
            | Step::Rate { .. }
            | Step::Inline { .. }
            | Step::Bond { .. }
            | Step::Lag { .. }
            | Step::TcOffload { .. }
            | Step::Driver { .. } => Self::Card,
            Step::Up { .. }
            | Step::Bridge { .. }
            | Step::HwOffload { .. }
            | Step::Vlan { .. }
            | Step::Setting { .. }
            | Step::Userspace { .. }
            | Step::Auxiliary { .. }
            | Step::Kernel { .. }
            | Step::Dpdk { .. } => Self::Datapath,
            Step::Wired { .. } => Self::Domains,
        }
    }

    /// At least as far as an earlier `setup` went, since what nobody speaks of any more would be taken back.
    #[must_use]
    pub fn reaching(self, earlier: Option<&Receipt>) -> Self {
        let stages = earlier.map(Receipt::all_stages).unwrap_or_default();
        stages.iter().flatten().map(Self::of).fold(self, Self::max)
    }

    /// What of a host file is looked at: a datapath or a domain that is not asked for need not be possible yet.
    #[must_use]
    pub fn part_of(self, file: &HostFile) -> HostFile {
        let mut file = file.clone();
        for vf in file.nics.iter_mut().flat_map(|nic| &mut nic.vfs) {
            *vf = VfSpec {
                vm: vf.vm.take().filter(|_| self >= Self::Domains),
                datapath: if self >= Self::Datapath { vf.datapath } else { Datapath::None },
                ..vf.clone()
            };
        }
        file
    }

    /// Statements of `stages` that are for later and whose subjects do not stay as they were until then: an eswitch that
    /// changes its mode leaves its uplink down.
    pub(crate) fn disturbed_before(self, stages: &[Vec<Step>]) -> Vec<Step> {
        let later = |step: &&Step| Self::of(step) > self && matches!(step, Step::Up { .. });
        stages.iter().flatten().filter(later).cloned().collect()
    }

    /// Those of `stages` that are to be made true.
    #[must_use]
    pub fn part_of_stages(self, stages: Vec<Vec<Step>>) -> Vec<Vec<Step>> {
        let kept = |stage: Vec<Step>| -> Vec<Step> {
            stage.into_iter().filter(|step| Self::of(step) <= self).collect()
        };
        stages.into_iter().map(kept).filter(|stage| !stage.is_empty()).collect()
    }
}

/// No libvirt: whoever asked it now would have systemd start it, which waits for us.
#[derive(Debug)]
pub(crate) struct NotYet;

impl NotYet {
    fn error() -> vdpa_vm::Error {
        vdpa_vm::Error::NoLibvirt { uri: "none".to_owned(), why: "libvirt has its turn later".to_owned() }
    }
}

#[async_trait]
impl Domains for NotYet {
    async fn list(&self) -> vdpa_vm::Result<Vec<DomainName>> {
        Err(Self::error())
    }

    async fn status(&self, _: &DomainName) -> vdpa_vm::Result<Status> {
        Err(Self::error())
    }

    async fn xml(&self, _: &DomainName, _: View) -> vdpa_vm::Result<String> {
        Err(Self::error())
    }

    async fn define(&self, _: &str) -> vdpa_vm::Result<()> {
        Err(Self::error())
    }

    async fn start(&self, _: &DomainName, _: std::time::Duration) -> vdpa_vm::Result<()> {
        Err(Self::error())
    }

    async fn versions(&self) -> vdpa_vm::Result<Versions> {
        Err(Self::error())
    }
}
