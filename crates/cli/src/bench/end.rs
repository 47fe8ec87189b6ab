//! Where a program runs: on this host, in a network namespace of it, or on another machine by SSH.
//!
//! sshd gives a command to the other user's shell as one text. So what is sent consists of words that mean themselves in
//! every shell: each is made here, of a fixed flag, a number or an address, and held against that once more
//! ([`SshHost::arguments`]).

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::Refusal;
use crate::error::Error;
use crate::traffic;

/// How long a connection may take to come about, in seconds.
const CONNECT: u16 = 15;
/// The most that is read of what a program prints: a run of an hour with 128 streams has some 60 MB of intervals.
const MOST: u64 = 256 << 20;
/// What a shell exits with where there is no such program (POSIX XCU 2.8.2).
const NO_PROGRAM: i32 = 127;
/// What ssh exits with where it could not run the command (ssh(1)).
const NO_CONNECTION: i32 = 255;

/// Where a program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// On this host.
    Local(traffic::End),
    /// On another machine, or in a VM.
    Remote(SshHost),
}

/// A machine as ssh(1) is told of it: a name, an address, or an alias of its configuration; `user@` before it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshHost(String);

/// How machines are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ssh {
    /// Another configuration than the user's own (`ssh -F`).
    pub config: Option<PathBuf>,
}

/// A program with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<String>,
    /// Whether it ends when we are gone, on another machine too.
    pub(super) dies_with_us: bool,
}

/// A program that runs; it ends with this value.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) program: &'static str,
    end: End,
}

/// What a program has said and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) status: ExitStatus,
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("ssh:") {
            Some(host) => host.parse().map(Self::Remote),
            None => {
                text.parse().map(Self::Local).map_err(|why: String| why.replace(", or", ", `ssh:HOST`, or"))
            }
        }
    }
}

impl FromStr for SshHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-@:%[]".contains(c);
        // What begins with a dash would be an option.
        if text.is_empty() || text.starts_with('-') || !text.chars().all(plain) {
            return Err(format!("`{text}` names no machine for ssh: `ssh:HOST` or `ssh:USER@HOST`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(end) => end.fmt(f),
            Self::Remote(host) => host.fmt(f),
        }
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl End {
    /// Whether it takes privilege to get there: setns(2).
    pub fn is_entered(&self) -> bool {
        matches!(self, Self::Local(traffic::End::Namespace(_) | traffic::End::Process(_)))
    }

    /// Starts a program here.
    ///
    /// # Errors
    /// [`Error::Traffic`] where the namespace cannot be entered, [`Error::NoProgram`] where there is no such program.
    pub(super) async fn start(&self, ssh: &Ssh, program: Program) -> Result<Running, Error> {
        let (at, local, words) = match self {
            Self::Local(end) => {
                (end.clone(), program.name, program.arguments.iter().map(OsString::from).collect())
            }
            Self::Remote(host) => (traffic::End::Here, "ssh", host.arguments(ssh, &program)),
        };
        let mut command = Command::new(local);
        command.args(words).env("LC_ALL", "C").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for us, who stop it: else it would fail before we know why.
        command.process_group(0);
        tracing::debug!(?command, "starting a program in {at}");
        let here = Self::Local(at.clone());
        match at.spawn(command).await? {
            Ok(child) => Ok(Running { child, program: program.name, end: self.clone() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NoProgram { program: local, end: here })
            }
            Err(error) => Err(Error::Traffic { why: format!("cannot start {local}: {error}") }),
        }
    }
}

impl SshHost {
    /// Never asks, never waits for ever, and never becomes somebody else's connection, which would outlive us.
    fn arguments(&self, ssh: &Ssh, program: &Program) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(config) = &ssh.config {
            words.extend(["-F".into(), config.into()]);
        }
        let connect = format!("ConnectTimeout={CONNECT}");
        // A machine that has gone silent is given up after a minute.
        let options =
            ["BatchMode=yes", &connect, "ControlMaster=no", "ServerAliveInterval=15", "LogLevel=ERROR"];
        words.extend(options.iter().flat_map(|option| ["-o".into(), option.into()]));
        // What has a terminal gets SIGHUP when the connection ends, however it does.
        words.push(if program.dies_with_us { "-tt" } else { "-T" }.into());
        words.extend(["--".into(), self.0.clone().into()]);
        // Its messages are read here.
        words.extend(["env".into(), "LC_ALL=C".into(), program.name.into()]);
        debug_assert!(program.arguments.iter().all(|word| is_plain(word)), "{program:?}");
        words.extend(program.arguments.iter().filter(|word| is_plain(word)).map(OsString::from));
        words
    }
}

/// Whether a word means itself in every shell.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-._:/=".contains(c))
}

