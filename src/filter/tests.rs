//! Filters over one run.

use super::*;

fn run(key: &Key) -> Option<Is> {
    let number = |n: f64| Some(Is::Number(n));
    let text = |t: &str| Some(Is::Text(t.to_owned()));
    match (key.space, key.name.as_str()) {
        (Space::Metric, "mse") => number(2500.0),
        (Space::Metric, "val loss") => number(0.5),
        (Space::Metric, "bad") => number(f64::NAN),
        (Space::Param, "alpha") => text("0.2"),
        (Space::Param, "params.yaml:lr") => text("1"),
        (Space::Tag, "stage") => text("Dev-1"),
        (Space::Attribute, "status") => text("Completed"),
        _ => None,
    }
}

#[test]
fn clauses_hold_or_not() {
    for (text, expected) in [
        ("", true),
        ("metrics.mse < 3000 and params.alpha > 0.1", true),
        ("metrics.mse < 3000 AND params.alpha > 0.2", false),
        ("metric.`val loss` >= .5", true),
        ("metrics.\"val loss\" != 0.5", false),
        ("metrics.bad = 1", false),
        ("metrics.bad != 1", true),
        ("metrics.gone != 1", false),
        ("params.alpha = '0.2'", true),
        ("parameters.alpha IN ('0.1', '0.2')", true),
        ("params.alpha NOT IN ('0.2')", false),
        ("params.params.yaml:lr = 1", true),
        ("tags.stage LIKE 'Dev%'", true),
        ("tags.stage LIKE 'dev%'", false),
        ("tags.stage ILIKE 'DEV__'", true),
        ("tags.gone IS NULL and tags.stage is not null", true),
        ("status = 'Completed'", true),
        ("attributes.status != 'Completed'", false),
    ] {
        assert_eq!(Filter::parse(text).unwrap().holds(&run), expected, "{text}");
    }
}

#[test]
fn faults_are_sentences() {
    for (text, why) in [
        ("metrics.mse", "a comparator is missing after `mse`"),
        ("metrics.mse <", "a value is missing after `mse`"),
        ("metrics.mse < 'x'", "the metric `mse` is compared with a number, without quotes"),
        ("metrics.mse < 1 or metrics.mse > 2", "clauses are joined by `and` only; `or` is not in MLflow's grammar"),
        ("speed.x = 1", "`speed.` is none of `metrics.`, `params.`, `tags.`, `attributes.`"),
        ("tags.a = 'b", "a ' is missing at the end"),
        ("metrics.mse ~ 1", "`~` has no meaning here"),
        ("params.a = b", "`b` after `a` is neither a number nor a text in quotes"),
        ("metrics. < 1", "a name is missing after `metrics.`"),
    ] {
        assert_eq!(Filter::parse(text).unwrap_err(), why, "{text}");
    }
    assert!(Filter::parse("colour = 'red'").unwrap_err().starts_with("there is no attribute `colour`"));
}

#[test]
fn patterns_of_many_percents_take_no_exponential_time() {
    let text = "a".repeat(5_000);
    assert!(!like(&format!("{}b", "%a".repeat(50)), &text));
    assert!(like("%", "") && like("", "") && !like("_", "") && like("a%c", "abbc"));
}
