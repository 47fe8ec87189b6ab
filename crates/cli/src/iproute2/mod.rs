//! `vdpa mgmtdev …` and `vdpa dev …`: the kernel's vDPA devices, word for word as iproute2's `vdpa` takes and prints
//! them, so that this program can stand in that one's place on a host that has both.
//!
//! What is taken and printed is that program's interface, of its version 6.15 (`vdpa(8)`, `vdpa-dev(8)`,
//! `vdpa-mgmtdev(8)`), and is compared with it side by side, byte by byte, in the lab. Different on purpose:
//!
//! | | iproute2 | here | why |
//! |---|---|---|---|
//! | `vdpa d`, `vdpa m` | are `dev` and `mgmtdev` | are not commands | `doctor` begins so too |
//! | a MAC of fewer or more than six octets, or an IPv4 address | is padded or cut | `"00:11" is invalid lladdr.` | nobody means the MAC that comes of it |
//! | a number that is none | exit status 1, silently | the same, and says which word | |
//! | a name that cannot be (`a/b`, none at all) | whatever the kernel makes of it | is refused | the kernel makes `a!b` of it |
//! | `dev vstats show DEV`, `dev set name DEV` | are refused by the kernel, without a word | say what is missing | |
//! | a management device with empty parts (`pci/`) | is looked up | is refused | there is none |
//! | a device name of 90 characters | aborts the listing | is listed | |
//! | `-V`, and `-h` before the object | are that program's | are this one's | |

mod entry;
mod options;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use vdpa_datapath::{Error, KernelVdpa};

use entry::Section;
use options::Special;
use words::Request;

pub use words::Object;

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// As one JSON document.
    pub json: bool,
    /// That document on several lines.
    pub pretty: bool,
}

/// What a command came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Whether it did what it was told.
    pub success: bool,
}

/// What stops a command before the kernel is asked, and whether that is a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Halt {
    stderr: String,
    failed: bool,
}

impl Halt {
    fn failure(lines: impl Into<String>) -> Self {
        Self { stderr: lines.into(), failed: true }
    }

    fn help(lines: &str) -> Self {
        Self { stderr: lines.to_owned(), failed: false }
    }
}

/// Carries out `words`, which follow `object` on the command line.
pub async fn run(kernel: &dyn KernelVdpa, object: Object, words: &[String], style: Style) -> Printed {
    let (words, style) = match options::take(words, style) {
        Ok(taken) => taken,
        Err(Special::Version) => {
            let stdout = concat!("vdpa ", env!("CARGO_PKG_VERSION"), "\n").to_owned();
            return Printed { stdout, success: true, ..Printed::default() };
        }
        Err(Special::Halt(halt)) => {
            return Printed { stderr: halt.stderr, success: !halt.failed, ..Printed::default() };
        }
    };
    match kernel.is_present().await {
        Ok(true) => {}
        Ok(false) => {
            let stderr = "Failed to connect to vdpa Netlink\n".to_owned();
            return Printed { stderr, ..Printed::default() };
        }
        Err(error) => return Printed { stderr: answer(&error), ..Printed::default() },
    }
    let (section, stderr, success) = match words::parse(object, &words) {
        Ok(request) => {
            let mut section = request.section();
            let outcome = ask(kernel, &request, section.as_mut()).await;
            let (stderr, success) =
                outcome.map_or_else(|error| (answer(&error), false), |()| (String::new(), true));
            (section, stderr, success)
        }
        Err(halt) => (None, halt.stderr, !halt.failed),
    };
    let stdout = match (&section, style.json) {
        (Some(section), true) => section.json(style.pretty),
        // iproute2 ends its document with a line break also where there is none.
        (None, true) => "\n".to_owned(),
        (Some(section), false) => section.text(),
        (None, false) => String::new(),
    };
    Printed { stdout, stderr, success }
}

impl Printed {
    /// Prints it. Of a simulated host every line says so; a JSON document has no place for it, and a line on standard
    /// error does.
    pub fn print(&self, simulated: bool) -> ExitCode {
        let is_document = self.stdout.starts_with('{');
        let marked = |text: &str| {
            let mark = if simulated { "[simulated] " } else { "" };
            text.split_inclusive('\n').flat_map(|line| [mark, line]).collect::<String>()
        };
        let stdout = if is_document { self.stdout.clone() } else { marked(&self.stdout) };
        let unsaid = simulated && is_document && self.stderr.is_empty();
        let stderr = marked(if unsaid { "\n" } else { &self.stderr });
        // A reader that has gone away is no reason to fail.
        drop(std::io::stdout().write_all(stdout.as_bytes()));
        drop(std::io::stderr().write_all(stderr.as_bytes()));
        if self.success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Asks the kernel, and adds what is to be shown to `section`.
async fn ask(kernel: &dyn KernelVdpa, request: &Request, section: Option<&mut Section>) -> Result<(), Error> {
    let entries = match request {
        Request::ShowMgmtDevs => kernel.mgmtdevs().await?.iter().map(entry::mgmtdev).collect(),
        Request::ShowMgmtDev(name) => vec![entry::mgmtdev(&kernel.mgmtdev(name).await?)],
        Request::ShowDevices => kernel.devices().await?.iter().map(entry::device).collect(),
        Request::ShowDevice(name) => vec![entry::device(&kernel.device(name).await?)],
        Request::ShowConfigs => kernel.configs().await?.iter().map(entry::config).collect(),
        Request::ShowConfig(name) => vec![entry::config(&kernel.config(name).await?)],
        Request::ShowStats { name, queue } => vec![entry::stats(&kernel.queue_stats(name, *queue).await?)],
        Request::Add(new) => return kernel.create(new).await,
        Request::SetMac { name, mac } => return kernel.set_mac(name, *mac).await,
        Request::Delete(name) => return kernel.delete(name).await,
    };
    if let Some(section) = section {
        section.entries = entries;
    }
    Ok(())
}

/// What went wrong, as iproute2 says it: the extended ack with a full stop, then the error number's text.
fn answer(error: &Error) -> String {
    let Some(refusal) = error.refusal() else { return format!("error: {}\n", error.chain()) };
    let number = refusal.errno.0;
    let text = std::io::Error::from_raw_os_error(number).to_string();
    let text = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
    let words = refusal.message.as_ref().map_or_else(String::new, |words| {
        let stop = if words.ends_with('.') { "" } else { "." };
        format!("Error: {words}{stop}\n")
    });
    format!("{words}kernel answers: {text}\n")
}

#[cfg(test)]
mod tests;
