//! Programs of the host: argument vectors, never a shell.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, Said};

/// How long a boot loader's program may take: `update-grub` looks for other systems on every disk.
const LIMIT: Duration = Duration::from_mins(5);

/// An argument vector. Displays as one would type it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Command(Vec<String>);

impl Command {
    pub(crate) fn new<I: Into<String>>(words: impl IntoIterator<Item = I>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// The program's name and its arguments.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_=.,:+@%".contains(c);
        for (index, word) in self.0.iter().enumerate() {
            let blank = if index > 0 { " " } else { "" };
            if word.chars().all(plain) {
                write!(f, "{blank}{word}")?;
            } else {
                write!(f, "{blank}'{}'", word.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// The programs of a host.
#[async_trait]
pub trait Programs: fmt::Debug + Send + Sync {
    /// Whether there is a program of this name.
    fn has(&self, name: &str) -> bool;

    /// Runs a program to its end and returns what it printed on standard output.
    ///
    /// # Errors
    /// [`Error::Program`] with what it said, [`Error::Hung`] where it does not end.
    async fn run(&self, command: &Command) -> Result<String>;
}

/// The programs that are installed below a root.
#[derive(Debug, Clone)]
pub struct Installed {
    root: PathBuf,
}

impl Installed {
    /// The programs below `root`. They run as they are, not confined to it.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let directories = ["usr/sbin", "sbin", "usr/bin", "bin", "usr/local/sbin", "usr/local/bin"];
        directories.iter().map(|directory| self.root.join(directory).join(name)).find(|path| path.is_file())
    }
}

#[async_trait]
impl Programs for Installed {
    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    async fn run(&self, command: &Command) -> Result<String> {
        let failed = |said: String| Error::Program { command: command.to_string(), said: Said(said) };
        let path = self.find(command.program()).ok_or_else(|| failed("it is not installed".to_owned()))?;
        tracing::info!(%command, "running");
        let mut process = tokio::process::Command::new(path);
        process.args(&command.words()[1..]).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT, process.output())
            .await
            .map_err(|_| Error::Hung { command: command.to_string(), limit: LIMIT })?
            .map_err(|error| failed(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        tracing::debug!(%command, stdout = text(&output.stdout), stderr = text(&output.stderr), "ended");
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [text(&output.stderr), text(&output.stdout), output.status.to_string()];
        let said = said.into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>();
        Err(failed(said.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_one_would_type_it() {
        let command = Command::new(["grubby", "--update-kernel=ALL", "--args=a=b c"]);
        assert_eq!(command.to_string(), "grubby --update-kernel=ALL '--args=a=b c'");
        assert_eq!(Command::new(["x", "it's"]).to_string(), r"x 'it'\''s'");
    }

    #[tokio::test]
    async fn what_a_program_says_when_it_fails_is_kept() {
        let host = Installed::new("/".into());
        let error = host.run(&Command::new(["ls", "--no-such-flag"])).await.unwrap_err();
        let Error::Program { said, .. } = &error else { panic!("{error:?}") };
        assert!(said.0.contains("no-such-flag") && said.0.ends_with("exit status: 2"), "{said}");
        let error = host.run(&Command::new(["no-such-program"])).await.unwrap_err();
        assert!(
            matches!(&error, Error::Program { said, .. } if said.0.contains("not installed")),
            "{error:?}"
        );
    }
}
