//! The conversation at dpdk-vdpa's prompt: bytes into replies, replies into facts.
//!
//! Known from sessions recorded on DPDK 22.11 over pipes (`tests/fixtures/`) and from the program's
//! source: it echoes what it reads with `\r\n`, answers through the prompt's own unbuffered writer, and
//! writes `vdpa> ` when it is done. What it says by `printf` sits in a buffer until that is full, and
//! then comes out anywhere; it is passed on as noise.
//!
//! | DPDK | `list` heads its columns | `stats` takes | `create` of an unknown device |
//! |---|---|---|---|
//! | to 20.05 | device id, device address, queue num, supported features | the id | `Unable to find vdpa device id.` |
//! | from 20.08 | device name, queue num, supported features | the name | `Unable to find vdpa device id for NAME.` |
//! | 25.11 | one column more | the name | the same |
//!
//! Columns are found by their heads, so that one more is no matter.

use super::QueueCounters;

const PROMPT: &[u8] = b"vdpa> ";

/// Splits what dpdk-vdpa writes to its standard output at the prompts.
#[derive(Debug, Default)]
pub struct Dialogue {
    pending: Vec<u8>,
}

impl Dialogue {
    /// Takes in what was read, and gives back the replies that it completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Some(at) = self.pending.windows(PROMPT.len()).position(|window| window == PROMPT) {
            let reply: Vec<u8> = self.pending.drain(..at + PROMPT.len()).take(at).collect();
            replies.push(String::from_utf8_lossy(&reply).replace('\r', ""));
        }
        replies
    }
}

/// What the program wrote in answer to `command`: all after the echo of it, or everything if the echo
/// is not there.
pub(super) fn answer<'a>(reply: &'a str, command: &str) -> &'a str {
    reply.split_once(command).map_or(reply, |(_, after)| after).trim_start_matches('\n')
}

/// Whether the answer to `create` says that no driver took the device.
pub(super) fn is_unknown_device(answer: &str) -> bool {
    answer.contains("Unable to find vdpa device id")
}

/// A device in the answer to `list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its number, by which programs up to 20.05 know it.
    id: Option<u32>,
    /// Its name: a PCI address.
    pub(super) name: String,
    /// How many queue pairs it has at most.
    pub(super) queues: Option<u32>,
}

impl Listed {
    /// What `stats` calls it.
    pub(super) fn key(&self) -> String {
        self.id.map_or_else(|| self.name.clone(), |id| id.to_string())
    }
}

/// The devices in the answer to `list`: a line of heads, a line for each. Fields are apart by one tab or two.
pub(super) fn read_list(answer: &str) -> Vec<Listed> {
    let fields = |line: &str| -> Vec<String> {
        line.split('\t').map(str::trim).filter(|field| !field.is_empty()).map(str::to_owned).collect()
    };
    let mut lines = answer.lines().skip_while(|line| !line.starts_with("device "));
    let heads = fields(lines.next().unwrap_or_default());
    let column = |names: &[&str]| heads.iter().position(|head| names.contains(&head.as_str()));
    let (id, queues) = (column(&["device id"]), column(&["queue num"]));
    let Some(name) = column(&["device name", "device address"]) else { return Vec::new() };
    let read = |line: &str| {
        let fields = fields(line);
        let number = |at: Option<usize>| fields.get(at?)?.parse().ok();
        let name = fields.get(name)?.clone();
        (fields.len() > 1).then(|| Listed { id: number(id), name, queues: number(queues) })
    };
    lines.map_while(read).collect()
}

