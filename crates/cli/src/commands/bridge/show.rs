//! What came of it, for people and for programs.

use vdpa_boot::bridge::{Act, Plan, Record, Standing};

use crate::commands::Session;
use crate::report::Outcome;

const NAME: &str = "host bridge";

/// What would be done.
pub(super) fn planned(session: &Session, plan: &Plan) -> Outcome {
    let out = &session.output;
    let Record { name, over, manager, before, .. } = &plan.record;
    out.line(format_args!(
        "bridge {name} over {over} by {manager}, with its MAC {}, instead of {before}",
        plan.mac
    ));
    out.line(format_args!("to be run first: `{}`", plan.arm));
    for act in &plan.make {
        match act {
            Act::Run(command) => out.line(format_args!("to be run: `{command}`")),
            Act::Write { path, text } => {
                let added = text.lines().fold(String::new(), |added, line| added + "+" + line + "\n");
                out.diff(&format!("--- /dev/null\n+++ {}\n{added}", path.display()));
            }
            Act::Remove(path) => out.line(format_args!("to be removed: {}", path.display())),
        }
    }
    out.line(format_args!("nothing was done: `sudo vdpa host bridge --over {over} --apply` does it"));
    with_plan(Outcome::done(NAME, "changes"), plan)
}

/// What was done, and what is to be typed now.
pub(super) fn made(session: &Session, plan: &Plan) -> Outcome {
    let Record { name, over, confirm_within_s, .. } = &plan.record;
    session.output.line(format_args!("the bridge {name} is up, with what {over} had"));
    session.output.line(format_args!(
        "`sudo vdpa host bridge --confirm` keeps it; without that the host is as it was {confirm_within_s} s after it began"
    ));
    with_plan(Outcome::done(NAME, "done"), plan)
}

fn with_plan(outcome: Outcome, plan: &Plan) -> Outcome {
    with_bridge(outcome, Some(&plan.record))
        .with("mac", &plan.mac)
        .with("arm", &plan.arm)
        .with("make", &plan.make)
}

fn with_bridge(outcome: Outcome, record: Option<&Record>) -> Outcome {
    outcome.with("bridge", &record)
}

/// That it stays.
pub(super) fn confirmed(session: &Session, record: &Record) -> Outcome {
    let Record { name, over, .. } = record;
    session.output.line(format_args!("the bridge {name} over {over} stays, at the next boot too"));
    session.output.line(format_args!(
        "`vdpa vm create NAME --bridge {name}` gives it to a guest; `vdpa host bridge --remove` takes it back"
    ));
    with_bridge(Outcome::done(NAME, "done"), Some(record))
}

/// That it went, or that there was nothing to take back.
pub(super) fn taken_back(session: &Session, record: Option<&Record>) -> Outcome {
    let Some(Record { name, over, before, .. }) = record else {
        session.output.line("there is no bridge to take back");
        return with_bridge(Outcome::done(NAME, "unchanged"), None);
    };
    session.output.line(format_args!("the bridge {name} is gone, and {over} has {before} again"));
    with_bridge(Outcome::done(NAME, "done"), None)
}

/// How it stands.
pub(super) fn standing(session: &Session, record: Option<&Record>) -> Outcome {
    let out = &session.output;
    match record {
        None => out.line("there is no bridge of ours; `vdpa host bridge --over NIC` shows what would be done to make one"),
        Some(Record { standing, name, over, manager, confirm_within_s, .. }) => out.line(match standing {
            Standing::Unconfirmed => format!(
                "the bridge {name} over {over}, by {manager}, waits: `sudo vdpa host bridge --confirm` keeps it"
            ),
            Standing::Confirmed => format!("the bridge {name} over {over}, by {manager}, is there for good"),
            Standing::TakenBack => format!(
                "the bridge {name} over {over} was taken back, as nobody confirmed it within {confirm_within_s} s"
            ),
        }),
    }
    with_bridge(Outcome::done(NAME, "unchanged"), record)
}
