//! P-1 to P-13: frames that are torn, too large or no message.

use crate::stage::Stage;
use hera_testkit::http::Request;
use hera_testkit::{RawWorker, frame_bytes, refusal, wait_until};
use serde_json::{Value, json};
use std::io::Write;

#[test]
fn bytes_one_at_a_time_are_as_good_as_any() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /slow"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/slow"));
    let head = json!({"jsonrpc": "2.0", "id": call.id, "result": {"status": 200, "headers": [["x-a", "1"]]}})
        .to_string();

    for byte in frame_bytes(head.as_bytes(), b"byte by byte") {
        worker.send(&[byte]);
    }

    let response = caller.response();
    assert_eq!((response.status, response.text(), response.header("x-a")), (200, "byte by byte", Some("1")));
}

#[test]
fn thousand_frames_in_one_write_are_all_answered() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let ping = |id: u64| {
        frame_bytes(json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string().as_bytes(), b"")
    };

    worker.send(&(1000..2000).flat_map(ping).collect::<Vec<u8>>());

    for id in 1000..2000 {
        assert_eq!(worker.read().unwrap().0["id"], id);
    }
    stage.canary.must_answer();
}

#[test]
fn frame_cut_by_the_end_is_dropped_and_its_call_is_lost() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /torn"]);
    let (mut caller, call) = stage.call(&mut worker, Request::post("/torn", "x"));
    let head = json!({"jsonrpc": "2.0", "id": call.id, "result": {"status": 200, "headers": []}}).to_string();
    let bytes = frame_bytes(head.as_bytes(), b"never whole");

    worker.send(&bytes[..bytes.len() - 1]);
    worker.leave();

    let response = caller.response();
    assert_eq!(
        (response.status, response.code().as_str(), response.executed()),
        (502, "worker_lost", Some("maybe"))
    );
    stage.stands_and_logged_once(&["worker left", "raw/"]);
}

#[test]
fn lengths_that_cannot_be_end_the_session_before_memory_is_taken() {
    let stage = Stage::new();
    let key = stage.broker.key("raw", &["/**"]);
    let cases: [(u32, u32, &str); 8] = [
        (0, 0, "bad_frame"),
        (3, 0, "bad_frame"),
        (4, 0, "bad_frame"),
        (5, 1, "bad_frame"),
        (100, 97, "bad_frame"),
        (u32::MAX, u32::MAX - 4, "frame_too_large"),
        (262_149, 262_145, "frame_too_large"),
        (4 + 2 + 262_145, 2, "frame_too_large"),
    ];
    let play = || {
        for (length, head, code) in cases {
            let mut worker = RawWorker::join(stage.broker.workers(), &key);
            worker.send(&[length.to_be_bytes(), head.to_be_bytes()].concat());
            assert_eq!(worker.cut(), [code], "{length} {head}");
            stage.canary.must_answer();
        }
    };
    // Once before it is measured: what the first sessions and calls of a broker cost is not the subject.
    play();
    let before = stage.broker.rss_bytes();

    play();

    let grown = stage.broker.rss_bytes().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes");
    let logged = |code: &str| {
        let code = format!("\"code\":\"{code}\"");
        stage.broker.log().matching(|line| line.contains("session cut") && line.contains(&code)).len()
    };
    wait_until("a line for each", || (logged("bad_frame"), logged("frame_too_large")) == (10, 6));
}

#[test]
fn oversize_frame_that_really_comes_is_not_read() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let before = stage.broker.rss_bytes();
    let mebibytes = vec![b'a'; 1 << 20];

    worker.send(&[(100u32 << 20).to_be_bytes(), (99u32 << 20).to_be_bytes()].concat());
    // A hundred of them, or as many as the broker lets in before it closes.
    let mut stream = worker.stream().try_clone().unwrap();
    let sent = (0..100).take_while(|_| stream.write_all(&mebibytes).is_ok()).count();

    assert!(sent < 20, "{sent} MiB were taken");
    let grown = stage.broker.rss_bytes().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes");
    stage.stands_and_logged_once(&["session cut", "\"code\":\"frame_too_large\""]);
}

