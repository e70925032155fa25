use super::*;
use crate::clock::Timestamp;
use crate::ids::JobName;
use crate::staleness::Reason;

fn detect(variables: &[(&str, &str)]) -> Option<Service> {
    Service::detect(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| *value))
}

#[test]
fn a_service_is_known_by_its_variables() {
    assert_eq!(detect(&[]), None);
    assert_eq!(detect(&[("CI", "false")]), None);
    assert_eq!(detect(&[("CI", "true")]), Some(Service::Other));
    assert_eq!(detect(&[("CI", "true"), ("GITHUB_ACTIONS", "true")]), Some(Service::GitHub));
    assert_eq!(detect(&[("CI", "1"), ("GITLAB_CI", "true")]), Some(Service::GitLab));
    assert_eq!(detect(&[("TF_BUILD", "True")]), Some(Service::Azure));
}

fn report() -> Report {
    let mut report = Report::default();
    let events = [
        Event::InvocationStarted {
            format: 1,
            invocation: "i".into(),
            workspace: "a<b".into(),
            argv: vec![],
            jobs: 3,
            dry_run: false,
        },
        Event::JobRegistered {
            job: JobId(0),
            name: JobName("train[a=\"1|2\"]".into()),
            needs: vec![],
            target: "local".into(),
        },
        Event::JobRegistered { job: JobId(1), name: JobName("eval".into()), needs: vec![], target: "local".into() },
        Event::JobRegistered { job: JobId(2), name: JobName("prep".into()), needs: vec![], target: "local".into() },
        Event::JobJudged { job: JobId(0), verdict: Verdict::Stale { reasons: vec![Reason::NeverRan] } },
        Event::JobJudged {
            job: JobId(2),
            verdict: Verdict::Fresh { since: RunId("c0ffee00aa".into()), repairs: vec![] },
        },
        Event::JobFinished {
            job: JobId(0),
            run: RunId("abcdef0123".into()),
            outcome: Outcome::Failed { code: 3 },
            elapsed_ms: 1234,
            log: String::new(),
            tail: vec!["</failure>\u{1b}[31m ]]> & done".into()],
        },
        Event::JobSkipped { job: JobId(1), because: JobName("train".into()), needed: true },
        Event::InvocationFinished {
            summary: Summary { failed: 1, skipped: 1, fresh: 1, elapsed_ms: 1500, ..Summary::default() },
        },
    ];
    for (seq, event) in (0..).zip(events) {
        report.hear(&Stamped { at: Timestamp(0), seq, event });
    }
    report
}

#[test]
fn a_summary_tells_every_job_and_its_metrics() {
    let metrics = |job: &str| match job {
        "prep" => vec![
            Compared { name: "rows".into(), is: 10.0, was: Some(8.0) },
            Compared { name: "new".into(), is: 0.5, was: None },
        ],
        _ => Vec::new(),
    };
    let text = report().markdown(&metrics, Some("main"));
    let expected = "\
## a&lt;b: 1 fresh, 1 failed, 1 skipped in 1.5 s

| job | | why | time | run |
| --- | --- | --- | ---: | --- |
| train\\[a=\"1\\|2\"] | ❌ failed | exit status 3 | 1.2 s | abcdef01 |
| eval | skipped | train failed |  |  |
| prep | fresh |  |  | c0ffee00 |

| job | metric | now | on `main` | change |
| --- | --- | ---: | ---: | ---: |
| prep | rows | 10 | 8 | +2 |
| prep | new | 0.5 |  |  |
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("<details><summary>train[a=&quot;1|2&quot;]: the last lines</summary>"), "{text}");
}

#[test]
fn a_junit_report_is_xml_whatever_jobs_print() {
    let text = report().junit();
    assert!(text.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"1.500\""), "{text}");
    assert!(text.contains("<failure message=\"exit status 3\">&lt;/failure&gt;"), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains("]]&gt; &amp; done"), "{text}");
    assert!(
        text.contains("<testcase classname=\"a&lt;b\" name=\"prep\" time=\"0.000\">\n      <system-out>fresh"),
        "{text}"
    );
}

#[test]
fn faults_are_annotations_of_their_lines() {
    let source = Source { name: "a,b/Amlfile".into(), text: "format = 1\n[x]\n".into() };
    let fault = Diagnostic::error("unknown-key", 11..14, "100 % wrong\nreally; yes]", "here");
    assert_eq!(
        Service::GitHub.annotation(&source, &fault).unwrap(),
        "::error file=a%2Cb/Amlfile,line=2,col=1,title=unknown-key::100 %25 wrong%0Areally; yes]\n"
    );
    assert_eq!(
        Service::Azure.annotation(&source, &fault).unwrap(),
        "##vso[task.logissue type=error;sourcepath=a,b/Amlfile;linenumber=2;columnnumber=1;code=unknown-key]100 %AZP25 wrong%0Areally%3B yes%5D\n"
    );
    assert_eq!(Service::Other.annotation(&source, &fault), None);
}
