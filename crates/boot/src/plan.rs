//! What is wanted, and what would change for it.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use vdpa_hw::platform::{CommandLine, ModuleName, ModuleState, PageSize};

use crate::error::{Error, Result};
use crate::grubby::{self, Undo};
use crate::loader::{Grub, Loader};
use crate::policy::{self, Module};
use crate::programs::Command;
use crate::want::Want;
use crate::{Host, owned};

/// What is wanted of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Kernel arguments.
    pub wants: Vec<Want>,
    /// Huge pages that are set at run time, now and early in each boot.
    pub run_time_pages: Vec<NodePages>,
    /// Modules to load at boot, with the reason for each.
    pub modules: Vec<(ModuleName, String)>,
    /// Whether guests may have guests.
    pub nested: bool,
    /// Whether QEMU is to reach vhost-user sockets of ours, also where SELinux confines it.
    pub sockets: bool,
}

/// Huge pages of a size on a NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NodePages {
    /// Their size.
    pub size: PageSize,
    /// The node.
    pub node: u16,
    /// How many.
    pub count: u64,
}

/// What would change.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Kernel arguments that are wanted, as one would type them.
    pub arguments: Vec<String>,
    /// How they are written; `None` where all are there, or none is wanted.
    pub boot: Option<BootChange>,
    /// Files of ours.
    pub files: Vec<FileChange>,
    /// Huge pages to be set now, those that are right left out.
    pub pages: Vec<Pages>,
    /// Modules that can be loaded now.
    pub modules: Vec<ModuleChange>,
    /// What changes SELinux's policy; `None` where it is off, or allows already what is needed.
    pub policy: Option<Command>,
    /// Why a reboot is due when this is done; empty where none is.
    pub reboot: Vec<String>,
    /// What the user should know besides.
    pub notes: Vec<String>,
}

/// How kernel arguments are written.
#[derive(Debug, Serialize)]
pub struct BootChange {
    /// The files that change, or with `grubby` the entries, by the kernel's path.
    pub files: Vec<FileChange>,
    /// What is run.
    pub command: Command,
    /// With `grubby`, how to go back.
    #[serde(skip)]
    pub(crate) undo: Option<Undo>,
}

/// A text that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The file, or a kernel whose arguments these are.
    pub path: PathBuf,
    /// The text now; `None` where it does not exist.
    pub before: Option<String>,
    /// The text it gets; `None` where it goes.
    pub after: Option<String>,
}

/// Huge pages to be set at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// What is wanted.
    #[serde(flatten)]
    pub wanted: NodePages,
    /// How many there are now.
    pub now: u64,
}

/// A module that is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleChange {
    /// Its name.
    pub module: ModuleName,
    /// Where it stands now.
    pub state: ModuleState,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self { boot, files, pages, modules, policy, .. } = self;
        boot.is_none() && files.is_empty() && pages.is_empty() && modules.is_empty() && policy.is_none()
    }

    /// Every text that changes, as a unified diff.
    pub fn diff(&self) -> String {
        let boot = self.boot.iter().flat_map(|boot| &boot.files);
        boot.chain(&self.files).map(FileChange::diff).collect()
    }
}

impl FileChange {
    /// The change as a unified diff, with `/dev/null` for what does not exist.
    pub fn diff(&self) -> String {
        let name =
            |text: Option<&String>| text.map_or("/dev/null".into(), |_| self.path.display().to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (before, after) = (text(&self.before), text(&self.after));
        let diff = similar::TextDiff::from_lines(&before, &after);
        diff.unified_diff().header(&name(self.before.as_ref()), &name(self.after.as_ref())).to_string()
    }
}

impl Serialize for FileChange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut change = to.serialize_struct("FileChange", 2)?;
        change.serialize_field("path", &self.path)?;
        change.serialize_field("diff", &self.diff())?;
        change.end()
    }
}

