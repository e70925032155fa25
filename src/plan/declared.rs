//! The outputs of all experiments, as globs: what is never part of a snapshot.

use crate::diagnostic::Span;
use crate::project::model::Project;
use crate::project::template::{self, Piece};
use crate::relpath::RelPath;

use super::job::{Job, Output};

/// One glob for each output; one for each cell's where a glob would take in more than outputs, or not all of them.
pub(super) fn globs(project: &Project, jobs: &[Job]) -> Vec<String> {
    let mut globs = Vec::with_capacity(jobs.len());
    let mut jobs = jobs.iter().peekable();
    for (index, experiment) in project.experiments.iter().enumerate() {
        let declared = experiment.outputs.iter().chain(&experiment.metrics);
        let open = declared.filter(|declared| !template::is_plain(&declared.path));
        let open: Vec<(&Span, String)> = open.filter_map(|d| Some((&d.span, glob(&d.path)?))).collect();
        while let Some(job) = jobs.next_if(|job| job.experiment == index) {
            let told = |output: &&Output| {
                let folders = |path: &[u8]| path.split(|byte| *byte == b'/').count();
                let mut globs = open.iter().filter(|(span, _)| **span == output.span);
                // A value with a slash in it makes a path that no `*` matches.
                globs.any(|(_, glob)| folders(glob.as_bytes()) == folders(output.path.as_bytes()))
            };
            globs.extend(job.outputs.iter().filter(|output| !told(output)).map(|output| escaped(&output.path)));
        }
        globs.extend(open.into_iter().map(|(_, glob)| glob));
    }
    globs.sort_unstable();
    globs.dedup();
    globs
}

fn escaped(path: &RelPath) -> String {
    let text = path.as_path().to_string_lossy();
    if text.contains(['*', '?', '[', ']', '{', '}', '\\', '!']) { globset::escape(&text) } else { text.into_owned() }
}

/// `models/ridge-*.pkl` for `models/ridge-${alpha}.pkl`, so that what other values made is known as an output too. None
/// where nothing but the value tells the file: `${name}.py` would be all scripts.
fn glob(path: &str) -> Option<String> {
    let mut glob = String::new();
    // Each part of the path: its literal text, and whether it holds a name.
    let mut parts: Vec<(String, bool)> = vec![Default::default()];
    for piece in template::pieces(path) {
        match piece {
            Piece::Literal(text) => {
                glob.push_str(&globset::escape(text));
                let mut pieces = text.split('/');
                if let (Some(first), Some(part)) = (pieces.next(), parts.last_mut()) {
                    part.0.push_str(first);
                }
                parts.extend(pieces.map(|piece| (piece.to_owned(), false)));
            }
            Piece::Name(..) => {
                glob.push('*');
                if let Some(part) = parts.last_mut() {
                    part.1 = true;
                }
            }
            Piece::Unclosed(_) => return None,
        }
    }
    let told = |literal: &str| literal.split('.').next().is_some_and(|stem| !stem.is_empty());
    let clear = parts.iter().all(|(literal, named)| !named || told(literal));
    let normal = RelPath::new(&glob).is_ok_and(|path| path.as_path().to_str() == Some(&glob));
    (clear && normal).then_some(glob)
}

#[cfg(test)]
mod tests {
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(super::glob(path).as_deref(), expected, "{path}");
    }

    #[test]
    fn a_glob_takes_in_what_other_values_made_and_nothing_else() {
        check("models/ridge-${alpha}.pkl", Some("models/ridge-*.pkl"));
        check("a/run_${x}/b", Some("a/run_*/b"));
        check("${name}.py", None);
        check("${folder}/model.pkl", None);
        check("models/${alpha}", None);
        check("m[1]-${alpha}", Some("m[[]1[]]-*"));
        check("../m-${alpha}", None);
    }
}