#[test]
fn head_that_is_not_json_is_a_parse_error_and_the_third_one_cuts() {
    let stage = Stage::new();
    let key = stage.broker.key("raw", &["/**"]);
    let bad: [&[u8]; 14] = [
        b"not json",
        b"{}{}",
        b"{\"jsonrpc\":\"2.0\",}",
        b"{'jsonrpc':'2.0'}",
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"method\":\"x\"}",
        b"{\0\"\0a\0\"\0:\x001\0}\0",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\0\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":NaN}}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":-Infinity}}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"a\":01}}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":[1,]}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"\\ud800\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\"",
    ];

    for head in bad {
        let mut worker = RawWorker::join(stage.broker.workers(), &key);
        for _ in 0..2 {
            worker.send_frame(head, b"");
            let (answer, _) = worker.read().unwrap();
            assert_eq!(
                (refusal(&answer), &answer["error"]["code"]),
                ("parse_error", &json!(-32700)),
                "{head:?}"
            );
            assert!(answer["id"].is_null());
        }
        worker.ping();
        worker.send_frame(head, b"");
        assert_eq!(worker.cut(), ["parse_error"], "{head:?}");
    }

    stage.canary.must_answer();
    wait_until("a line for each", || {
        stage.broker.log().matching(|line| line.contains("session cut")).len() == bad.len()
    });
}

/// A case of `json.json`: its name, and its head.
fn json_case(case: &Value) -> (String, Vec<u8>) {
    let bytes = |member: &str| {
        let hex = format!("{member}_hex");
        let text = case[member].as_str().map(|text| text.as_bytes().to_vec());
        text.or_else(|| case[hex.as_str()].as_str().map(|hex| hera_protocol::key::unhex(hex).unwrap()))
    };
    let head = bytes("head").unwrap_or_else(|| {
        let before = br#"{"jsonrpc":"2.0","id":5,"method":"ping","params":{"v":"#;
        [&before[..], &bytes("value").unwrap(), b"}}"].concat()
    });
    (case["name"].as_str().unwrap().to_owned(), head)
}

#[test]
fn json_is_judged_by_a_live_broker_as_the_vectors_say() {
    let stage = Stage::new();
    let key = stage.broker.key("raw", &["/**"]);
    let file: Value = serde_json::from_str(include_str!("../../../spec/vectors/json.json")).unwrap();
    let cases: Vec<(String, Vec<u8>)> = file["cases"].as_array().unwrap().iter().map(json_case).collect();
    assert!(cases.len() >= 100);
    let mut good = RawWorker::join(stage.broker.workers(), &key);

    for (name, head) in &cases {
        if name.starts_with("y_") {
            good.send_frame(head, b"");
            let (answer, _) = good.read().unwrap();
            assert_eq!((&answer["id"], &answer["result"]), (&json!(5), &json!({})), "{name}");
            continue;
        }
        let mut worker = RawWorker::join(stage.broker.workers(), &key);
        let mut answers = Vec::new();
        for _ in 0..3 {
            worker.try_send(&frame_bytes(head, b""));
            answers.extend(worker.read().map(|(answer, _)| answer));
        }
        if name.starts_with("n_") {
            let codes: Vec<&str> = answers.iter().map(refusal).collect();
            assert_eq!(codes, ["parse_error"; 3], "{name}");
            assert!(answers.iter().all(|answer| answer["error"]["code"] == -32700), "{name}");
            assert!(worker.is_closed(), "{name}");
        } else {
            let known = |answer: &Value| {
                matches!(refusal(answer), "none" | "parse_error" | "invalid_request" | "unknown_method")
            };
            assert!(!answers.is_empty() && answers.iter().all(known), "{name} {answers:?}");
        }
    }

    stage.canary.must_answer();
    assert!(stage.broker.log().matching(|line| line.contains("panic")).is_empty());
}

