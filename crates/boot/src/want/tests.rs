use proptest::prelude::*;

use super::*;

fn only(text: &str) -> Want {
    Want::Only(text.parse().unwrap())
}

fn pages(size: &str, count: u64) -> Want {
    Want::HugePages { size: size.parse().unwrap(), count: Count::Host(count) }
}

fn fulfilled(wants: &[Want], lines: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = lines.iter().map(|line| CommandLine::parse(line)).collect();
    for want in wants {
        want.fulfil(&mut lines, 0);
    }
    lines.iter().map(ToString::to_string).collect()
}

fn intel() -> Vec<Want> {
    Want::iommu(Vendor::Intel)
}

#[test]
fn what_is_missing_is_added_at_home() {
    assert_eq!(fulfilled(&intel(), &["ro", "quiet"]), ["ro intel_iommu=on iommu=pt", "quiet"]);
    assert_eq!(fulfilled(&intel(), &["", ""]), ["intel_iommu=on iommu=pt", ""]);
}

#[test]
fn what_holds_is_left_where_it_stands() {
    let lines = ["ro", "iommu=pt quiet intel_iommu=on,sm_on"];
    assert_eq!(fulfilled(&intel(), &lines), lines);
}

#[test]
fn what_contradicts_is_replaced_where_it_stands() {
    assert_eq!(
        fulfilled(&intel(), &["a intel_iommu=off b", "iommu=nopt"]),
        ["a intel_iommu=on b", "iommu=pt"]
    );
    assert_eq!(
        fulfilled(&intel(), &["intel_iommu=sm_on,off iommu=off,merge iommu=soft"]),
        ["intel_iommu=on,sm_on iommu=pt,merge"]
    );
    assert_eq!(fulfilled(&intel(), &["intel-iommu=on intel_iommu=off"])[0], "intel-iommu=on iommu=pt");
}

#[test]
fn amd_has_no_on() {
    let amd = Want::iommu(Vendor::Amd);
    assert_eq!(fulfilled(&amd, &["ro"]), ["ro iommu=pt"]);
    assert_eq!(fulfilled(&amd, &["amd_iommu=off ro iommu=pt"]), ["ro iommu=pt"]);
    assert_eq!(fulfilled(&amd, &["amd_iommu=fullflush,off"]), ["amd_iommu=fullflush iommu=pt"]);
}

#[test]
fn an_only_one_replaces_all_others() {
    let want = [only("isolcpus=4-7")];
    assert_eq!(fulfilled(&want, &["isolcpus=1 a", "isolcpus=2 b"]), ["a", "isolcpus=4-7 b"]);
    assert_eq!(fulfilled(&want, &["isolcpus=4-7 a isolcpus=4-7"]), ["isolcpus=4-7 a isolcpus=4-7"]);
}

#[test]
fn huge_pages_are_set_behind_their_size() {
    let want = [pages("1G", 16)];
    assert_eq!(fulfilled(&want, &["ro"]), ["ro hugepagesz=1G hugepages=16"]);
    assert_eq!(
        fulfilled(&want, &["hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=4 ro"]),
        ["hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=16 ro"]
    );
    assert_eq!(
        fulfilled(&want, &["hugepagesz=1G hugepages=4", "hugepagesz=1024M hugepages=8"]),
        ["hugepagesz=1G hugepages=16", ""]
    );
    assert_eq!(fulfilled(&want, &["hugepagesz=1G quiet"]), ["quiet hugepagesz=1G hugepages=16"]);
    assert_eq!(
        fulfilled(&want, &["default_hugepagesz=1G hugepages=4"]),
        ["default_hugepagesz=1G hugepages=16"]
    );
    assert_eq!(fulfilled(&[pages("2M", 512)], &["hugepages=64"]), ["hugepages=512"]);
}

#[test]
fn a_count_of_the_default_size_stays_one() {
    assert_eq!(
        fulfilled(&[pages("1G", 2)], &["ro", "hugepages=64"]),
        ["ro", "hugepages=64 hugepagesz=1G hugepages=2"]
    );
}

#[test]
fn nodes_are_counted_one_by_one() {
    let count = Count::Nodes([(0, 8), (1, 4)].into());
    let want = Want::HugePages { size: PageSize::GIB_1, count };
    assert_eq!(want.to_string(), "hugepagesz=1G hugepages=0:8,1:4");
    assert_eq!(fulfilled(&[want], &[""]), ["hugepagesz=1G hugepages=0:8,1:4"]);
}

fn arguments() -> impl Strategy<Value = String> {
    let argument = prop::sample::select(vec![
        "ro",
        "quiet",
        "intel_iommu=off",
        "intel_iommu=on,sm_on",
        "intel-iommu=on",
        "iommu=pt",
        "iommu=off,merge",
        "hugepagesz=1G",
        "hugepagesz=2M",
        "hugepages=4",
        "hugepages=16",
        "default_hugepagesz=1G",
        "isolcpus=1",
        "foo=\"a b\"",
        "amd_iommu=off",
        "--",
        "hugepages=0:4,1:4",
    ]);
    prop::collection::vec((argument, "[ \t]{1,2}"), 0..8)
        .prop_map(|list| list.into_iter().map(|(argument, blanks)| argument.to_owned() + &blanks).collect())
}

proptest! {
    #[test]
    fn twice_is_once_and_the_rest_stays(first in arguments(), second in arguments(), default in any::<bool>()) {
        let mut wants = [intel(), vec![pages("1G", 16), only("isolcpus=4-7"), pages("2M", 8)]].concat();
        if default {
            wants.insert(0, only("default_hugepagesz=1G"));
        }
        let before = [first.as_str(), second.as_str()];
        let once = fulfilled(&wants, &before);
        let again: Vec<&str> = once.iter().map(String::as_str).collect();
        prop_assert_eq!(&fulfilled(&wants, &again), &once);
        let touched: Vec<&str> = wants.iter().flat_map(Want::names).collect();
        let others = |lines: &[&str]| -> Vec<String> {
            let lines: Vec<_> = lines.iter().map(|line| CommandLine::parse(line)).collect();
            let all = lines.iter().flat_map(CommandLine::arguments);
            all.filter(|a| !touched.iter().any(|name| a.is(name))).map(ToString::to_string).collect()
        };
        prop_assert_eq!(others(&before), others(&again));
    }
}
