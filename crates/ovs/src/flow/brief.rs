//! A key for people: without what is wildcarded.

use super::FlowLine;
use super::text::{DEEPEST, Items, group};

impl FlowLine<'_> {
    /// Adds the key to `text`, without what matches whatever a packet has (`ttl=0/0`), which `-m` prints, and without
    /// `recirc_id(0)`, which nearly every flow has.
    pub fn brief_key(&self, text: &mut String) {
        let begin = text.len();
        for item in Items::of(self.key).filter(|item| *item != "recirc_id(0)") {
            add(item, begin, text, 0);
        }
    }
}

/// Adds an attribute or a field, unless it is wildcarded. `begin` is where the list began.
fn add(item: &str, begin: usize, text: &mut String, depth: u8) {
    let before = text.len();
    if before > begin {
        text.push(',');
    }
    let Some(slash) = memchr::memchr(b'/', item.as_bytes()) else { return text.push_str(item) };
    match group(item) {
        Some((name, content)) if depth < DEEPEST => {
            text.push_str(name);
            text.push('(');
            let inside = text.len();
            Items::of(content).for_each(|item| add(item, inside, text, depth + 1));
            if text.len() > inside {
                text.push(')');
            } else {
                text.truncate(before);
            }
        }
        None if is_zero(&item[slash + 1..]) => text.truncate(before),
        _ => text.push_str(item),
    }
}

/// Whether a mask lets nothing count, in whatever notation: `0`, `0x0000`, `0.0.0.0`, `::`, `00:00:00:00:00:00`.
fn is_zero(mask: &str) -> bool {
    mask.bytes().all(|byte| matches!(byte, b'0' | b'x' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_left_out_at_every_depth() {
        let key = "skb_priority(0/0),ct_state(0x20/0x20),ct_label(0/0),recirc_id(0),dp_hash(0/0),in_port(eth0),\
                   packet_type(ns=0/0,id=0/0),eth(src=0a:00:00:00:00:01,dst=00:00:00:00:00:00/00:00:00:00:00:00),\
                   eth_type(0x8100),vlan(vid=7,pcp=0/0x0),encap(eth_type(0x86dd),ipv6(src=::/::,dst=fe80::/ffc0::,\
                   label=0/0,frag=no),arp(sip=0.0.0.0/0.0.0.0))";
        let text = format!("{key}, packets:0, bytes:0, used:never, actions:drop");
        let mut brief = String::from("x");
        FlowLine::scan(&text).unwrap().brief_key(&mut brief);
        assert_eq!(
            brief,
            "xct_state(0x20/0x20),in_port(eth0),eth(src=0a:00:00:00:00:01),eth_type(0x8100),vlan(vid=7),\
             encap(eth_type(0x86dd),ipv6(dst=fe80::/ffc0::,frag=no))"
        );
    }

    #[test]
    fn a_key_without_wildcards_stays_and_nesting_ends() {
        for key in ["in_port(1),eth()".to_owned(), "a(".repeat(5000) + "b/1" + &")".repeat(5000)] {
            let text = format!("{key}, packets:0, bytes:0, used:never, actions:drop");
            let mut brief = String::new();
            FlowLine::scan(&text).unwrap().brief_key(&mut brief);
            assert_eq!(brief, key);
        }
    }
}