impl Host {
    /// What would change for a request. Touches nothing; reading boot entries takes root on the RHEL family.
    pub async fn plan(&self, request: &Request) -> Result<Plan> {
        let mut plan = Plan {
            arguments: request.wants.iter().map(ToString::to_string).collect(),
            boot: None,
            files: Vec::new(),
            pages: Vec::new(),
            modules: Vec::new(),
            policy: None,
            reboot: Vec::new(),
            notes: Vec::new(),
        };
        self.check_memory(request, &mut plan.notes)?;
        if !request.wants.is_empty() {
            plan.boot = self.plan_boot(&request.wants, &mut plan.notes).await?;
        }
        let kvm = self.platform.cpu()?.vendor.kvm_module();
        if request.nested && kvm.is_none() {
            plan.notes.push("no KVM module of this CPU has nested virtualization as an option".to_owned());
        }
        if request.nested
            && let Some(kvm) = &kvm
        {
            plan.notes.extend(owned::overruled(&self.tree, kvm)?);
        }
        let module =
            if request.sockets { Module::of(&self.tree, &*self.programs)? } else { Module::NotNeeded };
        let confined = matches!(module, Module::Possible { .. });
        for (path, after) in owned::texts(request, kvm.as_ref(), confined) {
            let before = owned::now(&self.tree, &path)?;
            if before != after {
                plan.files.push(FileChange { path, before, after });
            }
        }
        plan.policy = self.plan_policy(&module, &mut plan)?;
        let pages = self.platform.huge_pages()?;
        for &wanted in &request.run_time_pages {
            let pool = pages.pool(wanted.size, Some(wanted.node));
            let now = pool.map_or(0, vdpa_hw::platform::Pool::persistent);
            if pool.is_none() {
                plan.notes.push(no_pool(&wanted, &pages));
            } else if now != wanted.count {
                plan.pages.push(Pages { wanted, now });
            }
        }
        self.plan_modules(request, &mut plan)?;
        self.plan_reboot(request, kvm.as_ref(), &mut plan)?;
        Ok(plan)
    }

    async fn plan_boot(&self, wants: &[Want], notes: &mut Vec<String>) -> Result<Option<BootChange>> {
        match Loader::of(&self.tree, &*self.programs)? {
            Loader::Grubby => {
                let entries = grubby::entries(&self.programs.run(&grubby::info()).await?);
                let Some(change) = grubby::change(&entries, wants) else { return Ok(None) };
                let text = |line: &CommandLine| Some(format!("{line}\n"));
                let files = entries.iter().zip(&change.after).map(|(entry, after)| FileChange {
                    path: entry.kernel.clone().into(),
                    before: text(&entry.arguments),
                    after: text(after),
                });
                Ok(Some(BootChange {
                    files: files.collect(),
                    command: change.command,
                    undo: Some(change.undo),
                }))
            }
            Loader::Grub(grub) => self.plan_grub(&grub, wants, notes),
            Loader::Other { found, instead } => {
                let running = self.platform.command_line()?;
                let missing: Vec<_> = wants.iter().filter(|want| !want.holds(&running)).collect();
                if missing.is_empty() {
                    notes.push(format!("{found}; the running kernel has every argument that is wanted"));
                    return Ok(None);
                }
                Err(Error::NoLoader { found, instead, arguments: crate::want::listed(missing) })
            }
        }
    }

    fn plan_grub(&self, grub: &Grub, wants: &[Want], notes: &mut Vec<String>) -> Result<Option<BootChange>> {
        if let Some(path) = grub.defaults.overridden_by()? {
            let path = path.display();
            notes.push(format!("{path} replaces the GRUB_CMDLINE_LINUX of {}", crate::grub::DEFAULT_FILE));
        }
        let old = |path: &Path| grub.before.iter().find(|(old, _)| old == path).map(|(_, text)| text.clone());
        let files = grub.defaults.with(wants)?.into_iter().map(|(path, after)| FileChange {
            before: old(&path),
            after: Some(after),
            path,
        });
        let files: Vec<_> = files.collect();
        let stale = grub.lacks(&self.tree, wants);
        if files.is_empty() && stale.is_empty() {
            return Ok(None);
        }
        if files.is_empty() {
            notes.push(format!(
                "the files that {} is made from have {}, and it was not made since",
                grub.config.display(),
                crate::want::listed(stale)
            ));
        }
        Ok(Some(BootChange { files, command: grub.regenerate.clone(), undo: None }))
    }