#[test]
fn head_that_is_no_message_is_an_invalid_request() {
    let stage = Stage::new();
    let key = stage.broker.key("raw", &["/**"]);
    let bad = [
        "[]",
        r#"[{"jsonrpc":"2.0","id":5,"method":"ping"},{"jsonrpc":"2.0","id":6,"method":"ping"}]"#,
        r#"["2.0",5,"ping"]"#,
        "null",
        "\"ping\"",
        "42",
        "{}",
        r#"{"jsonrpc":"1.0","id":5,"method":"ping"}"#,
        r#"{"id":5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":"5","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":5.0,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":-5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":5,"id":5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"ping","result":{}}"#,
    ];

    for head in bad {
        let mut worker = RawWorker::join(stage.broker.workers(), &key);
        worker.send_frame(head.as_bytes(), b"");
        let (answer, _) = worker.read().unwrap();
        assert_eq!(
            (refusal(&answer), &answer["error"]["code"]),
            ("invalid_request", &json!(-32600)),
            "{head}"
        );
        worker.ping();
    }

    stage.canary.must_answer();
    wait_until("a line for each", || {
        stage.broker.log().matching(|line| line.contains("bad message from a worker")).len() == bad.len()
    });
}

#[test]
fn odd_json_that_is_json_is_taken() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let good = [
        " {\n\t\"jsonrpc\" : \"2.0\" , \"id\" : 5 , \"method\" : \"ping\" }\r\n",
        r#"{"\u006asonrpc":"2.0","id":5,"method":"\u0070ing"}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"ping","params":{"a":1e400,"b":-0,"c":123456789012345678901234567890}}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"ping","params":{"a":1,"a":2},"later":{"id":7}}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"ping","params":{"text":"[[[[{{{{\"\\"}}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"ping","ID":9,"Method":"drain"}"#,
    ];

    for head in good {
        worker.send_frame(head.as_bytes(), b"");
        let (answer, _) = worker.read().unwrap();
        assert_eq!((&answer["id"], &answer["result"]), (&json!(5), &json!({})), "{head}");
    }
}

#[test]
fn bombs_of_depth_and_of_members_cost_neither_stack_nor_memory() {
    let stage = Stage::new();
    let key = stage.broker.key("raw", &["/**"]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = "{\"a\":".repeat(40_000);
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"ping","params":{}{}}}"#,
        "[".repeat(65),
        "]".repeat(65)
    );
    let members: String = (0..20_000).map(|n| format!("\"k{n}\":1,")).collect();
    let members = format!(r#"{{{members}"jsonrpc":"2.0","id":5,"method":"ping"}}"#);
    let text =
        format!(r#"{{"jsonrpc":"2.0","id":5,"method":"ping","params":{{"a":"{}"}}}}"#, "x".repeat(260_000));
    let play = || {
        for head in [&deep, &objects, &nested] {
            let mut worker = RawWorker::join(stage.broker.workers(), &key);
            worker.send_frame(head.as_bytes(), b"");
            assert_eq!(refusal(&worker.read().unwrap().0), "parse_error");
            worker.ping();
        }
        let mut worker = RawWorker::join(stage.broker.workers(), &key);
        for head in [&members, &text] {
            worker.send_frame(head.as_bytes(), b"");
            assert_eq!(worker.read().unwrap().0["result"], json!({}));
        }
    };
    // Twice before it is measured: buffers of this size stay with the allocator.
    play();
    play();
    let before = stage.broker.rss_bytes();

    let played = 20;
    (0..played).for_each(|_| play());

    // The system gives and takes memory by 2 MiB, so a few of those may come; kept heads would be 20 MB.
    let grown = stage.broker.rss_bytes().saturating_sub(before);
    let heads = [&deep, &objects, &nested, &members, &text].map(|head| head.len() as u64).iter().sum::<u64>();
    assert!(grown < played * heads / 2, "{grown} bytes grown of {} sent", played * heads);
    stage.canary.must_answer();
}

#[test]
fn methods_that_are_not_the_brokers_are_unknown() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);

    for method in ["call", "status", "GET /x", "GET /canary", "shutdown", "rpc.discover", "__proto__", ""] {
        let answer = worker.ask(method, json!({}));
        assert_eq!(
            (refusal(&answer), &answer["error"]["code"]),
            ("unknown_method", &json!(-32601)),
            "{method}"
        );
    }
    stage.canary.must_answer();
}

#[test]
fn notifications_that_are_nobodys_are_dropped() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);

    for method in ["GET /x", "ping", "declare", "drain", "hello", "shutdown"] {
        worker.notify(method, json!({}), b"");
    }
    worker.notify("cancel", json!({"id": 77}), b"");

    worker.ping();
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
    worker.answer(call.id, 200, &[], b"serves on");
    assert_eq!(caller.response().text(), "serves on");
    stage.canary.must_answer();
}
