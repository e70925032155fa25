//! What holds for every tree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A tree as a model: path to what is there.
#[derive(Debug, Clone, PartialEq)]
enum Thing {
    File(String, bool),
    Link(String),
    Empty,
}

type Tree = BTreeMap<String, Thing>;

fn tree() -> impl Strategy<Value = Tree> {
    let thing = prop_oneof![
        ("[ab]{0,2}", any::<bool>()).prop_map(|(text, exec)| Thing::File(text, exec)),
        "[ab]".prop_map(Thing::Link),
        Just(Thing::Empty),
    ];
    // A folder and a file never want the same path: folders are `d`, `e`, files `a`, `b`.
    prop::collection::btree_map("(d/|e/){0,2}[ab]", thing, 0..8)
}

fn lay(field: &Field, at: &str, tree: &Tree) {
    let _ = fs::remove_dir_all(field.at(at));
    field.folder(at);
    for (path, thing) in tree {
        let path = format!("{at}/{path}");
        match thing {
            Thing::File(text, exec) => {
                field.write(&path, text);
                field.mode(&path, if *exec { 0o755 } else { 0o644 });
            }
            Thing::Link(target) => field.link(&path, format!("none-{target}")),
            Thing::Empty => field.folder(&path),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn two_trees_have_one_digest_exactly_where_they_are_the_same(one in tree(), two in tree()) {
        let field = Field::new(&[]);
        lay(&field, "one", &one);
        lay(&field, "two", &two);
        prop_assert_eq!(field.content("one") == field.content("two"), one == two);
    }

    #[test]
    fn the_cache_changes_no_answer(trees in prop::collection::vec(tree(), 1..4)) {
        let field = Field::new(&[]);
        for tree in &trees {
            lay(&field, "data", tree);
            let ground = field.ground();
            let cached = ground.measure(&["data".into()], &Reads::default()).pop().unwrap().unwrap().unwrap();
            ground.save().unwrap();
            let fresh = Ground::open(field.0.path(), &field.at("no-state"));
            let uncached = fresh.measure(&["data".into()], &Reads::default()).pop().unwrap().unwrap().unwrap();
            prop_assert_eq!(cached, uncached);
        }
    }

    #[test]
    fn folders_tell_the_tree_that_was_measured(tree in tree()) {
        let field = Field::new(&[]);
        lay(&field, "data", &tree);
        let (measured, folders) = field.ground().folders(What::Path(Path::new("data")), &Reads::default()).unwrap();
        prop_assert_eq!(measured.content, field.content("data"));
        let root = crate::digest::Digest::of(&crate::content::encode(&folders[0].entries));
        prop_assert_eq!(measured.content.digest, root);
        for folder in &folders {
            for entry in folder.entries.iter().filter(|entry| entry.kind == Kind::Folder) {
                let path = folder.path.join(std::str::from_utf8(&entry.name).unwrap());
                let node = &folders.iter().find(|folder| folder.path == path).unwrap().entries;
                prop_assert_eq!(entry.digest, crate::digest::Digest::of(&crate::content::encode(node)));
            }
        }
    }
}
