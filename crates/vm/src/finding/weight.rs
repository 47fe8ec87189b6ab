//! How much a finding matters, its name, and what to do about it.

use super::{Finding, Severity};

impl Finding {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unpinned { .. } => Severity::Advice,
            Self::QueuesOverVcpus { .. }
            | Self::Vectors { .. }
            | Self::FarHugePages { .. }
            | Self::Missing(_)
            | Self::StartWaits(_)
            | Self::StartFails(_)
            | Self::HeldByDomain { active: false, .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Its name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoStation(_) => "no-station",
            Self::DuplicateMac { .. } => "duplicate-mac",
            Self::SourceTaken { .. } => "source-taken",
            Self::AddressTaken { .. } => "address-taken",
            Self::Path { .. } => "path",
            Self::RingSize { .. } => "ring-size",
            Self::TooManyQueues(_) => "too-many-queues",
            Self::PrivateMemory(_) => "private-memory",
            Self::QueuesOverVcpus { .. } => "queues-over-vcpus",
            Self::Vectors { .. } => "vectors",
            Self::HardLimit { .. } => "hard-limit",
            Self::PinnedAlready => "pinned-already",
            Self::OldLibvirt { .. } => "old-libvirt",
            Self::Unpinned { .. } => "unpinned",
            Self::NoHugePages { .. } => "no-huge-pages",
            Self::FarHugePages { .. } => "far-huge-pages",
            Self::MacDiffers { .. } => "mac-differs",
            Self::Missing(_) => "missing",
            Self::WrongKind { .. } => "wrong-kind",
            Self::Unreachable { .. } => "unreachable",
            Self::Label { .. } => "label",
            Self::StartWaits(_) => "start-waits",
            Self::StartFails(_) => "start-fails",
            Self::SocketHeld { .. } => "socket-held",
            Self::HeldByDomain { .. } => "held-by-domain",
        }
    }

    /// Whether it depends on how the host stands now, and not on the document alone.
    pub fn is_of_host(&self) -> bool {
        matches!(
            self,
            Self::Unpinned { .. }
                | Self::NoHugePages { .. }
                | Self::FarHugePages { .. }
                | Self::MacDiffers { .. }
                | Self::Missing(_)
                | Self::WrongKind { .. }
                | Self::Unreachable { .. }
                | Self::Label { .. }
                | Self::StartWaits(_)
                | Self::StartFails(_)
                | Self::SocketHeld { .. }
                | Self::HeldByDomain { .. }
        )
    }

    /// What to do about it, where that is not plain.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DuplicateMac { other, .. }
            | Self::SourceTaken { other, .. }
            | Self::AddressTaken { other, .. } => {
                format!("remove {other} from the domain (`virsh edit`), or choose another")
            }
            Self::PrivateMemory(place) => {
                format!("remove {place} (`virsh edit`): vhost-user needs shared memory")
            }
            Self::QueuesOverVcpus { vcpus, .. } => format!("ask for {vcpus} queues"),
            Self::Vectors { queues, .. } => {
                format!("write vectors={} there (`virsh edit`), or attach it with `vdpa vm attach`", 2 * queues + 2)
            }
            Self::HardLimit { needed_kib, .. } => {
                format!("`virsh memtune DOMAIN --hard-limit {needed_kib} --config`")
            }
            Self::PinnedAlready => "leave `--pin` away, or remove <vcpupin> with `virsh edit`".to_owned(),
            Self::Unpinned { proposal, .. } => {
                let cpus: Vec<_> = proposal.iter().map(u32::to_string).collect();
                format!("`--pin {}` keeps them on the card's node", cpus.join(","))
            }
            Self::NoHugePages { size, needed, .. } => {
                format!("`vdpa host prepare --hugepages {size}={needed}` shows what to change, `--apply` does it")
            }
            Self::FarHugePages { node, .. } => {
                format!("`vdpa host prepare` gets pages on node {node}; memory on another node costs throughput")
            }
            Self::MacDiffers { vf, administrative, .. } => format!(
                "attach it with `--mac {administrative}`, or give VF {} the other in the host file and run `vdpa setup`",
                vf.index
            ),
            Self::Missing(_) | Self::StartFails(_) => {
                "start the datapath before the domain: `vdpa setup`, then `vdpa status`".to_owned()
            }
            Self::Unreachable { .. } => {
                "let the datapath make its socket in a directory of QEMU's group, as `vdpa setup` does below /run/vdpa"
                    .to_owned()
            }
            // A device has a label in the policy; a socket of ours in the module that `host prepare` installs.
            Self::Label { path, wanted: "vhost_device_t", .. } => format!("`restorecon -v {}`", path.display()),
            Self::Label { path, .. } => {
                format!("`sudo vdpa host prepare --apply`, then `sudo restorecon -v {}`", path.display())
            }
            Self::StartWaits(_) => {
                "start the datapath first, or start the domain with a limit: `timeout 60 virsh start DOMAIN`".to_owned()
            }
            Self::SocketHeld { .. } => {
                "stop the other process, or let the datapath listen: `--listener datapath`".to_owned()
            }
            Self::HeldByDomain { domain, .. } => {
                format!("shut {domain} down and detach it there first: `vdpa vm detach {domain} MAC`")
            }
            Self::OldLibvirt { .. } => "use a newer libvirt, or `--socket` with dpdk-vdpa".to_owned(),
            _ => return None,
        })
    }
}
