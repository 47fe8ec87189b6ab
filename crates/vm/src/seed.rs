//! A small disk with the files that a guest's first start looks for: `user-data` for cloud-init, `ks.cfg` for Anaconda.
//!
//! Both look for a file system by its label: cloud-init's `NoCloud` for `CIDATA`
//! (<https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html>), Anaconda for `OEMDRV`
//! (<https://anaconda-installer.readthedocs.io/en/latest/boot-options.html>, "inst.ks"). It is made here, without a
//! program that may not be installed: the FAT12 of a floppy disk, with long names.
//!
//! Source: Microsoft's "FAT: General Overview of On-Disk Format" 1.03; `fs/fat/dir.c` for long names.

/// Bytes in a sector, and in a cluster.
const SECTOR: usize = 512;
/// Sectors of a floppy disk of 1.44 MB.
const SECTORS: u16 = 2880;
/// Sectors of each of the two tables.
const TABLE: u16 = 9;
/// Entries of the root directory.
const ENTRIES: u16 = 224;
/// The first sector of the files.
const DATA: usize = 1 + 2 * TABLE as usize + ENTRIES as usize * 32 / SECTOR;

/// The disk as bytes, with `files` by name in its only directory; `None` where they do not fit.
pub fn seed(label: &str, files: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let mut disk = vec![0; SECTOR * usize::from(SECTORS)];
    disk.get_mut(..SECTOR)?.copy_from_slice(&boot_sector(label));
    // The first two entries of a table are no clusters: the medium, and an end of chain.
    let mut chain: Vec<u16> = vec![0xff0, 0xfff];
    let mut directory = short_entry(&padded::<11>(label), 0x08, 0, 0).to_vec();
    for (number, (name, content)) in files.iter().enumerate() {
        let clusters = content.len().div_ceil(SECTOR);
        let first = chain.len();
        let short = padded::<11>(&format!("FILE{number}"));
        directory.extend(long_entries(name, &short));
        let start = if clusters == 0 { 0 } else { u16::try_from(first).ok()? };
        directory.extend(short_entry(&short, 0x20, start, u32::try_from(content.len()).ok()?));
        for next in first + 1..=first + clusters {
            chain.push(if next == first + clusters { 0xfff } else { u16::try_from(next).ok()? });
        }
        let at = (DATA + first - 2) * SECTOR;
        disk.get_mut(at..at + content.len())?.copy_from_slice(content);
    }
    let table = packed(&chain);
    for copy in 0..2 {
        let at = SECTOR * (1 + copy * usize::from(TABLE));
        (table.len() <= SECTOR * usize::from(TABLE)).then_some(())?;
        disk.get_mut(at..at + table.len())?.copy_from_slice(&table);
    }
    (directory.len() <= usize::from(ENTRIES) * 32).then_some(())?;
    let at = SECTOR * (1 + 2 * usize::from(TABLE));
    disk.get_mut(at..at + directory.len())?.copy_from_slice(&directory);
    Some(disk)
}

fn boot_sector(label: &str) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        sector[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&[0xeb, 0x3c, 0x90]);
    put(b"vdpa    ");
    put(&512u16.to_le_bytes());
    // A sector a cluster, one reserved sector, two tables.
    put(&[1, 1, 0, 2]);
    put(&ENTRIES.to_le_bytes());
    put(&SECTORS.to_le_bytes());
    // A floppy disk of 18 sectors a track and two heads.
    put(&[0xf0]);
    for number in [TABLE, 18, 2] {
        put(&number.to_le_bytes());
    }
    // No hidden sectors, no count of more than 65535, drive 0; then serial number, label and type are there (0x29).
    put(&[0; 8]);
    put(&[0, 0, 0x29]);
    put(&0x7664_7061u32.to_le_bytes());
    put(&padded::<11>(label));
    put(b"FAT12   ");
    sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Entries of 12 bits: three bytes hold two.
fn packed(chain: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for pair in chain.chunks(2) {
        let two = u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 12;
        bytes.extend(&two.to_le_bytes()[..3]);
    }
    bytes
}

fn short_entry(name: &[u8; 11], attributes: u8, first: u16, length: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    // 1 January 1980, the first day there is: a day of zero is none.
    entry[24..26].copy_from_slice(&0x21u16.to_le_bytes());
    entry[26..28].copy_from_slice(&first.to_le_bytes());
    entry[28..].copy_from_slice(&length.to_le_bytes());
    entry
}

/// A long name before its short one: pieces of 13 characters, the last piece first.
fn long_entries(name: &str, short: &[u8; 11]) -> Vec<u8> {
    let sum = short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut characters: Vec<u16> = name.encode_utf16().collect();
    if !characters.len().is_multiple_of(13) {
        characters.push(0);
        characters.resize(characters.len().div_ceil(13) * 13, 0xffff);
    }
    let pieces: Vec<&[u16]> = characters.chunks(13).collect();
    let mut bytes = Vec::new();
    for (number, piece) in (1u8..).zip(&pieces).collect::<Vec<_>>().into_iter().rev() {
        let last = usize::from(number) == pieces.len();
        let text = |range: std::ops::Range<usize>| {
            piece[range].iter().flat_map(|c| c.to_le_bytes()).collect::<Vec<_>>()
        };
        bytes.push(number | if last { 0x40 } else { 0 });
        bytes.extend(text(0..5));
        bytes.extend([0x0f, 0, sum]);
        bytes.extend(text(5..11));
        bytes.extend([0, 0]);
        bytes.extend(text(11..13));
    }
    bytes
}

fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [b' '; N];
    bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_no_disk() {
        let large = vec![7; SECTOR * (usize::from(SECTORS) - DATA)];
        assert!(seed("OEMDRV", &[("ks.cfg", &large)]).is_some());
        assert!(seed("OEMDRV", &[("ks.cfg", &large), ("more", b"x")]).is_none());
        let many: Vec<_> = (0..200).map(|_| ("a-name-of-two-pieces", &b""[..])).collect();
        assert!(seed("OEMDRV", &many).is_none());
    }

    #[test]
    fn names_and_contents_are_where_a_fat_has_them() {
        let content: Vec<u8> = (0..=255).cycle().take(1500).collect();
        let disk = seed("CIDATA", &[("user-data", &content), ("meta-data", b"{}")]).unwrap();
        assert_eq!(disk.len(), 1_474_560);
        let root = SECTOR * 19;
        assert_eq!(&disk[root..root + 12], b"CIDATA     \x08");
        // Three clusters after the two that are none, then one.
        assert_eq!(&disk[SECTOR..SECTOR + 9], &[0xf0, 0xff, 0xff, 0x03, 0x40, 0x00, 0xff, 0xff, 0xff]);
        let data = SECTOR * DATA;
        assert_eq!(&disk[data..data + 1500], content);
        assert_eq!(&disk[data + 3 * SECTOR..data + 3 * SECTOR + 2], b"{}");
        let names: Vec<u8> = [1, 3, 5, 7, 9, 14].map(|at| disk[root + 32 + at]).to_vec();
        assert_eq!(names, b"user-d");
    }
}