impl Running {
    /// Waits for its end, and takes what it says.
    ///
    /// # Errors
    /// [`Refusal::Silent`] where that takes too long, as [`Error::Unmeasured`] of `what`; else as [`Said::checked`].
    pub(super) async fn ends(mut self, limit: Duration, what: &str) -> Result<Said, Error> {
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        let ended = tokio::time::timeout(limit, async {
            let (out, err) = tokio::join!(text(out), text(err));
            Ok::<_, std::io::Error>(Said { out: out?, err: err?, status: self.child.wait().await? })
        });
        let program = self.program;
        let said = match ended.await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => {
                return Err(Error::Traffic { why: format!("cannot read what {program} says: {error}") });
            }
            Err(_) => {
                let source = Refusal::Silent { program, limit };
                return Err(Error::Unmeasured { what: what.to_owned(), source });
            }
        };
        said.checked(&self.end, program)
    }

    /// The same of a program whose standard output has been read already.
    pub(super) async fn ended(mut self, out: String) -> Result<Said, Error> {
        let err = text(self.child.stderr.take()).await.unwrap_or_default();
        let status = self.child.wait().await;
        let status = status
            .map_err(|error| Error::Traffic { why: format!("cannot wait for {}: {error}", self.program) })?;
        Said { out, err, status }.checked(&self.end, self.program)
    }
}

impl Said {
    /// Sorts out that there was no such program, or no connection.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Ssh`].
    fn checked(self, end: &End, program: &'static str) -> Result<Self, Error> {
        match (end, self.status.code()) {
            (End::Remote(_), Some(NO_PROGRAM)) => Err(Error::NoProgram { program, end: end.clone() }),
            (End::Remote(host), Some(NO_CONNECTION)) => {
                Err(Error::Ssh { host: host.clone(), said: self.err.trim().to_owned() })
            }
            _ => Ok(self),
        }
    }

    /// What it said of why it ended: the last lines of both outputs.
    pub(super) fn complaint(&self) -> String {
        let of = |text: &str| -> Vec<String> {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let lines: Vec<String> = [of(&self.out), of(&self.err)].concat();
        let last = lines.iter().skip(lines.len().saturating_sub(3)).cloned().collect::<Vec<_>>().join("\n");
        if last.is_empty() { format!("it ended with {}", self.status) } else { last }
    }
}

async fn text(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_verify_and_machines() {
        assert_eq!("vm0".parse(), Ok(End::Local(traffic::End::Namespace("vm0".into()))));
        assert_eq!("here".parse(), Ok(End::Local(traffic::End::Here)));
        for host in ["cx6-2", "root@10.0.0.2", "user@fe80::1%eth0", "[2001:db8::1]"] {
            assert_eq!(format!("ssh:{host}").parse(), Ok(End::Remote(SshHost(host.into()))), "{host}");
        }
        for wrong in
            ["ssh:", "ssh:-oProxyCommand=x", "ssh:a b", "ssh:$(x)", "ssh:a;b", "ssh:a'b", "pid:x", "a/b"]
        {
            assert!(wrong.parse::<End>().is_err(), "{wrong}");
        }
        let why = "a/b".parse::<End>().unwrap_err();
        assert!(why.contains("`ssh:HOST`"), "{why}");
    }

    #[test]
    fn a_command_for_another_machine_asks_nothing_and_stays_what_it_is() {
        let program = Program {
            name: "iperf3",
            arguments: ["--client", "2001:db8::1", "--time", "5"].map(str::to_owned).to_vec(),
            dies_with_us: false,
        };
        let ssh = Ssh { config: Some("/tmp/a config".into()) };
        let words = SshHost("root@b".into()).arguments(&ssh, &program);
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        assert_eq!(&words[..2], ["-F", "/tmp/a config"]);
        assert!(words.contains(&"BatchMode=yes") && words.contains(&"ConnectTimeout=15"), "{words:?}");
        let at = words.iter().position(|word| *word == "--").unwrap();
        let sent = ["--", "root@b", "env", "LC_ALL=C", "iperf3", "--client", "2001:db8::1", "--time", "5"];
        assert_eq!(&words[at..], sent);
    }

    #[test]
    fn no_program_and_no_connection_are_told_apart_from_its_own_failures() {
        use std::os::unix::process::ExitStatusExt as _;
        let checked = |end: &str, code: i32| {
            let (out, err) = ("busy".to_owned(), "Permission denied\n".to_owned());
            let said = Said { out, err, status: ExitStatus::from_raw(code << 8) };
            said.checked(&end.parse().unwrap(), "iperf3").map(|said| said.complaint())
        };
        let error = |end, code| checked(end, code).unwrap_err().to_string();
        assert_eq!(error("ssh:b", NO_PROGRAM), "there is no iperf3 at b");
        assert_eq!(error("ssh:b", NO_CONNECTION), "ssh does not reach b: Permission denied");
        for (end, code) in [("ssh:b", 1), ("vm0", NO_PROGRAM), ("here", NO_CONNECTION)] {
            assert_eq!(checked(end, code).unwrap(), "busy\nPermission denied", "{end}");
        }
    }

    #[test]
    fn a_word_that_a_shell_would_read_is_none_of_ours() {
        for word in
            ["", "a b", "$x", "`x`", "a;b", "a|b", "'", "\"", "*", "~", "a&b", "(", "<", "\n", "#", "!"]
        {
            assert!(!is_plain(word), "{word}");
        }
        assert!(["--json", "10.0.0.2", "fe80::1", "LC_ALL=C", "500000000"].into_iter().all(is_plain));
    }
}
