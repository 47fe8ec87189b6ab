//! Finished parts of the lab, kept in the user's cache directory under the key of what they are made of.
//!
//! A part is made in a directory of its own and renamed into place when it is whole; a lock per part makes a second
//! build wait for the first and then find its result. Nothing ever writes to a finished part.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::sandbox;

/// How long a build waits for another build of the same part.
const WAIT_FOR_OTHER: Duration = Duration::from_mins(20);

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
    _lock: File,
}

/// What is known of a part.
#[derive(Debug)]
pub(crate) enum Part {
    /// It is there.
    Finished(PathBuf),
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
        if finished.exists() {
            return Ok(Part::Finished(finished));
        }
        let lock = self.lock(name, key).await?;
        if finished.exists() {
            return Ok(Part::Finished(finished));
        }
        // Whoever held the lock before us and left this behind is gone.
        let directory = self.root.join(format!("{name}-{key}.unfinished"));
        sandbox::remove(&directory).await?;
        fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Part::Missing(Unfinished { directory, finished, _lock: lock }))
    }

    /// Removes every other part of these names. One that is being made is left alone.
    pub(crate) async fn keep_only(&self, parts: &[(&str, String)]) -> Result<()> {
        let cannot = || format!("cannot read {}", self.root.display());
        for entry in fs::read_dir(&self.root).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let file = entry.file_name();
            let Some(file) = file.to_str() else { continue };
            let whole = file.trim_end_matches(".lock").trim_end_matches(".unfinished");
            let Some((name, key)) = whole.split_once('-') else { continue };
            if !parts.iter().any(|(part, _)| *part == name) || parts.iter().any(|(_, wanted)| wanted == key) {
                continue;
            }
            let lock = self.root.join(format!("{name}-{key}.lock"));
            if File::create(&lock).is_ok_and(|lock| lock.try_lock().is_ok()) {
                sandbox::remove(&self.root.join(format!("{name}-{key}"))).await?;
                sandbox::remove(&self.root.join(format!("{name}-{key}.unfinished"))).await?;
                let _ = fs::remove_file(lock);
            }
        }
        Ok(())
    }

    async fn lock(&self, name: &str, key: &str) -> Result<File> {
        let path = self.root.join(format!("{name}-{key}.lock"));
        let cannot = || format!("cannot lock {}", path.display());
        let file = File::create(&path).with_context(cannot)?;
        let since = Instant::now();
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
                Err(TryLockError::WouldBlock) if since.elapsed() > WAIT_FOR_OTHER => {
                    bail!(
                        "another build of the lab's {name} still holds {} after {WAIT_FOR_OTHER:?}",
                        path.display()
                    )
                }
                Err(TryLockError::WouldBlock) => {
                    if !said {
                        eprintln!("lab: waiting for another build of {name}");
                        said = true;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

impl Unfinished {
    /// The part is whole: gives the place where it stays.
    pub(crate) fn finish(self) -> Result<PathBuf> {
        fs::rename(&self.directory, &self.finished).with_context(|| {
            format!("cannot rename {} to {}", self.directory.display(), self.finished.display())
        })?;
        Ok(self.finished.clone())
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
            Part::Finished(path) => panic!("{} is there already", path.display()),
        }
    }

    #[tokio::test]
    async fn a_part_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("cache")).unwrap();
        let part = missing(&cache).await;
        fs::write(part.directory.join("file"), "whole").unwrap();
        part.finish().unwrap();
        let Part::Finished(path) = cache.part("thing", "k").await.unwrap() else { panic!("made twice") };
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "whole");
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
