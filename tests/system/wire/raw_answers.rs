//! P-34 on the bytes that a caller gets: whatever a worker answers, the answer ends where both sides think it does, and the next call on the
//! connection gets its own.

use crate::stage::{Stage, is_bad_reply};
use hera_testkit::RawWorker;
use hera_testkit::http::{HttpConnection, Request, Response};
use serde_json::{Value, json};

const WRAPPED: &str = "application/vnd.hera+json";
/// What every body here is: an answer by itself, should anybody ever take it for one.
const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n";

/// A broker, a worker that answers by hand, and one caller's connection.
struct Exchange {
    stage: Stage,
    worker: RawWorker,
    caller: HttpConnection,
    calls: usize,
}

impl Exchange {
    fn new() -> Exchange {
        let stage = Stage::new();
        let (worker, caller) = (stage.worker(&["* /x"]), stage.broker.caller());
        Exchange { stage, worker, caller, calls: 0 }
    }

    /// Sends a call and, in the same write, another; lets the worker answer the first as told, and checks both answers.
    fn answers(&mut self, request: Request, answer: impl FnOnce(&mut RawWorker, u64)) -> Response {
        self.calls += 1;
        let method = request.method().to_owned();
        let next = Request::get("/x")
            .token(&self.stage.token)
            .header("X-Request-Id", format!("next-{}", self.calls));
        let request =
            request.token(&self.stage.token).header("X-Request-Id", format!("first-{}", self.calls));
        self.caller.send(&[request.bytes(), next.bytes()].concat());

        let call = self.worker.call();
        answer(&mut self.worker, call.id);
        let response = self.caller.response_to(&method);
        self.is_strict(&response, "first");
        let text = format!("clean-{}", self.calls);
        let call = self.worker.call();
        self.worker.answer(call.id, 200, &[], text.as_bytes());
        let next = self.caller.response();
        self.is_strict(&next, "next");
        assert_eq!((next.status, next.text()), (200, text.as_str()));
        response
    }

    /// What holds for the bytes of every head.
    fn is_strict(&self, response: &Response, which: &str) {
        let raw = &response.raw_head;
        let shown = String::from_utf8_lossy(raw);
        let bare = raw.iter().enumerate().any(|(at, byte)| match byte {
            b'\n' => at == 0 || raw[at - 1] != b'\r',
            b'\r' => raw.get(at + 1) != Some(&b'\n'),
            byte => *byte < 0x20 && *byte != b'\t' || *byte == 0x7f,
        });
        assert!(!bare, "{shown:?}");
        for (name, _) in &response.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(token), "{shown:?}");
        }
        let count = |name: &str| response.all(name).len();
        assert!(count("content-length") + count("transfer-encoding") <= 1, "{shown:?}");
        for once in ["date", "x-request-id", "hera-broker", "server-timing"] {
            assert_eq!(count(once), 1, "{once}: {shown:?}");
        }
        for gone in ["connection", "keep-alive", "upgrade", "te", "trailer", "proxy-authenticate", "x-evil"] {
            assert_eq!(count(gone), 0, "{gone}: {shown:?}");
        }
        let id = format!("{which}-{}", self.calls);
        assert_eq!(response.header("x-request-id"), Some(id.as_str()));
        assert_eq!(response.header("hera-broker"), Some(self.stage.broker.id()));
    }
}

fn result(status: u16, headers: &[(&str, &str)]) -> Value {
    json!({"status": status, "headers": headers})
}

fn plain(method: &str) -> Request {
    Request::new(method, "/x")
}

/// The same, for a caller who wants results wrapped: another way through the writer of answers.
fn wrapping(method: &str) -> Request {
    plain(method).header("Accept", WRAPPED)
}

#[test]
fn statuses_without_content_have_none() {
    let mut exchange = Exchange::new();
    let json_type = ("content-type", "application/json");
    for ask in [plain, wrapping] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            for status in [204, 205, 304] {
                for body in [&b""[..], EVIL, b"{\"evil\":1}"] {
                    for length in ["0", "5", "99999"] {
                        let headers = [("content-length", length), json_type];
                        let response = exchange.answers(ask(method), |worker, id| {
                            worker.answer_with(id, result(status, &headers), body);
                        });
                        assert_eq!((response.status, response.body.len()), (status, 0), "{method}");
                        let own = if status == 205 { vec![&b"0"[..]] } else { vec![] };
                        assert_eq!(
                            response.all("content-length"),
                            own,
                            "{method} {status}: RFC 9110, 8.6 and 15.3.6"
                        );
                    }
                }
            }
        }
    }
    exchange.stage.canary.must_answer();
}

#[test]
fn statuses_without_content_end_a_stream_before_it_begins() {
    let mut exchange = Exchange::new();
    for ask in [plain, wrapping] {
        for (method, status) in
            [("GET", 204), ("GET", 205), ("GET", 304), ("HEAD", 200), ("HEAD", 205), ("HEAD", 404)]
        {
            for headers in
                [json!([]), json!([["content-length", "100"]]), json!([["transfer-encoding", "chunked"]])]
            {
                let response = exchange.answers(ask(method), |worker, id| {
                    worker.answer_with(id, json!({"status": status, "headers": headers, "more": true}), EVIL);
                    assert_eq!(worker.notified("cancel").0["id"], id, "nobody wants the rest");
                    // Sent before it read that.
                    worker.notify("chunk", json!({"id": id, "body": "reply"}), EVIL);
                    worker.notify("end", json!({"id": id, "body": "reply"}), b"");
                });
                assert_eq!((response.status, response.body.len()), (status, 0), "{method}");
            }
        }
    }
    exchange.stage.canary.must_answer();
}

