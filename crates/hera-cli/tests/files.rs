//! The verbs on the files of a standalone broker, as a person or script runs them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::path::Path;
use std::process::{Command, Output};

use hera_registry::{KnownEndpoint, Standalone, TokenText};

fn hera(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hera"));
    command.args(arguments).current_dir(dir);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HERA") {
            command.env_remove(name);
        }
    }
    command.output().unwrap()
}

/// Runs a verb on the folder `data` and gives exit code, stdout and stderr.
fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let at = ["--data-dir", "data"];
    let output = hera(dir, &[arguments, &at[..]].concat());
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn created_token_is_alone_on_stdout_and_works() {
    let dir = folder();

    let arguments =
        ["token", "create", "--name", "ads", "--allow", "GET /0/**", "--rate", "100/s", "--expires", "30d"];
    let (code, stdout, _) = run(dir.path(), &[&arguments[..], &["--label", "team=ads"]].concat());

    assert_eq!(code, 0);
    let token = TokenText::parse(stdout.strip_suffix('\n').unwrap().as_bytes()).unwrap();
    let registry = Standalone::open(&dir.path().join("data"), None).unwrap();
    let record = &registry.load_snapshot().unwrap().tokens[&token.digest()];
    assert_eq!((record.name.as_str(), record.labels["team"].as_str()), ("ads", "ads"));
    assert!(record.allows("GET", "/0/x"));
}

#[test]
fn token_list_shows_all_but_the_secret() {
    let dir = folder();
    let (_, token, _) =
        run(dir.path(), &["token", "create", "--name", "ads", "--allow", "GET /0/**", "--expires", "1d"]);

    let (code, table, _) = run(dir.path(), &["token", "list"]);
    let (_, json, _) = run(dir.path(), &["token", "list", "--json"]);

    assert_eq!(code, 0);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("ID ") && lines[0].ends_with("CREATED"));
    assert!(lines[1].contains("ads") && lines[1].contains("GET /0/**"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["name"], "ads");
    assert!(!table.contains(&token.trim()[21..]) && !json.to_string().contains(&token.trim()[21..]));
}

