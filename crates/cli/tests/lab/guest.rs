//! The VM that the tests run in: the program under test, and the system's own tools to look behind it.
#![allow(clippy::unused_self, reason = "it is the guest that is asked")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The variable that names the card with 8 VFs.
pub(crate) const VFS_8: &str = "LAB_CARD_8";
/// The variable that names the card with 64 VFs.
pub(crate) const VFS_64: &str = "LAB_CARD_64";

/// Where the host file lies.
pub(crate) const HOST_FILE: &str = "/tmp/host.toml";

/// The VM.
pub(crate) struct Guest {
    program: PathBuf,
}

/// A run of the program that goes on.
pub(crate) struct Begun {
    child: Child,
    out: BufReader<ChildStdout>,
    said: String,
}

/// What a run of the program came to.
pub(crate) struct Ran {
    arguments: String,
    output: Output,
}

impl Guest {
    /// The VM that the tests run in.
    pub(crate) fn new() -> Self {
        let program = std::env::var_os("VDPA_BIN").expect("VDPA_BIN names the program under test");
        Self { program: program.into() }
    }

    /// The program under test.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The address of a card's PF.
    pub(crate) fn pf(card: &str) -> String {
        std::env::var(card).unwrap_or_else(|_| panic!("{card} names no card"))
    }

    /// Puts down the host file that `setup` gets.
    pub(crate) fn write_host_file(&self, text: &str) {
        fs::write(HOST_FILE, text).unwrap();
    }

    /// Runs `vdpa`; `setup` without a card by flags gets the host file.
    pub(crate) fn vdpa(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran { arguments: arguments.join(" "), output }
    }

    /// Runs `vdpa` and has it write down what it waited for.
    pub(crate) fn vdpa_recorded(&self, arguments: &[&str], record: &Path) -> Ran {
        let output = self.command(arguments).env("VDPA_TRACE", record).output().unwrap();
        Ran { arguments: arguments.join(" "), output }
    }

    /// Runs `vdpa` for its JSON objects, one a line.
    pub(crate) fn run_vdpa_lines(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let said = self.vdpa(arguments).succeeds();
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}"))).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        if arguments[0] == "setup" && !arguments.contains(&"--pci") && !arguments.contains(&"--config") {
            command.args(["--config", HOST_FILE]);
        }
        command
    }

    /// Begins a command whose standard output is read line by line.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Begun {
        let mut child =
            self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Begun { child, out, said: String::new() }
    }

    /// Begins a `setup` and returns when it says that a statement with `stop_at` in it has become true.
    pub(crate) fn begin_setup_until(&self, stop_at: &str) -> Child {
        let mut setup = self.begin(&["setup"]);
        setup.has_made_true(stop_at);
        setup.child
    }

    /// Begins a command and returns, with what it has complained of, when that has a line that begins with `last`.
    pub(crate) fn begin_until_it_says(&self, arguments: &[&str], last: &str) -> (Child, String) {
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let seen = lines.any(|line| {
            said = format!("{said}{line}\n");
            line.starts_with(last)
        });
        assert!(seen, "it ended without a line `{last}`:\n{said}");
        (child, said)
    }

    /// Begins a command and kills it when it says that a statement with `stop_at` in it has become true.
    pub(crate) fn kill_after(&self, command: &[&str], stop_at: &str) {
        let mut begun = self.begin(command);
        begun.has_made_true(stop_at);
        begun.child.kill().unwrap();
        let status = begun.child.wait().unwrap();
        let command = command.join(" ");
        assert_eq!(status.code(), None, "`{command}` had ended before it was killed:\n{}", begun.said);
    }

    /// What a program prints, which must succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {text}{said}", arguments.join(" "));
        text
    }

    /// Runs a program that must fail.
    pub(crate) fn refuses(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{program} {}", arguments.join(" "));
    }

    /// The network device of a PF that is no representor of a VF.
    pub(crate) fn uplink(&self, pf: &str) -> String {
        let is_uplink = |name: &String| port_name(name).is_none_or(|port| !port.contains("vf"));
        netdevs(pf).into_iter().find(is_uplink).unwrap_or_else(|| panic!("{pf} has no uplink"))
    }

    /// The representors of a PF's VFs.
    pub(crate) fn representors(&self, pf: &str) -> Vec<String> {
        let mut names = netdevs(pf);
        names.retain(|name| port_name(name).is_some_and(|port| port.contains("vf")));
        names.sort();
        names
    }

    /// Process ids of Open vSwitch's daemons.
    pub(crate) fn daemons(&self) -> String {
        ["ovsdb-server", "ovs-vswitchd"].map(|name| self.run("pidof", &[name])).join(" ")
    }

    /// The database's file, to see whether something was written to it.
    pub(crate) fn ovsdb_file(&self) -> (u64, String) {
        let text = fs::read("/etc/openvswitch/conf.db").unwrap();
        // Statistics that ovs-vswitchd writes by itself are no changes of configuration.
        let next_cfg = self.run("ovs-vsctl", &["get", "Open_vSwitch", ".", "next_cfg"]);
        assert!(!text.is_empty());
        (
            next_cfg.parse().unwrap(),
            self.run("ovs-vsctl", &["--columns=name,external_ids,ports", "list", "Bridge"]),
        )
    }

    /// Restarts Open vSwitch and waits until it answers.
    pub(crate) fn restart_open_vswitch(&self) {
        self.run("systemctl", &["restart", "openvswitch-switch"]);
        self.run("ovs-vsctl", &["show"]);
    }

    /// Gives a PF so many VFs, as somebody else would, and waits until udev has named what comes of it.
    pub(crate) fn set_vfs(&self, pf: &str, count: u16) {
        fs::write(format!("/sys/bus/pci/devices/{pf}/sriov_numvfs"), count.to_string()).unwrap();
        self.run("udevadm", &["settle"]);
    }

    /// Has a VF probed anew, so that it takes the MAC that it was given.
    pub(crate) fn rebind(&self, pf: &str, index: u16) {
        let function = fs::read_link(format!("/sys/bus/pci/devices/{pf}/virtfn{index}")).unwrap();
        let function = function.file_name().unwrap().to_str().unwrap();
        for file in ["unbind", "bind"] {
            fs::write(format!("/sys/bus/pci/drivers/mlx5_core/{file}"), function).unwrap();
        }
        self.run("udevadm", &["settle"]);
    }

    /// Sets a knob of the pretend card until the value returned is dropped.
    pub(crate) fn knob(&self, name: &str, value: &str) -> Knob {
        let path = PathBuf::from(format!("/sys/module/labcx/parameters/{name}"));
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, value).unwrap();
        Knob { path, before }
    }
}

