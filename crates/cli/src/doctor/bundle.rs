//! Evidence as an archive for a support case, and back.
//!
//! ```text
//! vdpa-doctor/
//!   manifest.json   what this is: format, program, host, time
//!   report.txt      what the doctor said on the host
//!   answers.json    what the kernel, the daemons and the programs answered
//!   index.json      directories that were listed, links, and files that could not be read
//!   files/proc/…    files, after what `redact.rs` leaves of them
//! ```
//!
//! It is a tar archive, compressed with gzip, so that anybody can look into it before it is sent. Reading one is
//! reading what somebody else made: nothing is unpacked to disk, and sizes have limits.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::evidence::{Answers, Evidence, Taken};
use super::recording::{Failure, Recording};
use crate::error::Error;

/// The form that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// The directory that everything is in.
const TOP: &str = "vdpa-doctor";

/// The most that one file may have, and all of them: modules.dep has half a megabyte.
const FILE_LIMIT: u64 = 16 << 20;
const LIMIT: u64 = 128 << 20;

/// What the archive is.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    #[serde(flatten)]
    taken: Taken,
}

/// What is not a file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    listings: BTreeMap<PathBuf, Result<Vec<String>, Failure>>,
    links: BTreeMap<PathBuf, Result<PathBuf, Failure>>,
    unread: BTreeMap<PathBuf, Failure>,
}

/// Writes a bundle with the evidence and `report`, readable for its owner only. A file that is there stays.
///
/// # Errors
/// [`Error::Bundle`] where it cannot be written.
pub fn save(path: &Path, evidence: &Evidence, report: &str) -> Result<(), Error> {
    let failed = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists => "there is such a file already".to_owned(),
            _ => error.to_string(),
        };
        Error::Bundle { verb: "write", path: path.to_owned(), why }
    };
    if path.try_exists().map_err(failed)? {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || -> io::Result<()> {
        // In a directory like /tmp somebody may have put a link there: it goes, and is not followed.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        write(GzEncoder::new(&file, Compression::default()), evidence, report)?.finish()?;
        file.sync_all()?;
        // Unlike a rename, a link does not take another's place.
        std::fs::hard_link(&new, path)
    };
    let written = write();
    let removed = std::fs::remove_file(&new);
    written.and(removed).map_err(failed)
}

/// Writes the archive into `out` and gives it back.
fn write<W: Write>(out: W, evidence: &Evidence, report: &str) -> io::Result<W> {
    let Evidence { taken, files, answers } = evidence;
    let mut archive = tar::Builder::new(out);
    let mut add = |path: &Path, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        header.set_mtime(taken.at);
        archive.append_data(&mut header, Path::new(TOP).join(path), content)
    };
    let manifest = Manifest { format: FORMAT, taken: taken.clone() };
    add("manifest.json".as_ref(), &serde_json::to_vec_pretty(&manifest)?)?;
    add("report.txt".as_ref(), report.as_bytes())?;
    add("answers.json".as_ref(), &serde_json::to_vec_pretty(answers)?)?;
    let mut index =
        Index { listings: files.listings.clone(), links: files.links.clone(), ..Index::default() };
    for (path, content) in &files.contents {
        match content {
            Ok(bytes) => add(&Path::new("files").join(path.strip_prefix("/").unwrap_or(path)), bytes)?,
            Err(failure) => drop(index.unread.insert(path.clone(), failure.clone())),
        }
    }
    add("index.json".as_ref(), &serde_json::to_vec_pretty(&index)?)?;
    archive.into_inner()
}