#[test]
fn head_has_the_head_of_its_get_and_no_byte_more() {
    let mut exchange = Exchange::new();
    for ask in [plain, wrapping] {
        for status in [200, 404, 500] {
            for content_type in ["text/plain", "application/json"] {
                let response = exchange.answers(ask("HEAD"), |worker, id| {
                    worker.answer(id, status, &[("content-type", content_type)], b"{\"evil\":[1,2,3]}");
                });
                assert_eq!((response.status, response.body.len()), (status, 0));
                assert!(response.header("content-length").unwrap().parse::<usize>().unwrap() >= 16);
            }
        }
    }
}

#[test]
fn length_that_a_worker_claims_is_not_believed() {
    let mut exchange = Exchange::new();
    for length in ["0", "1", "48", "50", "99999", "9223372036854775807"] {
        for name in ["content-length", "Content-Length", "CONTENT-LENGTH"] {
            let response = exchange.answers(plain("GET"), |worker, id| {
                worker.answer(id, 200, &[(name, length), ("Transfer-Encoding", "chunked")], EVIL);
            });
            assert_eq!((response.body.as_slice(), response.is_whole), (EVIL, true), "{length}");
            assert_eq!(response.all("content-length"), [EVIL.len().to_string().as_bytes()]);
        }
    }
}

#[test]
fn framing_that_a_worker_chooses_is_taken_out_of_a_stream_too() {
    let mut exchange = Exchange::new();
    for headers in [
        json!([["transfer-encoding", "chunked"]]),
        json!([["Transfer-Encoding", "gzip, chunked"], ["TE", "trailers"], ["Trailer", "X-Evil"]]),
        json!([["content-length", "147"], ["transfer-encoding", "identity"]]),
        json!([["Connection", "close, content-length"], ["Keep-Alive", "timeout=0"], ["Upgrade", "h2c"]]),
    ] {
        let response = exchange.answers(plain("GET"), |worker, id| {
            worker.answer_with(id, json!({"status": 200, "headers": headers, "more": true}), EVIL);
            (0..2).for_each(|_| worker.notify("chunk", json!({"id": id, "body": "reply"}), EVIL));
            worker.notify("end", json!({"id": id, "body": "reply"}), b"");
        });
        assert_eq!((response.body, response.is_whole), (EVIL.repeat(3), true), "{headers}");
    }
}

#[test]
fn headers_that_could_split_are_a_bad_reply_and_the_connection_goes_on() {
    let mut exchange = Exchange::new();
    let many: Vec<_> = (0..10_000).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let mut results =
        vec![json!({"status": 200, "headers": many}), result(425, &[]), result(101, &[("upgrade", "h2c")])];
    let separators =
        ["\r\n", "\n", "\r", "\0", "\u{b}", "\u{c}", "\u{85}\u{2028}", "\u{10a}", "\u{1f}", "\u{7f}"];
    for separator in separators {
        let split = format!("a{separator}X-Evil: 1{separator}{separator}HTTP/1.1 200 OK");
        results.push(result(200, &[("x-own", &split)]));
        results.push(result(302, &[("location", &split)]));
        results.push(result(200, &[("set-cookie", &split)]));
        results.push(result(200, &[("connection", &split)]));
        results.push(result(200, &[(&split, "1")]));
        results.push(result(200, &[("content-length", &split)]));
    }
    for name in [
        "x evil",
        "x-evil ",
        " x-evil",
        "x-evil\t",
        "x-evil:",
        "x-evil: 1\r\nx",
        "x-\u{e9}",
        "(x)",
        "x/y",
        "@",
        "",
    ] {
        results.push(result(200, &[(name, "1")]));
    }
    for result in results {
        for ask in [plain, wrapping] {
            let response =
                exchange.answers(ask("GET"), |worker, id| worker.answer_with(id, result.clone(), EVIL));
            is_bad_reply(&response);
            let seen = [&response.raw_head[..], &response.body].concat();
            assert!(!String::from_utf8_lossy(&seen).to_lowercase().contains("evil"), "{result}");
        }
    }
    exchange.stage.canary.must_answer();
}

#[test]
fn every_byte_that_may_stand_in_a_value_passes_as_it_is() {
    let mut exchange = Exchange::new();
    let value: String = ('\u{20}'..='\u{ff}').filter(|c| *c != '\u{7f}').chain(['\t', '!']).collect();
    let bytes: Vec<u8> = value.chars().map(|c| c as u32 as u8).collect();
    for name in ["x-own", "set-cookie", "location"] {
        let response =
            exchange.answers(plain("GET"), |worker, id| worker.answer(id, 200, &[(name, &value)], EVIL));
        // Space around a value is none of it.
        assert_eq!(response.all(name), [&bytes[1..]], "{name}");
    }
    let hundred: Vec<_> = (0..100).map(|n| (format!("x-{n}"), "v".repeat(600))).collect();
    let response = exchange.answers(plain("GET"), |worker, id| {
        worker.answer_with(id, json!({"status": 200, "headers": hundred}), EVIL);
    });
    assert_eq!(response.headers.iter().filter(|(name, _)| name.starts_with("x-")).count(), 101);
}
