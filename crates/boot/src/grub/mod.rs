//! GRUB's defaults: `/etc/default/grub` and the `/etc/default/grub.d/*.cfg` that are sourced after it.
//!
//! The kernel gets `GRUB_CMDLINE_LINUX` and behind it, except in recovery entries, `GRUB_CMDLINE_LINUX_DEFAULT`
//! (`/etc/grub.d/10_linux`). Each may be assigned several times, where later ones build on earlier ones
//! (`GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX quiet"`) or, in a drop-in, replace them, as those of cloud images do.
//! [`Defaults`] finds the assignments that count, edits the arguments in them and leaves every other byte alone.

mod shell;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vdpa_hw::platform::CommandLine;

use self::shell::{Assignment, assignments};
use crate::error::{Error, Result};
use crate::want::Want;

/// The file that is edited where nothing else counts more.
pub(crate) const DEFAULT_FILE: &str = "/etc/default/grub";

const ALWAYS: &str = "GRUB_CMDLINE_LINUX";
const USUALLY: &str = "GRUB_CMDLINE_LINUX_DEFAULT";

/// A continued line inside quotes: as long as what it stands for, and blank for a [`CommandLine`].
const CONTINUATION: (&str, &str) = ("\\\n", "\u{b}\u{b}");

/// GRUB's defaults as they are written.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    files: Vec<File>,
}

#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    text: String,
    assignments: Vec<Assignment>,
}

/// Arguments in an assignment that counts.
struct Segment {
    file: usize,
    assignment: Assignment,
    line: CommandLine,
}

impl Defaults {
    /// Reads the files in the order in which they are sourced; the first is `/etc/default/grub`.
    ///
    /// # Errors
    /// [`Error::Syntax`] and [`Error::Twice`] for what cannot be kept.
    pub(crate) fn parse(files: impl IntoIterator<Item = (PathBuf, String)>) -> Result<Self> {
        let parse =
            |(path, text): (PathBuf, String)| {
                let assignments = assignments(&text, &[ALWAYS, USUALLY]).map_err(|trouble| {
                    Error::Syntax { path: path.clone(), line: trouble.line, why: trouble.why }
                })?;
                Ok(File { path, text, assignments })
            };
        let defaults = Self { files: files.into_iter().map(parse).collect::<Result<_>>()? };
        // Both must be readable before anything is decided.
        defaults.segments(ALWAYS)?;
        defaults.segments(USUALLY)?;
        Ok(defaults)
    }

    /// The arguments that the kernel will get, as far as they are written in these files.
    #[cfg(any(test, feature = "mock"))]
    pub(crate) fn command_line(&self) -> Result<CommandLine> {
        let mut texts = Vec::new();
        for segment in self.segments(ALWAYS)?.iter().chain(&self.segments(USUALLY)?) {
            texts.push(segment.line.to_string());
        }
        Ok(CommandLine::parse(&texts.join(" ")))
    }

    /// The files that change, with their new text, so that the kernel will get what is wanted.
    pub(crate) fn with(&self, wants: &[Want]) -> Result<Vec<(PathBuf, String)>> {
        let mut segments = self.segments(ALWAYS)?;
        let always = segments.len();
        segments.extend(self.segments(USUALLY)?);
        let mut lines: Vec<CommandLine> = segments.iter().map(|segment| segment.line.clone()).collect();
        if always == 0 {
            lines.insert(0, CommandLine::default());
        }
        for want in wants {
            // What is new goes into the first that counts: those that build on it are often a package's.
            want.fulfil(&mut lines, 0);
        }
        let mut files = self.files.clone();
        let added = (always == 0).then(|| lines.remove(0));
        // From the last place on, so that the places before stay where they are.
        let mut edits: Vec<_> = segments.iter().zip(&lines).filter(|(old, new)| old.line != **new).collect();
        edits.sort_by_key(|(segment, _)| std::cmp::Reverse((segment.file, segment.assignment.value.start)));
        for (segment, line) in edits {
            let text = &mut files[segment.file].text;
            let quote = if text[segment.assignment.value.clone()].starts_with('\'') { '\'' } else { '"' };
            let value = line.to_string().replace(CONTINUATION.1, CONTINUATION.0);
            text.replace_range(segment.assignment.value.clone(), &format!("{quote}{value}{quote}"));
        }
        if let (Some(line), Some(file)) =
            (added.filter(|line| *line != CommandLine::default()), files.first_mut())
        {
            let text = &mut file.text;
            // A line that goes on must not go on in ours.
            let end = match text.as_str() {
                text if text.ends_with('\\') => "\n\n",
                text if text.is_empty() || text.ends_with('\n') && !text.ends_with("\\\n") => "",
                _ => "\n",
            };
            let _ = writeln!(text, "{end}{ALWAYS}=\"{line}\"");
        }
        let changed = files.into_iter().zip(&self.files).filter(|(new, old)| new.text != old.text);
        Ok(changed.map(|(new, _)| (new.path, new.text)).collect())
    }

