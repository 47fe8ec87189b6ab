//! A real kernel's tc, in the lab's VM. `cargo xtask hw-test --tier lab` runs these.

use std::process::Command;

use vdpa_hw::{IfIndex, Links as _, MacAddress, RtnlLinks};
use vdpa_tc::contract::{self, Subject};
use vdpa_tc::{ActionKind, Control, Direction, Filter, Flags, Kernel, Key, Tc as _};

fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn index(name: &str) -> IfIndex {
    let links = RtnlLinks::default().links().await.unwrap();
    links.iter().find(|link| link.name.as_str() == name).unwrap_or_else(|| panic!("no {name}")).index
}

/// Two pairs of devices, gone when it is dropped: what is sent by `tc1` comes in by `tc0`.
struct Pairs;

impl Pairs {
    fn new() -> Self {
        for (one, other) in [("tc0", "tc1"), ("tc2", "tc3")] {
            run("ip", &format!("link add {one} type veth peer name {other}"));
            for end in [one, other] {
                run("ip", &format!("link set {end} addrgenmode none up"));
            }
        }
        run("tc", "qdisc add dev tc0 ingress");
        Self
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        for end in ["tc0", "tc2"] {
            drop(Command::new("ip").args(["link", "del", end]).status());
        }
    }
}

#[tokio::test]
async fn a_kernel_without_hardware_keeps_the_contract() {
    let _pairs = Pairs::new();
    run(
        "tc",
        "filter add dev tc0 ingress protocol ip pref 7 flower dst_mac e4:11:22:33:55:61 action mirred egress redirect dev tc2",
    );
    let subject = Subject {
        tc: &Kernel,
        link: index("tc0").await,
        to: index("tc2").await,
        destination: "e4:11:22:33:55:61".parse::<MacAddress>().unwrap(),
        eth_type: 0x0800,
        in_hw: false,
        packets: 0,
        bare: index("tc1").await,
    };
    contract::all(&subject).await;
}

/// The numbers of `16/0xfc`: tc writes some in decimal and some in hexadecimal, and takes them all in hexadecimal.
fn numbers(word: &str) -> Option<Vec<u32>> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => part.parse().ok(),
    };
    word.split('/').map(number).collect()
}

/// What tc prints of each, and what we do, word by word.
#[tokio::test]
async fn filters_read_as_tc_shows_them() {
    let _pairs = Pairs::new();
    for (pref, rule) in [
        (
            1,
            "protocol ip pref 1 flower dst_mac e4:11:22:33:55:61 src_mac e4:11:22:33:55:60 ip_flags nofrag action mirred egress redirect dev tc2 cookie 000102030405060708090a0b0c0d0e0f",
        ),
        (2, "protocol ip pref 2 flower skip_hw ip_proto tcp dst_ip 10.0.0.0/8 dst_port 80 action drop"),
        (3, "protocol ipv6 pref 3 flower ip_proto udp src_ip fe80::/64 src_port 53 action goto chain 5"),
        (
            4,
            "protocol 802.1Q pref 4 flower vlan_id 7 vlan_prio 3 action vlan pop pipe action mirred egress mirror dev tc2",
        ),
        (
            5,
            "protocol arp pref 5 flower arp_op request arp_tip 10.0.0.1 action vlan push id 9 priority 2 pipe action mirred egress redirect dev tc3",
        ),
        (
            6,
            "protocol ip pref 6 flower ct_state +trk+est ct_zone 3 ip_proto icmp action ct zone 4 nat pipe action goto chain 2",
        ),
        (
            7,
            "protocol ip pref 7 flower enc_key_id 42 enc_dst_ip 192.0.2.1 enc_dst_port 4789 action tunnel_key unset pipe action mirred egress redirect dev tc2",
        ),
        (
            8,
            "protocol ip pref 8 flower ip_tos 0x10/0xfc ip_ttl 64 action tunnel_key set src_ip 192.0.2.1 dst_ip 192.0.2.2 id 7 dst_port 4789 pipe action mirred egress redirect dev tc2",
        ),
        (
            9,
            "protocol ip pref 9 flower ip_proto udp action pedit ex munge ip ttl set 63 pipe action csum ip and udp pipe action skbedit ptype host pipe action mirred ingress redirect dev tc2",
        ),
        (
            10,
            "protocol ip pref 10 flower tcp_flags 0x2/0x7 ip_proto tcp action police rate 1mbit burst 10k conform-exceed drop",
        ),
    ] {
        run("tc", &format!("filter add dev tc0 ingress {rule}"));
        let theirs = run("tc", &format!("-s filter show dev tc0 ingress pref {pref}"));
        let ours = only(pref).await;
        let text = ours.shown(&|link| name(link)).to_string();
        let theirs: Vec<&str> = theirs.split_whitespace().collect();
        for word in text
            .lines()
            .skip(1)
            .take_while(|line| !line.contains("action order"))
            .flat_map(str::split_whitespace)
        {
            let same =
                |theirs: &&str| *theirs == word || numbers(theirs).is_some_and(|n| Some(n) == numbers(word));
            assert!(theirs.iter().any(same), "{rule}: `{word}` is not tc's: {theirs:?}\n{text}");
        }
        // Every line of keys that tc has is one of ours.
        let keys = ours.flower().unwrap().matches.len();
        let written = rule
            .split(" action ")
            .next()
            .unwrap()
            .split_whitespace()
            .filter(|word| Key::ALL.iter().any(|key| key.name() == *word));
        assert!(keys >= written.count(), "{rule}: {text}");
        for action in ours.actions() {
            assert!(theirs.contains(&action.kind.name()), "{rule}: {text}");
            assert!(!matches!(action.kind, ActionKind::Other(_)), "{rule}: {text}");
        }
        assert_eq!(ours.actions().len(), rule.matches(" action ").count(), "{rule}: {text}");
    }
    let first = only(1).await;
    assert_eq!(first.cookie().unwrap().to_string(), "000102030405060708090a0b0c0d0e0f");
    let flags = only(2).await.flower().unwrap().flags;
    assert!(flags.contains(Flags::SKIP_HW | Flags::NOT_IN_HW), "{flags}");
    assert_eq!(only(3).await.actions()[0].control, Control::GotoChain(5));
}

