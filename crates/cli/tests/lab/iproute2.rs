//! `vdpa mgmtdev` and `vdpa dev` beside iproute2's program: the same words, the same bytes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::guest::{Guest, VFS_8};

/// Said to each program in this order, from the same state, which they leave as they found it. `VF` stands for the
/// management device of the card's first VF.
const SAME: &[&str] = &[
    "mgmtdev",
    "-j mgmtdev",
    "mgmtdev help",
    "mgmtdev foo",
    "mgmtdev show",
    "mgmtdev s",
    "mgmtdev list vdpasim_net",
    "-j mgmtdev show",
    "-jp mgmtdev show",
    "-p mgmtdev show",
    "mgmtdev show VF",
    "mgmtdev show VF word",
    "mgmtdev show VF two words",
    "mgmtdev show nosuch",
    "-j mgmtdev show nosuch",
    "mgmtdev show a/b/c",
    "mgmtdev show pci/x",
    "dev",
    "-jp dev",
    "dev help",
    "dev h",
    "-j dev help",
    "dev foo",
    "-j dev foo",
    "dev delete x",
    "dev add",
    "dev add name",
    "dev add name sim0",
    "dev add mgmtdev vdpasim_net",
    "dev add name sim0 mgmtdev nosuch",
    "dev add name sim0 mgmtdev a/b/c",
    "dev add name sim0 mgmtdev vdpasim_net mac 00:11:22:33:44:55",
    "dev add name sim0 mgmtdev vdpasim_net",
    "dev add na sim1 mg vdpasim_net mtu 9000 last",
    "dev add name sim2 mgmtdev vdpasim_net mtu 20",
    "dev add name sim2 mgmtdev vdpasim_net max_v 4",
    "dev add name sim2 mgmtdev vdpasim_net mac zz",
    "dev add name sim2 mgmtdev vdpasim_net mac 00:11:22:33:44:555",
    "dev add name sim2 mgmtdev vdpasim_net bogus 1",
    "dev add name sim2 mgmtdev vdpasim_net device_f 1",
    "dev add name sim2 mgmtdev vdpasim_net device_features 0xffffffffffffffff",
    "dev add name sim2 mgmtdev vdpasim_net mac 00:11:22:33:44:56 device_features 0x300020000",
    "dev add name sim2 mgmtdev vdpasim_net device_features 0x300020020",
    "dev add name other name card0 mgmtdev VF mac 0:11:22:33:44:57 max_vqp 4",
    "dev add mgmtdev VF name card1",
    "dev show",
    "dev s",
    "dev list card0",
    "dev -j show",
    "dev show -j",
    "dev show --js --pre",
    "-jp dev show",
    "dev -- show sim0",
    "dev show sim0 word",
    "dev show sim0 two words",
    "dev show nosuch",
    "-j dev show nosuch",
    "dev config",
    "dev config show",
    "dev config s sim0",
    "-j dev config show",
    "-jp dev config show card0",
    "dev config show nosuch",
    "dev config help",
    "dev config list",
    "dev config show sim0 two words",
    "dev vstats",
    "dev vstats show",
    "dev vstats help",
    "dev vst show sim0 qidx 0",
    "dev vstats show sim0 qidx",
    "dev vstats show sim0 qi 0",
    "dev vstats show sim0 qidx 0 word",
    "dev vstats show sim0 qidx 0",
    "dev vstats show sim0 qidx 1",
    "dev vstats show sim0 qidx 2",
    "dev vstats show sim0 qidx 3",
    "dev vstats show sim0 qidx 99999",
    "dev vstats show card0 qidx 0",
    "dev vstats show nosuch qidx 0",
    "-j dev vstats show sim0 qidx 0",
    "-jp dev vstats show sim0 qidx 2",
    "dev set",
    "dev set name",
    "dev set sim0 mac 00:11:22:33:44:66",
    "dev set name sim0 mtu 1400",
    "dev set name nosuch mac 00:11:22:33:44:66",
    "dev set name sim0 mac 00:11:22:33:44:66",
    "-j dev set name card0 mac 00:11:22:33:44:67",
    "dev config show sim0",
    "dev -x show",
    "dev -n show",
    "dev -s show",
    "dev --bogus show",
    "dev show --json=1",
    "dev -h",
    "dev del",
    "dev del nosuch",
    "-j dev del nosuch",
    "dev del sim0 sim1",
    "dev de sim1",
    "dev del sim2",
    "dev del card0",
    "dev show",
];

