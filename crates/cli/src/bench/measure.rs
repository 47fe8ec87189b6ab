//! Two ends, and one measurement after the other between them.
//!
//! ```text
//!  look   start                look                                    ended, look
//!  ──┬──────┬───────────────────┬───────────────────────────────────────┬──►
//!           │ 2 s: flows are    │ so many seconds: what iperf3 counts,  │
//!           │ installed         │ and what the bridge's ports forward   │
//! ```
//!
//! Each has a server of its own, which ends with [`Server`], however that comes.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use vdpa_ovs::BridgeName;

use super::case::{Case, Direction};
use super::end::{End, Program, Running, Ssh};
use super::path::{Carried, Looks, Path};
use super::record::{Result as Found, Run};
use super::{Refusal, iperf, ping};
use crate::error::Error;
use crate::host::Host;
use crate::offload::Survey;

/// Until flows are installed: what is sent so long does not count.
const WARM_UP: u16 = 2;
/// How much longer than it was asked to a program may take: connecting, and asking for results.
const GRACE: Duration = Duration::from_secs(45);
/// Echo requests a second: the most that ping sends for everybody.
const REQUESTS: u64 = 5;

/// Two ends, and how it is measured between them.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Where the client runs.
    pub from: End,
    /// Where the server listens.
    pub to: IpAddr,
    /// On which port.
    pub port: u16,
    /// How many seconds are measured each time.
    pub seconds: u16,
    /// How machines are reached.
    pub ssh: Ssh,
    /// The bridge whose ports are looked at.
    pub bridge: BridgeName,
}

/// A server for one measurement, which listens until this is stopped, or gone.
#[derive(Debug)]
pub struct Server {
    running: Running,
}

impl Server {
    /// Starts iperf3 at `end`, and returns when it listens.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Ssh`], or [`Error::Unmeasured`] with what it says.
    pub async fn start(end: &End, bench: &Bench) -> Result<Self, Error> {
        let arguments = [
            "--server".to_owned(),
            // It ends after one client: if we are killed, so does what we have started.
            "--one-off".to_owned(),
            "--forceflush".to_owned(),
            "--bind".to_owned(),
            bench.to.to_string(),
            "--port".to_owned(),
            bench.port.to_string(),
        ];
        let program = Program { name: iperf::PROGRAM, arguments: arguments.to_vec(), dies_with_us: true };
        let what = format!("with an iperf3 server at {end}");
        let unmeasured = |source| Error::Unmeasured { what: what.clone(), source };
        let mut running = end.start(&bench.ssh, program).await?;
        let Some(stdout) = running.child.stdout.take() else {
            return Err(unmeasured(Refusal::Said {
                program: iperf::PROGRAM,
                text: "it has no output".to_owned(),
            }));
        };
        let mut lines = BufReader::new(stdout).lines();
        let mut heard = String::new();
        let listens = tokio::time::timeout(GRACE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("Server listening") {
                    return true;
                }
                heard.push_str(&line);
                heard.push('\n');
            }
            false
        });
        match listens.await {
            Ok(true) => {
                // It goes on telling of each connection, and stops where nobody reads that.
                tokio::spawn(drain(lines.into_inner()));
                running.child.stderr.take().map(|stderr| tokio::spawn(drain(stderr)));
                Ok(Self { running })
            }
            Ok(false) => {
                let text = running.ended(heard).await?.complaint();
                let text = text.trim_start_matches("iperf3: error - ").to_owned();
                Err(unmeasured(Refusal::Said { program: iperf::PROGRAM, text }))
            }
            Err(_) => Err(unmeasured(Refusal::Silent { program: iperf::PROGRAM, limit: GRACE })),
        }
    }

    /// Ends it, and returns when it has ended.
    pub async fn stop(mut self) {
        // One that has ended by itself is not there to be killed.
        drop(self.running.child.kill().await);
    }
}

