//! Ports of DPDK's on the bridge: those that ovs-vswitchd could not open, and those that no VM is connected to.

use vdpa_vm::DomainName;

use super::super::check::Check;
use super::super::evidence::{Card, Domain, DpdkPort, Evidence, Seen, Switch};
use super::huge_pages::node_of;

const SOURCE: &str = "ovs-vsctl list Interface";
const LOG: &str = "/var/log/openvswitch/ovs-vswitchd.log";

/// A check for each port.
pub(super) fn of(evidence: &Evidence, switch: &Switch) -> Vec<Check> {
    let check = |port: &DpdkPort| match &port.error {
        Some(words) => not_open(evidence, switch, port, words),
        None => open(evidence, port),
    };
    switch.dpdk_ports.iter().map(check).collect()
}

/// What it takes, by the words of ovs-vswitchd: of `iface_do_create()` in vswitchd/bridge.c, with the errno of
/// `netdev_open()` or `ofproto_port_add()`, and of lib/netdev-dpdk.c. Of a port that its datapath could not set up the
/// latter knows no more than that it is not there (EINVAL; `do_add_port()` in lib/dpif-netdev.c).
fn not_open(evidence: &Evidence, switch: &Switch, port: &DpdkPort, words: &str) -> Check {
    let check = Check::pass(&port.name, format!("{}: {words}", port.kind), SOURCE);
    if !switch.dpdk_initialized {
        return check
            .warn("ovs-vswitchd has no interfaces of this type before DPDK is up in it")
            .remedy(format!("vdpa setup, which sets dpdk-init; where it is set: grep -i dpdk {LOG}"));
    }
    if words.contains("Address family not supported") {
        return check
            .fail("this Open vSwitch has no interfaces of this type: another build of it runs than when the port was made")
            .remedy("vdpa setup, which takes a type that `ovs-vsctl get Open_vSwitch . iface_types` lists");
    }
    if words.contains("to ofproto") {
        let (name, more) = (&port.name, more(evidence, port));
        return check
            .fail("DPDK could not set it up: most often it has no memory left for the buffers, which its log says and the row does not")
            .remedy(format!("grep {name} {LOG}; where that has `memory pool`: {more}"));
    }
    if words.contains("already in use") {
        return check
            .fail("another port has its device, and DPDK gives a device to one")
            .remedy("ovs-vsctl --columns=name,options find Interface type=dpdk; ovs-vsctl del-port the one that is not ours");
    }
    if words.contains("Error attaching device") {
        let device = port.devargs.as_deref().unwrap_or("it");
        return check
            .fail(format!("DPDK does not find {device}: it is not told of the card, the VF is not there, or it has no driver for it"))
            .remedy(format!("vdpa setup, which tells it by dpdk-extra; what DPDK said at its start: grep -e EAL -e mlx5 {LOG}"));
    }
    check.fail("ovs-vswitchd could not open it").remedy(format!("grep {} {LOG}", port.name))
}

/// A larger share of the huge pages on the card's node.
fn more(evidence: &Evidence, port: &DpdkPort) -> String {
    let node = card_of(evidence, port).and_then(|card| node_of(evidence, &card.name));
    let on = node.map_or_else(String::new, |node| format!(" on node {node}"));
    let now = evidence.socket_mem().map_or_else(String::new, |memory| format!(" than \"{memory}\""));
    let free = "free ones: grep HugePages /sys/devices/system/node/node*/meminfo";
    format!("[ovs_dpdk] socket_mem with more megabytes{on}{now}, and vdpa setup; {free}")
}

/// A port whose socket a VM is to listen on has no link before its driver has the virtqueues
/// (`netdev_dpdk_vhost_get_carrier()` in lib/netdev-dpdk.c).
fn open(evidence: &Evidence, port: &DpdkPort) -> Check {
    let (Some(socket), Some(linked)) = (&port.socket, port.link_up) else {
        return Check::pass(&port.name, format!("{}, open", port.kind), SOURCE);
    };
    let at = format!("{}, open, {}", port.kind, socket.display());
    if linked {
        return Check::pass(&port.name, format!("{at}: a VM is connected"), SOURCE);
    }
    let check = Check::pass(&port.name, format!("{at}: no VM is connected"), SOURCE);
    let listens = format!("a vhost-user interface with path='{}' mode='server'", socket.display());
    match vm_of(evidence, port) {
        Some((name, Some(Ok(Domain { active: true, .. })))) => check
            .warn(format!("{name} runs, and either does not listen on this socket or no driver of its guest has the interface"))
            .remedy(format!("virsh dumpxml {name}, which has to have {listens}; if not: vdpa setup; if so: ip link in the guest, and grep {} {LOG}", socket.display())),
        Some((name, Some(Ok(_)))) => check
            .warn(format!("nobody listens on its socket: {name}, which it is for, does not run"))
            .remedy(format!("virsh start {name}")),
        Some((name, _)) => check
            .warn("nobody serves its socket, and packets for it are dropped")
            .remedy(format!("start {name}, with {listens}")),
        None => check
            .warn("nobody serves its socket, and packets for it are dropped")
            .remedy(format!("start the VM that it is for, with {listens}")),
    }
}

