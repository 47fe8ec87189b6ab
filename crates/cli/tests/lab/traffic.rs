//! Hosts at the ends of the card's ports, in network namespaces of their own, and traffic between them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::guest::{Guest, VFS_8, netdevs, wait_for};

/// A network namespace with an address.
pub(crate) struct Host {
    namespace: String,
    netdev: String,
    address: String,
    /// The vDPA device whose virtio driver the network device is of.
    vdpa: Option<String>,
}

impl Host {
    /// Behind VF `index` of the small card: where its VM would be. Of a VF for the kernel's vDPA, which has no network
    /// device of its own, that is a virtio driver on its vDPA device, until the value returned is dropped.
    pub(crate) fn behind_vf(guest: &Guest, index: u16, address: &str) -> Self {
        let function = vf_address(index);
        let Some(vdpa) = vdpa_device(&function) else {
            let netdev = wait_for("the VF's network device", || netdevs(&function).pop());
            return Self::with(guest, &netdev, address);
        };
        guest.run("modprobe", &["-a", "virtio_vdpa", "virtio_net"]);
        hand_over(&vdpa, "vhost_vdpa", "virtio_vdpa");
        wait_for("the vDPA device's network device", || virtio_netdev(&vdpa));
        guest.run("udevadm", &["settle"]);
        let netdev = wait_for("its name", || virtio_netdev(&vdpa));
        let mut host = Self::with(guest, &netdev, address);
        host.vdpa = Some(vdpa);
        host
    }

    /// At the far end of the card's cable.
    pub(crate) fn at_wire(guest: &Guest, netdev: &str, address: &str) -> Self {
        Self::with(guest, netdev, address)
    }

    fn with(guest: &Guest, netdev: &str, address: &str) -> Self {
        let namespace = format!("host-{netdev}");
        guest.run("ip", &["netns", "add", &namespace]);
        let host = Self { namespace, netdev: netdev.to_owned(), address: address.to_owned(), vdpa: None };
        guest.run("ip", &["link", "set", netdev, "netns", &host.namespace]);
        host.ip(&["addr", "add", &format!("{address}/24"), "dev", netdev]);
        host.ip(&["link", "set", netdev, "up"]);
        host
    }

    fn ip(&self, arguments: &[&str]) {
        let done = Command::new("ip").args(["-n", &self.namespace]).args(arguments).status().unwrap();
        assert!(done.success(), "ip -n {} {arguments:?}", self.namespace);
    }

    /// Has an IPv6 address too, of a network of 64 bits, at once.
    pub(crate) fn also_has(&self, address: &str) {
        self.ip(&["addr", "add", &format!("{address}/64"), "dev", &self.netdev, "nodad"]);
    }

    /// A process that lives there until the value returned is dropped.
    pub(crate) fn process(&self) -> Process {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "sleep", "infinity"]);
        Process { child: command.spawn().unwrap() }
    }

    /// The namespace's name.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Pings another; every packet but the first, which may wait for ARP, must come back.
    pub(crate) fn pings(&self, other: &Self, count: u32) {
        self.pings_at(&other.address, count);
    }

    /// The same, for an address of somebody who is no such host.
    pub(crate) fn pings_at(&self, address: &str, count: u32) {
        let output =
            self.ping(address, &["-c", &count.to_string(), "-i", "0.2", "-W", "30"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(" 0% packet loss"), "{} to {address}: {text}", self.address);
    }

    /// Pings another until it is stopped.
    pub(crate) fn pinging(&self, other: &Self) -> Pinging {
        let mut command = self.ping(&other.address, &["-i", "0.1", "-W", "30"]);
        Pinging { ping: command.stdout(Stdio::piped()).spawn().unwrap() }
    }

    fn ping(&self, address: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "ping", "-n"]).args(arguments).arg(address);
        command
    }
}

