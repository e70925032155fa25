use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

fn json(text: &str) -> String {
    parse(text).map_or_else(
        |fault| format!("fault {}..{}: {}", fault.span.start, fault.span.end, fault.message),
        |node| node.json().to_string(),
    )
}

#[test]
fn documents_as_json() {
    let check = |text: &str, expected: &str| assert_eq!(json(text), expected, "{text}");
    check("", "null");
    check("# nothing\n", "null");
    check("a: 1\nb: [x, 'y', \"z\"]", r#"{"a":1,"b":["x","y","z"]}"#);
    check("a:\nb: ~\nc: None\nd: yes", r#"{"a":null,"b":null,"c":"None","d":"yes"}"#);
    check(
        "a: 0.10\nb: 1e-3\nc: .inf\nd: 0x10\ne: 1.\nf: 99999999999999999999",
        r#"{"a":0.1,"b":0.001,"c":".inf","d":16,"e":1.0,"f":"99999999999999999999"}"#,
    );
    check("a: 'true'\nb: !!str 1\nc: 2020-01-01", r#"{"a":"true","b":"1","c":"2020-01-01"}"#);
    check("{\"a\":\t[1,\n\t2], \"b\": null}", r#"{"a":[1,2],"b":null}"#);
    check("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", r#"{"x":{"a":1,"b":2},"y":{"a":1,"b":3}}"#);
    check("x: &x [1]\ny: *x", r#"{"x":[1],"y":[1]}"#);
    check("1: a\ntrue: b", r#"{"1":"a","true":"b"}"#);
}

#[test]
fn faults_have_places() {
    let check = |text: &str, part: &str| {
        let said = json(text);
        assert!(said.starts_with("fault") && said.contains(part), "{text}: {said}");
    };
    check("a: 1\na: 2", "fault 5..6: the key `a` is there twice");
    check("a: [1", "");
    check("a: *x", "");
    check("? [a]\n: b", "a key that is a list");
    check("a: 1\n---\nb: 2", "second document");
    check("a: &x [*x]", "within the value");
    check(&"[".repeat(5000), "");
    check(&"- ".repeat(5000), "");
}

#[test]
fn places_are_those_of_the_text() {
    let text = "ä: 1\nlist:\n  - one\n  - {k: 'v'}\nlast: x\n";
    let node = parse(text).unwrap();
    let part = |span: &Span| text.get(span.clone()).unwrap();
    assert_eq!(part(&node.entry("list").unwrap().key_span), "list");
    assert_eq!(part(&node.get("list").unwrap().span), "- one\n  - {k: 'v'}");
    assert_eq!(part(&node.at("list.1.k").unwrap().span), "'v'");
    assert_eq!(part(&node.at("last").unwrap().span), "x");
    assert_eq!(node.at("list.7"), None);
}

#[test]
fn an_alias_bomb_is_defused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let item = format!("*a{}", n - 1);
        let _ = writeln!(text, "a{n}: &a{n} [{}]", vec![item; 10].join(", "));
    }
    let said = json(&text);
    assert!(said.contains("aliases included"), "{said}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ a:\\-\\[\\]{},&*!|>'\"#%\\n\\té0-9<]{0,60}") {
        match documents(&text) {
            Ok(documents) => documents.iter().for_each(|node| prop_ok(node, &text)),
            Err(fault) => assert!(text.get(fault.span.clone()).is_some(), "{fault:?}"),
        }
    }
}

fn prop_ok(node: &Node, text: &str) {
    assert!(text.get(node.span.clone()).is_some(), "{node:?}");
    node.items().iter().for_each(|node| prop_ok(node, text));
    node.entries().iter().for_each(|entry| prop_ok(&entry.node, text));
}
