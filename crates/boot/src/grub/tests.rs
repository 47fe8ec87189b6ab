use proptest::prelude::*;
use vdpa_hw::platform::Vendor;

use super::*;

fn defaults(files: &[(&str, &str)]) -> Result<Defaults> {
    Defaults::parse(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())))
}

fn intel() -> Vec<Want> {
    Want::iommu(Vendor::Intel)
}

/// What becomes of `/etc/default/grub`.
#[track_caller]
fn edited(text: &str) -> String {
    let mut changed = defaults(&[(DEFAULT_FILE, text)]).unwrap().with(&intel()).unwrap();
    changed.pop().map_or_else(|| text.to_owned(), |(_, text)| text)
}

#[track_caller]
fn refused(text: &str) -> String {
    defaults(&[(DEFAULT_FILE, text)]).unwrap_err().to_string()
}

#[test]
fn arguments_go_into_the_quotes_that_are_there() {
    for (before, after) in [
        ("GRUB_CMDLINE_LINUX=\"\"\n", "GRUB_CMDLINE_LINUX=\"intel_iommu=on iommu=pt\"\n"),
        (
            "GRUB_CMDLINE_LINUX='quiet' # mine\n",
            "GRUB_CMDLINE_LINUX='quiet intel_iommu=on iommu=pt' # mine\n",
        ),
        ("GRUB_CMDLINE_LINUX=\nX=1", "GRUB_CMDLINE_LINUX=\"intel_iommu=on iommu=pt\"\nX=1"),
        ("  GRUB_CMDLINE_LINUX=ro;X=1\n", "  GRUB_CMDLINE_LINUX=\"ro intel_iommu=on iommu=pt\";X=1\n"),
        ("X=1", "X=1\nGRUB_CMDLINE_LINUX=\"intel_iommu=on iommu=pt\"\n"),
        ("", "GRUB_CMDLINE_LINUX=\"intel_iommu=on iommu=pt\"\n"),
        ("GRUB_CMDLINE_LINUX=\"a \\\n  b\"\n", "GRUB_CMDLINE_LINUX=\"a \\\n  b intel_iommu=on iommu=pt\"\n"),
        (
            "GRUB_CMDLINE_LINUX=\"$EXTRA dyndbg=\\\"file a +p\\\"\"\n",
            "GRUB_CMDLINE_LINUX=\"$EXTRA dyndbg=\\\"file a +p\\\" intel_iommu=on iommu=pt\"\n",
        ),
    ] {
        assert_eq!(edited(before), after, "{before}");
    }
}

#[test]
fn a_conflicting_value_is_replaced_and_no_argument_is_there_twice() {
    assert_eq!(
        edited("GRUB_CMDLINE_LINUX_DEFAULT=\"quiet intel_iommu=off\"\nGRUB_CMDLINE_LINUX=\"iommu=pt\"\n"),
        "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet intel_iommu=on\"\nGRUB_CMDLINE_LINUX=\"iommu=pt\"\n"
    );
    let held = "GRUB_CMDLINE_LINUX_DEFAULT='iommu=pt  quiet intel_iommu=on'\nGRUB_CMDLINE_LINUX=\n";
    assert_eq!(edited(held), held);
}

#[test]
fn a_drop_in_that_replaces_is_the_one_to_edit() {
    let base = ("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"base\"\n");
    let cloud = ("/etc/default/grub.d/50-cloud.cfg", "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n");
    let kdump =
        ("/etc/default/grub.d/kdump.cfg", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX crashkernel=1G\"\n");
    let both = defaults(&[base, cloud]).unwrap();
    assert_eq!(both.overridden_by().unwrap(), Some(Path::new(cloud.0)));
    let edit = (
        "/etc/default/grub.d/50-cloud.cfg".into(),
        "GRUB_CMDLINE_LINUX=\"console=ttyS0 intel_iommu=on iommu=pt\"\n".to_owned(),
    );
    assert_eq!(both.with(&intel()).unwrap(), [edit]);
    assert_eq!(both.command_line().unwrap().to_string(), "console=ttyS0");

    let builds = defaults(&[base, kdump]).unwrap();
    assert_eq!(builds.overridden_by().unwrap(), None);
    let (path, text) = builds.with(&intel()).unwrap().pop().unwrap();
    assert_eq!(path, Path::new(base.0), "what is new goes where the others build on");
    assert_eq!(text, "GRUB_CMDLINE_LINUX=\"base intel_iommu=on iommu=pt\"\n");
}

