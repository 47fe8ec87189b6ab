//! `vdpa host prepare` and `vdpa host restore` on the trees of four distributions, and on the simulated host.

mod common;
#[path = "prepare/policy.rs"]
mod policy;
#[path = "prepare/root.rs"]
mod root;
#[path = "prepare/words.rs"]
mod words;

use root::{ALL, DEBIAN_12, Kind, ROCKY_8, ROCKY_9, Root, UBUNTU_24_04};

/// What is asked for in most tests: arguments, a node's huge pages, a module, nested virtualization.
const ASK: [&str; 7] = [
    "prepare",
    "--hugepages",
    "1G=16",
    "--hugepages=2M=512@1",
    "--module=vhost_vdpa",
    "--nested",
    "--default-hugepagesz=1G",
];

fn wanted(kind: &Kind) -> Vec<&'static str> {
    let intel = ["intel_iommu=on"].into_iter().filter(|_| kind.vendor == "GenuineIntel");
    intel.chain(["iommu=pt", "default_hugepagesz=1G", "hugepagesz=1G", "hugepages=16"]).collect()
}

#[test]
fn a_plan_shows_everything_and_touches_nothing() {
    for kind in ALL {
        let root = Root::new(&kind);
        let before = root.snapshot();
        let said = root.host(&[&ASK[..], &["--detailed-exitcode"]].concat()).exits(10);
        assert_eq!(root.snapshot(), before, "{}", kind.tree);
        for argument in wanted(&kind) {
            let shown = said.out.lines().any(|line| line.starts_with('+') && line.contains(argument));
            assert!(shown, "{}: {argument}\n{said}", kind.tree);
        }
        for line in [
            "+options kvm_",
            "+vhost_vdpa",
            "huge pages of 2M on NUMA node 1: 0 → 512",
            "then a reboot is due",
        ] {
            assert!(said.out.contains(line), "{}: {line}\n{said}", kind.tree);
        }
        assert!(said.out.contains("nothing was written"), "{said}");
    }
}

#[test]
fn what_is_applied_is_there_once_is_not_applied_again_and_is_taken_back() {
    for kind in ALL {
        let root = Root::new(&kind);
        let before = root.snapshot();
        let apply = [&ASK[..], &["--apply"]].concat();
        let said = root.host(&apply).exits(0);
        assert!(said.out.contains("a reboot is due"), "{said}");
        let line = root.next_boot(&kind);
        for argument in wanted(&kind) {
            assert_eq!(line.iter().filter(|word| *word == argument).count(), 1, "{}: {line:?}", kind.tree);
        }
        let kept =
            ["quiet", "console=tty1", "rd.lvm.lv=rl/root"].iter().any(|word| line.iter().any(|l| l == word));
        assert!(kept, "{}: {line:?}", kind.tree);
        let node = "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
        assert_eq!(root.read(node), "512");
        assert!(root.read("etc/tmpfiles.d/vdpa.conf").contains(&format!("w /{node} - - - - 512\n")));
        assert!(root.read("proc/modules").contains("vhost_vdpa"));

        let applied = root.snapshot();
        let again = root.host(&apply).exits(0);
        assert!(again.out.contains("nothing to write"), "{}: {again}", kind.tree);
        assert_eq!(root.snapshot(), applied, "{}", kind.tree);

        root.host(&["restore"]).exits(0);
        let mut after = root.snapshot();
        // What a boot loader's program makes is not ours, and a loaded module stays.
        for made in ["boot/grub/grub.cfg", "etc/kernel/cmdline", "proc/modules"] {
            after.remove(std::path::Path::new(made));
        }
        let mut before = before;
        before.remove(std::path::Path::new("proc/modules"));
        // The order of arguments is grubby's to choose.
        let sorted = |text: &str| {
            let words = |line: &str| {
                let mut words: Vec<_> = line.split(['"', ' ']).map(str::to_owned).collect();
                words.retain(|word| !word.is_empty());
                words.sort();
                words.join(" ")
            };
            text.lines().map(words).collect::<Vec<_>>()
        };
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{}", kind.tree);
        for (path, (mode, text)) in &before {
            let (mode_after, text_after) = &after[path];
            assert_eq!(mode, mode_after, "{path:?}");
            if kind.programs.contains(&"grubby") {
                assert_eq!(sorted(text), sorted(text_after), "{path:?}");
            } else {
                // The kernel's attributes have no line end when we have written them.
                assert_eq!(text.trim_end(), text_after.trim_end(), "{path:?}");
            }
        }
        let nothing = root.host(&["restore"]).exits(0);
        assert!(nothing.out.contains("nothing was prepared"), "{nothing}");
    }
}