/// What `vdpa_cli::iproute2` does otherwise on purpose: all of it fails here, with words.
const REFUSED: &[(&str, &str)] = &[
    ("dev add name x mgmtdev vdpasim_net mac 00:11:22:33:44", "\"00:11:22:33:44\" is invalid lladdr."),
    ("dev add name x mgmtdev vdpasim_net mac 10.0.0.1", "is invalid lladdr."),
    ("dev add name x mgmtdev vdpasim_net mtu 70000", "\"70000\" is not a number of 16 bits"),
    ("dev add name a/b mgmtdev vdpasim_net", "is not a vDPA device name"),
    ("dev vstats show x", "queue index expected"),
    ("dev set name x", "mac expected"),
    ("mgmtdev show pci/", "is not a vDPA management device"),
];

/// Takes every vDPA device to `virtio_vdpa`. A new one goes to whichever driver was loaded first, and only this one
/// negotiates features by itself, of which there is more to show then.
fn to_virtio() {
    for device in fs::read_dir("/sys/bus/vdpa/devices").unwrap().map(|entry| entry.unwrap().path()) {
        let driver = fs::read_link(device.join("driver")).unwrap_or_default();
        if driver.ends_with("virtio_vdpa") {
            continue;
        }
        let name = device.file_name().unwrap().to_str().unwrap();
        if device.join("driver").exists() {
            fs::write(device.join("driver/unbind"), name).unwrap();
        }
        fs::write("/sys/bus/vdpa/drivers/virtio_vdpa/bind", name).unwrap();
    }
}

/// What a program makes of a line: status, output, complaint.
fn said(program: &Path, line: &str, vf: &str) -> String {
    let words = line.split(' ').map(|word| word.replace("VF", vf));
    let output = Command::new(program).args(words).output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("vdpa {line}\nexit status {:?}\n{out}{err}", output.status.code())
}

#[test]
fn the_kernels_devices_are_shown_as_iproute2_shows_them() {
    let guest = Guest::new();
    let numvfs = format!("/sys/bus/pci/devices/{}/sriov_numvfs", Guest::pf(VFS_8));
    guest.run("modprobe", &["-a", "vdpa_sim_net", "virtio_vdpa", "labcx_vdpa"]);
    fs::write(&numvfs, "1").unwrap();
    guest.run("udevadm", &["settle"]);
    let vf = fs::read_link(Path::new(&numvfs).with_file_name("virtfn0")).unwrap();
    let vf = format!("pci/{}", vf.file_name().unwrap().to_str().unwrap());

    // By its name, since it is the name that it complains with.
    let theirs = Path::new("vdpa");
    let all_said = |program: &Path| -> Vec<String> {
        let lines = SAME.iter().map(|line| {
            let said = said(program, line, &vf);
            to_virtio();
            said
        });
        lines.collect()
    };
    let [theirs, ours] = [theirs, guest.program()].map(all_said);
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(ours, theirs);
    }
    let theirs = theirs.concat();
    assert!(theirs.contains("type network mgmtdev vdpasim_net"), "devices were made and shown");
    assert!(theirs.contains("queue_type control_vq"), "a driver had negotiated features");

    for (line, words) in REFUSED {
        let refused = said(guest.program(), line, &vf);
        assert!(refused.contains("exit status Some(1)") && refused.contains(words), "{refused}");
    }
    let long = "x".repeat(90);
    said(guest.program(), &format!("dev add name {long} mgmtdev vdpasim_net"), &vf);
    let listed = said(guest.program(), "dev config show", &vf);
    assert!(listed.contains(&format!("{long}: mac ")), "{listed}");
    said(guest.program(), &format!("dev del {long}"), &vf);

    fs::write(&numvfs, "0").unwrap();
    guest.run("modprobe", &["-ra", "vdpa_sim_net", "virtio_vdpa"]);
    guest.run("udevadm", &["settle"]);
}
