//! From the tree to a `.deb` and an `.rpm`, by dpkg-deb and rpmbuild.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::stage::NAME;
use super::{About, MOMENT};
use crate::process;

/// Before the files go: what points to them. `setup` itself is not undone here: it is about the host's network, and
/// nobody asked for that.
const BEFORE_REMOVAL: &str = include_str!("before-removal.sh");

/// Makes the Debian package.
pub(super) async fn deb(tree: &Path, about: &About, into: &Path) -> Result<PathBuf> {
    let root = into.join("deb");
    copy(tree, &root).await?;
    // Debian's zsh does not look in site-functions, which is the administrator's there.
    fs::remove_dir_all(root.join("usr/share/zsh/site-functions"))?;
    let control = root.join("DEBIAN");
    fs::create_dir(&control)?;
    let architecture = architecture("deb")?;
    fs::write(control.join("control"), deb_control(about, architecture, size_kib(tree)?))?;
    // dpkg's words for what is to happen: deb-prerm(5).
    let script = format!("#!/bin/sh\nset -eu\n[ \"$1\" = remove ] || exit 0\n{BEFORE_REMOVAL}");
    fs::write(control.join("prerm"), script)?;
    fs::set_permissions(control.join("prerm"), fs::Permissions::from_mode(0o755))?;

    let package = into.join(format!("{NAME}_{}_{architecture}.deb", about.version));
    let mut build = process::command("dpkg-deb");
    build
        .env("SOURCE_DATE_EPOCH", about.date.to_string())
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([&root, &package]);
    process::output(build, MOMENT).await?;
    Ok(package)
}

fn deb_control(about: &About, architecture: &str, size: u64) -> String {
    let depends = about.glibc.as_ref().map(|glibc| format!("Depends: libc6 (>= {glibc}), libgcc-s1\n"));
    format!(
        "Package: {NAME}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: the vdpa authors <vdpa@localhost>\n\
         Installed-Size: {size}\n{depends}Recommends: openvswitch-switch, mstflint\n\
         Suggests: libvirt-clients\nSection: admin\nPriority: optional\nHomepage: {home}\n\
         Description: {description}\n A host file says what the host should be: VFs, switchdev, representors on an Open vSwitch\n \
         bridge with hardware offload, a vDPA datapath for each VF, its interface in a libvirt domain.\n .\n \
         The program is called {NAME}, since iproute2 has a vdpa: see docs/packages.md in /usr/share/doc/{NAME}.\n",
        version = about.version,
        depends = depends.unwrap_or_default(),
        home = about.home,
        description = about.description.trim_end_matches('.'),
    )
}

/// Makes the RPM package.
pub(super) async fn rpm(tree: &Path, about: &About, into: &Path) -> Result<PathBuf> {
    let top = into.join("rpmbuild");
    if top.exists() {
        fs::remove_dir_all(&top)?;
    }
    let staged = top.join("staged");
    fs::create_dir_all(&top)?;
    copy(tree, &staged).await?;
    fs::remove_dir_all(staged.join("usr/share/zsh/vendor-completions"))?;
    let spec = top.join("vdpa-host.spec");
    fs::write(&spec, rpm_spec(about, &staged)?)?;
    let mut build = process::command("rpmbuild");
    build
        .env("SOURCE_DATE_EPOCH", about.date.to_string())
        .arg("-bb")
        .arg("--define")
        .arg(format!("_topdir {}", top.display()))
        .arg(&spec);
    process::output(build, MOMENT).await?;

    let architecture = architecture("rpm")?;
    let name = format!("{NAME}-{}-1.{architecture}.rpm", about.version);
    let package = into.join(&name);
    fs::rename(top.join("RPMS").join(architecture).join(&name), &package)
        .with_context(|| format!("rpmbuild has not made {name}"))?;
    Ok(package)
}

/// The files are made already: nothing is compiled, stripped, compressed or taken apart any more.
fn rpm_spec(about: &About, staged: &Path) -> Result<String> {
    let staged = staged.to_str().context("the path of the target directory is not UTF-8")?;
    ensure!(!staged.contains(['%', ' ', '\'']), "rpmbuild would not understand the path {staged}");
    let (version, licence, home) = (&about.version, &about.licence, &about.home);
    let description = about.description.trim_end_matches('.');
    Ok(format!(
        "%global debug_package %{{nil}}\n%global _build_id_links none\n%global __os_install_post %{{nil}}\n\
         %global _binary_payload w9.gzdio\n%global use_source_date_epoch_as_buildtime 1\n%global _buildhost localhost\n\n\
         Name: {NAME}\nVersion: {version}\nRelease: 1\nSummary: {description}\nLicense: {licence}\nURL: {home}\n\
         Recommends: openvswitch\nRecommends: mstflint\nSuggests: libvirt-client\n\n\
         %description\nA host file says what the host should be: VFs, switchdev, representors on an Open vSwitch bridge with\n\
         hardware offload, a vDPA datapath for each VF, its interface in a libvirt domain. The program is called\n\
         {NAME}, since iproute2 has a vdpa: see docs/packages.md in /usr/share/doc/{NAME}.\n\n\
         %install\nmkdir -p %{{buildroot}}\ncp -a {staged}/. %{{buildroot}}/\n\n\
         %preun\n[ \"$1\" = 0 ] || exit 0\n{BEFORE_REMOVAL}\n\
         %files\n/usr/bin/{NAME}\n%dir /etc/vdpa\n/usr/share/vdpa\n/usr/share/man/man1/*\n\
         %dir /usr/share/bash-completion\n/usr/share/bash-completion/completions\n\
         %dir /usr/share/zsh\n/usr/share/zsh/site-functions\n%dir /usr/share/fish\n/usr/share/fish/vendor_completions.d\n%doc /usr/share/doc/{NAME}\n",
    ))
}

/// What the package managers call this machine's architecture.
fn architecture(of: &str) -> Result<&'static str> {
    Ok(match (std::env::consts::ARCH, of) {
        ("x86_64", "deb") => "amd64",
        ("aarch64", "deb") => "arm64",
        ("x86_64", _) => "x86_64",
        ("aarch64", _) => "aarch64",
        (other, _) => anyhow::bail!("no packages are made for {other}"),
    })
}

/// A copy of a tree with links and modes.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    let mut copy = process::command("cp");
    copy.arg("--archive").args([from, to]);
    process::output(copy, MOMENT).await?;
    Ok(())
}

/// What a tree takes on a disk, as dpkg counts it.
fn size_kib(directory: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        size +=
            if kind.is_dir() { 1 + size_kib(&entry.path())? } else { entry.metadata()?.len().div_ceil(1024) };
    }
    Ok(size)
}
