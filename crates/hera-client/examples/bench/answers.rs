//! The answers of the jobs, the same in both programs.

use bytes::Bytes;
use std::time::Duration;

/// How long `/0/slow` takes.
pub(crate) const SLOW: Duration = Duration::from_millis(10);

/// 150 bytes of JSON.
pub(crate) fn small() -> Bytes {
    let value = serde_json::json!({ "id": 42, "name": "bench", "text": "x".repeat(114) });
    value.to_string().into()
}

/// 64 KiB.
pub(crate) fn large() -> Bytes {
    vec![b'x'; 64 * 1024].into()
}
