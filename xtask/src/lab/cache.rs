//! Finished parts of the lab, kept in the user's cache directory under the key of what they are made of.
//!
//! A part is made in a directory of its own and renamed into place when it is whole; a lock per part makes a second
//! build wait for the first and then find its result. Nothing ever writes to a finished part. Whoever uses one shares
//! its lock, and leaves the time of it on the lock's file; by that, parts that nobody needs are forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::sandbox;

/// How long a build waits for another build of the same part.
const WAIT_FOR_OTHER: Duration = Duration::from_mins(20);

/// A part that nobody has used for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(14 * 24);

/// A part of which more than so many of its kind have been used since is forgotten.
const NEWER_ONES: usize = 4;

/// The cache of all clones of this user on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// A part that is not there yet, and that only we are making.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// To be filled.
    pub(crate) directory: PathBuf,
    finished: PathBuf,
    lock: File,
}

/// A part that is there, and stays while this is held.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What is in it.
    pub(crate) directory: PathBuf,
    _lock: File,
}

/// What is known of a part.
#[derive(Debug)]
pub(crate) enum Part {
    /// It is there.
    Finished(Finished),
    /// It has to be made.
    Missing(Unfinished),
}

impl Cache {
    /// `$XDG_CACHE_HOME/vdpa-lab`, or `~/.cache/vdpa-lab`.
    pub(crate) fn of_this_user() -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = match (base, std::env::var_os("HOME")) {
            (Some(base), _) => base,
            (None, Some(home)) => Path::new(&home).join(".cache"),
            (None, None) => bail!("neither XDG_CACHE_HOME nor HOME says where the lab can be kept"),
        };
        Self::at(base.join("vdpa-lab"))
    }

    fn at(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        Ok(Self { root })
    }

    /// Where the cache is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Looks for a part, and takes the right to make it if it is missing.
    pub(crate) async fn part(&self, name: &str, key: &str) -> Result<Part> {
        let finished = self.root.join(format!("{name}-{key}"));
        let path = self.lock_of(&format!("{name}-{key}"));
        let cannot = || format!("cannot lock {}", path.display());
        let since = Instant::now();
        let mut said = false;
        let (lock, is_there) = loop {
            let lock = open(&path).with_context(cannot)?;
            let is_there = finished.exists();
            match if is_there { lock.try_lock_shared() } else { lock.try_lock() } {
                Ok(()) if finished.exists() == is_there && is_at(&lock, &path) => break (lock, is_there),
                Ok(()) => continue,
                Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
                Err(TryLockError::WouldBlock) if since.elapsed() > WAIT_FOR_OTHER => {
                    bail!(
                        "another build of the lab's {name} still holds {} after {WAIT_FOR_OTHER:?}",
                        path.display()
                    )
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !said {
                eprintln!("lab: waiting for another build of {name}");
                said = true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        if is_there {
            return Finished::used_now(finished, lock).map(Part::Finished);
        }
        // Whoever held the lock before us and left this behind is gone.
        let directory = self.root.join(format!("{name}-{key}.unfinished"));
        sandbox::remove(&directory).await?;
        fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Part::Missing(Unfinished { directory, finished, lock }))
    }

    /// Removes every other part of these names. One that is being made or used is left alone.
    pub(crate) async fn keep_only(&self, parts: &[(&str, String)]) -> Result<()> {
        let names = parts.iter().map(|(name, _)| *name);
        let is_wanted =
            |part: &str| parts.iter().any(|(name, key)| part.strip_prefix(name) == Some(&format!("-{key}")));
        for part in self.of_kinds(names)?.into_values().flatten().filter(|part| !is_wanted(part)) {
            self.remove(&part).await?;
        }
        Ok(())
    }

    /// Removes the parts of these names that nobody has used for long before `now`, or since several others of the same
    /// name were. One that is being made or used is left alone.
    pub(crate) async fn forget(&self, names: &[&str], now: SystemTime) -> Result<()> {
        for parts in self.of_kinds(names.iter().copied())?.into_values() {
            let mut used: Vec<(SystemTime, String)> =
                parts.into_iter().map(|part| (self.last_used(&part).unwrap_or(now), part)).collect();
            used.sort_unstable_by(|one, other| other.cmp(one));
            let mut newer = 0;
            for (at, part) in used {
                let is_old = now.duration_since(at).is_ok_and(|unused| unused > FORGOTTEN_AFTER);
                if is_old || newer > NEWER_ONES {
                    self.remove(&part).await?;
                }
                // What was never finished is nobody's newer one.
                newer += usize::from(self.root.join(&part).exists());
            }
        }
        Ok(())
    }

    /// What there is of these kinds of parts, finished or not, as `NAME-KEY`.
    fn of_kinds<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<&'a str, BTreeSet<String>>> {
        let mut kinds: BTreeMap<&str, BTreeSet<String>> = names.map(|name| (name, BTreeSet::new())).collect();
        let cannot = || format!("cannot read {}", self.root.display());
        for entry in fs::read_dir(&self.root).with_context(cannot)? {
            let file = entry.with_context(cannot)?.file_name();
            let Some(file) = file.to_str() else { continue };
            let part = file.trim_end_matches(".lock").trim_end_matches(".unfinished");
            if let Some(parts) = part.split_once('-').and_then(|(name, _)| kinds.get_mut(name)) {
                parts.insert(part.to_owned());
            }
        }
        Ok(kinds)
    }

    /// When a part was last used, or made.
    fn last_used(&self, part: &str) -> Option<SystemTime> {
        let marks = [self.lock_of(part), self.root.join(part), self.root.join(format!("{part}.unfinished"))];
        marks.iter().find_map(|mark| fs::metadata(mark).ok()?.modified().ok())
    }

    /// Removes a part, unless somebody makes it or uses it.
    async fn remove(&self, part: &str) -> Result<()> {
        let path = self.lock_of(part);
        let Ok(lock) = open(&path) else { return Ok(()) };
        if lock.try_lock().is_ok() && is_at(&lock, &path) {
            sandbox::remove(&self.root.join(part)).await?;
            sandbox::remove(&self.root.join(format!("{part}.unfinished"))).await?;
            // Last: who has it open by now looks again ([`is_at`]).
            let _ = fs::remove_file(&path);
        }
        Ok(())
    }

    fn lock_of(&self, part: &str) -> PathBuf {
        self.root.join(format!("{part}.lock"))
    }
}

impl Finished {
    fn used_now(directory: PathBuf, lock: File) -> Result<Self> {
        lock.set_modified(SystemTime::now())
            .with_context(|| format!("cannot note that {} is used", directory.display()))?;
        Ok(Self { directory, _lock: lock })
    }
}

/// Opens a lock's file as it is: its time is that of the last use.
fn open(path: &Path) -> std::io::Result<File> {
    File::options().create(true).write(true).truncate(false).open(path)
}

/// Whether a lock's file is still the one at its path: a part that is removed takes its lock's file with it.
fn is_at(lock: &File, path: &Path) -> bool {
    let of = |metadata: std::io::Result<fs::Metadata>| metadata.ok().map(|found| (found.dev(), found.ino()));
    of(lock.metadata()).is_some_and(|open| of(fs::metadata(path)) == Some(open))
}

impl Unfinished {
    /// The part is whole: gives it, at the place where it stays.
    pub(crate) fn finish(self) -> Result<Finished> {
        fs::rename(&self.directory, &self.finished).with_context(|| {
            format!("cannot rename {} to {}", self.directory.display(), self.finished.display())
        })?;
        // The lock stays ours, and others may share it from now on.
        let lock = self.lock.try_clone()?;
        lock.lock_shared()?;
        Finished::used_now(self.finished.clone(), lock)
    }
}

impl Drop for Unfinished {
    /// After a failure or an interruption; whoever fills the directory may need a moment to die.
    fn drop(&mut self) {
        for _ in 0..20 {
            if !self.directory.exists() || fs::remove_dir_all(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn missing(cache: &Cache) -> Unfinished {
        match cache.part("thing", "k").await.unwrap() {
            Part::Missing(part) => part,
            Part::Finished(part) => panic!("{} is there already", part.directory.display()),
        }
    }

    #[tokio::test]
    async fn a_part_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        let part = missing(&cache).await;
        fs::write(part.directory.join("file"), "whole").unwrap();
        part.finish().unwrap();
        let Part::Finished(part) = cache.part("thing", "k").await.unwrap() else { panic!("made twice") };
        assert_eq!(fs::read_to_string(part.directory.join("file")).unwrap(), "whole");
    }

    #[tokio::test]
    async fn an_interrupted_build_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        let part = missing(&cache).await;
        fs::write(part.directory.join("file"), "half").unwrap();
        let place = part.directory.clone();
        drop(part);
        assert!(!place.exists());
    }

    #[tokio::test]
    async fn what_a_killed_build_left_is_not_taken_for_whole() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        let left = cache.root().join("thing-k.unfinished");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("file"), "half").unwrap();
        let part = missing(&cache).await;
        assert!(!part.directory.join("file").exists());
    }

    #[tokio::test]
    async fn cleaning_keeps_what_is_wanted_and_what_is_being_made() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        for key in ["old", "new"] {
            let Part::Missing(part) = cache.part("thing", key).await.unwrap() else {
                panic!("there already")
            };
            part.finish().unwrap();
        }
        fs::create_dir(cache.root().join("up-lab")).unwrap();
        let Part::Missing(being_made) = cache.part("thing", "later").await.unwrap() else {
            panic!("there already")
        };
        cache.keep_only(&[("thing", "new".to_owned())]).await.unwrap();
        assert!(being_made.directory.exists());
        let left = ["thing-old", "thing-new", "up-lab"].map(|name| cache.root().join(name).exists());
        assert_eq!(left, [false, true, true]);
    }

    #[tokio::test]
    async fn what_nobody_needs_is_forgotten_and_what_somebody_uses_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        let now = SystemTime::now();
        let days = |days: u64| Duration::from_hours(days * 24);
        let mut held = Vec::new();
        for (name, key, age) in [
            ("image", "used", 40),
            ("image", "a", 1),
            ("image", "b", 2),
            ("image", "c", 3),
            ("image", "d", 4),
            ("image", "e", 5),
            ("image", "sixth", 6),
            ("tools", "only", 13),
            ("root", "old", 15),
        ] {
            let Part::Missing(part) = cache.part(name, key).await.unwrap() else { panic!("{key}") };
            let part = part.finish().unwrap();
            let lock = open(&cache.lock_of(&format!("{name}-{key}"))).unwrap();
            lock.set_modified(now - days(age)).unwrap();
            if key == "used" {
                held.push(part);
            }
        }
        let Part::Missing(being_made) = cache.part("root", "later").await.unwrap() else { panic!("there") };
        open(&cache.lock_of("root-later")).unwrap().set_modified(now - days(20)).unwrap();
        fs::create_dir(cache.root().join("up-lab")).unwrap();
        // Left behind by somebody else's `lab clean`.
        open(&cache.lock_of("image-gone")).unwrap().set_modified(now - days(30)).unwrap();

        cache.forget(&["image", "tools", "root"], now).await.unwrap();
        let left = |cache: &Cache| {
            let names = fs::read_dir(cache.root()).unwrap().map(|entry| entry.unwrap().path());
            let names = names.filter(|path| path.extension().is_none_or(|extension| extension != "lock"));
            names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        let kept =
            ["image-a", "image-b", "image-c", "image-d", "image-e", "image-used", "root-later.unfinished"];
        let kept = kept.into_iter().chain(["tools-only", "up-lab"]).map(str::to_owned);
        assert_eq!(left(&cache), kept.collect());
        assert!(being_made.directory.exists() && !cache.lock_of("image-gone").exists());
        assert!(!cache.lock_of("image-sixth").exists(), "its lock goes with it");

        // Used again, it is new; nobody holds the other any more.
        let Part::Finished(again) = cache.part("tools", "only").await.unwrap() else { panic!("gone") };
        drop((held, again));
        cache.forget(&["image", "tools", "root"], now + days(13) - Duration::from_hours(12)).await.unwrap();
        let all = left(&cache);
        assert!(all.contains("tools-only") && all.contains("image-a"), "{all:?}");
        assert!(!all.contains("image-used") && !all.contains("image-b"), "{all:?}");
    }

    /// Whoever waits for the lock of a part that is removed meanwhile holds a lock of nothing: it looks again.
    #[tokio::test]
    async fn a_lock_whose_file_has_gone_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        missing(&cache).await.finish().unwrap();
        let path = cache.lock_of("thing-k");
        let early = open(&path).unwrap();
        assert!(is_at(&early, &path));
        cache.remove("thing-k").await.unwrap();
        assert!(!is_at(&early, &path));
        drop(missing(&cache).await);
        assert!(!is_at(&early, &path), "another file has its place");
    }

    #[tokio::test]
    async fn a_second_build_waits_for_the_first_and_takes_its_result() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        let first = missing(&cache).await;
        let second = tokio::spawn({
            let cache = cache.clone();
            async move { matches!(cache.part("thing", "k").await.unwrap(), Part::Finished(_)) }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!second.is_finished());
        first.finish().unwrap();
        assert!(second.await.unwrap());
    }
}
