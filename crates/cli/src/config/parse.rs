//! Reading a host file: TOML to [`HostFile`], every mistake with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use vdpa_eswitch::Rate;
use vdpa_hw::{MacAddress, VfIndex};
use vdpa_ovs::BridgeName;
use vdpa_vm::DomainName;

use super::raw::{RawBridge, RawHost, RawNic, RawVf};
use super::{
    ConfigError, DEFAULT_BRIDGE, Datapath, Dpdk, HostFile, Libvirt, Nic, NicName, Place, Places, Tuning,
    VfSpec,
};

/// The most queue pairs a VF can have: mlx5 offers 256 virtqueues.
const MAX_QUEUES: u16 = 128;

/// Reads the host file at `path`.
///
/// # Errors
/// [`ConfigError`] with the place for whatever in it cannot be, and without one where it cannot be read.
pub fn read(path: &Path) -> Result<HostFile, ConfigError> {
    let source = std::fs::read_to_string(path).map_err(|error| ConfigError {
        message: format!("cannot read the host file {}: {error}", path.display()),
        place: None,
        hint:
            "name another with `--config FILE`, or describe a single card with `--pci 0000:43:00.0 --vfs 2`"
                .to_owned(),
    })?;
    parse(path, &source)
}

/// Parses the text of a host file; `path` is only for naming places.
///
/// # Errors
/// [`ConfigError`] with the place for whatever in it cannot be.
pub fn parse(path: &Path, source: &str) -> Result<HostFile, ConfigError> {
    let reader = Reader { path, source };
    let raw: RawHost = toml::from_str(source).map_err(|error| {
        let place = error.span().map(|span| Place::of(path, source, &span));
        let hint = "`vdpa setup --help` shows a host file".to_owned();
        ConfigError { message: error.message().trim_end().to_owned(), place, hint }
    })?;
    reader.host(raw)
}

/// The file being read, for naming places in it.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) source: &'a str,
}

