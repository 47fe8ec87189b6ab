//! Children with a time limit, killed when whoever waits for them is gone.

use std::fmt::Write as _;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// How long to read what a child printed once the child has ended.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// A command that dies with us, even if we are killed without a chance to say goodbye.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a command to its end; its output goes where ours goes. Any exit status is an answer.
pub(crate) async fn status(mut command: Command, limit: Duration) -> Result<ExitStatus> {
    let name = name(&command);
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    match timeout(limit, child.wait()).await {
        Ok(status) => status.with_context(|| format!("cannot wait for {name}")),
        Err(_) => bail!("{name} did not end within {} s and was killed", limit.as_secs()),
    }
}

/// Runs a command to its end; failing unless it succeeds.
pub(crate) async fn run(command: Command, limit: Duration) -> Result<()> {
    let name = name(&command);
    let status = status(command, limit).await?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end and takes what it prints; failing, with the end of what it said, unless it succeeds.
pub(crate) async fn output(mut command: Command, limit: Duration) -> Result<Output> {
    let name = name(&command);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.with_context(|| format!("cannot start {name}"))?;
    let Ok(output) = timeout(limit, child.wait_with_output()).await else {
        bail!("{name} did not end within {} s and was killed", limit.as_secs());
    };
    let output = output.with_context(|| format!("cannot wait for {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, last_lines(&said, 20));
    }
    Ok(output)
}

/// Runs a command to its end, handing on each line that it prints; failing, with the last of them, unless it succeeds.
pub(crate) async fn watched(command: Command, limit: Duration, mut line: impl FnMut(&str)) -> Result<()> {
    let name = name(&command);
    let mut said = String::new();
    let mut keep = |next: &str| {
        line(next);
        said.push_str(next);
        said.push('\n');
    };
    let ended = followed(command, limit, &mut keep).await;
    let status = ended.with_context(|| format!("{name} said:{}", last_lines(&said, 20)))?;
    if !status.success() {
        bail!("{name} failed ({status}); it said:{}", last_lines(&said, 20));
    }
    Ok(())
}

/// Runs a command to its end, handing on each line that it prints. Any exit status is an answer.
pub(crate) async fn followed(
    mut command: Command,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let name = name(&command);
    let (reader, writer) = std::io::pipe().with_context(|| format!("cannot make a pipe to {name}"))?;
    let both = writer.try_clone().with_context(|| format!("cannot make a pipe to {name}"))?;
    command.stdout(writer).stderr(both);
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    drop(command);
    let mut lines = BufReader::new(tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())?).lines();
    let ending = async {
        let status = loop {
            tokio::select! {
                next = lines.next_line() => match next? {
                    Some(next) => line(&next),
                    None => return child.wait().await,
                },
                status = child.wait() => break status?,
            }
        };
        // What it left running may hold the pipe open for ever: only what is in it already is of interest.
        while let Ok(Ok(Some(next))) = timeout(AFTERWARDS, lines.next_line()).await {
            line(&next);
        }
        Ok(status)
    };
    match timeout(limit, ending).await {
        Ok(status) => status.with_context(|| format!("cannot wait for {name}")),
        Err(_) => bail!("{name} did not end within {} s and was killed", limit.as_secs()),
    }
}

/// Whether a program of this name can be found.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let admin = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(admin).any(|directory| directory.join(program).is_file())
}

/// The end of a text, for an error message.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut end = String::new();
    for line in &lines[lines.len().saturating_sub(count)..] {
        let _ = write!(end, "\n  {line}");
    }
    end
}

/// What to call a command in a message: its program, without the `setpriv` that `command` puts in front.
fn name(command: &Command) -> String {
    let command = command.as_std();
    let own = command.get_program() == "setpriv";
    let name = if own { command.get_args().nth(3) } else { None };
    name.unwrap_or_else(|| command.get_program()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_over_its_limit_is_killed_and_named() {
        let mut sleep = command("sleep");
        sleep.arg("60");
        let error = run(sleep, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.to_string(), "sleep did not end within 0 s and was killed");
    }

    #[tokio::test]
    async fn a_failure_says_what_the_child_said() {
        let mut ls = command("ls");
        ls.arg("/there/is/no/such/place");
        let error = output(ls, Duration::from_mins(1)).await.unwrap_err().to_string();
        assert!(error.starts_with("ls failed (exit status: 2)"), "{error}");
        assert!(error.contains("/there/is/no/such/place"), "{error}");
    }

    #[tokio::test]
    async fn a_daemon_that_a_child_leaves_behind_is_not_waited_for() {
        let mut sh = command("sh");
        sh.args(["-c", "echo one; sleep 120 & echo two; exit 3"]);
        let mut lines = Vec::new();
        let since = std::time::Instant::now();
        let status = followed(sh, Duration::from_mins(1), |line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(lines, ["one", "two"]);
        assert!(since.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn only_the_end_of_a_text_is_quoted() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "\n  b\n  c");
        assert_eq!(last_lines("", 2), "");
    }
}