/// What a device without hardware says when it is asked.
#[tokio::test]
async fn a_driver_is_asked_with_a_command_that_tc_understands() {
    let _pairs = Pairs::new();
    for rule in [
        "protocol ip pref 7 flower src_mac e4:11:22:33:55:60 ip_flags nofrag ip_proto tcp dst_ip 10.0.0.0/8 dst_port 80 action mirred egress mirror dev tc2 pipe action mirred egress redirect dev tc3",
        "protocol arp pref 7 flower dst_mac ff:ff:ff:ff:ff:ff action drop",
    ] {
        run("tc", &format!("filter add dev tc0 ingress {rule}"));
        let question = only(7).await.question("tc0", &|link| name(link)).unwrap();
        let words: Vec<&str> = question.split_whitespace().collect();
        let answer = Command::new(words[0]).args(&words[1..]).output().unwrap();
        let said = String::from_utf8_lossy(&answer.stderr);
        // Understood by tc, and refused for want of hardware: veth has none.
        assert!(
            !answer.status.success() && said.contains("We have an error talking to the kernel"),
            "{question}: {said}"
        );
        run("tc", "filter del dev tc0 ingress pref 7");
    }
}

async fn only(pref: u16) -> Filter {
    let filters = Kernel.filters(index("tc0").await, Direction::Ingress).await.unwrap();
    filters.into_iter().find(|filter| filter.priority == pref).unwrap_or_else(|| panic!("no filter {pref}"))
}

fn name(link: IfIndex) -> String {
    let path = std::fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().path());
    let index = link.0.to_string();
    let mut of_index = path
        .filter(|path| std::fs::read_to_string(path.join("ifindex")).is_ok_and(|text| text.trim() == index));
    of_index.next().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn packets_are_counted_in_software_where_there_is_no_hardware() {
    let _pairs = Pairs::new();
    run("tc", "filter add dev tc0 ingress protocol all pref 3 flower action drop");
    run("ip", "address add 192.0.2.1/24 dev tc1");
    let _unanswered = Command::new("ping").args(["-c", "3", "-i", "0.2", "-W", "1", "192.0.2.9"]).output();
    let counted = only(3).await.counters();
    assert!(counted.software.packets >= 1 && counted.hardware.packets == 0, "{counted:?}");
}

#[tokio::test]
async fn chains_are_listed_and_clsact_has_both_directions() {
    let _pairs = Pairs::new();
    run("tc", "filter add dev tc0 ingress chain 4 protocol ip pref 1 flower action pass");
    let tc0 = index("tc0").await;
    let chains = Kernel.chains(tc0, Direction::Ingress).await.unwrap();
    assert!(chains.iter().any(|chain| chain.index == 4), "{chains:?}");
    let in_chain = Kernel.filters(tc0, Direction::Ingress).await.unwrap();
    assert_eq!(in_chain.iter().map(|filter| filter.chain).collect::<Vec<_>>(), [4]);

    run("tc", "qdisc add dev tc2 clsact");
    run("tc", "filter add dev tc2 egress protocol ip pref 2 flower action drop");
    let tc2 = index("tc2").await;
    assert_eq!(Kernel.filters(tc2, Direction::Ingress).await.unwrap(), []);
    assert_eq!(Kernel.filters(tc2, Direction::Egress).await.unwrap().len(), 1);
}

#[tokio::test]
async fn filters_of_a_shared_block_are_each_devices() {
    let _pairs = Pairs::new();
    run("tc", "qdisc add dev tc2 ingress_block 22 ingress");
    run("tc", "filter add block 22 protocol ip pref 5 flower action drop");
    let tc2 = index("tc2").await;
    let hook = Kernel.hooks().await.unwrap().into_iter().find(|hook| hook.link == tc2).unwrap();
    assert_eq!(hook.ingress_block, Some(22));
    let filters = Kernel.filters(tc2, Direction::Ingress).await.unwrap();
    assert_eq!(filters.iter().map(|filter| filter.place).collect::<Vec<_>>(), [vdpa_tc::Place::Block(22)]);
}