/// Reads a bundle.
///
/// # Errors
/// [`Error::Bundle`] where it cannot be read, is none, or is of another format.
pub fn open(path: &Path) -> Result<Evidence, Error> {
    let failed = |why: String| Error::Bundle { verb: "read", path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    read(GzDecoder::new(io::BufReader::new(file))).map_err(failed)
}

fn read(archive: impl Read) -> Result<Evidence, String> {
    let none = |error: io::Error| format!("it is no bundle of `vdpa doctor`, or cut short: {error}");
    let mut parts: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut archive = tar::Archive::new(archive.take(LIMIT));
    for entry in archive.entries().map_err(none)? {
        let mut entry = entry.map_err(none)?;
        let path = entry.path().map_err(none)?.into_owned();
        let Ok(path) = path.strip_prefix(TOP) else {
            return Err(format!("it is no bundle of `vdpa doctor`: it holds {}", path.display()));
        };
        if !entry.header().entry_type().is_file()
            || !path.components().all(|part| matches!(part, Component::Normal(_)))
        {
            continue;
        }
        let (path, mut content) = (path.to_owned(), Vec::new());
        (&mut entry).take(FILE_LIMIT + 1).read_to_end(&mut content).map_err(none)?;
        if content.len() as u64 > FILE_LIMIT {
            return Err(format!("{} in it has more than {} MiB", path.display(), FILE_LIMIT >> 20));
        }
        parts.insert(path, content);
    }
    let manifest: serde_json::Value = part(&mut parts, "manifest.json")?;
    if manifest["format"] != FORMAT {
        return Err(format!("its format is {}, and this vdpa reads {FORMAT}", manifest["format"]));
    }
    let manifest: Manifest =
        serde_json::from_value(manifest).map_err(|error| format!("its manifest.json: {error}"))?;
    let answers: Answers = part(&mut parts, "answers.json")?;
    let index: Index = part(&mut parts, "index.json")?;
    let file = |(path, content): (PathBuf, Vec<u8>)| {
        Some((Path::new("/").join(path.strip_prefix("files").ok()?), Ok(content)))
    };
    let mut contents: BTreeMap<_, _> = parts.into_iter().filter_map(file).collect();
    contents.extend(index.unread.into_iter().map(|(path, failure)| (path, Err(failure))));
    let files = Recording { contents, listings: index.listings, links: index.links };
    Ok(Evidence { taken: manifest.taken, files: Arc::new(files), answers })
}

fn part<T: DeserializeOwned>(parts: &mut BTreeMap<PathBuf, Vec<u8>>, name: &str) -> Result<T, String> {
    let content = parts.remove(Path::new(name));
    let content = content.ok_or_else(|| format!("it is no bundle of `vdpa doctor`: it holds no {name}"))?;
    serde_json::from_slice(&content).map_err(|error| format!("its {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::examine;
    use super::super::fixture::healthy;
    use super::*;

    fn packed(evidence: &Evidence) -> Vec<u8> {
        write(Vec::new(), evidence, "all is well\n").unwrap()
    }

    #[test]
    fn a_bundle_reads_back_as_the_evidence_that_it_is_and_says_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("case.tar.gz");
        let mut evidence = healthy();
        evidence.unreadable("/sys/kernel/security/lockdown");
        evidence.add_vf(0);
        save(&path, &evidence, "all is well\n").unwrap();
        let read = open(&path).unwrap();
        assert_eq!(read, evidence);
        assert_eq!(examine(&read), examine(&evidence));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("case.tar.gz");
        std::fs::write(&path, "mine").unwrap();
        let error = save(&path, &healthy(), "").unwrap_err();
        assert!(error.to_string().contains("there is such a file already"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let evidence = healthy();
        let text = |format: u32| {
            let mut archive = tar::Builder::new(Vec::new());
            let manifest = serde_json::to_vec(&Manifest { format, taken: evidence.taken.clone() }).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(manifest.len() as u64);
            archive.append_data(&mut header, "vdpa-doctor/manifest.json", manifest.as_slice()).unwrap();
            read(archive.into_inner().unwrap().as_slice()).unwrap_err()
        };
        assert_eq!(text(2), "its format is 2, and this vdpa reads 1");
        assert!(text(1).contains("it holds no answers.json"));
    }

    #[test]
    fn what_is_no_bundle_is_told_and_never_a_panic() {
        let whole = packed(&healthy());
        assert!(read([0x42; 2000].as_slice()).is_err());
        assert!(read([].as_slice()).unwrap_err().contains("no manifest.json"));
        // The last KiB is padding, without which it is whole all the same.
        for cut in (0..whole.len() - 2048).step_by(whole.len() / 40) {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in (0..whole.len()).step_by(997) {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x55;
            let _ = read(spoilt.as_slice());
        }
    }

    #[test]
    fn paths_that_lead_out_and_files_that_are_too_large_are_not_taken() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(FILE_LIMIT + 1);
        archive
            .append_data(&mut header, "vdpa-doctor/files/big", io::repeat(0).take(FILE_LIMIT + 1))
            .unwrap();
        let error = read(archive.into_inner().unwrap().as_slice()).unwrap_err();
        assert_eq!(error, "files/big in it has more than 16 MiB");

        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        archive.append_data(&mut header, "etc/passwd", b"x".as_slice()).unwrap();
        let error = read(archive.into_inner().unwrap().as_slice()).unwrap_err();
        assert!(error.contains("it holds etc/passwd"), "{error}");
    }
}
