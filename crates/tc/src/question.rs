//! A filter as tc(8) would be told to add it, to hear what its driver says.

use std::fmt::Write as _;

use vdpa_hw::IfIndex;

use crate::{ActionKind, Control, Filter, Key};

impl Filter {
    /// The command that adds the same rule to `device` for its hardware alone: a driver that refuses it says why, in
    /// the kernel's extended ack, which tc prints. `None` where tc has no words for all of it, or we do not.
    ///
    /// The rule gets the last priority that there is, 65535. If the driver takes it after all, it is in force until it
    /// is deleted.
    pub fn question(&self, device: &str, name: &dyn Fn(IfIndex) -> String) -> Option<String> {
        let rule = self.flower().filter(|rule| rule.unread.is_empty() && rule.indev.is_none())?;
        let (protocol, chain) = (crate::show::protocol(self.protocol), self.chain);
        let mut words = format!(
            "tc filter add dev {device} ingress protocol {protocol} pref 65535 chain {chain} flower skip_sw verbose"
        );
        // The Ethernet type is the protocol.
        for wanted in rule.matches.iter().filter(|wanted| wanted.key != Key::EthType) {
            write!(words, " {wanted}").ok()?;
        }
        for action in &rule.actions {
            match &action.kind {
                ActionKind::Mirred { to, mirror, ingress } => {
                    let way = if *ingress { "ingress" } else { "egress" };
                    let what = if *mirror { "mirror" } else { "redirect" };
                    write!(words, " action mirred {way} {what} dev {}", name(*to)).ok()?;
                    if action.control == Control::Pipe {
                        words.push_str(" pipe");
                    }
                }
                ActionKind::Generic => write!(words, " action {}", action.control).ok()?,
                _ => return None,
            }
        }
        Some(words)
    }
}