impl Drop for Host {
    /// A physical device falls back to the first namespace when its own goes.
    fn drop(&mut self) {
        // It goes in the background, and comes back down and without its address.
        drop(Command::new("ip").args(["netns", "del", &self.namespace]).status());
        if let Some(vdpa) = &self.vdpa {
            hand_over(vdpa, "virtio_vdpa", "vhost_vdpa");
        }
    }
}

/// Where VF `index` of the small card sits.
pub(crate) fn vf_address(index: u16) -> String {
    let link = format!("/sys/bus/pci/devices/{}/virtfn{index}", Guest::pf(VFS_8));
    fs::read_link(link).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// The vDPA device on a function.
fn vdpa_device(function: &str) -> Option<String> {
    let mut devices = fs::read_dir("/sys/bus/vdpa/devices").ok()?.map(Result::unwrap);
    let on_it =
        |target: &Path| target.parent().and_then(Path::file_name).is_some_and(|name| name == function);
    let found = devices.find(|device| on_it(&fs::read_link(device.path()).unwrap()));
    found.map(|device| device.file_name().into_string().unwrap())
}

/// The network device of a vDPA device that `virtio_vdpa` has.
fn virtio_netdev(vdpa: &str) -> Option<String> {
    let entries = fs::read_dir(format!("/sys/bus/vdpa/devices/{vdpa}")).ok()?.map(Result::unwrap);
    let mut netdevs = entries.flat_map(|entry| fs::read_dir(entry.path().join("net"))).flatten();
    netdevs.next().map(|netdev| netdev.unwrap().file_name().into_string().unwrap())
}

/// Gives a vDPA device to another driver.
fn hand_over(vdpa: &str, from: &str, to: &str) {
    for (driver, file) in [(from, "unbind"), (to, "bind")] {
        let path = format!("/sys/bus/vdpa/drivers/{driver}/{file}");
        fs::write(&path, vdpa).unwrap_or_else(|error| panic!("{vdpa} to {path}: {error}"));
    }
}

/// A process in a host's network namespace.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Its id: `ip netns exec` became it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// A bridge of somebody else's with two hosts on it.
pub(crate) struct ForeignBridge {
    name: String,
    hosts: [Host; 2],
}

impl ForeignBridge {
    /// Makes it, with two veth pairs.
    pub(crate) fn new(guest: &Guest, name: &str) -> Self {
        guest.run("ovs-vsctl", &["add-br", name]);
        let hosts = [("fa", "10.8.0.1"), ("fb", "10.8.0.2")].map(|(end, address)| {
            let port = format!("{end}-port");
            guest.run("ip", &["link", "add", end, "type", "veth", "peer", "name", &port]);
            // No address of the kernel's own, which would come late.
            guest.run("ip", &["link", "set", &port, "addrgenmode", "none", "up"]);
            guest.run("ovs-vsctl", &["add-port", name, &port]);
            Host::with(guest, end, address)
        });
        let bridge = Self { name: name.to_owned(), hosts };
        bridge.hosts[0].pings(&bridge.hosts[1], 3);
        bridge
    }

    /// Traffic across it until it is stopped.
    pub(crate) fn pinging(&self) -> Pinging {
        self.hosts[0].pinging(&self.hosts[1])
    }
}

impl Drop for ForeignBridge {
    fn drop(&mut self) {
        drop(Command::new("ovs-vsctl").args(["--if-exists", "del-br", &self.name]).status());
        for end in ["fa-port", "fb-port"] {
            drop(Command::new("ip").args(["link", "del", end]).status());
        }
    }
}

/// A ping that runs.
pub(crate) struct Pinging {
    ping: Child,
}

impl Pinging {
    /// Ends it: how many packets were sent, and how many came back.
    pub(crate) fn stop(self) -> (u32, u32) {
        let pid = self.ping.id().to_string();
        // ping prints its statistics on SIGINT; `ip netns exec` became the ping.
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = self.ping.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let summary = text
            .lines()
            .find(|line| line.contains("packets transmitted"))
            .unwrap_or_else(|| panic!("{text}"));
        let numbers: Vec<u32> = summary.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (numbers[0], numbers[1])
    }
}
