//! mstflint's and MFT's tools: `mstconfig` and `mstfwreset`, or `mlxconfig` and `mlxfwreset`.
//!
//! Each question is a program run to its end, without a shell, a terminal or an answer to its prompts, in the C locale.
//! One that hangs is killed when its time is over; of one that prints without end, no more than 4 MiB are read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::read::NotRead;
use super::{
    Activation, Complaint, Firmware, Keeper, Need, Objection, SettingName, Settings, Value, read,
    reset_levels,
};
use crate::error::{Error, Result};
use crate::nouns::PciAddress;

/// The most that is read of what a tool prints: a card has some 300 settings, 30 KB of text.
const MOST: u64 = 4 << 20;

/// How long a tool may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a question. All settings of a card with `-e` take up to 20 s (a comment in `mlxcfg_ui.cpp`).
    pub query: Duration,
    /// For a change: each setting is written, and asked for before and after.
    pub change: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { query: Duration::from_mins(1), change: Duration::from_mins(2) }
    }
}

/// The firmware tools of this host: mstflint's where they are there, else MFT's.
#[derive(Debug, Clone)]
pub struct Tools {
    path: Vec<PathBuf>,
    limits: Limits,
}

/// The programs of one package.
#[derive(Debug, Clone, Copy)]
struct Family {
    config: &'static str,
    reset: &'static str,
    keeper: Keeper,
}

const FAMILIES: [Family; 2] = [
    Family { config: "mstconfig", reset: "mstfwreset", keeper: Keeper::Mstconfig },
    Family { config: "mlxconfig", reset: "mlxfwreset", keeper: Keeper::Mlxconfig },
];

/// What a program printed, and whether it was content.
struct Said {
    stdout: String,
    stderr: String,
    success: bool,
}

impl Default for Tools {
    /// Those in `PATH`, and where administrators' programs are.
    fn default() -> Self {
        Self::in_path(&std::env::var_os("PATH").unwrap_or_default())
    }
}

impl Tools {
    /// Those in the directories of `path`, a list as in `PATH`, and in `/usr/sbin` and `/sbin`.
    pub fn in_path(path: &OsStr) -> Self {
        let admin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        Self::in_directories(std::env::split_paths(path).chain(admin).collect())
    }

    /// Those in these directories.
    pub fn in_directories(path: Vec<PathBuf>) -> Self {
        Self { path, limits: Limits::default() }
    }

    /// The same with other time limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        self.path.iter().map(|directory| directory.join(program)).find(|path| path.is_file())
    }

    /// Asks the first tool that can open the card; `arguments` come after `-d ADDRESS`.
    async fn config(
        &self,
        pf: PciAddress,
        arguments: &[String],
        limit: Duration,
        intent: &str,
    ) -> Result<(Family, Said)> {
        let mut refused = None;
        for family in FAMILIES {
            let Some(program) = self.find(family.config) else { continue };
            let device = pf.to_string();
            let words = ["-d", &device].into_iter().chain(arguments.iter().map(String::as_str));
            let said = run(&program, words, limit).await?;
            match said.complaint() {
                Some(complaint) if complaint.objection == Objection::CannotOpen => {
                    refused.get_or_insert(Error::Tool { intent: intent.to_owned(), complaint });
                }
                _ => return Ok((family, said)),
            }
        }
        Err(refused.unwrap_or_else(|| Error::NoFirmwareTool { intent: intent.to_owned() }))
    }

    /// Reads what a query printed.
    async fn understood(&self, family: Family, said: &Said, intent: &str) -> Result<Settings> {
        match read(&said.stdout, family.keeper) {
            Ok(cards) => Ok(cards.into_iter().next().unwrap_or_default()),
            Err(NotRead::Complaint(complaint)) => {
                Err(Error::Tool { intent: intent.to_owned(), complaint: said.with_stderr(complaint) })
            }
            // What was printed before the end came tells less than that it came.
            Err(NotRead::Unreadable(_)) if !said.success && !said.stderr.is_empty() => {
                Err(Error::Tool { intent: intent.to_owned(), complaint: said.failure() })
            }
            Err(NotRead::Unreadable(unreadable)) => {
                Err(Error::ToolOutput { tool: self.version(family.config).await, unreadable })
            }
        }
    }

    /// The tool with its version: `mstconfig, mstflint 4.21.0`.
    async fn version(&self, program: &str) -> String {
        let unknown = || format!("{program} (of an unknown version)");
        let Some(path) = self.find(program) else { return unknown() };
        let Ok(said) = run(&path, ["-v"], self.limits.query).await else { return unknown() };
        let line = said.stdout.lines().find(|line| line.starts_with(program)).unwrap_or_default();
        let known = line.split(", ").take(2).collect::<Vec<_>>().join(", ");
        if known.contains(char::is_numeric) { known } else { unknown() }
    }

    /// Changes something, and gives what the tool says that it takes.
    async fn change(&self, pf: PciAddress, arguments: &[String], intent: &str) -> Result<Need> {
        let (_, said) = self.config(pf, arguments, self.limits.change, intent).await?;
        if let Some(complaint) = said.complaint() {
            return Err(match complaint.objection {
                Objection::UnknownSetting(Some(name)) => Error::NoSetting { pf, name },
                _ => Error::Tool { intent: intent.to_owned(), complaint },
            });
        }
        if !said.success || !said.stdout.contains("Done!") {
            return Err(Error::Tool { intent: intent.to_owned(), complaint: said.failure() });
        }
        Ok(Need::said_in(&said.stdout))
    }
}

