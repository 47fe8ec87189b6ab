//! The firmware tools, played by the lab's stand-in and by scripts that do what tools do on a bad day.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vdpa_hw::firmware::{Firmware, Keeper, Limits, Need, Objection, Tools, Value};
use vdpa_hw::{Error, PciAddress, contract};

/// A directory with programs of our own, which are all that [`Tools`] finds.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, name: &str, script: &str) -> &Self {
        let path = self.path(name);
        let text = tempfile::NamedTempFile::new().unwrap();
        fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // A child writes what will be run. A file that this process had open for writing would stay so in whatever
        // another test's thread forks just then, and could not be run ("Text file busy").
        let installed =
            Command::new("install").args(["--mode", "755"]).args([text.path(), &path]).status().unwrap();
        assert!(installed.success(), "{name}: {installed}");
        self
    }

    /// A program that prints a capture and ends with `status`.
    fn prints(&self, name: &str, capture: &str, status: u8) -> &Self {
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware").join(capture);
        self.program(name, &format!("cat {}; exit {status}", capture.display()))
    }

    /// The lab's stand-ins, for a card with eight VFs, in the words of this version.
    fn stand_ins(&self, version: &str) -> &Self {
        let function = self.path("sys/bus/pci/devices/0000:43:00.0");
        fs::create_dir_all(&function).unwrap();
        for (file, text) in [("vendor", "0x15b3\n"), ("sriov_totalvfs", "8\n"), ("sriov_numvfs", "0\n")] {
            fs::write(function.join(file), text).unwrap();
        }
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab/firmware");
        for name in ["mstconfig", "mstfwreset"] {
            let set = format!(
                "LAB_NV={} LAB_SYS={} LAB_MSTFLINT={version}",
                self.path("nv").display(),
                self.path("sys").display()
            );
            self.program(name, &format!("exec env {set} {} \"$@\"", lab.join(name).display()));
        }
        self
    }

    fn tools(&self) -> Tools {
        Tools::in_directories(vec![self.directory.path().to_owned()])
    }

    fn hasty(&self) -> Tools {
        let limit = Duration::from_millis(300);
        self.tools().with_limits(Limits { query: limit, change: limit })
    }
}

fn pf() -> PciAddress {
    "0000:43:00.0".parse().unwrap()
}

/// The error with what is below it, as a user meets it.
fn in_full(error: &Error) -> String {
    let below = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}\n{below}\n{}", error.hint().unwrap_or_default())
}

async fn error(tools: &Tools) -> Error {
    tools.settings(pf(), &[]).await.unwrap_err()
}

#[tokio::test]
async fn the_contract_holds_with_the_stand_in_in_the_words_of_two_versions() {
    for version in ["4.31.0", "4.21.0"] {
        let bench = Bench::new();
        contract::firmware(&bench.stand_ins(version).tools(), pf()).await;
    }
}

#[tokio::test]
async fn what_the_stand_in_writes_as_json_is_what_it_prints() {
    let bench = Bench::new();
    let tools = bench.stand_ins("4.31.0").tools();
    tools.set(pf(), &[("NUM_OF_VFS".parse().unwrap(), Value::Number(16))].into()).await.unwrap();
    let file = bench.path("out.json");
    let run = std::process::Command::new(bench.path("mstconfig"))
        .args(["-d", "0000:43:00.0", "-e", "-j"])
        .arg(&file)
        .arg("query")
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let json = fs::read_to_string(file).unwrap();
    let mut from_json = vdpa_hw::firmware::read(&json, Keeper::Mstconfig).unwrap().remove(0);
    let mut from_text = tools.settings(pf(), &[]).await.unwrap();
    for settings in [&mut from_json, &mut from_text] {
        settings.settings.sort_by(|a, b| a.name.cmp(&b.name));
    }
    assert_eq!(from_json, from_text);
    assert!(from_json.get("NUM_OF_VFS").unwrap().is_pending());
}