impl QueueCounters {
    /// The counters in the answer to `stats`, queue by queue; other lines are passed over.
    ///
    /// The answer has `\tVirtq N:` and below it `\t\tNAME  VALUE`, where names contain spaces.
    pub fn read(answer: &str) -> Vec<Self> {
        let mut queues: Vec<Self> = Vec::new();
        for line in answer.lines() {
            let text = line.trim();
            if let Some(number) = text.strip_prefix("Virtq ").and_then(|rest| rest.strip_suffix(':')) {
                if let Ok(queue) = number.parse() {
                    queues.push(Self { queue, counters: Vec::new() });
                }
            } else if let Some((name, value)) = text.rsplit_once(char::is_whitespace)
                && let Ok(value) = value.parse()
                && let Some(queue) = queues.last_mut()
            {
                queue.counters.push((name.trim_end().to_owned(), value));
            }
        }
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What dpdk-vdpa 22.11 wrote over a pipe without a device (`list`, `create`, `stats`, `bogus`); the
    /// line `VDPA: Invalid device` came on standard error.
    const WITHOUT_DEVICE: &str = include_str!("../../tests/fixtures/dpdk-vdpa-22.11-without-device.stdout");
    /// The same with the test driver's device 0000:43:00.2: `list`, `create`, `stats 3`, `stats 0xffff`
    /// without a guest, `stats 99`, which the driver refuses.
    const WITH_DEVICE: &str = include_str!("../../tests/fixtures/dpdk-vdpa-22.11-with-device.stdout");

    fn replies(session: &str) -> Vec<String> {
        Dialogue::default().push(session.as_bytes())
    }

    #[test]
    fn an_unknown_device_is_told_from_a_success() {
        let replies = replies(WITHOUT_DEVICE);
        let create = "create /tmp/sock-virtio0 0000:01:00.2";
        let reply = replies.iter().find(|reply| reply.starts_with(create)).unwrap();
        let text = answer(reply, create);
        assert_eq!(text.trim_end(), "Unable to find vdpa device id for 0000:01:00.2.");
        assert!(is_unknown_device(text));
    }

    #[test]
    fn a_successful_create_says_nothing() {
        let replies = replies(WITH_DEVICE);
        let create = "create /run/vx/s 0000:43:00.2";
        let reply = replies.iter().find(|reply| reply.starts_with(create)).unwrap();
        assert_eq!(answer(reply, create), "");
    }

    #[test]
    fn devices_are_listed_in_the_format_of_every_version() {
        let replies = replies(WITH_DEVICE);
        let listed =
            read_list(answer(replies.iter().find(|reply| reply.starts_with("list")).unwrap(), "list"));
        let device = Listed { id: None, name: "0000:43:00.2".into(), queues: Some(16) };
        assert_eq!(listed, std::slice::from_ref(&device));
        // By the program's source in DPDK 20.02, and with one more column behind or between, as in 25.11.
        let first = "device id\tdevice address\tqueue num\tsupported features\n0\t\t0000:43:00.2\t16\t\t0x114c60180\n";
        assert_eq!(read_list(first), [Listed { id: Some(0), ..device.clone() }]);
        assert_eq!(read_list(first)[0].key(), "0");
        for more in [
            "device name\tqueue num\tsupported features\tdevice type\n0000:43:00.2\t\t16\t\t0x140400008\tnet\n",
            "device name\tdevice type\tqueue num\tsupported features\n0000:43:00.2\t\tnet\t\t16\t\t0x140400008\n",
        ] {
            assert_eq!(read_list(more), std::slice::from_ref(&device));
            assert_eq!(read_list(more)[0].key(), "0000:43:00.2");
        }
        assert_eq!(read_list("device name\tqueue num\tsupported features\n"), []);
        assert_eq!(read_list("Command not found\n"), []);
    }

    #[test]
    fn an_unknown_device_of_the_first_versions_is_known_too() {
        assert!(is_unknown_device("Unable to find vdpa device id.\n"));
    }

    #[test]
    fn counters_are_read_by_queue() {
        let replies = replies(WITH_DEVICE);
        let of = |command: &str| {
            QueueCounters::read(answer(replies.iter().find(|r| r.starts_with(command)).unwrap(), command))
        };
        let queues = of("stats 0000:43:00.2 3");
        assert_eq!(queues.len(), 1);
        assert_eq!(queues[0].queue, 3);
        assert_eq!(queues[0].counters[0], ("received_descriptors".into(), 300));
        assert_eq!(queues[0].counters[2], ("bad descriptor errors".into(), 302));
        assert_eq!(queues[0].counters.len(), 6);
        assert_eq!(of("stats 0000:43:00.2 0xffff"), []);
        assert_eq!(of("stats 0000:43:00.2 99"), []);
    }

    #[test]
    fn noise_before_the_echo_is_no_part_of_the_answer() {
        let reply = "\nnew port /run/s, device : 0000:43:00.2\nlist\ndevice name\tqueue num\n";
        assert_eq!(answer(reply, "list"), "device name\tqueue num\n");
    }

    proptest! {
        #[test]
        fn replies_do_not_depend_on_how_the_bytes_arrive(cuts in prop::collection::vec(1usize..40, 1..60)) {
            let mut dialogue = Dialogue::default();
            let (mut rest, mut pieces, mut cuts) = (WITH_DEVICE.as_bytes(), Vec::new(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                pieces.extend(dialogue.push(piece));
                rest = after;
            }
            prop_assert_eq!(pieces, replies(WITH_DEVICE));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (QueueCounters::read(&text), read_list(&text));
            let _ = Dialogue::default().push(text.as_bytes());
        }
    }
}
