//! The real domains, through `virsh -q -c URI`: no link to a C library.
//!
//! Every call has a time limit, `LC_ALL=C`, an argument vector and no shell. A domain's XML goes in by
//! a pipe (`/dev/stdin`), so its secrets never stand in a file.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{DomainName, Domains, Error, Result, Status, Versions, View, xml};

/// Domains by virsh(1).
///
/// Privilege: whatever libvirt asks for at the URI; for `qemu:///system` root or the group libvirt.
#[derive(Debug, Clone)]
pub struct Virsh {
    program: PathBuf,
    uri: String,
    limit: Duration,
}

impl Virsh {
    /// libvirt's system-wide QEMU driver.
    pub const SYSTEM: &'static str = "qemu:///system";

    /// How long a call may take. A first `define` has libvirt probe its QEMU, which takes seconds.
    pub const LIMIT: Duration = Duration::from_mins(1);

    /// The domains of the libvirt at `uri` (<https://libvirt.org/uri.html>).
    pub fn new(uri: impl Into<String>) -> Self {
        Self { program: "virsh".into(), uri: uri.into(), limit: Self::LIMIT }
    }

    /// With another virsh than the one in `PATH`.
    #[must_use]
    pub fn with_program(self, program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..self }
    }

    /// With another limit than [`LIMIT`](Self::LIMIT) for each call.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    async fn run(&self, doing: &str, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let _waiting = tracing::debug_span!("virsh", waits_for = "libvirt", uri = self.uri, ?arguments);
        match tokio::time::timeout(self.limit, self.output(arguments, input)).await {
            Err(_) => Err(Error::TimedOut { doing: doing.to_owned(), limit: self.limit }),
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
                let why = format!("{} is not installed", self.program.display());
                Err(Error::NoLibvirt { uri: self.uri.clone(), why })
            }
            Ok(Err(error)) => Err(Error::NoLibvirt { uri: self.uri.clone(), why: error.to_string() }),
            Ok(Ok(output)) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            }
            Ok(Ok(output)) => Err(self.failure(doing, &String::from_utf8_lossy(&output.stderr))),
        }
    }

    async fn output(&self, arguments: &[&str], input: Option<&str>) -> std::io::Result<std::process::Output> {
        let mut child = Command::new(&self.program)
            .args(["-q", "-c", &self.uri])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is ours to handle: a define is not to be cut in half.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // virsh may close it early; its own message says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        output
    }

    fn failure(&self, doing: &str, stderr: &str) -> Error {
        let lines: Vec<_> = stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        // The first line repeats what was asked; the next ones say why it was refused.
        let message = match lines[..] {
            [] => stderr.trim().to_owned(),
            [only] => only.to_owned(),
            [_, ref why @ ..] => why.join("; "),
        };
        if stderr.contains("error: failed to connect to the hypervisor") {
            return Error::NoLibvirt { uri: self.uri.clone(), why: message };
        }
        Error::Refused { doing: doing.to_owned(), message }
    }

    /// Runs a command about a domain.
    async fn about(&self, domain: &DomainName, doing: &str, command: &[&str]) -> Result<String> {
        let option = format!("--domain={}", self.key(domain).await?);
        let arguments: Vec<_> = command.iter().copied().chain([&*option]).collect();
        match self.run(&format!("{doing} `{domain}`"), &arguments, None).await {
            // `failed to get domain 'x'` stands alone or before "Domain not found: …".
            Err(Error::Refused { message, .. })
                if message.starts_with("failed to get domain ")
                    || message.starts_with("Domain not found") =>
            {
                Err(Error::UnknownDomain(domain.clone()))
            }
            result => result,
        }
    }

    /// What virsh is given to find a domain: its name, or its UUID where virsh could misread the name.
    async fn key(&self, domain: &DomainName) -> Result<String> {
        if !domain.is_ambiguous() {
            return Ok(domain.to_string());
        }
        let list = self.run("list the domains", &["list", "--all", "--uuid", "--name"], None).await?;
        let uuid =
            list.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == domain.as_str());
        uuid.map(|(uuid, _)| uuid.to_owned()).ok_or_else(|| Error::UnknownDomain(domain.clone()))
    }
}