/// Pitfall 26: what was set counts from the next boot on; the tool says what else would do.
#[tokio::test]
async fn what_it_takes_is_what_the_tool_says() {
    let bench = Bench::new();
    let tools = bench.stand_ins("4.31.0").tools();
    let activation = tools.activation(pf()).await.unwrap();
    assert_eq!(activation.command.as_deref(), Some("mstfwreset -d 0000:43:00.0 -l 3 -y reset"));
    bench.prints("mstfwreset", "4.21.0/fwreset-query-no-reset.stdout", 0);
    assert_eq!(tools.activation(pf()).await.unwrap().need, Need::Reboot);
    bench.prints("mstfwreset", "4.21.0/fwreset-virtual.stdout", 1);
    let activation = tools.activation(pf()).await.unwrap();
    assert_eq!(
        activation.to_string(),
        "a reboot (mstfwreset says: The tool is not supported on virtual machines.)"
    );
}

#[tokio::test]
async fn a_tool_that_wants_a_power_cycle_is_heard() {
    let bench = Bench::new();
    bench.stand_ins("4.31.0");
    let stand_in = fs::read_to_string(bench.path("mstconfig")).unwrap();
    bench.program(
        "mstconfig",
        &format!(
            "{} | sed 's/reboot machine/power cycle machine/'",
            stand_in.trim_start_matches("#!/bin/sh\nexec ").trim()
        ),
    );
    let need =
        bench.tools().set(pf(), &[("UCTX_EN".parse().unwrap(), Value::truth(false))].into()).await.unwrap();
    assert_eq!(need, Need::PowerCycle);
}

#[tokio::test]
async fn without_a_tool_it_is_said_what_to_install() {
    let error = error(&Bench::new().tools()).await;
    assert_eq!(
        in_full(&error),
        "cannot read the firmware settings of 0000:43:00.0: neither mstconfig (mstflint) nor mlxconfig (MFT) is installed\n\n\
         `apt-get install mstflint` or `dnf install mstflint`"
    );
}

