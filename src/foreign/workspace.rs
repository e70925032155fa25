//! `config.json` of an Azure ML workspace in its three forms, found as the original finds it (azure-ml.md §1.1).

use super::doc::{At, Doc, loose};
use super::look::Look;
use super::model::{Proposal, Target, Toml};
use super::report::Report;

/// Which workspace a project belonged to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workspace {
    /// The subscription's identity.
    pub subscription: String,
    /// The resource group.
    pub group: String,
    /// The workspace's name.
    pub name: String,
}

/// The folders and files that the original looks in, for each folder upwards.
pub const PLACES: &[&str] = &[
    ".azureml/config.json",
    ".azureml/project.json",
    "aml_config/config.json",
    "aml_config/project.json",
    "config.json",
    "project.json",
];

/// Whether a document is such a file.
#[must_use]
pub fn is_config(doc: &Doc) -> bool {
    doc.root.entries().iter().any(|entry| matches!(loose(&entry.key).as_str(), "workspacename" | "scope"))
        && (doc.root.get("Scope").is_some() || doc.at().find("subscription_id").is_some())
}

/// Reads one, keys in whatever case: `subscription_id`, `resource_group`, `workspace_name`; or `Id` and `Scope`.
pub fn read(doc: &Doc, report: &mut Report) -> Option<Workspace> {
    let at = doc.at();
    let mut found = Workspace::default();
    if let Some(scope) = at.said("Scope") {
        let text = scope.scalar()?;
        // "/subscriptions/S/resourceGroups/R/providers/Microsoft.MachineLearningServices/workspaces/W"
        let parts: Vec<&str> = text.split('/').collect();
        let part = |n: usize| parts.get(n).map(|part| (*part).to_owned());
        if let (Some(subscription), Some(group), Some(name)) = (part(2), part(4), part(8)) {
            found = Workspace { subscription, group, name };
            report.translated(&scope, "`subscription`, `resource_group` and `workspace` of azureml targets");
        } else {
            report.none(&scope, "not /subscriptions/…/resourceGroups/…/providers/…/workspaces/…");
        }
        if let Some(id) = at.find("Id") {
            report.none(&id, "the workspace is known by its name");
        }
    }
    for (key, field, becomes) in [
        ("subscription_id", &mut found.subscription, "subscription"),
        ("resource_group", &mut found.group, "resource_group"),
        ("workspace_name", &mut found.name, "workspace"),
    ] {
        let Some(place) = at.said(key) else { continue };
        let Some(text) = place.scalar() else { continue };
        *field = text;
        report.taken(&place, format!("`{becomes}` of azureml targets"));
    }
    report.rest(doc, "not a key of a workspace's config.json");
    (![&found.subscription, &found.group, &found.name].iter().any(|text| text.is_empty())).then_some(found)
}

/// Looks in the folder of the import and above it, as `Workspace.from_config()` does.
pub fn search(look: &dyn Look, report: &mut Report) -> Option<Workspace> {
    for above in 0..20 {
        for place in PLACES {
            let path = format!("{}{place}", "../".repeat(above));
            let Some(Ok(text)) = look.above(&path) else { continue };
            let Ok(doc) = Doc::read(&path, &text) else { continue };
            if is_config(&doc) {
                return read(&doc, report);
            }
        }
    }
    None
}

/// A target of the workspace, by the name of its compute. Where no workspace is known it cannot be declared: the reader is
/// told how.
pub fn target(name: &str, at: &At<'_>, workspace: Option<&Workspace>, proposal: &mut Proposal) -> String {
    let plain = super::names::plain(name);
    let Some(workspace) = workspace else {
        let note = format!(
            "{name} ({}) was compute of an Azure ML workspace that no config.json here names. To use it, declare [targets.{plain}] \
             with type = \"azureml\", subscription, resource_group, workspace and compute.",
            at.place()
        );
        if !proposal.notes.iter().any(|known| known.starts_with(&format!("{name} ("))) {
            proposal.notes.push(note);
        }
        return plain;
    };
    let mut keys = vec![
        ("type".to_owned(), Toml::text("azureml")),
        ("subscription".to_owned(), Toml::text(&workspace.subscription)),
        ("resource_group".to_owned(), Toml::text(&workspace.group)),
        ("workspace".to_owned(), Toml::text(&workspace.name)),
    ];
    if name != "serverless" {
        keys.push(("compute".to_owned(), Toml::text(name)));
    }
    let comments = vec![format!("The compute target of {}.", at.place())];
    proposal.target(Target { name: plain, comments, keys })
}
