//! The tree of files as it is to lie on a host.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};

use super::{About, MOMENT, sbom};
use crate::{process, workspace};

/// What the program is called where it is installed. iproute2 has a `vdpa` in /usr/sbin, which comes first in root's path
/// and in sudo's, and which other packages' scripts call: ours takes a name that nobody has.
pub(super) const NAME: &str = "vdpa-host";

/// Shells look for completions under the name of the command.
const BASH: &str = "usr/share/bash-completion/completions";
const ZSH: &str = "usr/share/zsh/site-functions";
const DEBIAN_ZSH: &str = "usr/share/zsh/vendor-completions";
const FISH: &str = "usr/share/fish/vendor_completions.d";

/// Where both families of distributions look for documents of a package.
const DOCUMENTS: &str = "usr/share/doc/vdpa-host";

/// Lays out the tree, which is made anew.
pub(super) async fn stage(program: &Path, about: &About, tree: &Path) -> Result<PathBuf> {
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    let tree = Tree { root: tree.to_owned() };
    tree.program(program)?;
    tree.directory("etc/vdpa")?;
    tree.man_pages(program).await?;
    tree.completions(program).await?;
    let policy = workspace::root().join("crates/boot/selinux/vdpa.cil");
    let source = fs::read(&policy).with_context(|| format!("cannot read {}", policy.display()))?;
    tree.file("usr/share/vdpa/selinux/vdpa.cil", &source)?;
    tree.documents(about).await?;
    Ok(tree.root)
}

struct Tree {
    root: PathBuf,
}

impl Tree {
    fn directory(&self, path: &str) -> Result<PathBuf> {
        let directory = self.root.join(path);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }

    /// A file that everybody may read.
    fn file(&self, path: &str, content: &[u8]) -> Result<()> {
        let path = Path::new(path);
        let directory = self.directory(&path.parent().unwrap_or(Path::new("")).to_string_lossy())?;
        let file = directory.join(path.file_name().unwrap_or_default());
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(fs::set_permissions(file, Permissions::from_mode(0o644))?)
    }

    fn program(&self, program: &Path) -> Result<()> {
        let installed = self.directory("usr/bin")?.join(NAME);
        fs::copy(program, &installed).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(fs::set_permissions(installed, Permissions::from_mode(0o755))?)
    }

    /// `vdpa(1)` and a page a command, from the description of the flags. iproute2's are in section 8.
    async fn man_pages(&self, program: &Path) -> Result<()> {
        const MAN: &str = "usr/share/man/man1";
        let plain = tempfile::tempdir()?;
        said(program, &["man", "--into", &plain.path().to_string_lossy()]).await?;
        for page in fs::read_dir(plain.path())? {
            let page = page?;
            let name = page.file_name().to_string_lossy().into_owned();
            self.file(&format!("{MAN}/{name}.gz"), &compressed(&fs::read(page.path())?)?)?;
        }
        self.file(&format!("{MAN}/{NAME}.1.gz"), &compressed(b".so man1/vdpa.1\n")?)
    }

    /// For the installed name, and for `vdpa` where an administrator has made that ours.
    async fn completions(&self, program: &Path) -> Result<()> {
        let mut bash = said(program, &["completions", "bash"]).await?;
        let _ = writeln!(bash, "\ncomplete -F _vdpa -o nosort -o bashdefault -o default {NAME}");
        self.file(&format!("{BASH}/{NAME}"), bash.as_bytes())?;
        symlink(NAME, self.root.join(BASH).join("vdpa"))?;

        let zsh = said(program, &["completions", "zsh"]).await?;
        let zsh = zsh.replacen("#compdef vdpa", &format!("#compdef vdpa {NAME}"), 1);
        for directory in [ZSH, DEBIAN_ZSH] {
            self.file(&format!("{directory}/_vdpa"), zsh.as_bytes())?;
        }

        let fish = said(program, &["completions", "fish"]).await?;
        self.file(&format!("{FISH}/vdpa.fish"), fish.as_bytes())?;
        self.file(&format!("{FISH}/{NAME}.fish"), format!("complete -c {NAME} -w vdpa\n").as_bytes())
    }

    async fn documents(&self, about: &About) -> Result<()> {
        let root = workspace::root();
        let put = |from: PathBuf, to: &str| -> Result<()> {
            let content = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            self.file(&format!("{DOCUMENTS}/{to}"), &content)
        };
        for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            put(root.join(name), name)?;
        }
        for page in files(&root.join("docs"), "md")? {
            let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            put(page, &format!("docs/{name}"))?;
        }
        put(root.join("crates/cli/src/host/reference/host.toml"), "examples/one-card.toml")?;
        for example in files(&root.join("docs/examples"), "toml")? {
            let name = example.file_name().unwrap_or_default().to_string_lossy().into_owned();
            put(example, &format!("examples/{name}"))?;
        }
        self.file(&format!("{DOCUMENTS}/copyright"), copyright(about).as_bytes())?;
        let bill = serde_json::to_vec_pretty(&sbom::of_program(&about.version).await?)?;
        self.file(&format!("{DOCUMENTS}/sbom.cdx.json"), &bill)
    }
}

/// Debian's machine-readable form of what the licence files say.
fn copyright(about: &About) -> String {
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: vdpa\n\
         Source: {home}\n\nFiles: *\nCopyright: the vdpa authors\nLicense: {licence}\n \
         The texts are LICENSE-MIT and LICENSE-APACHE in this directory. sbom.cdx.json lists the libraries in the\n \
         program, with their licences.\n",
        home = about.home,
        licence = about.licence.replace(" OR ", " or "),
    )
}

/// The files of a directory whose names end so, in the order of their names.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

/// What the program prints.
async fn said(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = process::command(&program.to_string_lossy());
    command.args(arguments);
    Ok(String::from_utf8(process::output(command, MOMENT).await?.stdout)?)
}

/// As `gzip -9n` has it: without a name or a time in it.
fn compressed(text: &[u8]) -> Result<Vec<u8>> {
    let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
    writer.write_all(text)?;
    Ok(writer.finish()?)
}