#[test]
fn what_the_user_set_otherwise_is_replaced_and_shown() {
    let root = Root::new(&DEBIAN_12);
    let file = root.read("etc/default/grub");
    let mine = file.replace("\"quiet\"", "\"quiet intel_iommu=off  hugepagesz=1G hugepages=2\"");
    root.write("etc/default/grub", &mine);
    let said = root.host(&["prepare", "--hugepages=1G=16", "--apply"]).exits(0);
    assert!(
        said.out.contains("-GRUB_CMDLINE_LINUX_DEFAULT=\"quiet intel_iommu=off  hugepagesz=1G hugepages=2\""),
        "{said}"
    );
    let expected = mine
        .replace("intel_iommu=off  hugepagesz=1G hugepages=2", "intel_iommu=on  hugepagesz=1G hugepages=16")
        .replace("LINUX=\"\"", "LINUX=\"iommu=pt\"");
    assert_eq!(root.read("etc/default/grub"), expected, "every other byte stays");
    assert_eq!(root.read("etc/default/grub.before-vdpa"), mine);

    let root = Root::new(&ROCKY_9);
    let entry = root.read(ROCKY_9.result.0).replace(" ro ", " ro amd_iommu=off iommu=soft ");
    root.write(ROCKY_9.result.0, &entry);
    let said = root.host(&["prepare", "--apply"]).exits(0);
    assert!(said.out.contains("ran `grubby --update-kernel=ALL"), "{said}");
    let line = root.next_boot(&ROCKY_9);
    assert!(
        line.contains(&"iommu=pt".to_owned())
            && !line.iter().any(|word| word.ends_with("off") || word == "iommu=soft"),
        "{line:?}"
    );
    root.host(&["restore"]).exits(0);
    let line = root.next_boot(&ROCKY_9);
    assert!(
        line.contains(&"amd_iommu=off".to_owned()) && line.contains(&"iommu=soft".to_owned()),
        "{line:?}"
    );
}

#[test]
fn drop_ins_of_cloud_images_are_seen() {
    // They replace GRUB_CMDLINE_LINUX_DEFAULT, where an argument in /etc/default/grub would never arrive.
    let root = Root::new(&UBUNTU_24_04);
    let base = root.read("etc/default/grub").replace("quiet splash", "quiet splash iommu=pt");
    root.write("etc/default/grub", &base);
    root.host(&["prepare", "--apply"]).exits(0);
    let line = root.next_boot(&UBUNTU_24_04);
    assert!(line.contains(&"iommu=pt".to_owned()), "{line:?}");
    assert!(root.read("etc/default/grub").contains("GRUB_CMDLINE_LINUX=\"iommu=pt\""));

    let cloud = "etc/default/grub.d/60-site.cfg";
    root.write(cloud, "GRUB_CMDLINE_LINUX='net.ifnames=0 iommu=off' # ours\n");
    let said = root.host(&["prepare", "--apply"]).exits(0);
    assert!(said.out.contains("60-site.cfg replaces the GRUB_CMDLINE_LINUX"), "{said}");
    assert_eq!(root.read(cloud), "GRUB_CMDLINE_LINUX='net.ifnames=0 iommu=pt' # ours\n");
    assert!(root.next_boot(&UBUNTU_24_04).contains(&"iommu=pt".to_owned()));
}

#[test]
fn files_that_cannot_be_kept_are_named_and_nothing_is_touched() {
    let grub = "etc/default/grub";
    for (text, what, hint) in [
        (
            "A=1\nif x; then\n GRUB_CMDLINE_LINUX=y\nfi\n",
            "/etc/default/grub:3: GRUB_CMDLINE_LINUX is set inside a compound command",
            "line 3",
        ),
        (
            "GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX=b\n",
            "/etc/default/grub sets GRUB_CMDLINE_LINUX in line 1, and again in line 2",
            "remove line 1",
        ),
        ("GRUB_CMDLINE_LINUX=\"x\n", "/etc/default/grub:1: a quote that is not closed", "line 1"),
    ] {
        let root = Root::new(&DEBIAN_12);
        root.write(grub, text);
        let before = root.snapshot();
        root.host(&["prepare", "--nested", "--apply"]).exits(1).is_an_error(what, hint);
        assert_eq!(root.snapshot(), before);
    }
    let root = Root::new(&DEBIAN_12);
    root.write("etc/modprobe.d/vdpa.conf", "options kvm_intel ept=1\n");
    let before = root.snapshot();
    root.host(&["prepare", "--nested", "--apply"])
        .exits(1)
        .is_an_error("/etc/modprobe.d/vdpa.conf is not ours", "mv ");
    assert_eq!(root.snapshot(), before);
}

