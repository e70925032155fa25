use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Logged {
    let mut reader = Reader::default();
    reader.feed(text.as_bytes());
    reader.logged
}

#[test]
fn a_log_is_read_line_by_line() {
    let text = concat!(
        r#"{"at":5,"metric":"mse","value":1.5,"step":0}"#,
        "\n",
        r#"{"at":6,"metric":"mse","value":"NaN","step":1}"#,
        "\n\n",
        r#"{"at":6.5,"metric":"mse","value":"-Infinity","step":1}"#,
        "\nno line\n",
        r#"{"param":"alpha","value":0.1}"#,
        "\n",
        r#"{"tag":"k","value":"v"}"#,
        "\n",
        r#"{"tag":"k","value":null}"#,
        "\n",
        r#"{"log":"list","name":"l","value":[1,2]}"#,
        "\n",
        r#"{"at":7,"child":"c1","name":"first"}"#,
        "\n",
        r#"{"at":8,"run":"c1","metric":"loss","value":2}"#,
        "\n",
        r#"{"at":9,"run":"c1","status":"Completed"}"#,
        "\n",
        r#"{"model":"m","path":"outputs/m.pkl","tags":{"a":1}}"#,
        "\n",
        r#"{"metric":"half","val"#,
    );
    let mut reader = Reader::default();
    let used = reader.feed(text.as_bytes());
    assert_eq!(used, text.len() - r#"{"metric":"half","val"#.len());
    assert_eq!(reader.unreadable, 1);
    let logged = reader.logged;
    let mse = &logged.series[0];
    assert_eq!((mse.name.as_str(), mse.points.len()), ("mse", 3));
    assert!(mse.points[1].value.is_nan());
    assert_eq!(mse.last(), Some(Point { at: 6, step: 1, value: f64::NEG_INFINITY }));
    assert_eq!(logged.own.params["alpha"], "0.1");
    assert_eq!(logged.own.tags["k"], None);
    assert_eq!(logged.own.tables[0].kind, "list");
    assert_eq!(logged.metrics(Some("c1")), BTreeMap::from([("loss".to_owned(), 2.0)]));
    let child = &logged.children[0];
    assert_eq!((child.name.as_str(), child.started, child.ended), ("first", 7, Some(9)));
    assert_eq!(child.facts.status.as_deref(), Some("Completed"));
    assert_eq!(logged.own.models[0].tags["a"], "1");
}

#[test]
fn secrets_are_cut_out_of_everything() {
    let secret = "pa\"ss\né1234";
    let text = [
        serde_json::json!({ "param": secret, "value": format!("x{secret}y") }),
        serde_json::json!({ "tag": "t", "value": serde_json::json!({ "inner": secret }).to_string() }),
        serde_json::json!({ "log": "table", "name": secret, "value": { secret: [secret, 123_456, 9] } }),
        serde_json::json!({ "artifact": format!("a/{secret}.txt") }),
        serde_json::json!({ "metric": format!("m {secret}"), "value": 123_456, "step": 2 }),
        serde_json::json!({ "child": "c", "name": secret }),
        serde_json::json!({ "run": "c", "status": "Failed", "error": "pa%22ss%0A%C3%A91234 \\\"" }),
        serde_json::json!({ "tag": "python", "value": r#"{"a": "pa\"ss\n\u00e91234"}"# }),
        serde_json::json!({ "dataset": { "name": secret } }),
        serde_json::json!({ "logged_model": "m-1", "value": { "n": secret } }),
    ];
    let text = text.map(|line| line.to_string()).join("\n") + "\n";
    let plain = Secrets::new(&[secret.to_owned(), "123456".to_owned(), "abc".to_owned()]);
    let sealed = Secrets::unseal(&plain.seal("salt")).unwrap();
    for secrets in [plain, sealed] {
        let mut logged = read(&text);
        logged.mask(&secrets);
        let shown = format!("{logged:?} {}", serde_json::to_string(&logged).unwrap());
        for part in ["ss\\n", "1234", "u00e9", "123456"] {
            assert!(!shown.contains(part), "{part} in {shown}");
        }
        assert_eq!(logged.own.params["***"], "x***y");
        assert_eq!(logged.own.tags["t"].as_deref(), Some("{\"inner\":\"***\"}"));
        assert!(logged.series[0].points[0].value.is_nan());
    }
}

#[test]
fn a_usual_series_is_compact() {
    let points: Vec<Point> = (0..100_000_u32)
        .map(|n| Point { at: 1_700_000_000_000 + u64::from(n) * 3, step: n.into(), value: 1.0 / f64::from(n + 1) })
        .collect();
    let bytes = encode(&points);
    assert!(bytes.len() < 1_200_000, "{}", bytes.len());
    assert_eq!(decode(&bytes).unwrap(), points);
}

#[test]
fn several_series_are_one_object() {
    let point = Point { at: 1, step: 2, value: 3.0 };
    let one = |of: Option<&str>, name: &str, n| Series {
        of: of.map(str::to_owned),
        name: name.into(),
        points: vec![point; n],
    };
    let all = vec![one(None, "mse", 3), one(Some("c1"), "", 0), one(Some("c2"), "ü", 1)];
    assert_eq!(unpack(&pack(&all)).unwrap(), all);
    assert_eq!(unpack(&[]), Some(Vec::new()));
}

proptest! {
    #[test]
    fn every_series_comes_back(points in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>()), 0..50)) {
        let points: Vec<Point> =
            points.into_iter().map(|(at, step, bits)| Point { at, step, value: f64::from_bits(bits) }).collect();
        let back = decode(&encode(&points)).unwrap();
        let bits = |points: &[Point]| points.iter().map(|p| (p.at, p.step, p.value.to_bits())).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back), bits(&points));
    }

    #[test]
    fn damage_is_no_series(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = (decode(&bytes), unpack(&bytes));
    }

    #[test]
    fn no_bytes_stop_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        Reader::default().feed(&bytes);
    }
}