#[async_trait]
impl Firmware for Tools {
    async fn settings(&self, pf: PciAddress, names: &[SettingName]) -> Result<Settings> {
        let intent = format!("read the firmware settings of {pf}");
        let mut names = names.to_vec();
        let all = names.is_empty();
        while all || !names.is_empty() {
            let words =
                ["-e", "q"].map(str::to_owned).into_iter().chain(names.iter().map(ToString::to_string));
            let (family, said) =
                self.config(pf, &words.collect::<Vec<_>>(), self.limits.query, &intent).await?;
            match said.complaint().map(|complaint| complaint.objection) {
                // Of several that it does not have, the tool names the first.
                Some(Objection::UnknownSetting(Some(unknown))) if names.contains(&unknown) => {
                    names.retain(|name| *name != unknown);
                }
                _ => return self.understood(family, &said, &intent).await,
            }
        }
        Ok(Settings::default())
    }

    async fn set(&self, pf: PciAddress, values: &BTreeMap<SettingName, Value>) -> Result<Need> {
        let names: Vec<SettingName> = values.keys().cloned().collect();
        let known = self.settings(pf, &names).await?;
        if let Some(name) = names.iter().find(|name| known.get(name.as_str()).is_none()) {
            return Err(Error::NoSetting { pf, name: name.clone() });
        }
        let words: Vec<String> =
            values.iter().map(|(name, value)| format!("{name}={}", value.argument())).collect();
        let intent = format!("set {} of {pf}", words.join(" "));
        let arguments = ["-y", "set"].map(str::to_owned).into_iter().chain(words).collect::<Vec<_>>();
        let need = self.change(pf, &arguments, &intent).await?;
        let after = self.settings(pf, &names).await?;
        for (name, asked) in values {
            let next = after.get(name.as_str()).and_then(|setting| setting.next.clone());
            if !next.as_ref().is_some_and(|next| next.is(asked)) {
                return Err(Error::SettingStays { pf, name: name.clone(), asked: asked.clone(), next });
            }
        }
        Ok(need)
    }

    async fn reset(&self, pf: PciAddress, names: &[SettingName]) -> Result<Need> {
        let intent = format!("reset the firmware settings of {pf}");
        let words =
            ["-y", "reset"].map(str::to_owned).into_iter().chain(names.iter().map(ToString::to_string));
        self.change(pf, &words.collect::<Vec<_>>(), &intent).await
    }

    async fn activation(&self, pf: PciAddress) -> Result<Activation> {
        let found = FAMILIES.iter().find_map(|family| Some((family, self.find(family.reset)?)));
        let Some((family, program)) = found else {
            return Err(Error::NoFirmwareTool { intent: format!("ask what resets {pf} can do") });
        };
        let device = pf.to_string();
        let said = run(&program, ["-d", &device, "query"], self.limits.query).await?;
        if let Some(complaint) = said.complaint() {
            return Ok(Activation::reboot(format!("{} says: {complaint}", family.reset)));
        }
        match reset_levels(&said.stdout) {
            Ok(levels) => Ok(Activation::least(&levels, |level| {
                format!("{} -d {pf} -l {level} -y reset", family.reset)
            })),
            Err(unreadable) => {
                Ok(Activation::reboot(format!("{} is not understood, {unreadable}", family.reset)))
            }
        }
    }
}

impl Said {
    /// The complaint behind `-E-`. Beside settings that could be read, one about those that could not is none.
    fn complaint(&self) -> Option<Complaint> {
        let complaint = Complaint::in_output(&self.stdout)?;
        (complaint.objection != Objection::Partial).then(|| self.with_stderr(complaint))
    }

    /// What is on standard error comes before: "write counter to semaphore: Permission denied".
    fn with_stderr(&self, complaint: Complaint) -> Complaint {
        let stderr = self.stderr.trim();
        let text = if stderr.is_empty() { complaint.text } else { format!("{stderr}\n{}", complaint.text) };
        Complaint { text, ..complaint }
    }

    /// What it said, where it says nowhere that something is wrong.
    fn failure(&self) -> Complaint {
        let last = |text: &str| {
            text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
        };
        let text =
            last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or_else(|| "it said nothing".to_owned());
        Complaint { objection: Objection::Other, text }
    }
}

/// Runs a program to its end, no longer than `limit`.
async fn run<'a>(
    program: &PathBuf,
    arguments: impl IntoIterator<Item = &'a str>,
    limit: Duration,
) -> Result<Said> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let words: Vec<_> = command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let line = format!("{name} {}", words.join(" "));
    let _waiting = tracing::debug_span!("firmware tool", waits_for = "firmware", command = %line);
    let failed = |source| Error::io(format!("run `{line}`"), source);

    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(limit, async {
        let (stdout, stderr) = tokio::join!(text(stdout), text(stderr));
        // One that goes on printing past what is read has its pipe closed, and ends by that.
        Ok::<_, std::io::Error>((stdout?, stderr?, child.wait().await?))
    });
    match ended.await {
        Ok(Ok((stdout, stderr, status))) => Ok(Said { stdout, stderr, success: status.success() }),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => {
            // Whoever is stuck in the kernel is not waited for: it dies when the kernel lets go of it.
            drop(child.start_kill());
            Err(Error::ToolHung { command: line, limit })
        }
    }
}

async fn text(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
