//! TLS on the public and the worker listener: callers by https, workers of every language by `heras://`.

use hera_testkit::{TestBroker, curl, wait_until};
use hera_tests::worker_process::{Language, Orders, WorkerProcess};
use std::path::PathBuf;

fn certificate(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/hera-client/tests/certificates");
    PathBuf::from(folder).join(name).canonicalize().expect("the certificates lie in the client's tests")
}

#[test]
fn callers_and_workers_of_all_languages_speak_tls() {
    let config =
        format!("[tls]\ncert = {:?}\nkey = {:?}\n", certificate("broker.pem"), certificate("broker.key"));
    let broker = TestBroker::with_config(&config).start();
    let secret = broker.key("work", &["/0/work/**"]);
    let token = broker.token(&["GET /0/**"]);
    let orders = Orders {
        brokers: format!("heras://localhost:{}", broker.workers().port()),
        secret,
        prefix: "/0/work".into(),
        environment: vec![
            ("HERA_CA_FILE", certificate("ca.pem")),
            ("NODE_EXTRA_CA_CERTS", certificate("ca.pem")),
        ],
    };
    let url = format!("https://localhost:{}/0/work/pid", broker.http().port());
    let authority = certificate("ca.pem").display().to_string();

    for language in [Language::Rust, Language::Node, Language::Java] {
        let worker = WorkerProcess::start(language, "tls", &orders);
        let header = format!("Hera-Token: {token}");
        let mut answer = String::new();
        wait_until("an answer over TLS", || {
            let call = curl(["-s", "--cacert", &authority, "-H", &header, &url]);
            answer = call.text().to_owned();
            answer.contains("\"pid\"")
        });
        assert!(answer.contains(&worker.pid().to_string()), "{language:?}: {answer}");
        worker.sigterm();
        assert!(worker.wait_exit().success());
    }

    let plain =
        curl(["-s", "-o", "/dev/null", "-w", "%{http_code}", &format!("http://{}/-/ready", broker.http())]);
    assert_eq!(plain.text(), "000", "plain HTTP gets no answer where TLS is spoken");
}
