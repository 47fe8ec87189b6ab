//! The supervisor: the process around one dpdk-vdpa, from its start to its end.

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::backoff;
use super::control::{self, Answer, Question};
use super::dialogue::{is_unknown_device, read_list};
use super::layout::{Home, Processes};
use super::notify::Notifier;
use super::process::ProcessId;
use super::program::{Program, Sink};
use super::socket::{self, is_listening};
use super::{Mode, QueueCounters, Queues, Spec};
use crate::error::{Error, Result};

/// How long the program may take for what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From its start to the served socket. Loading all of DPDK's drivers takes 0.2 s on a server and
    /// 20 s on an emulated one; mlx5 disables `RoCE` on the VF and waits for its device to come back.
    pub start: Duration,
    /// From SIGTERM to its end, after which it is killed.
    pub stop: Duration,
    /// For an answer at its prompt.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(90),
            stop: Duration::from_secs(10),
            answer: Duration::from_secs(20),
        }
    }
}

/// Runs the dpdk-vdpa process whose directory this is, until it ends or SIGTERM asks it to.
///
/// This is the whole of a supervising process: call it from a process of its own, on a runtime with
/// I/O and timers. It makes itself the leader of a session, tells `$NOTIFY_SOCKET` when the datapath is
/// ready (`sd_notify(3)`), and passes all that the program says on to `output`. The kernel closes its
/// end of the program's standard input when it is killed, and the program then ends by itself.
///
/// Returns `Ok` when it was asked to end, and an error when the program ended by itself or never became
/// ready; the caller then exits with a failure, on which systemd starts it again.
pub async fn supervise(directory: &Path, limits: Limits, output: impl Write + Send + 'static) -> Result<()> {
    let home = Home::at(directory);
    let notifier = Notifier::from_env();
    let outcome = Supervisor::run(&home, limits, &notifier, Arc::new(Mutex::new(output))).await;
    match &outcome {
        Ok(()) => notifier.stopping("stopped"),
        Err(error) => {
            home.record_failure(Some(&error.chain()));
            notifier.stopping(&error.chain());
        }
    }
    outcome
}

struct Supervisor<'a> {
    home: &'a Home,
    spec: Spec,
    limits: Limits,
    program: Program,
    serving: Option<Serving>,
}

/// What is known of the device once it is served.
struct Serving {
    since: Instant,
    /// What the program calls it in `stats`.
    key: String,
    /// How many queue pairs it has at most.
    queues: Option<u32>,
}

