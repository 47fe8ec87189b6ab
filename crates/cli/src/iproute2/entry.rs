//! What is shown: sections of entries of fields, as text and as JSON.
//!
//! The two forms come from one list of fields, as iproute2's do, down to a space in two of the keys.

use std::io;

use serde::Serialize as _;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use serde_json::{Map, Value};
use vdpa_datapath::kernel::{Config, Features, MgmtDev, QueueStats, VdpaDevice};

/// `VIRTIO_ID_NET`, in `include/uapi/linux/virtio_ids.h`.
const NET: u32 = 1;
/// `VIRTIO_ID_BLOCK`.
const BLOCK: u32 = 2;
/// `VIRTIO_NET_S_LINK_UP` and `VIRTIO_NET_S_ANNOUNCE`, in `include/uapi/linux/virtio_net.h`.
const LINK_UP: u16 = 1;
const ANNOUNCE: u16 = 2;

/// The answer to a question.
#[derive(Debug)]
pub(super) struct Section {
    name: &'static str,
    pub(super) entries: Vec<Entry>,
}

/// A device or management device.
#[derive(Debug)]
pub(super) struct Entry {
    handle: String,
    fields: Vec<Field>,
    spaces: Spaces,
}

/// Where the spaces of a line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Between,
    After,
}

#[derive(Debug)]
enum Field {
    /// On the handle's line.
    Word(String, Value),
    /// On a line of its own.
    Line(&'static str, Value),
    /// On a line of its own.
    List(&'static str, Vec<Value>),
}

impl Section {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, entries: Vec::new() }
    }

    pub(super) fn text(&self) -> String {
        self.entries.iter().map(Entry::text).collect()
    }

    pub(super) fn json(&self, pretty: bool) -> String {
        let entries = self.entries.iter().map(|entry| (entry.handle.clone(), entry.json())).collect();
        let document = Value::Object(Map::from_iter([(self.name.to_owned(), Value::Object(entries))]));
        if !pretty {
            return format!("{document}\n");
        }
        let mut text = Vec::new();
        let written = document.serialize(&mut Serializer::with_formatter(&mut text, Pretty::new()));
        written.unwrap_or_else(|error| unreachable!("memory takes what is written to it: {error}"));
        text.push(b'\n');
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Entry {
    fn text(&self) -> String {
        let first = self.fields.iter().filter_map(Field::word).collect::<Vec<_>>();
        let first = match self.spaces {
            Spaces::Between => first.join(" "),
            Spaces::After => first.iter().flat_map(|word| [word.as_str(), " "]).collect(),
        };
        let lines = self.fields.iter().filter_map(Field::line);
        let lines: String = lines.flat_map(|line| ["\n  ".to_owned(), line]).collect();
        format!("{}: {first}{lines}\n", self.handle)
    }

    fn json(&self) -> Value {
        let fields = self.fields.iter().map(|field| match field {
            Field::Word(key, value) => (key.clone(), value.clone()),
            Field::Line(key, value) => ((*key).to_owned(), value.clone()),
            Field::List(key, values) => ((*key).to_owned(), Value::from(values.clone())),
        });
        Value::Object(fields.collect())
    }
}

impl Field {
    /// What it adds to the handle's line.
    fn word(&self) -> Option<String> {
        match self {
            Self::Word(key, value) => Some(format!("{} {}", key.trim_end(), bare(value))),
            Self::Line(..) | Self::List(..) => None,
        }
    }

    /// Its own line.
    fn line(&self) -> Option<String> {
        match self {
            Self::Word(..) => None,
            Self::Line(key, value) => Some(format!("{key} {}", bare(value))),
            Self::List(key, values) => {
                // A feature without a name is a number in JSON.
                let name = |value: &Value| {
                    if value.is_number() { format!("bit_{value}") } else { bare(value) }
                };
                let words = std::iter::once((*key).to_owned()).chain(values.iter().map(name));
                Some(words.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn word(key: &str, value: impl Into<Value>) -> Field {
    Field::Word(key.to_owned(), value.into())
}

fn features(features: Features, class: u32) -> Vec<Value> {
    features.bits().map(|bit| Features::name(bit, class).map_or_else(|| bit.into(), Value::from)).collect()
}

pub(super) fn mgmtdev(shown: &MgmtDev) -> Entry {
    let class = |class| match class {
        NET => "net",
        BLOCK => "block",
        _ => "< unknown class >",
    };
    let classes = shown.classes().filter(|class| *class > 0).map(class).map(Value::from).collect();
    let mut fields = vec![Field::List("supported_classes", classes)];
    fields.extend(shown.max_vqs.map(|most| Field::Line("max_supported_vqs", most.into())));
    let of_class = if shown.makes_net_devices() { NET } else { 0 };
    fields.extend(shown.features.map(|bits| Field::List("dev_features", features(bits, of_class))));
    Entry { handle: shown.name.to_string(), fields, spaces: Spaces::Between }
}

pub(super) fn device(shown: &VdpaDevice) -> Entry {
    let kind = match shown.class {
        NET => "network",
        BLOCK => "block",
        _ => "<unknown type>",
    };
    let fields = vec![
        word("type", kind),
        word("mgmtdev", shown.mgmtdev.to_string()),
        word("vendor_id", shown.vendor),
        word("max_vqs", shown.max_vqs),
        word("max_vq_size", shown.max_vq_size),
    ];
    Entry { handle: shown.name.to_string(), fields, spaces: Spaces::Between }
}

pub(super) fn config(shown: &Config) -> Entry {
    let mut fields = Vec::new();
    if shown.class == NET {
        fields.extend(shown.mac.map(|mac| word("mac", mac.to_string())));
        if let Some(status) = shown.status {
            fields.push(word("link ", if status & LINK_UP == 0 { "down" } else { "up" }));
            fields.push(word("link_announce ", status & ANNOUNCE != 0));
        }
        fields.extend(shown.max_vqp.map(|pairs| word("max_vq_pairs", pairs)));
        fields.extend(shown.mtu.map(|mtu| word("mtu", mtu)));
        let negotiated = shown.negotiated_features;
        fields.extend(negotiated.map(|bits| Field::List("negotiated_features", features(bits, NET))));
    }
    Entry { handle: shown.name.to_string(), fields, spaces: Spaces::After }
}

pub(super) fn stats(shown: &QueueStats) -> Entry {
    // The control queue is the one behind the pairs; a kernel that does not say how many there are is taken at its
    // word, as iproute2 takes it.
    let control = 2 * u32::from(shown.max_vqp.unwrap_or(0));
    let kind = match shown.queue {
        queue if shown.negotiated_features.contains(Features::CTRL_VQ) && queue == control => "control_vq",
        queue if queue % 2 == 1 => "tx",
        _ => "rx",
    };
    let counters = shown.counters.iter().map(|counter| word(&counter.name, counter.value));
    let fields = std::iter::once(word("queue_type", kind)).chain(counters).collect();
    Entry { handle: shown.name.to_string(), fields, spaces: Spaces::After }
}

/// JSON on several lines, lists on one.
struct Pretty(PrettyFormatter<'static>);

impl Pretty {
    fn new() -> Self {
        Self(PrettyFormatter::with_indent(b"    "))
    }
}

impl Formatter for Pretty {
    fn begin_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object(to)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object(to)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(to, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object_value(to)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object_value(to)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b"[ ")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b" ]")
    }
}
