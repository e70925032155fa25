//! `sources` and the script: which part of a source directory is taken, as a tree of literal names with globs hanging from
//! it, so that folders in which nothing could be named are not even read.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use globset::{GlobSet, GlobSetBuilder};

use super::SourceSpec;
use super::excluded::{glob, joined, split};
use crate::relpath::RelPath;

/// What is named below one folder of the source directory.
#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<CString, Arc<Node>>,
    /// Named itself: a file, or a folder with all below it.
    named: bool,
    /// The script: taken whatever else is said.
    script: bool,
    texts: Vec<String>,
    globs: Option<Arc<Globs>>,
}

#[derive(Debug)]
struct Globs {
    set: GlobSet,
    /// How many folders deep they can match; none for any depth.
    depth: Option<usize>,
}

/// How much of a folder is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum All {
    /// Only what is named.
    No,
    /// All, since it is named.
    Named,
    /// All, since nothing narrows it.
    Yes,
}

/// What is taken of one folder that is being walked.
#[derive(Debug, Clone)]
pub(super) struct Narrow {
    all: All,
    node: Option<Arc<Node>>,
    /// Globs of this folder and of those above, with the way from there.
    globs: Vec<(Arc<Globs>, Vec<u8>)>,
    /// Only the script is taken: the folder is excluded.
    only_script: bool,
}

/// What is said of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It is not asked for.
    Nothing,
    /// It is taken unless it is ignored.
    Welcome,
    /// It is named: ignore rules do not count.
    Named,
    /// It is the script: nothing keeps it out.
    Script,
}

impl Narrow {
    /// For a source directory, or what is wrong with its globs.
    pub(super) fn new(spec: &SourceSpec) -> Result<Self, String> {
        let mut root = Node::default();
        for text in spec.globs.iter().flatten() {
            let text = text.trim_start_matches("./");
            let wrong = |why: &dyn std::fmt::Display| format!("`{text}` in `sources`: {why}");
            let (path, rest) = split(text);
            let path = RelPath::new(path).map_err(|outside| wrong(&outside))?;
            let node = root.at(&path).ok_or_else(|| wrong(&"it has a NUL byte"))?;
            match rest {
                Some(rest) => {
                    glob(rest).map_err(|error| wrong(&error))?;
                    node.texts.push(rest.to_owned());
                }
                None => node.named = true,
            }
        }
        if let Some(script) = &spec.script {
            let outside = || format!("the script `{script}` lies outside the source directory");
            let path = RelPath::new(script).map_err(|_| outside())?;
            root.at(&path).filter(|_| !path.is_root()).ok_or_else(outside)?.script = true;
        }
        root.compile();
        let all = match &spec.globs {
            None => All::Yes,
            Some(_) if root.named => All::Named,
            Some(_) => All::No,
        };
        let globs = root.globs.iter().map(|globs| (globs.clone(), Vec::new())).collect();
        Ok(Self { all, node: Some(Arc::new(root)), globs, only_script: false })
    }

    /// Whether nothing at all is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.all == All::No && self.globs.is_empty() && self.node.as_ref().is_none_or(|node| node.children.is_empty())
    }

    /// Nothing but the script.
    pub(super) fn script_only(spec: &SourceSpec) -> Result<Self, String> {
        Self::new(&SourceSpec { globs: Some(Vec::new()), ..spec.clone() })
    }

    /// The only names that could be taken; none where the folder must be read.
    pub(super) fn literal(&self) -> Option<impl Iterator<Item = &CStr>> {
        (self.all == All::No && self.globs.is_empty())
            .then(|| self.node.iter().flat_map(|node| node.children.keys().map(CString::as_c_str)))
    }

    /// What is taken of an excluded folder in this one: at most the script.
    pub(super) fn of_excluded(&self, name: &[u8]) -> Option<Self> {
        let child = self.child(name).filter(|child| child.has_script())?;
        Some(Self { all: All::No, node: Some(child.clone()), globs: Vec::new(), only_script: true })
    }

    fn child(&self, name: &[u8]) -> Option<&Arc<Node>> {
        let node = self.node.as_ref().filter(|node| !node.children.is_empty())?;
        node.children.get(&CString::new(name).ok()?)
    }

    /// What is said of a file (or a link).
    pub(super) fn of_file(&self, name: &[u8]) -> Said {
        match self.child(name) {
            Some(child) if child.script => return Said::Script,
            _ if self.only_script => return Said::Nothing,
            Some(child) if child.named => return Said::Named,
            _ => {}
        }
        let is_named = self.all == All::Named
            || self
                .globs
                .iter()
                .any(|(globs, way)| globs.set.is_match(Path::new(OsStr::from_bytes(&joined(way, name)))));
        match (is_named, self.all) {
            (true, _) => Said::Named,
            (false, All::Yes) => Said::Welcome,
            (false, _) => Said::Nothing,
        }
    }

    /// What is taken of a folder in this one; none where nothing is. An ignored folder is entered only on the way to
    /// something that is named by its whole name.
    pub(super) fn of_folder(&self, name: &[u8], is_ignored: bool) -> Option<(Said, Self)> {
        let child = self.child(name);
        let is_named = child.is_some_and(|child| child.named);
        let all = match (is_named, is_ignored) {
            (true, _) => All::Named,
            (false, true) => All::No,
            (false, false) => self.all,
        };
        let mut globs: Vec<_> = if is_ignored && !is_named {
            Vec::new()
        } else {
            let deeper = self.globs.iter().map(|(globs, way)| (globs.clone(), joined(way, name)));
            let folders = |way: &[u8]| way.split(|&b| b == b'/').count();
            deeper.filter(|(globs, way)| globs.depth.is_none_or(|depth| folders(way) < depth)).collect()
        };
        globs.extend(child.and_then(|child| child.globs.clone()).map(|globs| (globs, Vec::new())));
        let below = Self { all, node: child.cloned(), globs, only_script: self.only_script };
        let said = if is_named { Said::Named } else { Said::Welcome };
        (!below.is_empty()).then_some((said, below))
    }
}

