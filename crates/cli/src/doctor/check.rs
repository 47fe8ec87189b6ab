//! One check: what was found, where, whether it will do, and what to type where it will not.

use std::fmt;

use serde::Serialize;

/// Whether what was found will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It will.
    Pass,
    /// It will, less well than it could, or only for now.
    Warn,
    /// It will not: `setup`, or the VM after it, fails.
    Fail,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Warn, Self::Fail, Self::Unknown];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        })
    }
}

/// A check of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which check it is: the id of its [`Topic`](super::Topic).
    pub id: &'static str,
    /// What it is about: `0000:43:00.0`, `cx6.1`, `1G pages`.
    pub subject: String,
    /// Whether what was found will do.
    pub verdict: Verdict,
    /// What was found; for [`Verdict::Unknown`], why it could not be.
    pub fact: String,
    /// Where: a file, a request, a program.
    pub source: String,
    /// What it means, where it is not a pass.
    pub why: Option<String>,
    /// What to type.
    pub remedy: Option<String>,
}

impl Check {
    /// A check that passes. [`examine`](super::examine) puts the id in.
    pub(super) fn pass(
        subject: impl fmt::Display,
        fact: impl Into<String>,
        source: impl Into<String>,
    ) -> Self {
        Self {
            id: "",
            subject: subject.to_string(),
            verdict: Verdict::Pass,
            fact: fact.into(),
            source: source.into(),
            why: None,
            remedy: None,
        }
    }

    /// A check that could not be made.
    pub(super) fn unknown(
        subject: impl fmt::Display,
        reason: impl Into<String>,
        source: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::pass(subject, reason, source) }
    }

    /// It will do, but.
    pub(super) fn warn(self, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, why: Some(why.into()), ..self }
    }

    /// It will not do.
    pub(super) fn fail(self, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, why: Some(why.into()), ..self }
    }

    /// What to type.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}