impl<'a> Supervisor<'a> {
    async fn run(home: &'a Home, limits: Limits, notifier: &Notifier, sink: Sink) -> Result<()> {
        // Already a leader where systemd started us.
        let _ = rustix::process::setsid();
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o007));
        let mut terminate = Terminate::new()?;
        let Some(spec) = home.spec()? else {
            return Err(Error::Malformed {
                what: home.path().display().to_string(),
                why: "it holds no spec.json".into(),
            });
        };
        let Some(_lock) = home.lock()? else { return Err(Error::AlreadyServed { vf: spec.vf }) };
        end_predecessor(home, limits.stop).await?;
        let delay = backoff::delay(home.failures());
        if !delay.is_zero() {
            notifier.status(&format!("failed {} times in a row, starts again in {delay:?}", home.failures()));
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = terminate.asked() => return Ok(()),
            }
        }
        home.check_socket_paths()?;
        if spec.mode == Mode::Server {
            socket::clear_stale(&home.socket())?;
        }
        let _ = std::fs::remove_file(home.control_socket());
        let program = Program::start(&spec, home, sink)?;
        home.record_processes(&Processes {
            supervisor: own_process()?,
            program: program.pid().and_then(ProcessId::running),
        })?;
        let mut supervisor = Self { home, spec, limits, program, serving: None };
        let outcome = tokio::select! {
            ended = supervisor.serve(notifier) => ended,
            () = terminate.asked() => Ok(()),
        };
        let _ = std::fs::remove_file(home.control_socket());
        if outcome.is_ok() {
            notifier.stopping("stopping");
        } else {
            let served = supervisor.serving.as_ref().map(|serving| serving.since.elapsed());
            home.record_failures(backoff::count(home.failures(), served));
        }
        let stopped = supervisor.program.stop(limits.stop).await;
        outcome.and(stopped)
    }

    /// Brings the datapath up and answers questions until the program ends.
    async fn serve(&mut self, notifier: &Notifier) -> Result<()> {
        self.bring_up().await?;
        let path = self.home.control_socket();
        let intent = format!("listen on {}", path.display());
        let listener = UnixListener::bind(&path).map_err(Error::io(&intent))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .map_err(Error::io(&intent))?;
        self.home.record_failure(None);
        let queues = self.serving.as_ref().and_then(|serving| serving.queues);
        let queues = queues.map_or_else(String::new, |queues| format!(", up to {queues} queue pairs"));
        notifier.ready(&format!("{} serves {}{queues}", self.spec.device, self.home.socket().display()));
        loop {
            tokio::select! {
                status = self.program.ended() => {
                    return Err(self.program.end_error(&format!("serve {}", self.spec.vf), status?).await);
                }
                connection = listener.accept() => match connection {
                    Ok((stream, _)) => self.answer(stream).await?,
                    Err(error) => tracing::warn!(%error, "a question was lost"),
                }
            }
        }
    }

    /// From a started program to a served socket.
    async fn bring_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.limits.start;
        let left = || deadline.saturating_duration_since(Instant::now());
        match self.program.prompt(left()).await {
            // Without any device, programs up to 20.05 end before their prompt.
            Err(Error::ProgramEnded { last_lines, .. })
                if last_lines.iter().any(|line| line.contains("No available vdpa device found")) =>
            {
                return Err(self.unknown(Vec::new()));
            }
            outcome => outcome?,
        }
        let (answer, _) = self.program.command("list", left()).await?;
        let listed = read_list(&answer);
        let name = self.spec.device.to_string();
        let device = listed.iter().find(|device| device.name == name);
        let (key, queues) = device.map_or((name.clone(), None), |device| (device.key(), device.queues));
        let socket = self.home.socket();
        let command = format!("create {} {}", socket.display(), self.spec.device);
        let mark = self.program.log_mark();
        let (answer, _) = self.program.command(&command, left()).await?;
        if is_unknown_device(&answer) {
            return Err(self.unknown(listed.into_iter().map(|device| device.name).collect()));
        }
        self.serving = Some(Serving { since: Instant::now(), key, queues });
        if self.spec.mode == Mode::Client {
            // The program connects when QEMU listens, and tries again until then: nothing to see yet.
            return Ok(());
        }
        // The prompt comes back after listen(2): only the log, read by another task, can be late.
        let patience = Instant::now() + self.limits.answer;
        while !(socket.exists() && (self.says_bound(mark) || is_listening(&socket)?)) {
            if Instant::now() >= patience || self.says_taken(mark) {
                let (program, last_lines) = (self.spec.program.clone(), self.program.last_lines());
                return Err(Error::ProgramRefused { program, intent: command, last_lines });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Whether vhost's log has the line of a socket that is bound: `bind to PATH` up to DPDK 20.11,
    /// `(PATH) binding succeeded` since.
    fn says_bound(&self, mark: usize) -> bool {
        let bound = |line: &String| line.contains("bind to ") || line.contains("binding succeeded");
        self.program.log_since(mark).iter().any(bound)
    }

    /// Whether the program did not even try, because the path is taken (`start_vdpa` in `examples/vdpa/main.c`).
    fn says_taken(&self, mark: usize) -> bool {
        self.program.log_since(mark).iter().any(|line| line.contains("exists, please remove it"))
    }

    fn unknown(&self, others: Vec<String>) -> Error {
        let (program, device) = (self.spec.program.clone(), self.spec.device);
        Error::DeviceUnknown { program, device, others, last_lines: self.program.last_lines() }
    }

    async fn answer(&mut self, stream: UnixStream) -> Result<()> {
        let limit = self.limits.answer * 2;
        let exchange = control::answer(stream, async |question| match question {
            Question::Status => match self.program.pid() {
                Some(pid) => Answer::Status { pid },
                None => Answer::Failure("the program has ended".into()),
            },
            Question::Counters(queues) => match self.counters(queues).await {
                Ok(counters) => Answer::Counters(counters),
                Err(Error::NoGuest { .. }) => Answer::NoGuest,
                Err(error) => Answer::Failure(error.chain()),
            },
        });
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(())) => {}
            // The asker's trouble is not the datapath's.
            Ok(Err(error)) => tracing::debug!(%error, "a question was not answered"),
            Err(_) => tracing::debug!("a question took too long"),
        }
        Ok(())
    }

    async fn counters(&mut self, queues: Queues) -> Result<Vec<QueueCounters>> {
        let number = match queues {
            Queues::All => "0xffff".to_owned(),
            Queues::One(number) => number.to_string(),
        };
        let device =
            self.serving.as_ref().map_or_else(|| self.spec.device.to_string(), |serving| serving.key.clone());
        let command = format!("stats {device} {number}");
        let (answer, said) = self.program.command(&command, self.limits.answer).await?;
        let counters = QueueCounters::read(&answer);
        // `rte_vhost_get_vring_num` gives none until a guest has connected, and again after it went.
        if said.iter().any(|line| line.contains("Failed to get num of actual virtqs")) {
            return Err(Error::NoGuest { vf: self.spec.vf });
        }
        if counters.is_empty() {
            let program = self.spec.program.clone();
            return Err(Error::ProgramRefused { program, intent: command, last_lines: said });
        }
        Ok(counters)
    }
}

/// SIGTERM and SIGINT, caught from the start so that neither leaves a program behind.
struct Terminate(Signal, Signal);

impl Terminate {
    fn new() -> Result<Self> {
        let catch = |kind| signal(kind).map_err(Error::io("catch signals"));
        Ok(Self(catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?))
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

fn own_process() -> Result<ProcessId> {
    ProcessId::running(std::process::id())
        .ok_or_else(|| Error::Malformed { what: "/proc".into(), why: "it does not show this process".into() })
}

/// Ends the program of a supervisor that was killed. It ends by itself when its standard input closes,
/// but until it has, it holds DPDK's files. We hold the lock, so that supervisor is dead.
async fn end_predecessor(home: &Home, grace: Duration) -> Result<()> {
    let Some(program) = home.processes()?.and_then(|processes| processes.program) else { return Ok(()) };
    match program.end(grace).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::io(format!("end the former dpdk-vdpa, process {}", program.pid))(error)),
    }
}
