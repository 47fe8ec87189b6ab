//! Commands run in a guest, handed over through the shared folder.
//!
//! What each file means is written in the guest's agent, `lab/guest/root/usr/local/lib/lab/agent`. A job is over when
//! its `rc` is there and not before: a VM that panics or is killed leaves none.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

/// What the host waits on top of twice a job's own limit. It is the guest who kills the job, by its own clock, which
/// stands still while the host has no time for the VM.
const GRACE: Duration = Duration::from_mins(1);

/// A command to run in the guest as root, in `/root`.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Added to the environment of the guest's services.
    pub(crate) env: Vec<(String, String)>,
    /// When everything that the job started is killed.
    pub(crate) limit: Duration,
    /// Whether what it writes to stderr goes to stdout, in order.
    pub(crate) merge: bool,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct JobEnd {
    /// The exit status as a shell gives it.
    pub(crate) rc: i32,
    /// Whether it was killed at its limit.
    pub(crate) timed_out: bool,
    /// All that it printed on stdout, and on stderr if that was merged.
    pub(crate) stdout: String,
    /// From the job's start, as the guest noticed it, to its end, as the host noticed it.
    pub(crate) took: Duration,
}

/// One of the streams of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The folder that a running VM shares with the host.
#[derive(Debug)]
pub(crate) struct Share {
    directory: PathBuf,
    pid: u32,
}

impl Share {
    /// The shared folder of the VM that is this process.
    pub(crate) fn new(directory: PathBuf, pid: u32) -> Self {
        Self { directory, pid }
    }

    /// The folder's place on the host. In the guest it is `/lab`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The VM's process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the VM still runs. A zombie has no command line; another process with this id has not this folder in it.
    pub(crate) fn alive(&self) -> bool {
        let command_line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&command_line).contains(&*self.directory.to_string_lossy())
    }

    /// Runs a job to its end, handing on what it prints as it comes.
    pub(crate) async fn run(&self, job: &Job, mut print: impl FnMut(Stream, &[u8])) -> Result<JobEnd> {
        let name = job.argv.first().map_or("", String::as_str);
        let directory = self.submit(job).with_context(|| format!("cannot hand {name} to the VM"))?;
        let cancel = CancelOnDrop(&directory);
        let since = Instant::now();
        let mut stdout = Tail::new(directory.join("stdout"));
        let mut stderr = Tail::new(directory.join("stderr"));
        let mut all = Vec::new();
        loop {
            // Looked at before the output is read: what comes before `rc` is then complete.
            let rc = fs::read_to_string(directory.join("rc")).ok();
            stdout.read(|bytes| {
                all.extend_from_slice(bytes);
                print(Stream::Stdout, bytes);
            })?;
            stderr.read(|bytes| print(Stream::Stderr, bytes))?;
            if let Some(rc) = rc {
                if directory.join("rebooted").exists() {
                    bail!("the guest went down while it ran {name}: see its console");
                }
                let rc = rc.trim().parse().with_context(|| format!("{name} ended with {rc:?}"))?;
                let timed_out = directory.join("timed-out").exists();
                let stdout = String::from_utf8_lossy(&all).into_owned();
                drop(cancel);
                let _ = fs::remove_dir_all(&directory);
                return Ok(JobEnd { rc, timed_out, stdout, took: since.elapsed() });
            }
            if !self.alive() {
                bail!("the VM ended while it ran {name}");
            }
            if since.elapsed() > 2 * job.limit + GRACE {
                bail!("the VM did not end {name} after {} s", job.limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Hands over a job whose end nobody waits for.
    pub(crate) fn begin(&self, job: &Job) -> Result<()> {
        let name = job.argv.first().map_or("", String::as_str);
        self.submit(job).with_context(|| format!("cannot hand {name} to the VM"))?;
        Ok(())
    }

    fn submit(&self, job: &Job) -> Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{now}-{}", std::process::id());
        let unfinished = self.directory.join(format!("{name}.new"));
        fs::create_dir(&unfinished)?;
        let words: String = job.argv.iter().flat_map(|word| [word, "\0"]).collect();
        fs::write(unfinished.join("argv"), words)?;
        let env: String = job.env.iter().flat_map(|(name, value)| [name, "=", value, "\0"]).collect();
        fs::write(unfinished.join("env"), env)?;
        fs::write(unfinished.join("limit"), format!("{}\n", job.limit.as_secs().max(1)))?;
        if job.merge {
            File::create(unfinished.join("merge"))?;
        }
        let directory = self.directory.join("jobs").join(name);
        fs::rename(unfinished, &directory)?;
        Ok(directory)
    }
}

/// Tells the guest that nobody waits for a job any more.
struct CancelOnDrop<'a>(&'a Path);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if !self.0.join("rc").exists() {
            let _ = File::create(self.0.join("cancel"));
        }
    }
}

/// A file that grows.
struct Tail {
    path: PathBuf,
    read: u64,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// Hands on what came since the last time.
    fn read(&mut self, more: impl FnOnce(&[u8])) -> Result<()> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read))?;
        file.read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        if !bytes.is_empty() {
            more(&bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(limit: Duration) -> Job {
        let argv = ["echo", "two words"].map(str::to_owned).to_vec();
        Job { argv, env: vec![("A".into(), "b c".into())], limit, merge: true }
    }

    /// A share whose VM is gone: the process has its id now, and not the folder in its command line.
    fn share(directory: &Path) -> Share {
        fs::create_dir_all(directory.join("jobs")).unwrap();
        Share::new(directory.to_owned(), std::process::id())
    }

    #[tokio::test]
    async fn a_vm_that_is_gone_is_an_error_and_not_a_success() {
        let directory = tempfile::tempdir().unwrap();
        let error = share(directory.path()).run(&job(Duration::from_secs(5)), |_, _| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "the VM ended while it ran echo");
    }

    #[tokio::test]
    async fn a_job_appears_whole_and_its_end_is_what_the_guest_says() {
        let directory = tempfile::tempdir().unwrap();
        let share = share(directory.path());
        let submitted = share.submit(&job(Duration::from_secs(5))).unwrap();
        assert_eq!(fs::read_to_string(submitted.join("argv")).unwrap(), "echo\0two words\0");
        assert_eq!(fs::read_to_string(submitted.join("env")).unwrap(), "A=b c\0");
        assert_eq!(fs::read_to_string(submitted.join("limit")).unwrap(), "5\n");
        assert!(submitted.join("merge").exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something besides jobs/ was left");
    }

    #[test]
    fn a_tail_gives_each_byte_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path().to_owned());
        let mut seen = Vec::new();
        for text in ["one ", "one two"] {
            fs::write(file.path(), text).unwrap();
            tail.read(|bytes| seen.push(String::from_utf8_lossy(bytes).into_owned())).unwrap();
        }
        assert_eq!(seen, ["one ", "two"]);
    }
}
