//! Every variant is one that HAProxy takes, and what is wrong is refused before HAProxy sees it.

use hera_testkit::{Verdict, command};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const BINARY: &str = "/usr/sbin/haproxy";

pub(crate) fn certificate(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/hera-client/tests/certificates");
    PathBuf::from(folder).join(name).canonicalize().unwrap()
}

/// Certificate and key in one file, as HAProxy wants them.
pub(crate) fn front_certificate(dir: &Path) -> String {
    let read = |name| std::fs::read_to_string(certificate(name)).unwrap();
    let file = dir.join("front.pem");
    std::fs::write(&file, read("broker.pem") + &read("broker.key")).unwrap();
    file.display().to_string()
}

fn render(args: &[&str]) -> Verdict {
    Verdict::of(command().args(["haproxy", "render"]).args(args))
}

#[test]
fn haproxy_takes_every_variant_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let front = front_certificate(dir.path());
    let authority = certificate("ca.pem").display().to_string();
    let socket = dir.path().join("my stats.sock").display().to_string();
    let plain = ["--server", "b-1=127.0.0.1:1", "--server", "b-2=[::1]:2"];
    let variants: [&[&str]; 8] = [
        &[],
        &["--bind", "*:8000", "--bind", "[::]:8002"],
        &["--tls-cert", &front, "--bind", "127.0.0.1:8443"],
        &["--stats", &socket],
        &["--maxconn", "100", "--server-maxconn", "10", "--nbthread", "2"],
        &["--user", "nobody"],
        &["--inner", "[::1]:8001"],
        &[
            "--ca-file",
            &authority,
            "--server",
            "b-3=https://localhost:3",
            "--server",
            "b-4=https://127.0.0.1:4",
        ],
    ];
    for options in variants {
        // The group of that name has another one in Debian.
        let rendered = render(&[&plain, options].concat());
        assert_eq!(rendered.code, 0, "{options:?}: {}", rendered.stderr);
        let text = rendered.stdout.replace("group nobody", "group nogroup");
        let file = dir.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let checked = Verdict::of(Command::new(BINARY).args(["-c", "-q", "-f"]).arg(&file));
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{options:?}");
    }
}

#[test]
fn what_cannot_be_is_wrong_usage() {
    let server = ["--server", "b-1=127.0.0.1:1"];
    let variants: [&[&str]; 10] = [
        &["--server", "b-1=127.0.0.1:2"],
        &["--server", "b-2=nowhere"],
        &["--server", "b-2=https://127.0.0.1:1"],
        &["--bind", "localhost:80"],
        &["--bind", "127.0.0.1:80 user root"],
        &["--inner", "10.0.0.1:8001"],
        &["--bind", "*:8001"],
        &["--tls-cert", "a'b"],
        &["--maxconn", "0"],
        &["--watch"],
    ];
    for options in variants {
        let refused = render(&[&server, options].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{options:?}: {}", refused.stderr);
    }
    assert_eq!(render(&[]).code, 2);
}

#[test]
fn plain_address_that_others_reach_is_warned_of() {
    let warned = render(&["--server", "b-1=127.0.0.1:1", "--bind", "0.0.0.0:80"]);
    assert!(warned.stdout.contains("# WARNING: 0.0.0.0:80") && warned.stderr.contains("0.0.0.0:80"));
    let local = render(&["--server", "b-1=127.0.0.1:1"]);
    assert!(!local.stdout.contains("WARNING") && local.stderr.is_empty());
}

/// The lines of the page that run `hera haproxy render`, without where their output goes.
pub(crate) fn samples() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/haproxy.md");
    let text = std::fs::read_to_string(page).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once("hera haproxy render"));
    let samples: Vec<String> = lines
        .filter(|(before, _)| before.is_empty() || before.starts_with("ExecStart="))
        .map(|(_, options)| options.split('>').next().unwrap().trim().to_owned())
        .collect();
    assert_eq!(samples.len(), 4);
    samples
}

#[test]
fn samples_of_the_page_with_a_fixed_list_are_taken_by_haproxy() {
    let dir = tempfile::tempdir().unwrap();
    front_certificate(dir.path());
    for sample in samples().iter().filter(|sample| sample.contains("--server")) {
        // By a shell in a folder with that certificate, as a reader would.
        let line = format!("{} haproxy render {sample} > haproxy.cfg", hera_testkit::hera().display());
        let made = Verdict::of(Command::new("sh").args(["-c", &line]).current_dir(&dir));
        assert_eq!(made.code, 0, "{sample}: {}", made.stderr);
        let checked =
            Verdict::of(Command::new(BINARY).args(["-c", "-q", "-f", "haproxy.cfg"]).current_dir(&dir));
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{sample}");
    }
}