#[test]
fn what_fails_half_way_leaves_the_files_as_they_were() {
    // A directory where a file has to go cannot be written by root either.
    let root = Root::new(&DEBIAN_12);
    root.write("etc/modules-load.d", "a file\n");
    let before = root.snapshot();
    root.host(&["prepare", "--module=vfio-pci", "--apply"])
        .exits(1)
        .is_an_error("modules-load.d/vdpa.conf", "");
    assert_eq!(root.snapshot(), before);

    let root = Root::new(&DEBIAN_12);
    root.program(
        "update-grub",
        "#!/bin/sh\necho 'grub-probe: error: cannot find a device for /.' >&2\nexit 1\n",
    );
    let before = root.snapshot();
    let said = root.host(&["prepare", "--nested", "--apply"]).exits(1);
    said.is_an_error("`update-grub` failed", "type `update-grub`");
    assert!(said.err.contains("  grub-probe: error: cannot find a device for /."), "{said}");
    assert_eq!(root.snapshot(), before);

    let root = Root::new(&ROCKY_8);
    let lazy = "#!/bin/sh\ncase $1 in --info=ALL) printf 'index=0\\nkernel=\"/boot/vmlinuz\"\\nargs=\"ro\"\\n';; esac\n";
    root.program("grubby", lazy);
    let before = root.snapshot();
    let said = root.host(&["prepare", "--apply"]).exits(1);
    said.is_an_error("ended well, and not every entry has intel_iommu=on iommu=pt", "grubby");
    assert_eq!(root.snapshot(), before);
}

#[test]
fn entries_that_grubby_changed_before_it_failed_get_their_arguments_back() {
    let root = Root::new(&ROCKY_9);
    let real = include_str!("prepare/programs/grubby");
    root.program("grubby.real", real);
    root.program(
        "grubby",
        "#!/bin/sh\n\"$0.real\" \"$@\" || exit 1\ncase $1 in --update*) [ -e $0.once ] || { touch $0.once; exit 1; } ;; esac\n",
    );
    let before = root.next_boot(&ROCKY_9);
    let said = root.host(&["prepare", "--hugepages=1G=4", "--nested", "--apply"]).exits(1);
    said.is_an_error("`grubby --update-kernel=ALL", "grubby");
    assert_eq!(root.next_boot(&ROCKY_9), before);
    assert!(!root.path().join("etc/modprobe.d/vdpa.conf").exists());
    let nothing = root.host(&["restore"]).exits(0);
    assert!(nothing.out.contains("nothing was prepared"), "{nothing}");
}

#[test]
fn what_cannot_be_taken_back_is_listed() {
    let root = Root::new(&DEBIAN_12);
    let vandal = "#!/bin/sh\nroot=$(dirname \"$0\")/../..\nrm $root/etc/default/grub\nmkdir $root/etc/default/grub\nexit 1\n";
    root.program("update-grub", vandal);
    let said = root.host(&["prepare", "--apply"]).exits(3);
    said.is_an_error("could not all be taken back", "vdpa host restore");
    assert!(
        said.err.contains("  `update-grub` failed")
            && said.err.contains("  REMAINS cannot write /etc/default/grub"),
        "{said}"
    );
    std::fs::remove_dir(root.path().join("etc/default/grub")).unwrap();
    root.program("update-grub", include_str!("prepare/programs/update-grub"));
    root.host(&["restore", "--force", "changed"]).exits(0);
    assert!(root.read("etc/default/grub").contains("GRUB_CMDLINE_LINUX=\"\""));
}

#[test]
fn what_was_interrupted_goes_on() {
    // The defaults are written and GRUB's configuration was not made: by a kill, or by whoever edited the file.
    let root = Root::new(&DEBIAN_12);
    root.host(&["prepare", "--apply"]).exits(0);
    root.write(
        "boot/grub/grub.cfg",
        "menuentry 'Debian' {\n\tlinux\t/boot/vmlinuz root=UUID=1 ro quiet\n}\n",
    );
    let said = root.host(&["prepare", "--detailed-exitcode"]).exits(10);
    assert!(
        said.out.contains("it was not made since") && said.out.contains("to be run: `update-grub`"),
        "{said}"
    );
    root.host(&["prepare", "--apply"]).exits(0);
    assert!(root.next_boot(&DEBIAN_12).contains(&"iommu=pt".to_owned()));

    // A restore that was killed when it had brought the file back.
    let backup = root.read("etc/default/grub.before-vdpa");
    root.write("etc/default/grub", &backup);
    let said = root.host(&["restore"]).exits(0);
    assert!(said.out.contains("ran `update-grub`"), "{said}");
    assert!(!root.next_boot(&DEBIAN_12).contains(&"iommu=pt".to_owned()));

    // A program that ends well and writes nothing of it is found out.
    root.program("update-grub", "#!/bin/sh\n");
    let said = root.host(&["prepare", "--apply"]).exits(1);
    said.is_an_error(
        "`update-grub` ended well, and not every entry has intel_iommu=on iommu=pt",
        "update-grub",
    );
    assert_eq!(root.read("etc/default/grub"), backup);
}

