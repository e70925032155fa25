//! The tree: what nobody needs stands at the left, with what it needs below it.

use crate::console::clean::clean;
use crate::console::style::{Paint, Style};
use crate::ids::JobId;
use crate::plan::job::Plan;

use super::numbered;

/// So many rails are drawn.
const DEEPEST: usize = 40;

/// The tree of a plan. A job that several need is drawn in full once; elsewhere it is marked `(see above)` where it needs
/// others itself.
#[must_use]
pub fn tree(plan: &Plan, style: Style) -> String {
    let mut needed = vec![false; plan.jobs.len()];
    for need in plan.jobs.iter().flat_map(|job| &job.needs) {
        if let Some(needed) = needed.get_mut(need.0) {
            *needed = true;
        }
    }
    let all = plan.jobs.iter().all(|job| job.goal);
    let mut drawn = vec![false; plan.jobs.len()];
    let mut text = String::new();
    // A stack rather than calls: a chain of 10,000 jobs is a fine graph.
    let mut stack: Vec<(JobId, Vec<bool>)> =
        numbered(plan).filter(|(id, _)| !needed[id.0]).map(|(id, _)| (id, Vec::new())).collect();
    stack.reverse();
    while let Some((id, lasts)) = stack.pop() {
        let Some(job) = plan.jobs.get(id.0) else { continue };
        for (depth, last) in lasts.iter().enumerate() {
            text.push_str(match (depth + 1 == lasts.len(), last) {
                (true, true) => "└── ",
                (true, false) => "├── ",
                (false, true) => "    ",
                (false, false) => "│   ",
            });
        }
        style.push(&mut text, if job.goal && !all { Paint::Bold } else { Paint::Plain }, &clean(&job.name.0));
        let again = std::mem::replace(&mut drawn[id.0], true) && !job.needs.is_empty();
        if again {
            style.push(&mut text, Paint::Dim, " (see above)");
        }
        text.push('\n');
        if !again {
            for (i, need) in job.needs.iter().enumerate().rev() {
                // Of a deep chain only the last rails are drawn.
                let mut below: Vec<bool> = lasts.iter().copied().skip(lasts.len().saturating_sub(DEEPEST)).collect();
                below.push(i + 1 == job.needs.len());
                stack.push((*need, below));
            }
        }
    }
    text
}
