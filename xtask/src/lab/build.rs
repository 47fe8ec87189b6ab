//! Makes the lab from nothing, in parts that are kept apart so that a change costs only what hangs on it.
//!
//! | part | from | kept as |
//! |---|---|---|
//! | tools | Debian packages: the emulator, kernel, compilers | a directory tree |
//! | root | Debian packages: the guest's system | `root.tar` |
//! | programs | the kernel modules and DPDK programs, compiled in tools | `modules/`, `bin/`, `lib/` |
//! | image | root, programs, `lab/guest`, `lab/firmware` and `lab/baseline` | `root.img`, `initrd`, `vmlinuz` |

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::cache::{Cache, Finished, Part, Unfinished};
use super::instance::Instance;
use super::recipe::{self, Mirrors, RELEASE};
use super::sandbox::{self, Places};
use crate::progress;
use crate::{process, workspace};

/// Downloads come from the network: 400 MB even over a slow line.
const PACKAGES_LIMIT: Duration = Duration::from_mins(30);
const COMPILE_LIMIT: Duration = Duration::from_mins(10);

/// A lab that is ready to be booted.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The tools root, with the emulator.
    pub(crate) tools: PathBuf,
    /// The directory with `root.img`, `initrd` and `vmlinuz`.
    pub(crate) image: PathBuf,
    /// What it is made of stays in the cache while it is used.
    _parts: [Finished; 4],
}

/// The kinds of parts that the cache has.
const KINDS: [&str; 5] = ["tools", "root", "clean", "programs", "image"];

/// The key of each part, as the lab's sources are now.
struct Keys {
    tools: String,
    root: String,
    clean: String,
    programs: String,
    image: String,
}

impl Keys {
    fn of_sources() -> Result<Self> {
        let lab = workspace::lab();
        let build = |name: &str| lab.join("build").join(name);
        let tools = recipe::key(&[build("tools.packages"), build("apt.preferences")], &[])?;
        let root = recipe::key(&[build("guest.packages"), build("apt.preferences")], &[])?;
        let clean = recipe::key(&[build("clean.packages"), build("apt.preferences")], &[])?;
        let programs = recipe::key(&[build("compile.sh"), lab.join("card"), lab.join("dpdk")], &[&tools])?;
        let image_sources =
            [build("image.sh"), lab.join("guest"), lab.join("baseline"), lab.join("firmware")];
        let image = recipe::key(&image_sources, &[&root, &programs])?;
        Ok(Self { tools, root, clean, programs, image })
    }
}

impl Lab {
    /// Finds the lab in the cache, making what is missing and forgetting what nobody needs any more.
    pub(crate) async fn ready() -> Result<Self> {
        let cache = Cache::of_this_user()?;
        let keys = Keys::of_sources()?;
        let tools = match cache.part("tools", &keys.tools).await? {
            Part::Finished(tools) => tools,
            Part::Missing(part) => make_tools(part).await?,
        };
        let tree = tools.directory.join("tree");
        let root = match cache.part("root", &keys.root).await? {
            Part::Finished(root) => root,
            Part::Missing(part) => make_root(part).await?,
        };
        let programs = match cache.part("programs", &keys.programs).await? {
            Part::Finished(programs) => programs,
            Part::Missing(part) => make_programs(part, &tree).await?,
        };
        let image = match cache.part("image", &keys.image).await? {
            Part::Finished(image) => image,
            Part::Missing(part) => make_image(part, &tree, &root.directory, &programs.directory).await?,
        };
        // A VM that stays up outlives the program that booted it, and its locks.
        if Instance::all_up()?.is_empty() {
            cache.forget(&KINDS, SystemTime::now()).await?;
        }
        let place = image.directory.clone();
        Ok(Self { tools: tree, image: place, _parts: [tools, root, programs, image] })
    }

    /// The tar of a Debian root in which nothing of ours is, for trying packages in; made if it is missing.
    pub(crate) async fn clean_root() -> Result<PathBuf> {
        let root = match Cache::of_this_user()?.part("clean", &Keys::of_sources()?.clean).await? {
            Part::Finished(root) => root,
            Part::Missing(part) => {
                let tar = part.directory.join("root.tar");
                debootstrap("a clean root", "clean.packages", &part.directory, &tar, &[]).await?;
                part.finish()?
            }
        };
        Ok(root.directory.join("root.tar"))
    }

    /// Removes from the cache what this tree's lab is not made of.
    pub(crate) async fn clean() -> Result<()> {
        let Keys { tools, root, clean, programs, image } = Keys::of_sources()?;
        let keys = [tools, root, clean, programs, image];
        let current: Vec<_> = KINDS.into_iter().zip(keys).collect();
        Cache::of_this_user()?.keep_only(&current).await
    }
}

