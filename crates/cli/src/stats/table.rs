//! Counters for people: a line each.

use std::fmt::Write as _;

use super::{Counter, Look, Source, VfStats};

const HEADS: [&str; 5] = ["VF", "SOURCE", "COUNTER", "VALUE", "PER SECOND"];

/// The lines of a table. Counters that are 0 are left out unless `all` are wanted, and how many they were is said below
/// it.
pub fn lines(look: &Look, all: bool) -> Vec<String> {
    let mut rows: Vec<[String; 5]> = vec![HEADS.map(str::to_owned)];
    let mut zeros = 0;
    for vf in &look.vfs {
        for source in &vf.sources {
            let shown = |counter: &&Counter| all || counter.value > 0;
            zeros += source.counters.iter().filter(|counter| !shown(counter)).count();
            rows.extend(source.counters.iter().filter(shown).map(|counter| row(vf, source, counter)));
            rows.extend(source.silent.as_ref().map(|why| silent(vf, source, why)));
        }
        if vf.sources.is_empty() {
            rows.push([
                vf.vf.to_string(),
                "-".into(),
                "nobody counts for it".into(),
                String::new(),
                String::new(),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    // Where nothing has a rate there is no column for it.
    let rated = rows.iter().skip(1).any(|row| !row[4].is_empty());
    let line = |[vf, source, counter, value, rate]: &[String; 5]| {
        let mut line = format!(
            "{vf:0$}  {source:1$}  {counter:2$}  {value:>3$}",
            widths[0], widths[1], widths[2], widths[3]
        );
        if rated {
            let _ = write!(line, "  {rate:>0$}", widths[4]);
        }
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    match zeros {
        0 => {}
        1 => lines.push("one more counter is 0".to_owned()),
        more => lines.push(format!("{more} more counters are 0")),
    }
    lines
}

fn row(vf: &VfStats, source: &Source, counter: &Counter) -> [String; 5] {
    let rate = counter.per_second.map_or_else(String::new, |rate| format!("{rate:.1}"));
    [vf.vf.to_string(), source.who.to_string(), counter.name.clone(), counter.value.to_string(), rate]
}

fn silent(vf: &VfStats, source: &Source, why: &str) -> [String; 5] {
    [vf.vf.to_string(), source.who.to_string(), why.to_owned(), String::new(), String::new()]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{Queue, Who};
    use super::*;

    fn look(at: Instant, received: u64) -> Look {
        let netdev: vdpa_hw::NetdevName = "enp67s0f0npf0vf0".get(..15).unwrap().parse().unwrap();
        let vf = |index: u16, sources| VfStats {
            vf: format!("0000:43:00.0/vf{index}").parse().unwrap(),
            address: format!("0000:43:00.{}", index + 2).parse().unwrap(),
            sources,
        };
        let queue = Source::counted(
            Who::DpdkVdpa(Queue::of(0)),
            [("received_descriptors", received), ("bad descriptor errors", 0)],
        );
        let representor =
            Source::counted(Who::Representor { netdev }, [("rx_packets", 12), ("tx_packets", 0)]);
        let silent = Source::silent(Who::KernelVdpa(Queue::ALL), "no guest's driver is ready");
        Look { at, vfs: vec![vf(0, vec![queue, representor]), vf(1, vec![silent]), vf(2, vec![])] }
    }

    #[test]
    fn what_counted_is_shown_and_what_did_not_is_counted() {
        let expected = "\
VF                SOURCE                       COUNTER                     VALUE
0000:43:00.0/vf0  dpdk-vdpa queue 0 rx         received_descriptors          300
0000:43:00.0/vf0  representor enp67s0f0npf0vf  rx_packets                     12
0000:43:00.0/vf1  kernel vDPA                  no guest's driver is ready
0000:43:00.0/vf2  -                            nobody counts for it
2 more counters are 0";
        assert_eq!(lines(&look(Instant::now(), 300), false).join("\n"), expected);
    }

    #[test]
    fn a_second_look_has_rates() {
        let begin = Instant::now();
        let later = look(begin + Duration::from_secs(2), 1300).since(&look(begin, 300));
        let shown = lines(&later, true);
        assert!(shown[0].ends_with("VALUE  PER SECOND"), "{shown:?}");
        assert!(shown[1].ends_with("1300       500.0"), "{shown:?}");
        assert!(shown.iter().any(|line| line.contains("bad descriptor errors")), "{shown:?}");
        assert!(!shown.last().unwrap().contains("more"), "{shown:?}");
    }
}