impl Node {
    /// The node of a path; none where its names cannot be asked for.
    fn at(&mut self, path: &RelPath) -> Option<&mut Self> {
        let mut node = self;
        for name in path.as_path() {
            let name = CString::new(name.as_bytes()).ok()?;
            // A node is shared only once the tree is complete.
            node = Arc::get_mut(node.children.entry(name).or_default())?;
        }
        Some(node)
    }

    fn has_script(&self) -> bool {
        self.script || self.children.values().any(|child| child.has_script())
    }

    fn compile(&mut self) {
        if !self.texts.is_empty() {
            let mut builder = GlobSetBuilder::new();
            self.texts.iter().filter_map(|text| glob(text).ok()).for_each(|glob| {
                builder.add(glob);
            });
            let depths = self.texts.iter().map(|text| (!text.contains("**")).then(|| text.matches('/').count() + 1));
            let depth = depths.collect::<Option<Vec<_>>>().and_then(|depths| depths.into_iter().max());
            self.globs = builder.build().ok().map(|set| Arc::new(Globs { set, depth }));
        }
        for child in self.children.values_mut() {
            if let Some(child) = Arc::get_mut(child) {
                child.compile();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(globs: Option<&[&str]>, script: Option<&str>) -> Narrow {
        let globs = globs.map(|globs| globs.iter().map(ToString::to_string).collect());
        Narrow::new(&SourceSpec { globs, script: script.map(str::to_owned), ..SourceSpec::default() }).unwrap()
    }

    /// What is said of a path, whose folders are not ignored but those that end in `!`.
    fn said(narrow: &Narrow, path: &str) -> Said {
        let mut narrow = narrow.clone();
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return narrow.of_file(name.as_bytes());
            }
            let (name, is_ignored) = (name.trim_end_matches('!'), name.ends_with('!'));
            match narrow.of_folder(name.as_bytes(), is_ignored) {
                Some((_, below)) => narrow = below,
                None => return Said::Nothing,
            }
        }
        Said::Nothing
    }

    #[test]
    fn sources_name_files_folders_and_globs() {
        let check = |globs: Option<&[&str]>, path: &str, want: Said| {
            assert_eq!(said(&narrow(globs, Some("src/run.py")), path), want, "{path} of {globs:?}");
        };
        let none: Option<&[&str]> = None;
        check(none, "a", Said::Welcome);
        check(none, "a/b/c", Said::Welcome);
        check(none, "src/run.py", Said::Script);
        check(none, "src!/run.py", Said::Script);
        check(none, "src!/other.py", Said::Nothing);
        check(Some(&[]), "a", Said::Nothing);
        check(Some(&[]), "src/run.py", Said::Script);
        check(Some(&["lib/**", "*.py", "data", "./x/y.csv"]), "lib/a/b", Said::Named);
        check(Some(&["lib/**"]), "lib/__pycache__!/b", Said::Nothing);
        check(Some(&["lib/**"]), "lib!/b", Said::Named);
        check(Some(&["*.py"]), "a.py", Said::Named);
        check(Some(&["*.py"]), "sub/a.py", Said::Nothing);
        check(Some(&["**/*.py"]), "sub/sub/a.py", Said::Named);
        check(Some(&["*/*.py"]), "sub/a.py", Said::Named);
        check(Some(&["*/*.py"]), "sub/sub/a.py", Said::Nothing);
        check(Some(&["data/"]), "data!/x/y", Said::Named);
        check(Some(&["data"]), "data/x!/y", Said::Nothing);
        check(Some(&["."]), "x/y", Said::Named);
        check(Some(&["data/x/y"]), "data!/x!/y", Said::Named);
        check(Some(&["data/x/y"]), "data/x/z", Said::Nothing);
    }

    #[test]
    fn literal_names_need_no_reading() {
        let names = |globs: Option<&[&str]>| {
            narrow(globs, Some("run.py")).literal().map(|names| names.map(|n| n.to_str().unwrap().to_owned()).collect())
        };
        assert_eq!(names(Some(&["b/c", "a"])), Some(vec!["a".to_owned(), "b".to_owned(), "run.py".to_owned()]));
        assert_eq!(names(Some(&["*.py"])), None::<Vec<String>>);
        assert_eq!(names(None), None);
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let refused = |glob: &str, script: &str| {
            let spec = SourceSpec {
                globs: Some(vec![glob.to_owned()]),
                script: Some(script.to_owned()),
                ..SourceSpec::default()
            };
            assert!(Narrow::new(&spec).is_err(), "{glob} {script}");
        };
        refused("../a", "x");
        refused("/a", "x");
        refused("a[", "x");
        refused("a", "../x");
        refused("a", "/x");
        refused("a", ".");
    }
}