#[test]
fn what_cannot_be_kept_is_named_with_its_line() {
    assert_eq!(
        refused("GRUB_CMDLINE_LINUX=\"a\"\n#\nGRUB_CMDLINE_LINUX=\"b\"\n"),
        "/etc/default/grub sets GRUB_CMDLINE_LINUX in line 1, and again in line 3"
    );
    for (text, why) in [
        ("X=1\nGRUB_CMDLINE_LINUX=\"a\"' b'\n", ":2: GRUB_CMDLINE_LINUX is put together"),
        ("GRUB_CMDLINE_LINUX=a\\ b\n", ":1: GRUB_CMDLINE_LINUX is quoted in part"),
        ("GRUB_CMDLINE_LINUX=\"$(cat /x)\"\n", ":1: GRUB_CMDLINE_LINUX holds a command substitution"),
        ("GRUB_CMDLINE_LINUX=\"iommu=\\\npt\"\n", ":1: GRUB_CMDLINE_LINUX has an argument that goes on"),
        ("if x; then\nGRUB_CMDLINE_LINUX=a\nfi\n", ":2: GRUB_CMDLINE_LINUX is set inside a compound"),
        ("GRUB_CMDLINE_LINUX=\"a\n", ":1: a quote that is not closed"),
    ] {
        let said = refused(text);
        assert!(said.contains(why), "{text}: {said}");
    }
}

/// The arguments as `grub-mkconfig` gets them: from a shell that sources the file. `None` where it does not run.
fn shell(text: &str) -> Option<Vec<String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let script = "set -e; . \"$1\"; printf '%s %s' \"$GRUB_CMDLINE_LINUX\" \"$GRUB_CMDLINE_LINUX_DEFAULT\"";
    let output =
        std::process::Command::new("sh").args(["-c", script, "sh"]).arg(file.path()).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| words.split_whitespace().map(str::to_owned).collect())
}

/// Lines of such files, some of which set what we edit, at most once each.
fn files() -> impl Strategy<Value = String> {
    let other = prop::sample::select(vec![
        "# GRUB_CMDLINE_LINUX=\"iommu=off\"",
        "GRUB_TIMEOUT=5",
        "GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`",
        "",
        "GRUB_TERMINAL='console serial'",
        "if [ -f /x ]; then",
        "  GRUB_DEFAULT=0",
        "fi",
        "GRUB_THEME=\"a\\",
        "b\"  # c",
        "\t",
        "export GRUB_GFXMODE=640x480",
    ]);
    let arguments = prop::sample::select(vec![
        "",
        "quiet",
        "intel_iommu=off",
        " iommu=pt  ro",
        "intel_iommu=on iommu=pt",
        "$X rd.lvm.lv=rl/root",
        "a \\\n b",
    ]);
    let lines = prop::collection::vec(other, 0..6);
    (lines.clone(), arguments.clone(), lines.clone(), arguments, lines, any::<bool>()).prop_map(
        |(first, always, second, usually, third, newline)| {
            let always = vec![format!("GRUB_CMDLINE_LINUX=\"{always}\"")];
            let usually = vec![format!("GRUB_CMDLINE_LINUX_DEFAULT=\"{usually}\" # here")];
            let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let all = [owned(first), always, owned(second), usually, owned(third)].concat();
            all.join("\n") + if newline { "\n" } else { "" }
        },
    )
}

proptest! {
    #[test]
    fn editing_twice_is_editing_once_and_everything_else_stays(text in files()) {
        // Quotes and compounds that are left open are refused, which is right too.
        let Ok(before) = defaults(&[(DEFAULT_FILE, &text)]) else { return Ok(()) };
        let changed = before.with(&intel()).unwrap();
        let once = changed.first().map_or(text.as_str(), |(_, text)| text);
        let after = defaults(&[(DEFAULT_FILE, once)]).unwrap();
        prop_assert_eq!(after.with(&intel()).unwrap(), []);
        let line = after.command_line().unwrap();
        prop_assert!(intel().iter().all(|want| want.holds(&line)), "{}", line);
        let rest = |text: &str| -> Vec<String> {
            let found = assignments(text, &[ALWAYS, USUALLY]).unwrap();
            let mut rest = text.to_owned();
            for assignment in found.iter().rev() {
                rest.replace_range(assignment.value.clone(), "");
            }
            rest.lines().map(str::to_owned).collect()
        };
        // Where the variable was not there, its line comes behind all others.
        let (was, is) = (rest(&text), rest(once));
        prop_assert_eq!(&is[..was.len()], was.as_slice());
        let has = !assignments(&text, &[ALWAYS]).unwrap().is_empty();
        prop_assert!(is.len() == was.len() || !has && is.last().is_some_and(|line| line == "GRUB_CMDLINE_LINUX="));
    }

    #[test]
    fn the_shell_reads_what_we_read(text in files()) {
        let Ok(before) = defaults(&[(DEFAULT_FILE, &text)]) else { return Ok(()) };
        let changed = before.with(&intel()).unwrap();
        let once = changed.first().map_or(text.as_str(), |(_, text)| text);
        let Some(words) = shell(once) else { return Ok(()) };
        let line = defaults(&[(DEFAULT_FILE, once)]).unwrap().command_line().unwrap();
        let ours: Vec<_> = line.arguments().map(ToString::to_string).filter(|word| word != "$X").collect();
        prop_assert_eq!(words, ours, "{}", once);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[GRUB_CMDLINE_LINUX=\"'`$(){}\\\\\n ;#a-c]{0,80}") {
        let _ = defaults(&[(DEFAULT_FILE, &text)]).and_then(|defaults| defaults.with(&intel()));
    }
}