/// The domain that the host file has a port for, and what is known of it.
fn vm_of<'e>(evidence: &'e Evidence, port: &DpdkPort) -> Option<(&'e DomainName, Option<&'e Seen<Domain>>)> {
    let (card, index) = (&card_of(evidence, port)?.name, port.vf?.index.get());
    let wanted = evidence.wanted_vfs().iter().find(|vf| vf.index == index && vf.card == *card)?;
    let name = wanted.vm.as_ref()?;
    Some((name, evidence.answers.domains.get(name)))
}

fn card_of<'e>(evidence: &'e Evidence, port: &DpdkPort) -> Option<&'e Card> {
    let pf = port.vf?.pf;
    evidence.cards().iter().find(|card| card.address() == Some(pf))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy};
    use super::*;

    const SOCKET: &str = "/run/vdpa/0000-43-00.0-vf0/vhost/net.sock";

    /// The simulated host 105 with a bridge of DPDK's ports, of which this is the one of the VM `cx6.1`.
    fn with(port: impl FnOnce(&mut DpdkPort)) -> Evidence {
        let mut evidence = healthy();
        let switch = evidence.switch();
        (switch.dpdk, switch.dpdk_initialized) = (Some("DPDK 22.11.4".into()), true);
        switch.dpdk_ports.push(DpdkPort {
            name: "d67s0f0v0".into(),
            kind: "dpdkvhostuserclient".into(),
            vf: Some("0000:43:00.0/vf0".parse().unwrap()),
            devargs: None,
            socket: Some(SOCKET.into()),
            error: None,
            link_up: Some(false),
        });
        port(&mut switch.dpdk_ports[0]);
        evidence
    }

    fn remedy(evidence: &Evidence) -> String {
        check(evidence, "ovs-dpdk").remedy.unwrap()
    }

    #[test]
    fn a_socket_that_nobody_serves_is_named_with_the_vm_that_should() {
        let mut evidence = with(|_| ());
        let name = "cx6.1";
        evidence.domain(name).active = false;
        let found = check(&evidence, "ovs-dpdk");
        assert!(found.warns("cx6.1, which it is for, does not run") && found.subject == "d67s0f0v0");
        assert_eq!(found.fact, format!("dpdkvhostuserclient, open, {SOCKET}: no VM is connected"));
        assert_eq!(remedy(&evidence), "virsh start cx6.1");
        evidence.domain(name).active = true;
        assert!(check(&evidence, "ovs-dpdk").warns("cx6.1 runs, and either does not listen"));
        assert!(remedy(&evidence).contains(&format!("path='{SOCKET}' mode='server'")));
        evidence.answers.domains.clear();
        assert!(
            check(&evidence, "ovs-dpdk").warns("nobody serves") && remedy(&evidence).contains("start cx6.1")
        );
        evidence.answers.wanted = None;
        assert!(
            check(&evidence, "ovs-dpdk").warns("nobody serves") && remedy(&evidence).contains("start the VM")
        );
    }

    #[test]
    fn a_port_with_its_vm_and_one_that_needs_none_are_right() {
        assert!(check(&with(|port| port.link_up = Some(true)), "ovs-dpdk").passes("a VM is connected"));
        assert!(check(&with(|port| port.link_up = None), "ovs-dpdk").passes("open"));
        let uplink = with(|port| (port.kind, port.vf, port.socket) = ("dpdk".into(), None, None));
        assert!(check(&uplink, "ovs-dpdk").passes("dpdk, open"));
        assert!(check(&uplink, "ovs-ports").passes("all of ours are open"), "each port is told of once");
    }

    /// The words of ovs-vswitchd 3.1 in the row, and what they ask for.
    #[test]
    fn a_port_that_dpdk_could_not_open_is_given_what_it_lacks() {
        for (words, why, remedy_has) in [
            (
                "could not open network device d67s0f0v0 (Address family not supported by protocol)",
                "no interfaces of this type",
                "iface_types",
            ),
            (
                "could not add network device d67s0f0v0 to ofproto (Invalid argument)",
                "no memory left",
                "where that has `memory pool`: [ovs_dpdk] socket_mem with more megabytes on node 1, and vdpa setup",
            ),
            ("Error attaching device '0000:43:00.0,representor=[0]' to DPDK", "does not find", "dpdk-extra"),
            (
                "'d67s0f0v0' is trying to use device '0000:43:00.0' which is already in use by 'dpdk0'",
                "another port has its device",
                "del-port",
            ),
            (
                "d67s0f0v0: could not set configuration (Invalid argument)",
                "could not open it",
                "grep d67s0f0v0",
            ),
        ] {
            let evidence = with(|port| port.error = Some(words.to_owned()));
            let found = check(&evidence, "ovs-dpdk");
            assert!(found.fails(why) && found.fact == format!("dpdkvhostuserclient: {words}"), "{found:?}");
            assert!(remedy(&evidence).contains(remedy_has), "{found:?}");
        }
        let mut evidence = with(|port| port.error = Some("could not open network device".to_owned()));
        evidence.switch().dpdk_initialized = false;
        assert!(check(&evidence, "ovs-dpdk").warns("before DPDK is up"));
        assert_eq!(
            checks(&evidence, "ovs-dpdk").len(),
            1,
            "no VF is asked for from it, and its port is there"
        );
    }
}
