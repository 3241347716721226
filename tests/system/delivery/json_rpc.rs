//! The wire is JSON-RPC 2.0 as others understand it: a library that knows nothing of Hera serves calls of a real broker.

use crate::stage::Stage;
use hera_tests::worker_process::root;
use std::process::Command;

#[test]
fn unmodified_json_rpc_library_serves_a_real_broker() {
    let stage = Stage::new();
    let secret = stage.broker.key("json-rpc", &["/0/json-rpc-test/**"]);

    let output = Command::new("node")
        .args(["--test", "--test-reporter=tap", "dist-test/test/json-rpc.test.js"])
        .current_dir(root().join("clients/node"))
        .env("HERA_TEST_BROKER", stage.broker.workers_url())
        .env("HERA_TEST_SECRET", secret)
        .env("HERA_TEST_HTTP", stage.broker.url(""))
        .env("HERA_TEST_TOKEN", &stage.token)
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "npm run build:test in clients/node makes it:\n{said}");
    assert!(said.contains("# pass 1\n") && said.contains("# skipped 1\n"), "{said}");
}
