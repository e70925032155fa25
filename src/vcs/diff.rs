//! What differs between two texts.

/// Texts longer than this are not compared line by line.
const LONGEST: usize = 8 << 20;

/// What differs between two contents of a file, as a unified diff with three lines of context; empty where nothing does.
/// None stands for a file that is not there. Binary files (a NUL byte among the first 8,000) and very long ones are said to
/// differ.
#[must_use]
pub fn text_diff(old: Option<&[u8]>, new: Option<&[u8]>, path: &str) -> String {
    if old == new {
        return String::new();
    }
    let before = if old.is_some() { format!("a/{path}") } else { "/dev/null".to_owned() };
    let after = if new.is_some() { format!("b/{path}") } else { "/dev/null".to_owned() };
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let binary = |bytes: &[u8]| bytes.iter().take(8_000).any(|&b| b == 0);
    if binary(old) || binary(new) {
        return format!("binary files {before} and {after} differ ({} and {} bytes)\n", old.len(), new.len());
    }
    if old.len().max(new.len()) > LONGEST {
        return format!("files {before} and {after} differ ({} and {} bytes)\n", old.len(), new.len());
    }
    let mut text = format!("--- {before}\n+++ {after}\n");
    let mut options = git2::DiffOptions::new();
    options.force_text(true).indent_heuristic(true);
    let compared = git2::Patch::from_buffers(old, None, new, None, Some(&mut options));
    let drawn = compared.and_then(|mut patch| {
        patch.print(&mut |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin());
            }
            if line.origin() != 'F' {
                text.push_str(&String::from_utf8_lossy(line.content()));
            }
            true
        })
    });
    match drawn {
        Ok(()) => text,
        Err(_) => format!("files {before} and {after} differ ({} and {} bytes)\n", old.len(), new.len()),
    }
}