async fn drain(mut pipe: impl AsyncRead + Unpin) {
    drop(tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await);
}

impl Bench {
    /// Measures once, and judges which way that went.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Ssh`], or [`Error::Unmeasured`] where there is no result.
    pub async fn measure(&self, host: &Host, case: &Case) -> Result<Run, Error> {
        let what = format!("{case} to {}", self.to);
        let before = self.look(host).await;
        let running = self.from.start(&self.ssh, self.client(case)).await?;
        let program = running.program;
        let limit = Duration::from_secs(u64::from(WARM_UP + self.seconds)) + GRACE;
        let mut ends = std::pin::pin!(running.ends(limit, &what));
        let warm = tokio::time::sleep(Duration::from_secs(WARM_UP.into()));
        let (begin, said) = tokio::select! {
            // Nothing that was measured ends so soon.
            said = &mut ends => (Err("it ended before flows could be looked at".to_owned()), said?),
            () = warm => {
                let begin = self.look(host).await;
                (begin, ends.await?)
            }
        };
        let end = self.look(host).await;

        let refused = |source| Error::Unmeasured { what: what.clone(), source };
        let silent = said.out.trim().is_empty() && !said.status.success();
        if silent {
            return Err(refused(Refusal::Said { program, text: said.complaint() }));
        }
        let found = match case {
            Case::RoundTrips => {
                Found::RoundTrips(ping::read(&said.out, u64::from(WARM_UP) * REQUESTS).map_err(refused)?)
            }
            Case::Tcp { .. } | Case::Udp { .. } => {
                Found::Throughput(iperf::read(&said.out).map_err(refused)?)
            }
        };
        let path = match (before, begin, end) {
            (Ok(before), Ok(begin), Ok(end)) => {
                Path::of(&Looks { before, begin, end }, &self.bridge, &Carried::by(&found))
            }
            (Err(why), _, _) | (_, Err(why), _) | (_, _, Err(why)) => Path::unseen(&why),
        };
        Ok(Run { case: *case, result: found, path })
    }

    /// A look at the bridge, or why there is none.
    async fn look(&self, host: &Host) -> Result<Survey, String> {
        let look = Survey::of(host, &self.bridge).await;
        look.map_err(|error| format!("Open vSwitch of this host cannot be looked at: {}", error.flat()))
    }

    fn client(&self, case: &Case) -> Program {
        let (direction, streams, rate) = match *case {
            Case::RoundTrips => return self.ping(),
            Case::Tcp { direction, streams } => (direction, streams, None),
            Case::Udp { direction, streams, rate } => (direction, streams, Some(rate)),
        };
        let mut arguments: Vec<String> = ["--json", "--client"].map(str::to_owned).to_vec();
        arguments.push(self.to.to_string());
        for (flag, value) in [
            ("--port", self.port),
            ("--time", self.seconds),
            ("--omit", WARM_UP),
            ("--parallel", streams),
            ("--connect-timeout", 10_000),
        ] {
            arguments.extend([flag.to_owned(), value.to_string()]);
        }
        match direction {
            Direction::Forward => {}
            Direction::Reverse => arguments.push("--reverse".to_owned()),
            Direction::Both => arguments.push("--bidir".to_owned()),
        }
        if let Some(rate) = rate {
            // By its short name, which it has had all along.
            arguments.extend(["--udp".to_owned(), "-b".to_owned(), rate.0.to_string()]);
        }
        Program { name: iperf::PROGRAM, arguments, dies_with_us: false }
    }

    fn ping(&self) -> Program {
        let requests = u64::from(WARM_UP + self.seconds) * REQUESTS;
        // 0.2 s is the shortest interval that everybody may ask for.
        let arguments = ["-n", "-i", "0.2", "-W", "2", "-c", &requests.to_string(), &self.to.to_string()];
        Program { name: ping::PROGRAM, arguments: arguments.map(str::to_owned).to_vec(), dies_with_us: false }
    }
}