#[async_trait]
impl Domains for Virsh {
    async fn list(&self) -> Result<Vec<DomainName>> {
        let list = self.run("list the domains", &["list", "--all", "--name"], None).await?;
        let mut names: Vec<_> = list.lines().filter_map(|line| line.parse().ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn status(&self, domain: &DomainName) -> Result<Status> {
        let info = self.about(domain, "look at domain", &["dominfo"]).await?;
        let is = |key: &str, value: &str| {
            let field = info.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == key);
            field.is_some_and(|(_, found)| found.trim() == value)
        };
        Ok(Status {
            active: !is("Id", "-"),
            persistent: is("Persistent", "yes"),
            managed_save: is("Managed save", "yes"),
        })
    }

    async fn xml(&self, domain: &DomainName, view: View) -> Result<String> {
        let mut command = vec!["dumpxml", "--security-info"];
        if view == View::Definition {
            command.push("--inactive");
        }
        self.about(domain, "read domain", &command).await
    }

    async fn define(&self, xml: &str) -> Result<()> {
        let doing = format!("define domain `{}`", xml::name(xml)?);
        self.run(&doing, &["define", "/dev/stdin"], Some(xml)).await.map(drop)
    }

    async fn start(&self, domain: &DomainName, limit: Duration) -> Result<()> {
        let patient = self.clone().with_limit(limit);
        match patient.about(domain, "start domain", &["start"]).await {
            Err(Error::TimedOut { .. }) => {
                // libvirt goes on with the start when virsh has gone.
                self.about(domain, "end the start of domain", &["destroy"]).await?;
                Err(Error::StartHangs { domain: domain.clone(), limit })
            }
            started => started.map(drop),
        }
    }

    async fn versions(&self) -> Result<Versions> {
        let doing = "ask for libvirt's version";
        let said = self.run(doing, &["version", "--daemon"], None).await?;
        versions(&said).ok_or_else(|| Error::Refused {
            doing: doing.to_owned(),
            message: format!("`virsh version` says only {:?}", said.trim()),
        })
    }
}

/// Reads what `virsh version --daemon` prints.
fn versions(said: &str) -> Option<Versions> {
    let field =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim);
    Some(Versions {
        libvirt: field("Running against daemon")?.to_owned(),
        hypervisor: field("Running hypervisor")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(stderr: &str) -> Error {
        Virsh::new(Virsh::SYSTEM).failure("define domain `a`", stderr)
    }

    /// What virsh 9.0 printed.
    #[test]
    fn libvirts_own_words_are_quoted() {
        let error = failure(
            "error: Failed to define domain from /dev/stdin\n\
             error: unsupported configuration: rx_queue_size has to be a power of two\n\n",
        );
        assert_eq!(
            error.to_string(),
            "cannot define domain `a`: unsupported configuration: rx_queue_size has to be a power of two"
        );
    }

    #[test]
    fn no_connection_is_told_apart() {
        let error = failure(
            "error: failed to connect to the hypervisor\n\
             error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory\n",
        );
        assert!(
            matches!(&error, Error::NoLibvirt { why, .. } if why.starts_with("Failed to connect")),
            "{error:?}"
        );
    }

    /// What virsh 9.0 printed.
    #[test]
    fn versions_are_the_daemons_and_the_hypervisors() {
        let said = "Compiled against library: libvirt 9.0.0\nUsing library: libvirt 9.0.0\nUsing API: QEMU 9.0.0\n\
                    Running hypervisor: QEMU 7.2.22\nRunning against daemon: 9.0.0\n\n";
        let wanted = Versions { libvirt: "9.0.0".to_owned(), hypervisor: "QEMU 7.2.22".to_owned() };
        assert_eq!(versions(said), Some(wanted));
        assert_eq!(versions("Running hypervisor: QEMU 7.2.22\n"), None);
    }

    #[tokio::test]
    async fn a_missing_virsh_is_told_apart() {
        let error = Virsh::new("test:///default").with_program("/nowhere/virsh").list().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot reach libvirt at test:///default: /nowhere/virsh is not installed"
        );
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_cut_off() {
        let limit = Duration::from_millis(100);
        // `tail -q -c 3 -f /dev/null` never ends.
        let domains = Virsh::new("3").with_program("/usr/bin/tail").with_limit(limit);
        let started = std::time::Instant::now();
        let held = domains.run("wait", &["-f", "/dev/null"], None).await.unwrap_err();
        assert_eq!(held, Error::TimedOut { doing: "wait".to_owned(), limit });
        assert!(started.elapsed() < Virsh::LIMIT);
    }
}
