//! `amlrun targets`: those that are declared, and whether they can be used.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::assemble;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, TargetsCommand};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::style::Paint;
use crate::console::table::Table;
use crate::console::{self, Style};
use crate::project::model::{Target, TargetKind};
use crate::target::remote::{Fault, Finding};
use crate::target::spark;

/// Carries out `amlrun targets …`.
///
/// # Errors
/// Where the project has faults, or no target has a name that was given.
pub fn run(command: &TargetsCommand, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    match command {
        TargetsCommand::List => list(common, here),
        TargetsCommand::Check { names } => check(names, common, here),
    }
}

fn style(common: &Common, here: &Surroundings) -> Style {
    Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal)
}

fn list(common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let clock = SystemClock::new();
    let remotes = assemble::remotes(&loaded.project, here, &clock);
    let place = |at: usize| match (remotes.get(&at), loaded.project.targets.get(at)) {
        (Some(remote), _) => remote.place(),
        (None, Some(target)) => spark::master(target).to_owned(),
        (None, None) => String::new(),
    };
    let targets = loaded.project.targets.iter().enumerate();
    if common.json {
        let all: Vec<_> = targets
            .map(|(at, t)| {
                json!({"name": t.name, "type": t.kind.name(), "place": place(at), "description": t.description})
            })
            .collect();
        console::out(&console::json::document(&json!({ "targets": all })));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["TARGET", "TYPE", "PLACE", "DESCRIPTION"]);
    for (at, target) in targets {
        let place = if at == 0 { "this machine".to_owned() } else { place(at) };
        table.row([
            (&target.name).into(),
            target.kind.name().into(),
            place.into(),
            target.description.as_deref().unwrap_or_default().into(),
        ]);
    }
    console::out(&table.render(style(common, here), console::terminal::out_width()));
    Ok(Exit::Done)
}

fn check(names: &[String], common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let clock = SystemClock::new();
    let remotes = assemble::remotes(&loaded.project, here, &clock);
    if let Some(name) = names.iter().find(|name| !loaded.project.targets.iter().any(|t| t.name == **name)) {
        return Err(CliError::nothing(format!("no target is named `{name}`")).hint("`amlrun targets list` shows them"));
    }
    let mut found: Vec<(&Target, Vec<Finding>)> = Vec::new();
    for (at, target) in loaded.project.targets.iter().enumerate() {
        if !names.is_empty() && !names.contains(&target.name) {
            continue;
        }
        let bad = |text: String| vec![Finding { name: "connection".to_owned(), good: false, text }];
        let findings = match remotes.get(&at).map(|remote| remote.check()) {
            Some(Ok(findings)) => findings,
            Some(Err(Fault::Lost(why) | Fault::Refused(why))) => bad(why),
            Some(Err(Fault::Moved)) => Vec::new(),
            None if at == 0 => {
                vec![Finding { name: "connection".to_owned(), good: true, text: "this machine".to_owned() }]
            }
            None if target.kind == TargetKind::Spark => spark::check(target),
            None => bad(format!("target type `{}` is not available in this build", target.kind.name())),
        };
        found.push((target, findings));
    }
    let good = found.iter().all(|(_, findings)| findings.iter().all(|finding| finding.good));
    if common.json {
        let all: Vec<_> = found
            .iter()
            .map(|(target, findings)| {
                let of = |f: &Finding| json!({"name": f.name, "good": f.good, "text": f.text});
                json!({"name": target.name, "findings": findings.iter().map(of).collect::<Vec<_>>()})
            })
            .collect();
        console::out(&console::json::document(&json!({ "targets": all, "good": good })));
    } else {
        let style = style(common, here);
        let mut text = String::new();
        for (target, findings) in &found {
            style.push(&mut text, Paint::Bold, &target.name);
            text.push('\n');
            for finding in findings {
                let (mark, paint) = if finding.good { ("ok  ", Paint::Good) } else { ("FAIL", Paint::Bad) };
                text.push_str("  ");
                style.push(&mut text, paint, mark);
                let _ = writeln!(text, "  {:<13} {}", finding.name, console::clean::clean(&finding.text));
            }
        }
        console::out(&text);
    }
    Ok(if good { Exit::Done } else { Exit::World })
}