    /// What changes SELinux's policy. A module of our name that is there without our file is somebody else's.
    fn plan_policy(&self, module: &Module, plan: &mut Plan) -> Result<Option<Command>> {
        let changed = plan.files.iter().position(|file| file.path == Path::new(policy::PATH));
        match module {
            Module::NotNeeded => {
                // Nobody needs it any more: it goes with its file.
                let goes = changed.is_some()
                    && matches!(
                        Module::of(&self.tree, &*self.programs)?,
                        Module::Possible { installed: true }
                    );
                Ok(goes.then(policy::remove))
            }
            Module::NoTool => {
                plan.notes.push(
                    "SELinux is on and semodule is not installed, so that QEMU is kept from sockets of dpdk-vdpa: \
                     install policycoreutils"
                        .to_owned(),
                );
                Ok(None)
            }
            Module::Possible { installed: false } => Ok(Some(policy::install())),
            Module::Possible { installed: true } => {
                match changed.map(|index| (index, &plan.files[index].before)) {
                    None => Ok(None),
                    Some((_, Some(_))) => Ok(Some(policy::install())),
                    Some((index, None)) => {
                        plan.files.remove(index);
                        plan.notes.push(
                        "SELinux's policy has a module `vdpa` that is not ours: it is left alone (`semodule --remove \
                         vdpa` makes room)"
                            .to_owned(),
                    );
                        Ok(None)
                    }
                }
            }
        }
    }

    fn plan_modules(&self, request: &Request, plan: &mut Plan) -> Result<()> {
        let modules = self.platform.modules()?;
        for (module, _) in &request.modules {
            let state = modules.state(module);
            match state {
                ModuleState::BuiltIn | ModuleState::Loaded | ModuleState::Changing => {}
                ModuleState::Available => plan.modules.push(ModuleChange { module: module.clone(), state }),
                ModuleState::Missing => plan.notes.push(format!(
                    "kernel {} has no module {module}: systemd-modules-load.service will say so at each boot \
                     (look in linux-modules-extra or kernel-modules-extra)",
                    modules.release
                )),
            }
        }
        Ok(())
    }

    /// What of it comes into force only with a new boot.
    fn plan_reboot(&self, request: &Request, kvm: Option<&ModuleName>, plan: &mut Plan) -> Result<()> {
        let running = self.platform.command_line()?;
        for want in request.wants.iter().filter(|want| !want.holds(&running)) {
            plan.reboot.push(format!("the running kernel was not started with {want}"));
        }
        let asks_for_iommu = request.wants.iter().any(|want| want.names().contains(&"iommu"));
        if asks_for_iommu && plan.reboot.is_empty() && !self.platform.iommu()?.is_on() {
            plan.notes.push(
                "the running kernel has the IOMMU's arguments, and the IOMMU is not on: switch VT-d (Intel) or \
                 AMD-Vi on in the firmware's setup"
                    .to_owned(),
            );
        }
        if request.nested
            && self.platform.nested_kvm()? == Some(false)
            && let Some(kvm) = kvm
        {
            plan.reboot.push(format!(
                "{kvm} is loaded with nested=0 (without a reboot, and with no VM running: `modprobe -r {kvm}`, then \
                 `modprobe {kvm}`)"
            ));
        }
        Ok(())
    }
}

fn no_pool(wanted: &NodePages, pages: &vdpa_hw::platform::HugePages) -> String {
    let NodePages { size, node, .. } = wanted;
    let there: Vec<String> =
        pages.nodes.iter().map(|pool| format!("{} on node {}", pool.size, pool.node.unwrap_or(0))).collect();
    let there = if there.is_empty() { "none at all".to_owned() } else { there.join(", ") };
    format!("the running kernel has no huge pages of {size} on NUMA node {node} to set: it has {there}")
}