impl Reader<'_> {
    pub(super) fn wrong(&self, span: &Range<usize>, message: String, hint: &str) -> ConfigError {
        ConfigError { message, place: Some(Place::of(self.path, self.source, span)), hint: hint.to_owned() }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        Place::of(self.path, self.source, span)
    }

    fn host(&self, raw: RawHost) -> Result<HostFile, ConfigError> {
        let mut nics: Vec<Nic> = Vec::new();
        let mut macs = BTreeMap::new();
        for nic in raw.nic {
            let span = nic.span();
            let nic = self.nic(nic.into_inner(), &span, &mut macs)?;
            if nics.iter().any(|other| other.pf == nic.pf) {
                let message = format!("{} is described twice", nic.pf);
                return Err(self.wrong(&span, message, "put all of its VFs below one `[[nic]]`"));
            }
            nics.push(nic);
        }
        if nics.is_empty() {
            let hint = "add `[[nic]]` with `pci = \"0000:43:00.0\"` and `vfs = 2`";
            return Err(self.wrong(&(0..0), "no card is described".to_owned(), hint));
        }
        let libvirt = raw.libvirt.uri.map_or_else(Libvirt::default, |uri| Libvirt { uri });
        let dpdk = Dpdk::read(raw.dpdk);
        let (bridge, boot) = (self.bridge(raw.bridge)?, self.boot(raw.boot)?);
        let bonds = self.bonds(raw.bond, &nics, &bridge)?;
        self.one_datapath(&nics, &bonds)?;
        let ovs_dpdk = self.ovs_dpdk(raw.ovs_dpdk)?;
        Ok(HostFile { bridge, nics, bonds, dpdk, ovs_dpdk, libvirt, boot })
    }

    fn bridge(&self, raw: RawBridge) -> Result<BridgeName, ConfigError> {
        let (name, span) = raw.name.map_or((DEFAULT_BRIDGE.to_owned(), 0..0), |name| {
            let span = name.span();
            (name.into_inner(), span)
        });
        name.parse::<BridgeName>().map_err(|error| {
            self.wrong(
                &span,
                error.to_string(),
                "a bridge is a network device too: at most 15 characters, no `/` or blanks",
            )
        })
    }

    fn nic(
        &self,
        raw: RawNic,
        span: &Range<usize>,
        macs: &mut BTreeMap<MacAddress, String>,
    ) -> Result<Nic, ConfigError> {
        let place = |span: &Range<usize>| Some(Place::of(self.path, self.source, span));
        let mut places = Places { vfs: place(&raw.vfs.span()), ..Places::default() };
        let pf = match (raw.pci, raw.netdev) {
            (Some(pci), None) => {
                places.pf = place(&pci.span());
                NicName::Pci(pci.into_inner())
            }
            (None, Some(netdev)) => {
                places.pf = place(&netdev.span());
                NicName::Netdev(netdev.into_inner())
            }
            (None, None) => {
                let hint = "add `pci = \"0000:43:00.0\"` (`lspci -D -d 15b3:` lists them)";
                return Err(self.wrong(span, "a card without `pci` or `netdev`".to_owned(), hint));
            }
            (Some(_), Some(netdev)) => {
                let message = "both `pci` and `netdev` name the card".to_owned();
                return Err(self.wrong(&netdev.span(), message, "keep one of them"));
            }
        };
        let firmware = self.firmware(raw.firmware, &mut places)?;
        let mut known = |key, span: Option<Range<usize>>| {
            places.keys.extend(span.and_then(|span| Some(((None, key), place(&span)?))));
        };
        known("steering_mode", raw.steering_mode.as_ref().map(Spanned::span));
        known("inline_mode", raw.inline_mode.as_ref().map(Spanned::span));
        known("encap_mode", raw.encap_mode.as_ref().map(Spanned::span));
        let tuning = Tuning {
            steering: raw.steering_mode.map(Spanned::into_inner),
            inline: raw.inline_mode.map(Spanned::into_inner),
            encap: raw.encap_mode.map(Spanned::into_inner),
        };
        let (count, count_span) = (*raw.vfs.get_ref(), raw.vfs.span());
        if count == 0 {
            let message = format!("{pf} is to have no VFs");
            return Err(self.wrong(
                &count_span,
                message,
                "leave the card out, or `vdpa teardown` what was set up",
            ));
        }
        let mut vfs: Vec<VfSpec> = VfIndex::first(count).map(VfSpec::plain).collect();
        let mut seen = BTreeSet::new();
        for raw in raw.vf {
            let index = *raw.index.get_ref();
            let Some(slot) = vfs.get_mut(usize::from(index.get())) else {
                let message = format!("VF {index} of {pf} is past its {count} VFs");
                let hint = "VFs are counted from 0; raise `vfs` or take the VF out";
                return Err(self.wrong(&raw.index.span(), message, hint));
            };
            if !seen.insert(index) {
                let message = format!("VF {index} of {pf} is described twice");
                return Err(self.wrong(&raw.index.span(), message, "keep one of the two"));
            }
            places.vms.extend(raw.vm.as_ref().and_then(|vm| Some((index, place(&vm.span())?))));
            for (key, asked) in [("trust", &raw.trust), ("spoofchk", &raw.spoofchk)] {
                let asked = asked.as_ref().and_then(|asked| place(&asked.span()));
                places.keys.extend(asked.map(|place| ((Some(index), key), place)));
            }
            *slot = self.vf(&pf, raw, macs)?;
        }
        Ok(Nic { pf, vfs, firmware, tuning, places })
    }

    fn vf(
        &self,
        pf: &NicName,
        raw: RawVf,
        macs: &mut BTreeMap<MacAddress, String>,
    ) -> Result<VfSpec, ConfigError> {
        let index = raw.index.into_inner();
        let who = format!("VF {index} of {pf}");
        if let Some(mac) = &raw.mac {
            let (span, mac) = (mac.span(), *mac.get_ref());
            if !mac.is_station() {
                let kind = if mac.is_multicast() { "a multicast MAC" } else { "no MAC at all" };
                let hint = "give it a unicast MAC, or leave `mac` out and one is derived from the card's";
                return Err(self.wrong(&span, format!("{who} is given {mac}, which is {kind}"), hint));
            }
            if let Some(other) = macs.insert(mac, who.clone()) {
                let message = format!("{who} has the MAC of {other}: {mac}");
                return Err(self.wrong(&span, message, "give each VF its own MAC, or leave `mac` out"));
            }
        }
        let asked = raw.queues.as_ref().map_or(1, |queues| *queues.get_ref());
        let queues = NonZeroU16::new(asked).filter(|queues| queues.get() <= MAX_QUEUES).ok_or_else(|| {
            let span = raw.queues.as_ref().map_or(0..0, Spanned::span);
            let hint = "between 1 and 128 are possible; as many as the VM has vCPUs is usual";
            self.wrong(&span, format!("{who} is to have {asked} queue pairs"), hint)
        })?;
        let datapath = raw.datapath;
        let vm = raw.vm.map(|vm| self.vm(&who, &vm, datapath)).transpose()?;
        Ok(VfSpec {
            index,
            mac: raw.mac.map(Spanned::into_inner),
            trust: raw.trust.map(Spanned::into_inner),
            spoofchk: raw.spoofchk.map(Spanned::into_inner),
            up: raw.link_state.map_or(Ok(true), |state| self.link_state(&who, &state))?,
            vlan: raw.vlan,
            rate: self.rate(&who, raw.min_rate_mbps.as_ref(), raw.max_rate_mbps.as_ref())?,
            datapath,
            queues,
            mode: self.mode(&who, raw.mode.as_ref(), datapath)?,
            cores: self.cores(&who, raw.cores, datapath)?,
            vm,
        })
    }

    fn link_state(&self, who: &str, state: &Spanned<String>) -> Result<bool, ConfigError> {
        match state.get_ref().as_str() {
            "up" => Ok(true),
            "down" => Ok(false),
            other => {
                let message = format!("{who} is to have the link state `{other}`");
                let hint = "`up` or `down`: in switchdev mode a VF's link is its representor's, and no switch of \
                            mlx5 lets it follow the cable (`auto`)";
                Err(self.wrong(&state.span(), message, hint))
            }
        }
    }

    fn rate(
        &self,
        who: &str,
        min: Option<&Spanned<u32>>,
        max: Option<&Spanned<u32>>,
    ) -> Result<Rate, ConfigError> {
        let value = |rate: Option<&Spanned<u32>>| rate.map_or(0, |rate| *rate.get_ref());
        let rate = Rate { min_mbps: value(min), max_mbps: value(max) };
        if let Some(min) = min.filter(|_| rate.max_mbps > 0 && rate.min_mbps > rate.max_mbps) {
            let message =
                format!("{who} is to have at least {} Mbit/s and at most {}", rate.min_mbps, rate.max_mbps);
            return Err(self.wrong(&min.span(), message, "lower `min_rate_mbps`, or raise `max_rate_mbps`"));
        }
        Ok(rate)
    }

    fn vm(&self, who: &str, name: &Spanned<String>, datapath: Datapath) -> Result<DomainName, ConfigError> {
        let span = name.span();
        if datapath == Datapath::None {
            let message = format!("{who} is for VM {} and has no datapath", name.get_ref());
            return Err(self.wrong(&span, message, "add `datapath = \"dpdk\"` or `datapath = \"kernel\"`"));
        }
        name.get_ref().parse().map_err(|error| {
            self.wrong(&span, format!("{error}"), "write the domain's name as `virsh list --all` shows it")
        })
    }
}

