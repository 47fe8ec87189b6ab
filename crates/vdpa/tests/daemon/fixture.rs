//! The real program, built once from the distribution's sources, and a host directory for each test.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use vdpa_datapath::dpdk::{DpdkHost, Launcher, Limits, Memory, Settings, Spec};

/// Where Debian's dpdk-doc has the example's source.
const SOURCE: &str = "/usr/share/dpdk/examples/vdpa/main.c";

/// dpdk-vdpa with a driver for the tests.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);

/// The runtime directory of one test and the processes in it.
pub(crate) struct Fixture {
    root: PathBuf,
}

impl Fixture {
    /// A fresh runtime directory; its path is short, because sockets' paths are.
    pub(crate) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("vdpa-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("run")).unwrap();
        Self { root }
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The host's processes, as a new command sees them.
    pub(crate) fn host(&self) -> DpdkHost {
        DpdkHost::new(Settings {
            runtime_dir: self.runtime_dir(),
            supervisor: vec![OsString::from(env!("CARGO_BIN_EXE_vdpa-supervise"))],
            group: None,
            launcher: Launcher::Detached,
            limits: Limits { start: Duration::from_mins(1), ..Limits::default() },
        })
    }

    /// VF `index` of 0000:43:00.0, which the driver below the program makes up.
    pub(crate) fn spec(index: u16) -> Spec {
        let pf = "0000:43:00.0".parse().unwrap();
        let device = format!("0000:43:00.{}", index + 2);
        let vf = vdpa_hw::Vf::new(pf, index);
        Spec {
            memory: Memory::Ordinary(64),
            cores: vec![0],
            eal_args: vec!["--no-pci".into(), "--vdev".into(), format!("vdpa_stand_in0,pci={device}")],
            ..Spec::new(vf, device.parse().unwrap(), &*PROGRAM)
        }
    }

    /// A supervisor for the directory that VF `index` has already.
    pub(crate) fn supervisor(&self, index: u16) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vdpa-supervise"));
        command.arg(self.runtime_dir().join(format!("0000-43-00.0-vf{index}"))).spawn().unwrap()
    }

    /// Waits until the supervisor of VF `index`, which was killed, has let go of its lock.
    pub(crate) async fn await_death_of_supervisor(&self, index: u16) {
        let lock = self.runtime_dir().join(format!("0000-43-00.0-vf{index}/lock"));
        let lock = fs::File::open(lock).unwrap();
        wait_for("the killed supervisor to be gone", || {
            rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
        })
        .await;
    }

    pub(crate) fn supervisor_pid(&self, index: u16) -> u32 {
        let path = self.runtime_dir().join(format!("0000-43-00.0-vf{index}/supervisor.json"));
        let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        u32::try_from(record["supervisor"]["pid"].as_u64().unwrap()).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a process behind: it ends when its supervisor does.
        for index in [0, 1] {
            if self.runtime_dir().join(format!("0000-43-00.0-vf{index}/supervisor.json")).exists() {
                let pid = self.supervisor_pid(index);
                let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                if command.contains(self.root.to_str().unwrap()) {
                    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Waits until `done`, or fails the test.
pub(crate) async fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Builds the example with the driver in it, which takes about two seconds. As a plugin EAL would not load it from
/// below a world-writable directory, where this checkout may be.
fn build() -> PathBuf {
    assert!(Path::new(SOURCE).exists(), "{SOURCE} is missing: install libdpdk-dev and dpdk-doc");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dpdk");
    fs::create_dir_all(&directory).unwrap();
    let config = |what| words("pkg-config", &[what, "libdpdk"]);
    let (cflags, libs) = (config("--cflags"), config("--libs"));
    let plugins = words("pkg-config", &["--variable=libdir", "libdpdk"]).concat();
    let bus = fs::read_dir(format!("{plugins}/dpdk")).expect("DPDK's driver directory").flatten();
    let bus = bus.map(|entry| entry.path()).find(|path| path.join("librte_bus_vdev.so").exists());
    let bus = bus.expect("a driver directory with librte_bus_vdev.so (Debian: librte-bus-vdev23)");
    let bus = bus.to_str().unwrap();
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dpdk/vdpa_stand_in.c");
    let program = directory.join("dpdk-vdpa");
    // A run at the same time may be using what it has built: replaced, not overwritten.
    let new = program.with_extension(std::process::id().to_string());
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-DALLOW_EXPERIMENTAL_API"]).args(&cflags).arg(SOURCE).arg(driver).arg("-o").arg(&new);
    gcc.args([&format!("-L{bus}"), "-l:librte_bus_vdev.so", &format!("-Wl,-rpath,{bus}")]).args(&libs);
    let result = gcc.output().expect("gcc runs");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    fs::rename(new, &program).unwrap();
    program
}

fn words(program: &str, arguments: &[&str]) -> Vec<String> {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}
