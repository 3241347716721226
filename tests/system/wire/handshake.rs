//! P-14 to P-21: who is let in, and what the others are told.

use crate::stage::Stage;
use hera_protocol::handshake::WorkerHandshake;
use hera_protocol::key::WorkerKey;
use hera_protocol::proof::{Role, Signer, transcript};
use hera_testkit::{RawWorker, frame_bytes, hello, refusal, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn key(stage: &Stage) -> WorkerKey {
    WorkerKey::parse(&stage.broker.key("raw", &["/**"])).unwrap()
}

fn connect(stage: &Stage) -> RawWorker {
    RawWorker::connect(stage.broker.workers())
}

#[test]
fn wrong_seed_is_unauthenticated() {
    let stage = Stage::new();
    let wrong = WorkerKey { seed: [7; 32], ..key(&stage) };

    let mut worker = connect(&stage);
    let answer = worker.shake(&wrong, &hello(&wrong));

    assert_eq!(refusal(&answer), "unauthenticated");
    assert!(worker.is_closed());
    stage.stands_and_logged_once(&["\"code\":\"unauthenticated\"", &wrong.id, "not proven"]);
}

#[test]
fn unknown_key_gets_the_answer_of_a_wrong_one() {
    let stage = Stage::new();
    let known = key(&stage);
    let wrong = WorkerKey { seed: [7; 32], ..known.clone() };
    let unknown = WorkerKey { id: "00000000deadbeef".into(), ..known };

    let told = |key: &WorkerKey| connect(&stage).shake(key, &hello(key));
    let (told_unknown, told_wrong) = (told(&unknown), told(&wrong));

    assert_eq!(refusal(&told_unknown), "unauthenticated");
    assert_eq!(told_unknown, told_wrong);
    stage.stands_and_logged_once(&["\"code\":\"unauthenticated\"", "00000000deadbeef", "not known"]);
}

#[test]
fn bytes_of_a_good_handshake_are_worth_nothing_later() {
    let stage = Stage::new();
    let key = key(&stage);
    let shake = WorkerHandshake::new(&hello(&key)).unwrap();
    let mut good = connect(&stage);
    good.send_frame(&shake.hello, b"");
    let answer = good.frame().unwrap();
    let proof = shake.answer(&key, &answer.head, &answer.attachment.to_bytes(), None).unwrap();
    good.send_frame(&proof.head, &proof.proof);
    assert_eq!(good.read().unwrap().0["result"]["service"], "raw");

    let mut replay = connect(&stage);
    replay.send(&[frame_bytes(&shake.hello, b""), frame_bytes(&proof.head, &proof.proof)].concat());
    assert!(replay.read().unwrap().0["result"].is_object());

    assert_eq!(refusal(&replay.read().unwrap().0), "unauthenticated");
    assert!(replay.is_closed());
    stage.stands_and_logged_once(&["\"code\":\"unauthenticated\"", "not proven"]);
    // The session whose bytes were stolen goes on.
    good.open();
    good.ping();
}

#[test]
fn hello_that_was_changed_on_the_way_ends_the_handshake_on_both_sides() {
    let stage = Stage::new();
    let key = key(&stage);
    let said = hello(&key);
    let shake = WorkerHandshake::new(&said).unwrap();
    let mut changed = said.clone();
    changed.limits.in_flight_max = 1;
    let mut worker = connect(&stage);
    worker.send_frame(&WorkerHandshake::new(&changed).unwrap().hello, b"");
    let answer = worker.frame().unwrap();

    // An honest worker leaves here: the broker's proof is over a hello that it never sent.
    assert!(shake.answer(&key, &answer.head, &answer.attachment.to_bytes(), None).is_err());
    // One that signs nevertheless is refused.
    let proof =
        Signer::from_seed(&key.seed).prove(Role::Worker, &transcript(&shake.hello, &answer.head, None));
    worker.send_frame(br#"{"jsonrpc":"2.0","id":2,"method":"prove","params":{}}"#, &proof);

    assert_eq!(worker.cut_by(), "unauthenticated");
    stage.stands_and_logged_once(&["\"code\":\"unauthenticated\""]);
}

#[test]
fn versions_without_a_common_one_are_named() {
    let stage = Stage::new();
    let key = key(&stage);
    let mut hello = hello(&key);
    hello.versions = vec![2, 3];

    let mut worker = connect(&stage);
    let answer = worker.shake(&key, &hello);

    assert_eq!(refusal(&answer), "unsupported_version");
    assert!(worker.is_closed());
    stage.stands_and_logged_once(&["\"code\":\"unsupported_version\""]);
}

#[test]
fn later_versions_features_and_members_are_no_obstacle() {
    let stage = Stage::new();
    let key = key(&stage);
    let mut said = serde_json::to_value(hello(&key)).unwrap();
    said["versions"] = json!([7, 1]);
    said["features"] = json!(["time_travel"]);
    said["mood"] = json!({"good": true});
    said["limits"]["colours_max"] = json!(3);
    let head = json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": said, "later": 1}).to_string();

    let mut worker = connect(&stage);
    worker.send_frame(head.as_bytes(), b"");
    let answer = worker.frame().unwrap();
    let proof =
        Signer::from_seed(&key.seed).prove(Role::Worker, &transcript(head.as_bytes(), &answer.head, None));
    worker.send_frame(br#"{"jsonrpc":"2.0","id":2,"method":"prove","params":{"later":1}}"#, &proof);

    let answered: Value = serde_json::from_slice(&answer.head).unwrap();
    assert_eq!(answered["result"]["version"], 1);
    assert_eq!(answered["result"]["features"], json!([]));
    assert_eq!(worker.read().unwrap().0["result"]["service"], "raw");
}

#[test]
fn hello_of_wrong_form_is_invalid_params() {
    let stage = Stage::new();
    let key = key(&stage);
    let bad: [(&str, Value); 6] = [
        ("nonce", json!("short")),
        ("key", json!("../../etc/passwd1")),
        ("instance", json!("a\nb")),
        ("version", json!("")),
        ("library", json!("\u{1b}[31m")),
        ("limits", json!({"in_flight_max": 0})),
    ];

    for (member, value) in bad {
        let mut said = serde_json::to_value(hello(&key)).unwrap();
        said[member] = value;
        let mut worker = connect(&stage);
        worker.send_json(&json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": said}), b"");
        assert_eq!(worker.cut_by(), "invalid_params", "{member}");
        stage.stands_and_logged_once(&["\"code\":\"invalid_params\"", member]);
    }
}

#[test]
fn silence_ends_after_five_seconds() {
    let stage = Stage::new();
    let begun = Instant::now();

    let mut silent = connect(&stage);
    let mut half = connect(&stage);
    half.send(&frame_bytes(b"{\"jsonrpc\":\"2.0\"", b"")[..12]);

    assert_eq!(silent.cut_by(), "handshake_timeout");
    assert_eq!(half.cut_by(), "handshake_timeout");
    let took = begun.elapsed();
    assert!((Duration::from_millis(4900)..Duration::from_millis(7000)).contains(&took), "{took:?}");
    stage.canary.must_answer();
    wait_until("a line for each", || {
        stage.broker.log().matching(|line| line.contains("\"code\":\"handshake_timeout\"")).len() == 2
    });
}

#[test]
fn strangers_may_say_little() {
    let stage = Stage::new();
    let logged = || stage.broker.log().matching(|line| line.contains("\"code\":\"frame_too_large\"")).len();
    // The lengths alone are judged: nothing follows them.
    for (at, (head, attachment)) in [(4097u32, 0u32), (u32::MAX - 4, 0), (100, 65)].into_iter().enumerate() {
        let mut worker = connect(&stage);
        worker.send(&[(4 + head).wrapping_add(attachment).to_be_bytes(), head.to_be_bytes()].concat());
        assert_eq!(worker.cut_by(), "frame_too_large", "{head} {attachment}");
        wait_until("its log line", || logged() == at + 1);
    }
    stage.canary.must_answer();
}

#[test]
fn request_before_the_handshake_is_refused() {
    for method in ["ping", "declare", "prove", "GET /x"] {
        let stage = Stage::new();
        let mut worker = connect(&stage);
        worker.request(method, json!({}));
        assert_eq!(worker.cut_by(), "handshake_required");
        stage.stands_and_logged_once(&["\"code\":\"handshake_required\""]);
    }
}

#[test]
fn request_in_place_of_the_proof_is_refused() {
    let stage = Stage::new();
    let mut worker = connect(&stage);
    worker.send_frame(&WorkerHandshake::new(&hello(&key(&stage))).unwrap().hello, b"");
    worker.frame().unwrap();

    worker.request("declare", json!({"endpoints": [{"endpoint": "GET /x"}]}));

    assert_eq!(worker.cut_by(), "handshake_required");
    stage.stands_and_logged_once(&["\"code\":\"handshake_required\""]);
}

#[test]
fn second_hello_or_proof_ends_the_session() {
    for method in ["hello", "prove"] {
        let stage = Stage::new();
        let mut worker = stage.worker(&["GET /x"]);
        let hello = serde_json::to_value(hello(&key_of_another_service(&stage))).unwrap();
        worker.request(method, hello);
        assert_eq!(worker.cut(), ["invalid_request"]);
        stage.stands_and_logged_once(&["session cut", "\"code\":\"invalid_request\""]);
    }
}

fn key_of_another_service(stage: &Stage) -> WorkerKey {
    WorkerKey::parse(&stage.broker.key("other", &["/**"])).unwrap()
}

#[test]
fn at_most_256_strangers_wait_at_once() {
    let stage = Stage::new();
    let strangers: Vec<RawWorker> = (0..260).map(|_| connect(&stage)).collect();
    strangers.iter().for_each(|stranger| stranger.stream().set_nonblocking(true).unwrap());
    let refused = |stranger: &RawWorker| stranger.stream().peek(&mut [0; 1]).is_ok();

    wait_until("four refusals", || strangers.iter().filter(|stranger| refused(stranger)).count() == 4);
    let (mut turned_away, waiting): (Vec<_>, Vec<_>) = strangers.into_iter().partition(refused);

    assert_eq!(waiting.len(), 256);
    for stranger in &mut turned_away {
        stranger.stream().set_nonblocking(false).unwrap();
        assert_eq!(stranger.cut(), ["overloaded"]);
    }
    stage.canary.must_answer();
    wait_until("a line for each", || {
        stage.broker.log().matching(|line| line.contains("256 connections")).len() == 4
    });
    drop(waiting);
    // Their places are free again.
    let key = key(&stage);
    wait_until("a place", || {
        let mut worker = connect(&stage);
        let said = hello(&key);
        worker.send_frame(&WorkerHandshake::new(&said).unwrap().hello, b"");
        worker.read().is_some_and(|(head, _)| head["result"].is_object())
    });
}

#[test]
fn wrong_proofs_wait_longer_and_right_ones_do_not() {
    let stage = Stage::new();
    let right = key(&stage);
    let wrong = WorkerKey { seed: [7; 32], ..right.clone() };
    let time = |key: &WorkerKey| {
        let begun = Instant::now();
        let answer = connect(&stage).shake(key, &hello(key));
        (refusal(&answer).to_owned(), begun.elapsed())
    };

    let waits: Vec<Duration> = (0..4).map(|_| time(&wrong).1).collect();
    let (code, took) = time(&right);

    assert!(waits[0] >= Duration::from_millis(50) && waits[3] >= Duration::from_millis(400), "{waits:?}");
    assert_eq!(code, "none");
    assert!(took < Duration::from_millis(200), "{took:?}");
}