#[test]
fn token_is_rotated_and_revoked_by_name_and_id() {
    let dir = folder();
    let (_, first, _) = run(dir.path(), &["token", "create", "--name", "ads"]);

    let (code, second, _) = run(dir.path(), &["token", "rotate", "ads"]);
    assert_eq!(code, 0);
    assert!(TokenText::parse(second.trim().as_bytes()).is_some() && second != first);

    assert_eq!(run(dir.path(), &["token", "revoke", &first[5..21]]).0, 1);
    let (code, stdout, _) = run(dir.path(), &["token", "revoke", &second[5..21]]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert_eq!(run(dir.path(), &["token", "list", "--json"]).1, "[]\n");
}

#[test]
fn anonymous_record_prints_no_token() {
    let dir = folder();

    let (code, stdout, _) =
        run(dir.path(), &["token", "create", "--anonymous", "--allow", "GET /0/public/**"]);

    assert_eq!((code, stdout.as_str()), (0, ""));
    assert!(run(dir.path(), &["token", "list"]).1.contains("anonymous"));
}

#[test]
fn key_lives_from_create_to_revoke() {
    let dir = folder();

    let (code, key, _) = run(dir.path(), &["key", "create", "--name", "ads", "--serve", "/0/ads/**"]);
    assert_eq!((code, key.trim().len()), (0, 160));

    let (code, _, stderr) = run(dir.path(), &["key", "create", "--name", "shop", "--serve", "/0/**"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("ads") && stderr.contains("/0/ads/**") && stderr.contains("--share"));
    assert_eq!(run(dir.path(), &["key", "create", "--name", "shop", "--serve", "/0/**", "--share"]).0, 0);

    assert_eq!(run(dir.path(), &["key", "update", "ads", "--call", "GET /1/**"]).0, 0);
    assert_eq!(run(dir.path(), &["key", "update", "ads", "--serve-nothing", "--share"]).0, 0);
    let (_, json, _) = run(dir.path(), &["key", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["call"], serde_json::json!(["GET /1/**"]));
    assert_eq!((&json[0]["serve"], &json[0]["share"]), (&serde_json::json!([]), &serde_json::json!(true)));

    let (code, rotated, _) = run(dir.path(), &["key", "rotate", "ads"]);
    assert!(code == 0 && rotated.trim().len() == 160 && rotated != key);
    assert_eq!(run(dir.path(), &["key", "revoke", "ads"]).0, 0);
    assert_eq!(run(dir.path(), &["key", "revoke", "ads"]).0, 1);
}

#[test]
fn known_endpoints_are_shown_and_forgotten() {
    let dir = folder();
    let registry = Standalone::open(&dir.path().join("data"), None).unwrap();
    let known =
        KnownEndpoint { endpoint: "GET /0/{id}".into(), timeout_ms: 1, body_bytes_max: 2, idempotent: true };
    registry.merge_endpoints("ads", &[known], 0).unwrap();

    assert!(run(dir.path(), &["endpoints"]).1.contains("GET /0/{id}"));
    assert_eq!(run(dir.path(), &["endpoints", "forget", "GET /0/{id}"]).0, 0);
    assert_eq!(run(dir.path(), &["endpoints", "forget", "GET /0/{id}"]).0, 1);
    assert_eq!(run(dir.path(), &["endpoints", "--json"]).1, "[]\n");
}

#[test]
fn values_that_can_never_be_right_are_wrong_usage() {
    let dir = folder();
    for arguments in [
        &["token", "create"][..],
        &["token", "create", "--name", "a", "--anonymous"],
        &["token", "create", "--name", "a b"],
        &["token", "create", "--name", "a", "--allow", "GET"],
        &["token", "create", "--name", "a", "--rate", "fast"],
        &["token", "create", "--name", "a", "--expires", "30"],
        &["token", "create", "--name", "a", "--label", "team"],
        &["token", "revoke", "a/../b"],
        &["token", "revoke", ".."],
        &["key", "create", "--name", "Ads"],
        &["key", "create", "--name", "a", "--serve", "0/x"],
        &["key", "update", "a"],
        &["key", "update", "a", "--share", "--no-share"],
        &["workers"],
        &["nonsense"],
    ] {
        let (code, stdout, stderr) = run(dir.path(), arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!stderr.is_empty());
    }
}

#[test]
fn mistyped_folder_is_not_made_by_a_verb_that_reads() {
    let dir = folder();

    for arguments in [&["token", "list"][..], &["key", "list"], &["endpoints"], &["token", "revoke", "a"]] {
        let (code, _, stderr) = run(dir.path(), arguments);
        assert_eq!((code, stderr.lines().count()), (1, 1), "{stderr}");
    }

    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn without_a_broker_one_line_says_so_and_what_to_do() {
    let dir = folder();
    // A port that was free a moment ago: nothing of ours listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();

    for verb in [&["token", "list"][..], &["workers"], &["token", "create", "--name", "a"]] {
        let output = hera(dir.path(), &[verb, &["--admin", &free]].concat());
        let stderr = text(output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len(), stderr.lines().count()),
            (Some(1), 0, 1),
            "{stderr}"
        );
        assert!(stderr.contains(&free) && stderr.contains("hera broker") && stderr.contains("--data-dir"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn admin_token_is_not_sent_off_this_machine() {
    let dir = folder();

    let output = hera(dir.path(), &["token", "list", "--admin", "192.0.2.1:4380"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(text(output.stderr).contains("tunnel"));
}

#[test]
fn configuration_is_checked_and_shown() {
    let dir = folder();
    std::fs::write(dir.path().join("good.toml"), "[http]\nlisten = \"127.0.0.1:81\"\n").unwrap();
    std::fs::write(dir.path().join("bad.toml"), "[http]\nlisen = \"127.0.0.1:81\"\n").unwrap();

    let check = hera(dir.path(), &["config", "check", "--config", "good.toml"]);
    assert_eq!((check.status.code(), text(check.stdout).as_str()), (Some(0), "ok\n"));

    for verb in [&["config", "check"][..], &["config", "show"], &["broker"]] {
        let output = hera(dir.path(), &[verb, &["--config", "bad.toml"]].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
        assert_eq!(
            text(output.stderr),
            "hera: bad.toml:2: unknown key http.lisen; did you mean http.listen?\n"
        );
    }

    let show =
        hera(dir.path(), &["config", "show", "--origin", "--config", "good.toml", "--admin", "127.0.0.1:82"]);
    let shown = text(show.stdout);
    assert!(shown.contains("http.listen = \"127.0.0.1:81\"  # good.toml:2\n"));
    assert!(shown.contains("admin.listen = \"127.0.0.1:82\"  # --admin\n"));
    assert!(shown.contains("workers.listen = \"127.0.0.1:4372\"  # default\n"));

    std::fs::write(dir.path().join("shown.toml"), &shown).unwrap();
    let again = hera(dir.path(), &["config", "check", "--config", "shown.toml"]);
    assert_eq!(again.status.code(), Some(0));
}