impl VfSpec {
    /// The VF that is asked for by number only.
    pub fn plain(index: VfIndex) -> Self {
        Self {
            index,
            mac: None,
            trust: None,
            spoofchk: None,
            up: true,
            vlan: None,
            rate: Rate::UNLIMITED,
            datapath: Datapath::None,
            queues: NonZeroU16::MIN,
            mode: None,
            cores: Vec::new(),
            vm: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = r#"
[bridge]
name = "ovs-sriov"

[[nic]]
pci = "0000:43:00.0"
vfs = 2

[[nic.vf]]
index = 0
mac = "e4:11:22:33:55:60"
datapath = "dpdk"
queues = 8
vm = "cx6.1"
"#;

    fn wrong(from: &str, to: &str) -> ConfigError {
        assert!(REFERENCE.contains(from), "{from}");
        parse(Path::new("host.toml"), &REFERENCE.replacen(from, to, 1)).unwrap_err()
    }

    #[track_caller]
    fn is(error: &ConfigError, line: usize, column: usize, message: &str) {
        let place = error.place.as_ref().expect("a place");
        assert_eq!((place.line, place.column), (line, column), "{error:?}");
        assert!(error.message.contains(message), "{error:?}");
        assert!(!error.hint.is_empty());
    }

    #[test]
    fn the_documented_file_is_read() {
        let host = parse(Path::new("host.toml"), REFERENCE).unwrap();
        assert_eq!(host.bridge.to_string(), "ovs-sriov");
        let [nic] = host.nics.as_slice() else { panic!("{host:?}") };
        assert_eq!(nic.vfs.len(), 2);
        assert_eq!(nic.vfs[0].vm.as_ref().unwrap().to_string(), "cx6.1");
        assert_eq!(nic.vfs[1], VfSpec::plain(VfIndex::new(1)));
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_place() {
        is(&wrong("vfs = 2", "vfs = 2\nvsf = 3"), 8, 1, "vsf");
    }

    #[test]
    fn a_wrong_type_is_shown_with_its_place() {
        is(&wrong("vfs = 2", "vfs = \"two\""), 7, 7, "two");
        is(&wrong("0000:43:00.0", "43:00.0"), 6, 7, "not a PCI address");
        is(&wrong("\"dpdk\"", "\"dkdp\""), 12, 12, "dkdp");
        is(
            &wrong("queues = 8", "vlan = 4095"),
            13,
            8,
            "VLAN \"4095\" is not valid: it is not between 1 and 4094",
        );
    }

    #[test]
    fn two_vfs_with_one_mac_are_refused() {
        let again = "vm = \"cx6.1\"\n[[nic.vf]]\nindex = 1\nmac = \"e4:11:22:33:55:60\"";
        is(
            &wrong("vm = \"cx6.1\"", again),
            17,
            7,
            "VF 1 of 0000:43:00.0 has the MAC of VF 0 of 0000:43:00.0",
        );
    }

    #[test]
    fn a_vf_past_the_count_is_refused() {
        is(&wrong("index = 0", "index = 2"), 10, 9, "VF 2 of 0000:43:00.0 is past its 2 VFs");
    }

    #[test]
    fn a_multicast_mac_is_refused() {
        is(&wrong("e4:11:22:33:55:60", "01:00:5e:00:00:01"), 11, 7, "multicast");
        is(&wrong("e4:11:22:33:55:60", "00:00:00:00:00:00"), 11, 7, "no MAC at all");
    }

    #[test]
    fn a_long_bridge_name_is_refused() {
        is(&wrong("ovs-sriov", "ovs-sriov-with-a-tail"), 3, 8, "15");
    }

    #[test]
    fn a_vm_needs_a_datapath() {
        is(&wrong("datapath = \"dpdk\"\n", ""), 13, 6, "no datapath");
    }

    #[test]
    fn what_is_described_twice_is_refused() {
        let again = "vm = \"cx6.1\"\n[[nic.vf]]\nindex = 0";
        is(&wrong("vm = \"cx6.1\"", again), 16, 9, "described twice");
        let nic = "vm = \"cx6.1\"\n[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1";
        is(&wrong("vm = \"cx6.1\"", nic), 15, 1, "described twice");
    }

    #[test]
    fn counts_of_nothing_are_refused() {
        is(&wrong("vfs = 2", "vfs = 0"), 7, 7, "no VFs");
        is(&wrong("queues = 8", "queues = 0"), 13, 10, "queue pairs");
        let error = parse(Path::new("host.toml"), "").unwrap_err();
        is(&error, 1, 1, "no card");
    }

    #[test]
    fn a_missing_file_says_what_to_type() {
        let error = read(Path::new("/nonexistent/host.toml")).unwrap_err();
        assert!(error.hint.contains("--config"), "{error:?}");
    }
}
