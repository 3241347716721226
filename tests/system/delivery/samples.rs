//! The samples of the READMEs, as their readers would run them, on a real broker.

use crate::stage::Stage;
use hera_tests::worker_process::{Orders, WorkerProcess, beside_test, root};
use std::process::Command;

#[test]
fn sample_of_the_node_readme_serves() {
    let project = tempfile::tempdir().unwrap();
    let readme = std::fs::read_to_string(root().join("clients/node/README.md")).unwrap();
    std::fs::write(project.path().join("app.mjs"), block(&readme, "```js\n")).unwrap();
    std::fs::create_dir(project.path().join("node_modules")).unwrap();
    let package = project.path().join("node_modules/hera-client");
    std::os::unix::fs::symlink(root().join("clients/node"), package).unwrap();

    let mut command = Command::new("node");
    serves_hello(command.arg(project.path().join("app.mjs")));
}

#[test]
fn sample_of_the_rust_readme_serves() {
    let readme = std::fs::read_to_string(root().join("crates/hera-client/README.md")).unwrap();
    let example = std::fs::read_to_string(root().join("crates/hera-client/examples/hello.rs")).unwrap();
    assert!(example.ends_with(block(&readme, "```rust,no_run\n")), "the example is the README's sample");

    serves_hello(&mut Command::new(beside_test("hera-readme-sample")));
}

fn serves_hello(program: &mut Command) {
    let stage = Stage::new();
    let secret = stage.broker.key("hello", &["/0/hello/**"]);

    let worker = WorkerProcess::spawn(program, "hello", &Orders { secret, ..stage.orders.clone() });
    stage.wait_serving(&worker);
    let answer = stage.caller.call("GET /0/hello/J%C3%BCrgen");
    worker.sigterm();

    assert_eq!((answer.status, &answer.json()["hello"]), (200, &"Jürgen".into()), "{}", answer.text());
    assert_eq!(worker.wait_exit().code(), Some(0));
}

/// The first code block that begins so.
fn block<'a>(readme: &'a str, begin: &str) -> &'a str {
    let (_, rest) = readme.split_once(begin).unwrap();
    rest.split_once("```").unwrap().0
}
