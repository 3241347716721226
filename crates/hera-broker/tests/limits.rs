//! `spec/limits.md`, second and third table, and the code are one: a row missing on either side, or a number that differs, fails here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use hera_broker::config::Config;
use hera_broker::http::{body, connection, request};
use hera_broker::worker::handshakes::ADDRESS_FAILURES_MAX;
use hera_broker::worker::session;
use hera_broker::{access_log, admin_listener, dispatch, metrics};
use std::time::Duration;

#[test]
fn table_of_the_broker_equals_the_code() {
    let written = table("## At the edge");

    let config = Config::load(None, std::iter::empty(), Vec::new()).unwrap();
    let ms = |time: Duration| time.as_millis() as u64;
    let coded: Vec<(String, u64)> = [
        ("request_head_bytes_max", request::HEAD_BYTES_MAX as u64),
        ("request_target_bytes_max", request::TARGET_BYTES_MAX as u64),
        ("request_headers_max", request::HEADERS_MAX as u64),
        ("request_head_ms_max", ms(connection::HEAD_TIME)),
        ("body_stall_ms_max", ms(connection::BODY_STALL)),
        ("write_stall_ms_max", ms(connection::WRITE_STALL)),
        ("idle_ms_max", ms(connection::IDLE_TIME)),
        ("unread_body_bytes_max", connection::UNREAD_BODY_MAX),
        ("queue_ms_max", ms(dispatch::QUEUE_TIME)),
        ("queue_calls_max", dispatch::QUEUE_CALLS_MAX as u64),
        ("http.connections_max", config.http.connections_max as u64),
        ("workers.connections_max", config.workers.connections_max as u64),
        ("http.body_memory_bytes_max", config.http.body_memory_bytes_max),
        ("calls.in_flight_max", config.calls.in_flight_max as u64),
        ("calls.in_flight_per_token_max", config.calls.in_flight_per_token_max as u64),
        ("access_log_queue_bytes_max", (access_log::HAND_OVER * access_log::BUFFERS_MAX) as u64),
        ("metric_series_max", metrics::METRIC_SERIES_MAX as u64),
        ("trailer_bytes_max", body::TRAILER_BYTES_MAX as u64),
        ("linger_bytes_max", connection::LINGER_BYTES_MAX as u64),
        ("ahead_bytes_max", connection::AHEAD_BYTES_MAX as u64),
        ("worker_outbox_bytes_max", session::OUTBOX_BYTES_MAX),
        ("worker_write_stall_ms_max", ms(session::WRITE_STALL)),
        ("admin_connections_max", admin_listener::CONNECTIONS_MAX as u64),
        ("admin_body_bytes_max", admin_listener::BODY_BYTES_MAX as u64),
        ("address_failures_max", ADDRESS_FAILURES_MAX as u64),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();

    assert_eq!(written, coded);
}

/// The rows below a heading, up to the next one.
fn table(heading: &str) -> Vec<(String, u64)> {
    let text = std::fs::read_to_string("../../spec/limits.md").unwrap();
    let table = text.split(heading).nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[1].to_owned(), cells[2].parse().unwrap())
    };
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| limit"));
    rows.map(row).collect()
}

#[test]
fn table_of_the_registry_equals_the_code() {
    use hera_registry::zookeeper::limits;
    let coded: Vec<(String, u64)> = [
        ("registry_servers_max", limits::SERVERS_MAX as u64),
        ("registry_chroot_bytes_max", limits::CHROOT_BYTES_MAX as u64),
        ("registry_node_bytes_max", limits::NODE_BYTES_MAX as u64),
        ("registry_broker_node_bytes_max", limits::BROKER_NODE_BYTES_MAX as u64),
        ("registry_dials_max", limits::DIALS_MAX as u64),
        ("registry_brokers_max", limits::BROKERS_MAX as u64),
        ("registry_request_ms_max", limits::REQUEST.as_millis() as u64),
        ("registry_arrivals_max", hera_broker::registry_link::ARRIVALS_MAX as u64),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();

    assert_eq!(table("## In the registry"), coded);
}

#[test]
fn crates_agree_on_the_limits_of_patterns() {
    assert_eq!(hera_route::pattern::ENDPOINT_BYTES_MAX, hera_protocol::limits::ENDPOINT_BYTES_MAX);
    assert_eq!(hera_route::pattern::SEGMENTS_MAX, hera_protocol::limits::SEGMENTS_MAX);
}
