//! P-43 to P-45: leaving without losing anything.

use crate::stage::Stage;
use hera_testkit::http::Request;
use serde_json::json;

#[test]
fn no_call_follows_the_fence_and_what_runs_is_finished() {
    let stage = Stage::new();
    let mut leaving = stage.worker(&["POST /x"]);
    let (mut caller, running) = stage.call(&mut leaving, Request::post("/x", "1"));
    let mut staying = stage.broker.worker("twin", &["POST /x"]);

    assert_eq!(leaving.ask("drain", json!({}))["result"], json!({}));
    for _ in 0..20 {
        let (mut caller, call) = stage.call(&mut staying, Request::post("/x", "2"));
        staying.answer(call.id, 200, &[], b"by the other");
        assert_eq!(caller.response().text(), "by the other");
    }
    leaving.answer(running.id, 200, &[], b"finished");

    assert_eq!(caller.response().text(), "finished");
    // Nothing but the answer to a ping: no call came since.
    let id = leaving.request("ping", json!({}));
    assert_eq!(leaving.read().unwrap().0["id"], id);
}

#[test]
fn route_whose_only_worker_drains_has_no_worker() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);

    worker.ask("drain", json!({}));

    let response = stage.ask(Request::get("/x"));
    assert_eq!(
        (response.status, response.code().as_str(), response.executed()),
        (503, "no_worker", Some("no"))
    );
    worker.leave();
    assert_eq!(stage.ask(Request::get("/x")).code(), "no_worker");
    stage.canary.must_answer();
}

#[test]
fn draining_broker_tells_its_workers_and_finishes_what_runs() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::post("/x", "1"));

    stage.broker.sigterm();
    let (drain, _) = worker.read_until(|head| head["method"] == "drain");
    worker.answer_with(drain["id"].as_u64().unwrap(), json!({}), b"");
    // It still serves.
    let (mut second, late) = stage.call(&mut worker, Request::post("/x", "2"));
    worker.answer(late.id, 200, &[], b"late");
    worker.answer(call.id, 200, &[], b"early");

    assert_eq!((second.response().text(), caller.response().text()), ("late", "early"));
    drop((second, caller));
    assert_eq!(stage.broker.wait_exit(), 0);
    assert!(worker.is_closed());
}
