//! Questions to a supervisor, on its private socket: one line of JSON each way.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{QueueCounters, Queues};

/// The longest line that either side reads: all counters of 256 queues fit well.
const LONGEST_LINE: u64 = 1 << 20;

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Are you there, and what is your program's process id?
    Status,
    /// What do these queues count?
    Counters(Queues),
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// To [`Question::Status`]: ready, this is the program.
    Status { pid: u32 },
    /// To [`Question::Counters`].
    Counters(Vec<QueueCounters>),
    /// To [`Question::Counters`]: there is no guest whose virtqueues could be counted.
    NoGuest,
    /// The program would not say.
    Failure(String),
}

/// Asks the supervisor at `socket`; `None` if none listens there.
pub(super) async fn ask(socket: &Path, question: &Question, limit: Duration) -> io::Result<Option<Answer>> {
    let exchange = async {
        let mut stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        write(&mut stream, question).await?;
        read(&mut stream).await.map(Some)
    };
    tokio::time::timeout(limit, exchange).await?
}

/// Answers one connection with what `reply` makes of its question.
pub(super) async fn answer<F>(mut stream: UnixStream, reply: impl FnOnce(Question) -> F) -> io::Result<()>
where
    F: Future<Output = Answer>,
{
    let question = read(&mut stream).await?;
    write(&mut stream, &reply(question).await).await
}

async fn write(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read<T: for<'de> Deserialize<'de>>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_question_is_answered_and_an_absent_supervisor_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        assert!(ask(&path, &Question::Status, LIMIT).await.unwrap().is_none());
        let listener = UnixListener::bind(&path).unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, async |question| match question {
                Question::Counters(Queues::One(3)) => Answer::Failure("no".into()),
                other => panic!("{other:?}"),
            })
            .await
            .unwrap();
        };
        let question = Question::Counters(Queues::One(3));
        let (said, ()) = tokio::join!(ask(&path, &question, LIMIT), server);
        assert!(matches!(said.unwrap(), Some(Answer::Failure(text)) if text == "no"));
        drop(listener);
        assert!(ask(&path, &Question::Status, LIMIT).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_supervisor_that_says_nothing_is_not_waited_for_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = ask(&path, &Question::Status, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