/// A knob of the pretend card, turned back when it is dropped.
pub(crate) struct Knob {
    path: PathBuf,
    before: String,
}

impl Drop for Knob {
    fn drop(&mut self) {
        fs::write(&self.path, self.before.trim()).unwrap();
    }
}

impl Begun {
    /// Returns when it says that a statement with `subject` in it has become true.
    pub(crate) fn has_made_true(&mut self, subject: &str) {
        let seen = |line: &str| line.contains('✓') && line.contains(subject);
        while !self.said.lines().last().is_some_and(seen) {
            let read = self.out.read_line(&mut self.said).unwrap();
            assert_ne!(read, 0, "it ended without `{subject}`:\n{}", self.said);
        }
    }

    /// What it printed in all, for a run that must succeed.
    pub(crate) fn succeeds(mut self) -> String {
        self.out.read_to_string(&mut self.said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "it failed:\n{}{complaints}", self.said);
        self.said
    }
}

impl Ran {
    /// What it printed, for a run that must succeed.
    pub(crate) fn succeeds(self) -> String {
        assert!(self.output.status.success(), "vdpa {} failed:\n{}", self.arguments, self.text());
        self.text()
    }

    /// What it printed, for a run that must fail like this.
    pub(crate) fn fails_with(self, code: i32) -> String {
        assert_eq!(self.output.status.code(), Some(code), "vdpa {}:\n{}", self.arguments, self.text());
        self.text()
    }

    /// Its one JSON document.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("vdpa {}: {error}:\n{}", self.arguments, self.text()))
    }

    fn text(&self) -> String {
        [&self.output.stdout, &self.output.stderr]
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .concat()
    }
}

/// The network devices on a PCI function.
pub(crate) fn netdevs(function: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/sys/bus/pci/devices/{function}/net")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn port_name(netdev: &str) -> Option<String> {
    // Unreadable (EOPNOTSUPP) where the device is no port.
    fs::read_to_string(Path::new("/sys/class/net").join(netdev).join("phys_port_name")).ok()
}

/// Waits for something that somebody else does, two minutes at most: the machine below may stand still for many seconds.
pub(crate) fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited two minutes for {what}\n{}", last_words());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the system said of late, for a wait that was in vain.
fn last_words() -> String {
    let journal =
        Command::new("journalctl").args(["-b", "-n", "60", "-o", "short-monotonic", "--no-pager"]).output();
    journal.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