#[test]
fn a_file_that_overrules_ours_is_named() {
    let root = Root::new(&UBUNTU_24_04);
    root.write("etc/modprobe.d/kvm.conf", "options kvm-amd nested=0\n");
    root.write("etc/modprobe.d/zz-site.conf", "# ours\noptions kvm-amd avic=1 nested=0\n");
    let document = root.json(&["prepare", "--nested"]);
    assert_eq!(
        document["notes"],
        serde_json::json!(["/etc/modprobe.d/zz-site.conf:2 overrules it: remove its nested=0"])
    );
}

#[test]
fn what_somebody_changed_since_is_not_overwritten_unless_told() {
    let root = Root::new(&DEBIAN_12);
    let before = root.read("etc/default/grub");
    root.host(&["prepare", "--apply"]).exits(0);
    let changed = root.read("etc/default/grub") + "GRUB_TIMEOUT=1\n";
    root.write("etc/default/grub", &changed);
    let said = root.host(&["restore"]).exits(1);
    said.is_an_error("/etc/default/grub was changed since", "--force changed");
    assert!(said.err.contains("+GRUB_TIMEOUT=1"), "{said}");
    assert_eq!(root.read("etc/default/grub"), changed);
    root.host(&["restore", "--force", "changed"]).exits(0);
    assert_eq!(root.read("etc/default/grub"), before);
}

#[test]
fn other_ways_to_boot_are_refused_with_words() {
    let root = Root::new(&DEBIAN_12);
    std::fs::remove_file(root.path().join("usr/sbin/update-grub")).unwrap();
    root.write("boot/loader/loader.conf", "default @saved\n");
    let said = root.host(&["prepare", "--apply"]).exits(1);
    said.is_an_error("where systemd-boot starts the kernel", "/etc/kernel/cmdline");
    assert!(said.err.contains("intel_iommu=on iommu=pt"), "{said}");
    // What needs no arguments is done all the same.
    root.host(&["prepare", "--no-iommu", "--hugepages=2M=8@0", "--apply"]).exits(0);
    assert!(root.path().join("etc/tmpfiles.d/vdpa.conf").exists());

    let root = Root::new(&ROCKY_9);
    root.write("run/ostree-booted", "");
    root.host(&["prepare"]).exits(1).is_an_error("rpm-ostree", "rpm-ostree kargs");

    // Without grubby, GRUB's own way is taken, and its file is where the links say.
    let root = Root::new(&ROCKY_8);
    std::fs::remove_file(root.path().join("usr/sbin/grubby")).unwrap();
    root.program("grub2-mkconfig", include_str!("prepare/programs/grub2-mkconfig"));
    std::os::unix::fs::symlink("../boot/efi/EFI/rocky/grub.cfg", root.path().join("etc/grub2-efi.cfg"))
        .unwrap();
    root.write("sys/firmware/efi/fw_platform_size", "64\n");
    let said = root.host(&["prepare", "--apply"]).exits(0);
    assert!(said.out.contains("ran `grub2-mkconfig -o /boot/efi/EFI/rocky/grub.cfg`"), "{said}");
    assert!(root.read("boot/efi/EFI/rocky/grub.cfg").contains("iommu=pt"));
}

#[test]
fn a_nodes_gigantic_pages_are_an_argument_where_the_kernel_takes_it() {
    let ubuntu = Root::new(&UBUNTU_24_04).json(&["prepare", "--hugepages=1G=8@0", "--hugepages=1G=4@1"]);
    assert_eq!(ubuntu["arguments"][2], "hugepagesz=1G hugepages=0:8,1:4");
    assert_eq!(ubuntu["pages"], serde_json::json!([]));
    let rocky = Root::new(&ROCKY_8).json(&["prepare", "--hugepages=1G=8@0"]);
    assert_eq!(rocky["pages"][0]["count"], 8);
    assert!(rocky["notes"][0].as_str().unwrap().contains("Linux 5.16"), "{rocky:#}");
}
