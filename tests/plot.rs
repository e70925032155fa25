//! The page of `amlrun plot` in a real browser: no script error, nothing fetched from outside, every chart drawn. Needs
//! Chromium; where there is none, the test says so and is skipped.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and runs amlrun and a browser")]

use std::path::Path;
use std::process::{Command, Stdio};

const AMLFILE: &str = r#"format = 1
[experiments.train]
command = "mkdir -p outputs && cp cm.json roc.json res.json pred.json outputs/ && printf 'epoch,loss,acc\n0,${alpha},0.1\n1,0.5,0.6\n2,0.25,0.9\n' > curve-${alpha}.csv"
sources = ["*.json"]
matrix = { alpha = [1, 2, 3] }
metrics = ["curve-${alpha}.csv"]
"#;
const MATRIX: &str = r#"{"schema_type": "confusion_matrix", "schema_version": "1.0.0",
    "data": {"class_labels": ["cat", "</script><script>throw 1</script>"], "matrix": [[8, 2], [1, 9]]}}"#;
const ROC: &str = r#"{"schema_type": "accuracy_table", "schema_version": "1.0.1", "data": {"probability_tables":
    [[[4, 4, 0, 0], [3, 1, 3, 1], [0, 0, 4, 4]]], "probability_thresholds": [0, 0.5, 1], "class_labels": ["yes"]}}"#;
const RESIDUALS: &str =
    r#"{"schema_type": "residuals", "data": {"bin_edges": [-2, -1, 0, 1, 2], "bin_counts": [1, 7, 6, 2]}}"#;
const PREDICTIONS: &str = r#"{"schema_type": "predictions", "data": {"bin_averages": [0.4, 1.6, 2.2], "bin_errors": [0.1, 0.2, 0.3],
    "bin_counts": [3, 8, 4], "bin_edges": [0, 1, 2, 3]}}"#;

#[test]
fn the_page_is_drawn_in_a_browser() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| works(name)) else {
        println!("skipped: plot: there is no Chromium");
        return;
    };
    let folder = tempfile::Builder::new().prefix("amlrun-plot-").tempdir().unwrap();
    for (name, text) in [
        ("Amlfile", AMLFILE),
        ("cm.json", MATRIX),
        ("roc.json", ROC),
        ("res.json", RESIDUALS),
        ("pred.json", PREDICTIONS),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    amlrun(folder.path(), &["-q", "-j1"]);
    let charts: Vec<serde_json::Value> = serde_json::from_str(&amlrun(folder.path(), &["plot", "--json"])).unwrap();
    let of = |kinds: &[&str]| charts.iter().filter(|chart| kinds.contains(&chart["kind"].as_str().unwrap())).count();
    // Two metrics as curves and by alpha; for each run a matrix, three curves of its classifier (ROC, precision by recall,
    // calibration), predictions, and the bars of these and of the residuals.
    let found = (of(&["curve"]), of(&["scatter"]), of(&["matrix"]), of(&["bars"]));
    assert_eq!(found, (2 + 3 * 4, 2, 3, 3 * 2), "{charts:#?}");
    for chart in charts.iter().filter(|chart| chart["traces"].is_array()) {
        let traces = chart["traces"].as_array().unwrap();
        assert!(traces.iter().all(|trace| trace["y"].as_array().is_some_and(|y| y.len() > 1)), "{chart:#?}");
    }

    amlrun(folder.path(), &["plot", "-o", "page.html"]);
    let page = folder.path().join("page.html");
    let (text, said) = opened(browser, folder.path(), &page);
    // The script says how much it drew when it comes to its end; an error keeps it from there.
    assert!(text.contains(&format!("data-drawn=\"{}\"", charts.len())), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE") || line.contains("Uncaught")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(text.matches("<canvas").count(), of(&["curve", "scatter", "bars"]), "a canvas for every chart of lines");
    let (drawn, empty) = (text.matches("data-points=\"").count(), text.matches("data-points=\"0\"").count());
    assert_eq!((drawn, empty), (of(&["curve", "scatter", "bars"]), 0), "every chart of lines has its points");
    let source = std::fs::read_to_string(&page).unwrap();
    for outside in ["src=\"http", "href=\"http", "@import", "url(http", "fetch(", "XMLHttpRequest"] {
        assert!(!source.contains(outside), "the page has {outside}");
    }
}

/// What the page has become in the browser, and what that said.
fn opened(browser: &str, folder: &Path, page: &Path) -> (String, String) {
    let dom = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8_lossy(&dom.stdout).into_owned(), String::from_utf8_lossy(&dom.stderr).into_owned())
}

/// Twelve trials: the value is told by `x`, hardly by `kind`; one trial fails.
const SWEEP: &str = r#"format = 1
[experiments.tune]
command = "[ ${x} = 6 ] && exit 1; echo '{\"loss\": ${x}}' > loss.json; echo ${x} > best"
sources = []
outputs = ["best"]
metrics = ["loss.json"]
[experiments.tune.sweep]
sampling = "grid"
metric = "loss"
goal = "minimize"
[experiments.tune.sweep.space]
x = { choice = [1, 2, 3, 4, 5, 6] }
kind = { choice = ["a", "</b>"] }
"#;

#[test]
fn what_a_sweep_came_to_is_drawn_in_a_browser() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| works(name)) else {
        println!("skipped: plot: there is no Chromium");
        return;
    };
    let folder = tempfile::Builder::new().prefix("amlrun-plot-").tempdir().unwrap();
    std::fs::write(folder.path().join("Amlfile"), SWEEP).unwrap();
    amlrun(folder.path(), &["-q", "-j1"]);
    let charts: Vec<serde_json::Value> =
        serde_json::from_str(&amlrun(folder.path(), &["plot", "tune", "--json"])).unwrap();
    let titled =
        |title: &str| charts.iter().find(|chart| chart["title"] == title).unwrap_or_else(|| panic!("{charts:#?}"));
    // One trial after the other, the last parameter fastest: 1, 1, 2, 2, …; the two of 6 failed.
    let best = titled("tune: best loss over trials");
    assert_eq!(best["traces"][0]["y"], serde_json::json!(vec![1.0; 10]), "{best:#}");
    assert_eq!(best["traces"][1]["y"], serde_json::json!([1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0]));
    assert_eq!(titled("tune: best loss over time")["traces"][0]["x"].as_array().unwrap().len(), 10);
    let told = titled("tune: how much of loss each parameter tells");
    assert_eq!((&told["labels"], told["values"][0].as_f64()), (&serde_json::json!(["x", "kind"]), Some(1.0)));
    let lines = titled("tune: every trial");
    assert_eq!((lines["lines"].as_array().unwrap().len(), lines["axes"].as_array().unwrap().len()), (10, 3));
    let page = folder.path().join("page.html");
    amlrun(folder.path(), &["plot", "-o", "page.html"]);
    let (text, said) = opened(browser, folder.path(), &page);
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE") || line.contains("Uncaught")).collect();
    assert!(text.contains("data-drawn=\"") && errors.is_empty(), "{errors:#?} {said}");
    assert_eq!(text.matches("class=\"share\"").count(), 2);
    // A line each, and the axes.
    assert_eq!((text.matches("<title>tune[").count(), text.matches("<path").count()), (10, 13));
    assert!(amlrun(folder.path(), &["plot", "--terminal"]).contains("1.00  x"));
}

fn works(browser: &str) -> bool {
    let mut command = Command::new(browser);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn amlrun(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    let done = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "amlrun {arguments:?} ended with {}:\n{said}", done.status);
    String::from_utf8(done.stdout).unwrap()
}
