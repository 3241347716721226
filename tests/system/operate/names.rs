//! Metrics, alarms, codes and log lines that the pages name.

use crate::page::text;
use hera_testkit::http::Request;
use hera_testkit::{TestBroker, command};
use hera_tests::worker_process::root;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const RULES: &str = "deploy/prometheus/hera.rules.yml";

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// Words that begin like this, of letters, digits and underscores.
fn words(text: &str, front: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(front) && word.len() > front.len())
        .map(str::to_owned)
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    // Fences are backticks, too: three of them leave the order of odd and even as it was for the text between.
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn metrics_of_alarms_and_rules_are_those_of_a_broker() {
    let broker = TestBroker::start();
    let metrics = broker.ask_admin(Request::get("/metrics"));
    let metrics = metrics.text();
    let named = words(&(text("alarms.md") + &read(RULES)), "hera_");
    let missing: Vec<&String> =
        named.iter().filter(|name| !metrics.contains(&format!("# TYPE {name} "))).collect();
    assert!(missing.is_empty(), "{missing:?} are no metrics");

    let rules = read(RULES);
    let codes = rules.split("hera_refusals_total{code=\"").skip(1).filter_map(|rest| rest.split('"').next());
    for code in codes {
        assert!(metrics.contains(&format!("hera_refusals_total{{code=\"{code}\"}}")), "{code} is no code");
    }
}

#[test]
fn alarms_of_the_rules_are_all_explained() {
    let rules = read(RULES);
    let defined: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect();
    let page = text("alarms.md") + &text("failure-table.md");

    assert!(!defined.is_empty());
    // Headers begin alike: `Hera-Timeout` has a word of its own behind the dash, so `Hera` stands alone there.
    assert_eq!(words(&page, "Hera"), defined);
}

#[test]
fn codes_of_the_pages_have_the_status_that_they_say() {
    let rows = read("spec/errors.md");
    let mut seen = 0;
    for page in ["failure-table.md", "roll-out.md"] {
        let text = text(page);
        // As 502 `worker_lost`.
        for (before, rest) in text.match_indices(" `").map(|(at, _)| text.split_at(at)) {
            let status = before.rsplit([' ', '(', '|']).next().unwrap_or_default();
            if status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let code = rest[2..].split('`').next().unwrap();
            let row = rows.lines().find(|row| row.starts_with(&format!("| {code} |")));
            let row = row.unwrap_or_else(|| panic!("{page}: {code} is no code of spec/errors.md"));
            assert_eq!(row.split('|').nth(3).map(str::trim), Some(status), "{page}: {code}");
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn log_lines_of_the_pages_are_in_the_source() {
    let mut sources = String::new();
    for crate_dir in ["hera-broker", "hera-client", "hera-registry"] {
        add_sources(&root().join("crates").join(crate_dir).join("src"), &mut sources);
    }
    let pages = ["alarms.md", "failure-table.md"].map(text).concat();
    // Sentences: several words, and none of them an option or an assignment.
    let lines = quoted(&pages).filter(|words| {
        words.split(' ').count() > 3 && words.chars().all(|c| c.is_alphanumeric() || " ;,/.'".contains(c))
    });
    let missing: Vec<&str> = lines.filter(|line| !sources.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:?} are logged by nobody");
}

fn add_sources(dir: &Path, to: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sources(&path, to);
        } else {
            to.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn verbs_and_options_of_the_pages_are_known() {
    let pages =
        ["README.md", "install.md", "roll-out.md", "alarms.md", "failure-table.md"].map(text).concat();
    for verb in quoted(&pages).filter(|words| words.starts_with("hera ")) {
        let words: Vec<&str> =
            verb.split(' ').skip(1).take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase())).collect();
        let known = command().args(&words).arg("--help").output().unwrap();
        assert!(known.status.success(), "`{verb}` is no verb");
    }
}

/// On a machine without systemd there is nobody to ask.
#[test]
fn unit_of_the_broker_is_what_systemd_takes() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = read("deploy/systemd/hera-broker.service");
    let binary = hera_testkit::hera().display().to_string();
    let file = dir.path().join("hera-broker.service");
    std::fs::write(&file, unit.replace("/usr/bin/hera", &binary)).unwrap();

    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();

    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("hera-broker.service"), "{said}");
}

#[test]
fn alarms_go_on_when_they_should_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hera.rules.yml"), read(RULES)).unwrap();
    let cases = dir.path().join("rules.test.yml");
    std::fs::write(&cases, read("tests/system/operate/rules.test.yml")).unwrap();

    let tested = Command::new("promtool").args(["test", "rules"]).arg(&cases).output();

    let tested =
        tested.unwrap_or_else(|error| panic!("promtool (package prometheus) does not start: {error}"));
    assert!(
        tested.status.success(),
        "{}",
        String::from_utf8_lossy(&tested.stderr) + String::from_utf8_lossy(&tested.stdout)
    );
}
