//! Load: the answer to `status`, and `load` in the answer to a call (P-25).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// What a worker says of itself. `None` is unknown; NaN stands for a value that no worker may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Share of the CPU that it may use, 0 to 1.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Resident memory.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<f64>,
    /// Limit of the resident memory.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub rss_limit_bytes: Option<f64>,
    /// Greatest event-loop or pool delay of the last 2 s.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<f64>,
    /// Calls that it is running.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<f64>,
}

/// Anything that is no finite number at least 0 becomes NaN: a lie must not break the reading of the message around it.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(Some(raw.get().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0).unwrap_or(f64::NAN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_become_nan_and_what_is_left_out_stays_unknown() {
        for lie in ["-1", "1e400", "\"0\"", "null", "[]", "true"] {
            let load: Load = serde_json::from_str(&format!(r#"{{"cpu":{lie}}}"#)).unwrap();
            assert!(load.cpu.unwrap().is_nan(), "{lie}");
            assert_eq!(load.delay_ms, None);
        }
    }
}
