//! `${{…}}` of Azure ML in texts that an Amlfile shall interpolate.

use crate::project::template::escape;

/// A text with each `${{name}}` replaced; what is not known stays and is told by the second answer. Everything else is
/// escaped, so that a shell's own `${X}` reaches the shell. `$[[…]]` stays where all it names is known, and goes otherwise.
pub(super) fn translate(text: &str, known: &dyn Fn(&str) -> Option<String>) -> (String, Vec<String>) {
    let mut unknown = Vec::new();
    let text = optional(text, known);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((name, next)) = after.split_once("}}") else { break };
        out.push_str(&escape(before));
        if let Some(value) = known(name.trim()) {
            out.push_str(&value);
        } else {
            unknown.push(name.trim().to_owned());
            out.push_str(&escape(&format!("${{{{{name}}}}}")));
        }
        rest = next;
    }
    out.push_str(&escape(rest));
    (out, unknown)
}

fn optional(text: &str, known: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$[[") {
        let Some((inner, next)) = after.split_once("]]") else { break };
        out.push_str(before);
        if names(inner).iter().all(|name| known(name).is_some()) {
            out.push_str(inner);
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The names in a text.
pub(super) fn names(text: &str) -> Vec<String> {
    let parts = text.split("${{").skip(1);
    parts.filter_map(|part| part.split_once("}}").map(|(name, _)| name.trim().to_owned())).collect()
}

/// The one name that a text consists of.
pub(super) fn whole(text: &str) -> Option<&str> {
    let name = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    (!name.contains("}}")).then(|| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_become_references() {
        let known =
            |name: &str| name.strip_prefix("inputs.").filter(|name| *name != "no").map(|name| format!("${{{name}}}"));
        let check = |text: &str, expected: &str| assert_eq!(translate(text, &known).0, expected, "{text}");
        check("python a.py --x ${{inputs.x}} ${HOME}", "python a.py --x ${x} $${HOME}");
        check("a $[[--x ${{inputs.x}}]] $[[--no ${{inputs.no}}]] b", "a --x ${x}  b");
        check("${{ inputs.x }}${{outputs.y}}", "${x}$${{outputs.y}}");
        check("${{open", "$${{open");
        assert_eq!(whole(" ${{parent.inputs.x}} "), Some("parent.inputs.x"));
        assert_eq!(whole("a ${{x}}"), None);
    }
}
