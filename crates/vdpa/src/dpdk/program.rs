//! The running dpdk-vdpa program: its prompt, its log, its end.

use std::collections::VecDeque;
use std::io::Write;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::dialogue::{Dialogue, answer};
use super::layout::Home;
use super::notify;
use super::spec::Spec;
use crate::error::{Error, Result};

/// How many of the program's last lines an error quotes.
const QUOTED: usize = 6;
/// How long the last lines of a program that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where everything that the program says goes as well.
pub(super) type Sink = Arc<Mutex<dyn Write + Send>>;

/// A dpdk-vdpa process, our child.
pub(super) struct Program {
    spec: Spec,
    child: Child,
    stdin: ChildStdin,
    replies: mpsc::UnboundedReceiver<String>,
    log: Arc<Log>,
    log_reader: Option<JoinHandle<()>>,
}

/// What the program said on standard error, as far as anyone may want to quote it.
struct Log {
    lines: Mutex<(usize, VecDeque<String>)>,
    sink: Sink,
}

impl Program {
    /// Starts the program. It ends when this process ends: the write end of its standard input is
    /// nobody else's, and with `-i` it reads until that closes.
    pub(super) fn start(spec: &Spec, home: &Home, sink: Sink) -> Result<Self> {
        let mut child = Command::new(&spec.program)
            .args(spec.arguments(home.version().as_deref()))
            // DPDK keeps its run-time files below this (EAL's eal_create_runtime_dir), and not in /var/run/dpdk.
            .env("RUNTIME_DIRECTORY", home.path())
            .env("LC_ALL", "C")
            .env_remove(notify::VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io(format!("start {}", spec.program.display())))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::Malformed { what: "the new process".into(), why: "it has no pipes".into() });
        };
        let log = Arc::new(Log { lines: Mutex::default(), sink });
        let (tell, replies) = mpsc::unbounded_channel();
        tokio::spawn(read_replies(stdout, tell));
        let log_reader = Some(tokio::spawn(read_log(stderr, Arc::clone(&log))));
        Ok(Self { spec: spec.clone(), child, stdin, replies, log, log_reader })
    }

    /// The process id, until it has been waited for.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the first prompt: the program has found its devices.
    pub(super) async fn prompt(&mut self, limit: Duration) -> Result<()> {
        self.reply("come up", limit).await.map(drop)
    }

    /// Types a command and gives back what the program wrote until its next prompt, and on standard
    /// error meanwhile.
    pub(super) async fn command(&mut self, command: &str, limit: Duration) -> Result<(String, Vec<String>)> {
        while self.replies.try_recv().is_ok() {}
        let before = self.log.count();
        let line = format!("{command}\n");
        if let Err(error) = self.stdin.write_all(line.as_bytes()).await {
            tracing::debug!(%error, "the program no longer reads");
        }
        let reply = self.reply(command, limit).await?;
        // The two pipes are read by two tasks: what came first on one may be seen last.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok((answer(&reply, command).to_owned(), self.log.since(before)))
    }

    /// How many lines it has said on standard error so far.
    pub(super) fn log_mark(&self) -> usize {
        self.log.count()
    }

    /// Its lines on standard error since `mark`.
    pub(super) fn log_since(&self, mark: usize) -> Vec<String> {
        self.log.since(mark)
    }

    /// The last few lines on standard error that say anything.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let mut lines = self.log.since(0);
        lines.retain(|line| !is_routine(line));
        lines.drain(..lines.len().saturating_sub(QUOTED));
        lines
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.map_err(Error::io(format!("wait for {}", self.spec.program.display())))
    }

    /// The error for an end that nobody asked for, with the program's last words.
    pub(super) async fn end_error(&mut self, intent: &str, status: ExitStatus) -> Error {
        if let Some(reader) = self.log_reader.take() {
            // Someone else may hold the pipe open; then what has come so far must do.
            let _ = tokio::time::timeout(LAST_WORDS, reader).await;
        }
        Error::ProgramEnded {
            program: self.spec.program.clone(),
            intent: intent.to_owned(),
            status: status.to_string(),
            last_lines: self.last_lines(),
        }
    }

    /// Ends it: SIGTERM, on which it closes its ports and removes its socket, and SIGKILL after `grace`.
    pub(super) async fn stop(mut self, grace: Duration) -> Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It has not been waited for, so the id is still its own.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            tracing::warn!(?grace, "dpdk-vdpa did not end on SIGTERM, it is killed");
            let intent = format!("kill {}", self.spec.program.display());
            self.child.kill().await.map_err(Error::io(intent))?;
        }
        Ok(())
    }

    async fn reply(&mut self, intent: &str, limit: Duration) -> Result<String> {
        let reply = tokio::time::timeout(limit, self.replies.recv()).await;
        match reply {
            Ok(Some(reply)) => Ok(reply),
            // Standard output has closed: the program ends, or has ended.
            Ok(None) => match tokio::time::timeout(limit, self.ended()).await {
                Ok(status) => Err(self.end_error(intent, status?).await),
                Err(_) => Err(self.silent(intent, limit)),
            },
            Err(_) => Err(self.silent(intent, limit)),
        }
    }

    fn silent(&self, intent: &str, limit: Duration) -> Error {
        let (program, last_lines) = (self.spec.program.clone(), self.last_lines());
        Error::ProgramSilent { program, intent: intent.to_owned(), limit, last_lines }
    }
}

impl Log {
    const KEPT: usize = 200;

    fn push(&self, line: &str) {
        {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.0 += 1;
            lines.1.push_back(line.to_owned());
            if lines.1.len() > Self::KEPT {
                lines.1.pop_front();
            }
        }
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written must not take the datapath down.
        let _ = writeln!(sink, "{line}");
    }

    fn count(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn since(&self, mark: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = lines.0.saturating_sub(mark).min(lines.1.len());
        lines.1.iter().skip(lines.1.len() - wanted).cloned().collect()
    }
}

/// Whether every DPDK program says this at its start (captured from 20.11 and 22.11).
fn is_routine(line: &str) -> bool {
    const ROUTINE: [&str; 8] = [
        "EAL: Detected ",
        "EAL: Multi-process socket ",
        "EAL: Physical addresses are unavailable",
        "EAL: Selected IOVA mode",
        "EAL: Probing VFIO support",
        "EAL: Probe PCI driver",
        "EAL: No legacy callbacks",
        "TELEMETRY: ",
    ];
    ROUTINE.iter().any(|start| line.starts_with(start))
}

async fn read_replies(mut stdout: impl AsyncRead + Unpin, tell: mpsc::UnboundedSender<String>) {
    let (mut dialogue, mut buffer) = (Dialogue::default(), [0; 4096]);
    while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
        for reply in dialogue.push(&buffer[..length]) {
            // The program may be dropped while it still talks.
            let _ = tell.send(reply);
        }
    }
}

async fn read_log(stderr: impl AsyncRead + Unpin, log: Arc<Log>) {
    let (mut stderr, mut line) = (BufReader::new(stderr), Vec::new());
    while let Ok(1..) = stderr.read_until(b'\n', &mut line).await {
        log.push(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}