async fn make_tools(part: Unfinished) -> Result<Finished> {
    let tar = part.directory.join("tools.tar");
    // The headers for drivers outside of DPDK's tree are in its source only.
    let source =
        r#"--customize-hook=chroot "$1" sh -c 'cd /usr/src && apt-get -q source --download-only dpdk'"#;
    debootstrap("tools", "tools.packages", &part.directory, &tar, &[source]).await?;

    let unpacking = progress::Part::begin("unpacking the tools");
    let tree = part.directory.join("tree");
    fs::create_dir(&tree)?;
    let mut unpack = process::command("tar");
    unpack.args(["--no-same-owner", "--exclude", "./dev/*", "-xf"]).arg(&tar).arg("-C").arg(&tree);
    process::run(unpack, Duration::from_mins(5)).await?;
    fs::remove_file(&tar)?;
    // Places for what `enter.sh` mounts.
    for place in ["dev", "proc", "tmp", "lab", "in", "out"] {
        fs::create_dir_all(tree.join(place))?;
    }
    unpacking.end();
    part.finish()
}

async fn make_root(part: Unfinished) -> Result<Finished> {
    let tar = part.directory.join("root.tar");
    let unwanted = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];
    let unwanted = unwanted.map(|path| format!("--dpkgopt=path-exclude={path}"));
    debootstrap("root", "guest.packages", &part.directory, &tar, &unwanted.each_ref().map(String::as_str))
        .await?;
    part.finish()
}

/// Makes a root from a package list.
async fn debootstrap(name: &str, list: &str, directory: &Path, tar: &Path, options: &[&str]) -> Result<()> {
    sandbox::check().await?;
    let build = workspace::lab().join("build");
    let mirrors = Mirrors::of_this_machine().await?;
    let packages = recipe::packages(&build.join(list))?;
    let sources = directory.join("sources.list");
    fs::write(&sources, mirrors.sources_list())?;
    let preferences = build.join("apt.preferences");

    let mut debootstrap = if sandbox::is_root() {
        let mut command = sandbox::command("mmdebstrap");
        command.arg("--mode=root").env("TMPDIR", directory);
        command
    } else {
        let mut command = process::command("mmdebstrap");
        command.arg("--mode=unshare");
        command
    };
    debootstrap
        .env("INITRD", "No") // none is needed for the kernel in the tools, and making one takes half a minute
        .args(["--variant=apt", "--format=tar", "--aptopt=Acquire::Languages \"none\""])
        .arg("--aptopt=Acquire::Retries \"3\"")
        .arg("--setup-hook=mkdir -p \"$1/etc/apt/preferences.d\"")
        .arg(format!("--setup-hook=upload '{}' /etc/apt/preferences.d/lab", preferences.display()))
        .arg(format!("--include={}", packages.join(",")))
        .args(options);
    if let Some(proxy) = mirrors.proxy() {
        debootstrap.arg(format!("--aptopt=Acquire::http::Proxy \"{proxy}\""));
    }
    debootstrap.arg(RELEASE).arg(tar).arg(&sources);

    let making = progress::Part::begin(format!(
        "{name}: downloading and unpacking {} packages and what they need from {}",
        packages.len(),
        mirrors.host()
    ));
    process::watched(debootstrap, PACKAGES_LIMIT, |line| making.at(line)).await?;
    making.end();
    Ok(())
}

async fn make_programs(part: Unfinished, tools: &Path) -> Result<Finished> {
    let compiling = progress::Part::begin("programs: compiling kernel modules and dpdk-vdpa");
    let places = Places { tools, input: tools, output: &part.directory };
    sandbox::in_tools("compile.sh", places, COMPILE_LIMIT, |line| compiling.at(line)).await?;
    compiling.end();
    part.finish()
}

async fn make_image(part: Unfinished, tools: &Path, root: &Path, programs: &Path) -> Result<Finished> {
    let making = progress::Part::begin("image: making the guest's disk and initramfs");
    let input = part.directory.join("in");
    fs::create_dir(&input)?;
    fs::hard_link(root.join("root.tar"), input.join("root.tar")).context("cannot link root.tar")?;
    let places = Places { tools, input: &input, output: &part.directory };
    link_tree(programs, &input.join("programs"))?;
    sandbox::in_tools("image.sh", places, COMPILE_LIMIT, |line| making.at(line)).await?;
    fs::remove_dir_all(&input)?;
    making.end();
    part.finish()
}

fn link_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else {
            fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}