    /// The drop-in that replaces what `/etc/default/grub` says, if one does.
    pub(crate) fn overridden_by(&self) -> Result<Option<&Path>> {
        let first = self.segments(ALWAYS)?.first().map_or(0, |segment| segment.file);
        let has = self.files.first().is_some_and(|file| file.assignments.iter().any(|a| a.name == ALWAYS));
        Ok((first > 0 && has).then(|| self.files[first].path.as_path()))
    }

    /// The assignments to `variable` that count: the last that does not build on earlier ones, and those behind it.
    fn segments(&self, variable: &'static str) -> Result<Vec<Segment>> {
        let mut segments: Vec<Segment> = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            for assignment in file.assignments.iter().filter(|assignment| assignment.name == variable) {
                let line = arguments(file, assignment)?;
                let builds_on = line.arguments().any(|argument| {
                    let text = argument.as_str();
                    text == format!("${variable}") || text == format!("${{{variable}}}")
                });
                if !builds_on {
                    let twice = segments.iter().find(|earlier| earlier.file == index);
                    if let Some(earlier) = twice {
                        return Err(Error::Twice {
                            path: file.path.clone(),
                            variable,
                            first: earlier.assignment.line,
                            second: assignment.line,
                        });
                    }
                    segments.clear();
                }
                segments.push(Segment { file: index, assignment: assignment.clone(), line });
            }
        }
        Ok(segments)
    }
}

/// The arguments in a value, without its quotes.
fn arguments(file: &File, assignment: &Assignment) -> Result<CommandLine> {
    let wrong = |why: &str| Error::Syntax {
        path: file.path.clone(),
        line: assignment.line,
        why: format!("{} {why}", assignment.name),
    };
    let value = &file.text[assignment.value.clone()];
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inner = match quote {
        None => value,
        Some(quote) => {
            let inner = &value[1..];
            let end = closing(inner, quote).ok_or_else(|| wrong("has a quote that is not closed"))?;
            if end + 1 != inner.len() {
                return Err(wrong("is put together of several quoted parts"));
            }
            &inner[..end]
        }
    };
    if quote.is_none() && inner.contains(['\\', '"', '\'']) {
        return Err(wrong("is quoted in part"));
    }
    if quote != Some('\'') && (inner.contains('`') || inner.contains("$(")) {
        return Err(wrong("holds a command substitution, of which we cannot know what it gives"));
    }
    if inner.contains('\u{b}') {
        return Err(wrong("holds a vertical tab"));
    }
    if quote != Some('"') {
        return Ok(CommandLine::parse(inner));
    }
    let blank = |c: char| c.is_ascii_whitespace() || c == '\\';
    for (at, continuation) in inner.match_indices(CONTINUATION.0) {
        let before = inner[..at].ends_with(blank) || at == 0;
        if !before && !inner[at + continuation.len()..].starts_with(blank) {
            return Err(wrong("has an argument that goes on in the next line"));
        }
    }
    Ok(CommandLine::parse(&inner.replace(CONTINUATION.0, CONTINUATION.1)))
}

/// Where the quote that was opened before `text` is closed.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        if escaped {
            escaped = false;
            return None;
        }
        escaped = quote == '"' && c == '\\';
        (c == quote).then_some(at)
    })
}

#[cfg(test)]
mod tests;
