//! What the firmware tools say when something is wrong.
//!
//! They say it on standard output, behind `-E-`, and end with a status that tells little: 3 for mstconfig, 1 for
//! mstfwreset. Texts are those of mstflint 4.21 (its program, run without a card, and the strings in it) and of its
//! sources up to 4.34.

use std::fmt;

use super::SettingName;

/// What a tool objects to, as far as a caller would do something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The device is not there, is none of the tool's, or must not be opened (root, kernel lockdown).
    CannotOpen,
    /// No device was named and none is there.
    NoDevices,
    /// The firmware, or the tool, does not know this setting.
    UnknownSetting(Option<SettingName>),
    /// The value cannot be.
    BadValue,
    /// The tool is too old, or too new, for how it was called.
    UnknownOption,
    /// The firmware does not let it be written.
    NotAllowed,
    /// Some of the settings cannot be read; the others were printed.
    Partial,
    /// The tool works on no virtual machine.
    VirtualMachine,
    /// Anything else.
    Other,
}

/// What a tool said that went wrong. Displays as the tool's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What it comes to.
    pub objection: Objection,
    /// The tool's words, without `-E-`; what it said before on standard error comes first.
    pub text: String,
}

impl std::error::Error for Complaint {}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How errors begin.
pub(super) const MARK: &str = "-E-";

impl Complaint {
    /// The complaint in what a tool printed, if there is one: the first line behind `-E-`, and those that go with it.
    pub(super) fn in_output(stdout: &str) -> Option<Self> {
        let mut lines = stdout.lines().skip_while(|line| !line.trim_start().starts_with(MARK));
        let first = lines.next()?.trim_start().trim_start_matches(MARK).trim();
        let mut text = first.to_owned();
        // A usage text may follow, which says nothing about what went wrong.
        for line in lines.take_while(|line| !line.trim().is_empty() && first.ends_with(':')) {
            text.push('\n');
            text.push_str(line.trim());
        }
        Some(Self { objection: Objection::of(&text), text })
    }
}

impl Objection {
    fn of(text: &str) -> Self {
        let says = |any: &[&str]| any.iter().any(|part| text.contains(part));
        if says(&[
            "Failed to open",
            "Failed to identify the device",
            "Failed to Identify Device",
            "Unsupported device",
        ]) {
            Self::CannotOpen
        } else if says(&["Failed to get devices", "No devices found"]) {
            Self::NoDevices
        } else if let Some(name) = between(text, "The Device doesn't support ", " parameter")
            .or_else(|| text.strip_prefix("Unknown Parameter: "))
            .or_else(|| between(text, "Parameter ", " was not found"))
        {
            Self::UnknownSetting(name.trim().parse().ok())
        } else if says(&[
            "Unknown value",
            "Cannot parse the value",
            "Bad parameter value",
            "Cannot parse parameter",
            "out of range",
        ]) {
            Self::BadValue
        } else if says(&["invalid argument", "Invalid Configuration argument"]) {
            Self::UnknownOption
        } else if says(&[
            "Cannot access NV register",
            "read only",
            "Operation is not supported",
            "not permitted",
        ]) {
            Self::NotAllowed
        } else if says(&["Failed to query some of the TLVs"]) {
            Self::Partial
        } else if says(&["virtual machines"]) {
            Self::VirtualMachine
        } else {
            Self::Other
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(stdout: &str) -> Objection {
        Complaint::in_output(stdout).unwrap().objection
    }

    /// What mstflint 4.21.0 printed on a machine without a card, to the letter.
    #[test]
    fn errors_are_on_standard_output() {
        assert_eq!(
            objection(include_str!("../../tests/firmware/4.21.0/no-device.stdout")),
            Objection::CannotOpen
        );
        assert_eq!(
            objection(include_str!("../../tests/firmware/4.21.0/no-devices.stdout")),
            Objection::NoDevices
        );
        let json =
            Complaint::in_output(include_str!("../../tests/firmware/4.21.0/json-option.stdout")).unwrap();
        assert_eq!(json.objection, Objection::UnknownOption);
        assert_eq!(json.text, "invalid argument: -j");
        let reset = include_str!("../../tests/firmware/4.21.0/reset-no-device.stdout");
        assert_eq!(Complaint::in_output(reset).unwrap().text, "Failed to open the device");
        let levels = include_str!("../../tests/firmware/4.21.0/fwreset-no-device.stdout");
        assert_eq!(objection(levels), Objection::CannotOpen);
        let virtual_machine = include_str!("../../tests/firmware/4.21.0/fwreset-virtual.stdout");
        assert_eq!(objection(virtual_machine), Objection::VirtualMachine);
    }

    #[test]
    fn a_setting_that_is_not_there_is_named() {
        let name = |name: &str| Objection::UnknownSetting(Some(name.parse().unwrap()));
        assert_eq!(objection("-E- The Device doesn't support NUM_OF_VFZ parameter\n"), name("NUM_OF_VFZ"));
        assert_eq!(objection("-E- Unknown Parameter: FOO\n"), name("FOO"));
    }

    #[test]
    fn a_list_of_what_could_not_be_read_belongs_to_the_error() {
        let text = "rows\n-E- Failed to query some of the TLVs:\n    Failed to query the default values of the following TLVs:\n    nv_a nv_b \n\nmore";
        let complaint = Complaint::in_output(text).unwrap();
        assert_eq!(complaint.objection, Objection::Partial);
        assert!(complaint.text.ends_with("\nnv_a nv_b"), "{complaint}");
        assert_eq!(Complaint::in_output("all is well\n"), None);
    }
}
