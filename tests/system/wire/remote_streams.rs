//! P-54: bodies of remote calls, in chunks under credit, in both directions.

use crate::remote_calls::calling;
use crate::stage::Stage;
use hera_testkit::RawWorker;
use serde_json::json;

const CHUNK: usize = 60_000;

/// Sends `bytes` as chunks as far as credit comes, then the end. `of` names the body.
fn send_body(worker: &mut RawWorker, of: serde_json::Value, bytes: &[u8]) {
    let mut credit = 0;
    for piece in bytes.chunks(CHUNK) {
        while credit < piece.len() {
            let (params, _) = worker.notified("credit");
            assert_eq!(params["remote"], of["remote"], "{params}");
            credit += params["bytes"].as_u64().unwrap() as usize;
        }
        credit -= piece.len();
        worker.notify("chunk", of.clone(), piece);
    }
    worker.notify("end", of, b"");
}

/// Receives a body up to its end, giving credit as it comes.
fn take_body(worker: &mut RawWorker, of: serde_json::Value, first: usize) -> Vec<u8> {
    let credit = |worker: &mut RawWorker, bytes: usize| {
        let mut params = of.clone();
        params["bytes"] = json!(bytes);
        worker.notify("credit", params, b"");
    };
    let mut body = Vec::new();
    credit(worker, first);
    loop {
        let (head, bytes) = worker.read().unwrap();
        match head["method"].as_str() {
            Some("chunk") => {
                assert_eq!(head["params"], of);
                body.extend_from_slice(&bytes);
                credit(worker, bytes.len());
            }
            Some("end") => return body,
            _ => {}
        }
    }
}

#[test]
fn bodies_stream_in_both_directions_under_credit() {
    let stage = Stage::new();
    let mut users = stage.broker.worker("raw", &[]);
    users.declare_with(json!([{"endpoint": "POST /x", "body_bytes_max": 10_000_000}]));
    let mut web = calling(&stage);
    let sent: Vec<u8> = (0..2_000_000).map(|at| (at % 251) as u8).collect();
    let id = web.remote(json!({"method": "POST", "target": "/x", "more": true}), &sent[..1000]);
    let expected = sent.clone();
    let echo = std::thread::spawn(move || {
        let call = users.call();
        assert_eq!(call.params["more"], true);
        let mut body = call.body.to_vec();
        body.extend(take_body(&mut users, json!({"id": call.id, "body": "call"}), 100_000));
        assert_eq!(body, expected);
        users.answer_with(call.id, json!({"status": 200, "headers": [], "more": true}), b"");
        send_body(&mut users, json!({"id": call.id, "body": "reply"}), &body);
        users
    });

    send_body(&mut web, json!({"id": id, "body": "call", "remote": true}), &sent[1000..]);
    let (answer, first) = web.answer_to(id);
    let mut body = first.to_vec();
    body.extend(take_body(&mut web, json!({"id": id, "body": "reply", "remote": true}), 70_000));

    assert_eq!(answer["result"]["more"], true);
    assert_eq!(body.len(), sent.len());
    assert!(body == sent);
    echo.join().unwrap().ping();
    web.ping();
    stage.canary.must_answer();
}

#[test]
fn more_than_was_granted_cuts_the_session() {
    let stage = Stage::new();
    let _users = stage.worker(&["POST /x"]);
    let mut web = calling(&stage);
    let id = web.remote(json!({"method": "POST", "target": "/x", "more": true}), b"");
    let granted = web.notified("credit").0["bytes"].as_u64().unwrap() as usize;

    let of = json!({"id": id, "body": "call", "remote": true});
    for piece in vec![0; granted].chunks(200_000) {
        web.notify("chunk", of.clone(), piece);
    }
    web.notify("chunk", of, b"x");

    assert_eq!(web.cut(), ["credit_exceeded"]);
    stage.canary.must_answer();
}

#[test]
fn body_that_is_cut_or_too_large_ends_the_call() {
    let stage = Stage::new();
    let mut users = stage.broker.worker("raw", &[]);
    users.declare_with(json!([{"endpoint": "POST /x", "body_bytes_max": 1000}]));
    let mut web = calling(&stage);

    let id = web.remote(json!({"method": "POST", "target": "/x", "more": true}), b"begun");
    let call = users.call();
    web.notify("reset", json!({"id": id, "body": "call", "code": "cancelled", "remote": true}), b"");
    assert_eq!(users.notified("cancel").0["id"], call.id);

    let id = web.remote(json!({"method": "POST", "target": "/x", "more": true}), b"");
    let call = users.call();
    users.notify("credit", json!({"id": call.id, "body": "call", "bytes": 100_000}), b"");
    web.notify("chunk", json!({"id": id, "body": "call", "remote": true}), &[0; 1001]);
    let (answer, _) = web.answer_to(id);
    assert_eq!(answer["error"]["data"]["code"], "body_too_large");
    assert_eq!(answer["error"]["data"]["executed"], "maybe");
    stage.canary.must_answer();
}

#[test]
fn answer_that_is_cut_is_reset_and_one_that_is_not_wanted_is_cancelled() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);
    let more = json!({"status": 200, "headers": [], "more": true});

    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    users.answer_with(call.id, more.clone(), b"begun");
    web.answer_to(id);
    users.notify("reset", json!({"id": call.id, "body": "reply", "code": "handler_failed"}), b"");
    web.notify("credit", json!({"id": id, "body": "reply", "bytes": 1000, "remote": true}), b"");
    let (params, _) = web.notified("reset");
    assert_eq!(
        (&params["id"], &params["body"], &params["remote"]),
        (&json!(id), &json!("reply"), &json!(true))
    );

    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    users.answer_with(call.id, more, b"begun");
    web.answer_to(id);
    web.notify("reset", json!({"id": id, "body": "reply", "code": "cancelled", "remote": true}), b"");
    assert_eq!(users.notified("cancel").0["id"], call.id);
    stage.canary.must_answer();
}

#[test]
fn large_answer_in_one_piece_goes_in_chunks_to_a_worker_with_small_frames() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);
    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    users.answer(call.id, 200, &[], &[7; 200_000]);

    let (answer, body) = web.answer_to(id);

    assert_eq!((answer["result"]["more"].as_bool(), body.len()), (None, 200_000));
}
