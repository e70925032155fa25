use proptest::prelude::*;
use toml::de::{DeTable, DeValue};

use crate::amlfile::document::{Item, Node, Table};

/// A document as the `toml` crate would show it.
fn shown(table: &Table<'_>) -> String {
    let mut entries: Vec<String> =
        table.entries().iter().map(|entry| format!("{:?}={}", entry.key, item(&entry.item))).collect();
    entries.sort();
    format!("{{{}}}", entries.join(","))
}

fn item(item: &Item<'_>) -> String {
    match &item.node {
        Node::Text(text) => format!("{text:?}"),
        Node::Integer(number) => format!("{number:?}"),
        Node::Float(_, text) => format!("f{text}"),
        Node::Bool(bool) => format!("{bool}"),
        Node::Date => "date".into(),
        Node::List(items) | Node::Tables(items) => {
            format!("[{}]", items.iter().map(self::item).collect::<Vec<_>>().join(","))
        }
        Node::Table(table) => shown(table),
    }
}

fn theirs(table: &DeTable<'_>) -> String {
    let mut entries: Vec<String> =
        table.iter().map(|(key, value)| format!("{:?}={}", key.get_ref(), their_item(value.get_ref()))).collect();
    entries.sort();
    format!("{{{}}}", entries.join(","))
}

fn their_item(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => format!("{:?}", i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => format!("f{}", number.as_str()),
        DeValue::Boolean(bool) => format!("{bool}"),
        DeValue::Datetime(_) => "date".into(),
        DeValue::Array(items) => {
            format!("[{}]", items.iter().map(|item| their_item(item.get_ref())).collect::<Vec<_>>().join(","))
        }
        DeValue::Table(table) => theirs(table),
    }
}

/// Both parsers take the text and read the same, or both refuse it.
fn check(text: &str) {
    let mut faults = Vec::new();
    let document = super::read(text, &mut faults);
    match DeTable::parse(text) {
        // A date that is none is refused only there, when it is read.
        Ok(table) => {
            assert!(faults.is_empty(), "{text:?} should be read: {faults:?}");
            assert_eq!(shown(&document.root), theirs(table.get_ref()), "{text:?}");
        }
        Err(error) if error.message().contains("date") || error.message().contains("time") => {}
        Err(error) => assert!(!faults.is_empty(), "{text:?} should be refused: {error}"),
    }
}

#[test]
fn tables_are_as_in_toml() {
    for text in [
        "",
        "a=1",
        "a.b=1\na.c=2",
        "[a]\nx=1\n[a.b]\ny=2",
        "[a.b]\ny=2\n[a]\nx=1",
        "[[a]]\nx=1\n[[a]]\nx=2\n[a.b]\nz=3",
        "[a]\n[a]",
        "[a.b]\n[a]\nb.c=1",
        "[a]\nb.c=1\n[a.b]",
        "[a]\nb.c=1\n[a.b.d]\nx=1",
        "a={b=1}\n[a]",
        "a={b=1}\n[a.c]",
        "a={b=1}\na.c=2",
        "a={b.c=1,b.d=2}",
        "a={b.c=1,b=2}",
        "a={b={c=1},b.d=2}",
        "a=[{b=1},{b=2}]\n[[a]]",
        "a=1\n[a]",
        "a=1\n[a.b]",
        "[a]\n[[a]]",
        "[[a]]\n[a]",
        "a=1\na=2",
        "a.b=1\na=2",
        "a=2\na.b=1",
        "[a.b.c]\nz=9\n[a]\nb.c.t=1",
        "[a.b.c.d]\nz=9\n[a]\nb.c.d.k.t=1",
        "[a.b.c]\nz=9\n[a]\nb.t=1",
        "\"a b\"=1\n'c'=2",
        "a=[1,[2,3],]\nb={c=[{d=1}]}",
        "[[a.b]]\n[a.b.c]\nx=1\n[[a.b]]\n[a.b.c]\nx=2",
        "[[a]]\n[[a.b]]\n[[a.b]]\n[a]\n",
        "a={\nb=1,\n}\n",
        "[ a . b ]\nx=1",
        "a.b.c=1\na.b.d=2\n[a.x]\ny=1",
        "[a]\nx.y=1\nx.y.z=2",
        "a = 1 # c\n# d\n[b] # e\n",
        "[x.y]\n[x.y.z]\n[x]\n[x.w]\n[x]",
    ] {
        check(text);
    }
}

#[test]
fn many_keys_are_found_too() {
    let text = (0..100).map(|i| format!("[e.j{i}]\nx={i}\n")).collect::<Vec<_>>().concat();
    check(&text);
    check(&(text + "[e.j40]\n"));
}

proptest! {
    #[test]
    fn small_tables_are_read_alike(lines in prop::collection::vec("(\\[[ab](\\.[abc]){0,2}\\]|\\[\\[[ab]\\]\\]|[abc](\\.[abc]){0,2}=(1|\\{\\}|\\{a\\.b=1,[abc]=2\\}|\\[\\{c=1\\}\\]))", 0..7)) {
        check(&lines.join("\n"));
    }

    #[test]
    fn any_text_is_read_or_refused_alike(text in "[\\[\\]{}=,.\"'#ab01_: \n\\\\-]{0,40}") {
        check(&text);
    }

    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,60}") {
        super::read(&text, &mut Vec::new());
        let _value = super::typed(&text);
    }
}