#[tokio::test]
async fn a_tool_that_hangs_is_killed_and_named() {
    let bench = Bench::new();
    bench.program("mstconfig", &format!("echo $$ > {}; exec sleep 600", bench.path("pid").display()));
    let began = Instant::now();
    let error = error(&bench.hasty()).await;
    assert!(began.elapsed() < Duration::from_mins(5));
    assert_eq!(error.to_string(), "`mstconfig -d 0000:43:00.0 -e q` did not end within 0.3 s and was killed");
    let pid = fs::read_to_string(bench.path("pid")).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let gone = |text: String| text.contains(") Z ");
    for _ in 0..100 {
        if fs::read_to_string(&stat).map_or(true, gone) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", stat.display());
}

#[tokio::test]
async fn garbage_is_shown_with_its_line_and_the_tools_version() {
    let bench = Bench::new();
    let say = |version: &str| {
        format!(
            "[ \"$1\" = -v ] && echo '{version}' && exit; printf 'Device #1:\\nConfigurations:  Next Boot\\n  NUM_OF_VFS  8\\n  \\001\\002 what\\n'"
        )
    };
    bench.program("mstconfig", &say("mstconfig, mstflint 9.99.0, Git SHA Hash: N/A"));
    assert!(in_full(&error(&bench.tools()).await).starts_with(
        "cannot understand what mstconfig, mstflint 9.99.0 printed\nline 4: no setting's name: `\u{fffd}\u{fffd} what`\nkeep it and report it"
    ));
    bench.program("mstconfig", &say("hello"));
    assert!(error(&bench.tools()).await.to_string().contains("mstconfig (of an unknown version)"));
    // One that never stops is not listened to for ever.
    bench.program("mstconfig", "[ \"$1\" = -v ] && exit; exec yes garbage");
    assert!(
        in_full(&error(&bench.tools()).await)
            .contains("line 1: no table of configurations follows: `garbage`")
    );
}

#[tokio::test]
async fn the_tools_words_are_quoted() {
    let bench = Bench::new();
    bench.prints("mstconfig", "4.21.0/no-device.stdout", 3);
    let missing = error(&bench.tools()).await;
    assert!(
        matches!(&missing, Error::Tool { complaint, .. } if complaint.objection == Objection::CannotOpen)
    );
    assert!(in_full(&missing).starts_with(
        "cannot read the firmware settings of 0000:43:00.0\nFailed to open the device\nrun as root"
    ));
    bench.prints("mstconfig", "4.21.0/json-option.stdout", 3);
    assert!(in_full(&error(&bench.tools()).await).contains("mstflint 4.21 to 4.34"));

    // Pitfall 16: a kernel that is locked down (mstflint #416).
    bench.program("mstconfig", "echo 'write counter to semaphore: Operation not permitted' >&2; echo '-E- Failed to open the device'; exit 3");
    let locked = in_full(&error(&bench.tools()).await);
    assert!(
        locked.contains("\nwrite counter to semaphore: Operation not permitted\nFailed to open the device\n"),
        "{locked}"
    );
    assert!(locked.contains("Secure Boot"), "{locked}");

    // One that dies without a word of its own.
    bench.program(
        "mstconfig",
        "echo 'mstconfig: error while loading shared libraries: libfoo.so' >&2; exit 127",
    );
    assert!(in_full(&error(&bench.tools()).await).contains("libfoo.so"));
}

#[tokio::test]
async fn mlxconfig_is_asked_where_mstconfig_cannot_open_the_card() {
    let bench = Bench::new();
    bench.prints("mstconfig", "4.21.0/no-device.stdout", 3).prints("mlxconfig", "made/query-e.4.31.txt", 0);
    let settings = bench.tools().settings(pf(), &[]).await.unwrap();
    assert_eq!(settings.get("NUM_OF_VFS").unwrap().keeper, Keeper::Mlxconfig);
    // What could not be read is no reason to lose the rest.
    bench.prints("mstconfig", "made/partial.4.31.txt", 3);
    assert_eq!(bench.tools().settings(pf(), &[]).await.unwrap().settings.len(), 12);
}

#[tokio::test]
async fn a_setting_that_is_said_to_be_done_and_is_not_is_an_error() {
    let bench = Bench::new();
    bench.program("mstconfig", &format!(
        "case \"$*\" in *set*) echo 'Applying... Done!';; *) cat {}/tests/firmware/made/query-e.4.31.txt;; esac",
        env!("CARGO_MANIFEST_DIR")
    ));
    let error = bench
        .tools()
        .set(pf(), &[("NUM_OF_VFS".parse().unwrap(), Value::Number(64))].into())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "NUM_OF_VFS of 0000:43:00.0 is to be 64 from the next boot on and stays 16"
    );
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_in_the_tools_words() {
    let bench = Bench::new();
    let tools = bench.stand_ins("4.31.0").tools();
    let set = async |name: &str, value: &str| {
        let values = [(name.parse().unwrap(), value.parse().unwrap())];
        in_full(&tools.set(pf(), &values.into()).await.unwrap_err())
    };
    assert!(set("MEMIC_BAR_SIZE", "1").await.contains("Operation is not supported"));
    assert!(set("NUM_OF_VFS", "many").await.contains("Unknown value many"));
    assert!(set("NUM_OF_VFZ", "8").await.contains("the firmware of 0000:43:00.0 has no setting NUM_OF_VFZ"));
}

#[test]
fn tools_are_found_where_programs_and_administrators_programs_are() {
    let bench = Bench::new();
    bench.program("mstconfig", "exit 0");
    let tools = Tools::in_path(&OsString::from(bench.directory.path()));
    assert!(format!("{tools:?}").contains("/usr/sbin"));
}
