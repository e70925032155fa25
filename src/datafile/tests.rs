//! Texts of every format, as scripts write them.

use super::*;

fn named(text: &str, format: Format) -> Vec<String> {
    let tree = tree(text.as_bytes(), format).unwrap();
    numbers(&tree).iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn numbers_are_flattened_with_dots() {
    let json = r#"{"mse": 1.5, "train": {"loss": [1, 2]}, "name": "ridge", "ok": true}"#;
    assert_eq!(named(json, Format::Json), ["mse=1.5", "train.loss.0=1", "train.loss.1=2"]);
    assert_eq!(
        named("mse: 1.5\ntrain:\n  loss: [1, 2]\n", Format::Yaml),
        ["mse=1.5", "train.loss.0=1", "train.loss.1=2"]
    );
    assert_eq!(
        named("mse = 1.5\n[train]\nloss = [1, 2]\n", Format::Toml),
        ["mse=1.5", "train.loss.0=1", "train.loss.1=2"]
    );
}

#[test]
fn what_is_not_finite_survives() {
    assert_eq!(named(r#"{"a": NaN, "b": -Infinity, "c": 2}"#, Format::Json), ["a=NaN", "b=-inf", "c=2"]);
    assert_eq!(named("a: .nan\nb: -.inf\n", Format::Yaml), ["a=NaN", "b=-inf"]);
    assert_eq!(named("a = nan\nb = -inf\n", Format::Toml), ["a=NaN", "b=-inf"]);
}

#[test]
fn faults_are_sentences_with_a_line() {
    for (text, format) in [("{\"a\": 1,}", Format::Json), ("a: 1\na: 2\n", Format::Yaml), ("a = \n", Format::Toml)] {
        let why = tree(text.as_bytes(), format).unwrap_err();
        assert!(why.contains("line"), "{why}");
    }
    assert!(tree(b"\xff", Format::Json).unwrap_err().contains("UTF-8"));
}

#[test]
fn columns_are_series() {
    let points = |text: &str, format| -> Vec<String> {
        series(text.as_bytes(), format).unwrap().iter().map(|s| format!("{} {:?}", s.name, s.points)).collect()
    };
    assert_eq!(
        points("epoch,loss,name\n1,0.5,a\n2,,b\n3,nan,c\n", Format::Csv),
        ["loss [(1, 0.5), (3, NaN)]"],
        "an empty cell is no value, NaN is one, texts are no series"
    );
    assert_eq!(points("a\tb\n1\t2\n3\t4\n", Format::Tsv), ["a [(0, 1.0), (1, 3.0)]", "b [(0, 2.0), (1, 4.0)]"]);
}

#[test]
fn keys_are_selected_with_what_lies_below_them() {
    let tree = tree(b"train: {lr: 0.1, name: sgd}\na.b: 3\nl: [{x: 1}]\n", Format::Yaml).unwrap();
    let keys = ["train.lr", "train.name", "train", "a.b", "l.0.x", "gone"].map(str::to_owned);
    let values: Vec<_> = select(&tree, &keys).into_iter().map(|(_, value)| value).collect();
    let expected = [Some("0.1"), Some("sgd"), Some(r#"{"lr":0.1,"name":"sgd"}"#), Some("3"), Some("1"), None];
    assert_eq!(values, expected.map(|value| value.map(str::to_owned)));
}
