//! What is counted, and how it is shown to Prometheus.
//!
//! Each core counts in a block of its own: one writer, so a plain load and store, no locked instruction, no line that two cores write. A scrape
//! adds the blocks up on another thread.

use crate::access_log::Done;
use crate::call::Call;
use crate::core::Shared;
use crate::worker::roster::Route;
use hera_protocol::Code;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds.
const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 60_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;
/// Status classes: the caller left, 2xx, 3xx, 4xx, 5xx.
const CLASSES: [&str; 5] = ["caller_gone", "2xx", "3xx", "4xx", "5xx"];
/// Series that routes may make; what is over counts as the route `_other`.
pub const METRIC_SERIES_MAX: usize = 10_000;
const SERIES_PER_ROUTE: usize = CLASSES.len() + BUCKETS + 2;
/// Left for what is not a route.
const SERIES_OF_THE_BROKER: usize = 200;

/// A number that one core counts up.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Counts `n` more. The core that owns the count is its only writer, so nothing is lost between the load and the store.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one core counts of the broker; aligned, so that no two cores write one line.
#[derive(Debug)]
#[repr(align(128))]
pub struct BrokerCounters {
    /// Messages of workers that are none, or for no method.
    pub bad_messages: Count,
    /// Answers to ids that were answered, cancelled or timed out.
    pub late_replies: Count,
    /// Answers to ids that were never issued.
    pub unknown_replies: Count,
    /// Workers refused in their handshake.
    pub handshakes_refused: Count,
    /// Heads refused before they were calls.
    pub refused_heads: Count,
    /// Second attempts.
    pub retries: Count,
    /// Workers that were left alone on a route for their failures.
    pub ejections: Count,
    /// Access-log lines dropped because nobody read fast enough.
    pub log_lines_dropped: Count,
    refused: [Count; Code::ALL.len()],
}

impl Default for BrokerCounters {
    fn default() -> BrokerCounters {
        BrokerCounters {
            bad_messages: Count::default(),
            late_replies: Count::default(),
            unknown_replies: Count::default(),
            handshakes_refused: Count::default(),
            refused_heads: Count::default(),
            retries: Count::default(),
            ejections: Count::default(),
            log_lines_dropped: Count::default(),
            refused: std::array::from_fn(|_| Count::default()),
        }
    }
}

impl BrokerCounters {
    /// Counts an error that the broker made.
    pub fn refused(&self, code: Code) {
        self.refused[code as usize].add(1);
    }
}

/// What is counted of a route, one block for each core.
#[derive(Debug)]
pub struct RouteCounters {
    cores: Vec<RouteBlock>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct RouteBlock {
    classes: [Count; CLASSES.len()],
    buckets: [Count; BUCKETS],
    sum_us: Count,
}

/// A route's counts, added up.
#[derive(Clone, Debug, Default)]
pub struct RouteTotals {
    /// By status class: caller gone, 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; 5],
    /// By latency bucket.
    pub buckets: [u64; BUCKETS],
    /// Microseconds of all calls.
    pub sum_us: u64,
}

impl RouteCounters {
    /// All zero.
    pub fn new(cores: usize) -> RouteCounters {
        RouteCounters { cores: (0..cores).map(|_| RouteBlock::default()).collect() }
    }

    fn count(&self, core: usize, status: u16, took: Duration) {
        let Some(block) = self.cores.get(core) else { return };
        let micros = took.as_micros() as u64;
        block.classes[usize::from(status / 100).saturating_sub(1).min(CLASSES.len() - 1)].add(1);
        block.buckets[BOUNDS_US.partition_point(|bound| *bound < micros)].add(1);
        block.sum_us.add(micros);
    }

    /// All cores added up.
    pub fn totals(&self) -> RouteTotals {
        let mut totals = RouteTotals::default();
        self.cores.iter().for_each(|block| {
            totals.classes.iter_mut().zip(&block.classes).for_each(|(sum, count)| *sum += count.get());
            totals.buckets.iter_mut().zip(&block.buckets).for_each(|(sum, count)| *sum += count.get());
            totals.sum_us += block.sum_us.get();
        });
        totals
    }
}

impl RouteTotals {
    /// Calls of all classes.
    pub fn calls(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// What came since `before`.
    pub fn since(&self, before: &RouteTotals) -> RouteTotals {
        let mut gone = self.clone();
        gone.classes.iter_mut().zip(before.classes).for_each(|(now, then)| *now -= then.min(*now));
        gone.buckets.iter_mut().zip(before.buckets).for_each(|(now, then)| *now -= then.min(*now));
        gone.sum_us -= before.sum_us.min(gone.sum_us);
        gone
    }

    /// The latency under which `share` of the calls stayed, in microseconds: linear within its bucket, 0 without calls.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let calls: u64 = self.buckets.iter().sum();
        let wanted = (calls as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            if *count > 0 && seen + count >= wanted.max(1) {
                let low = if at == 0 { 0 } else { BOUNDS_US[at - 1] };
                let high = BOUNDS_US.get(at).copied().unwrap_or(low * 2);
                return low + (high - low) * (wanted.max(1) - seen) / count;
            }
            seen += count;
        }
        0
    }

    fn merge(&mut self, other: &RouteTotals) {
        self.classes.iter_mut().zip(other.classes).for_each(|(sum, n)| *sum += n);
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, n)| *sum += n);
        self.sum_us += other.sum_us;
    }
}

/// Counts a call that is over.
pub fn count(call: &Call, done: &Done) {
    let core = &call.core;
    if let Some(code) = done.code {
        core.counters().refused(code);
    }
    if let Some(route) = &call.route {
        route.state.counters.count(core.id, done.status, call.timing.total);
    }
}

/// Renders everything in Prometheus' text format 0.0.4, which every scraper and `promtool` read.
pub fn render(shared: &Arc<Shared>) -> String {
    let mut registry = Registry::with_prefix("hera");
    registry.register_collector(Box::new(Scrape(shared.clone())));
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    classic(&text)
}

/// OpenMetrics, which the library writes, as the older format: a counter's family is named as its samples are, with `_total`.
fn classic(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let about = ["# TYPE ", "# HELP "].iter().find_map(|kind| Some((kind, line.strip_prefix(*kind)?)));
        match about.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            Some((kind, (name, rest))) if counters.contains(&name) => {
                text.push_str(&format!("{kind}{name}_total {rest}\n"));
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

struct Scrape(Arc<Shared>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    route: String,
    service: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

type NoLabels = [(&'static str, &'static str); 0];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shared = &self.0;
        let table = shared.table.load();
        let routes = by_label(&table.all);

        let mut calls = encoder.encode_descriptor(
            "calls",
            "Calls by route, service and status class",
            None,
            MetricType::Counter,
        )?;
        for (labels, totals) in &routes {
            for (code, count) in CLASSES.iter().zip(totals.classes) {
                let labels =
                    ClassLabels { route: labels.route.clone(), service: labels.service.clone(), code };
                counter(calls.encode_family(&labels)?, count)?;
            }
        }
        let mut took = encoder.encode_descriptor(
            "call_duration_seconds",
            "Time from the end of a call's head to the end of its answer",
            None,
            MetricType::Histogram,
        )?;
        for (labels, totals) in &routes {
            let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(totals.buckets).collect();
            let calls = totals.buckets.iter().sum();
            took.encode_family(labels)?.encode_histogram::<NoLabels>(
                totals.sum_us as f64 / 1e6,
                calls,
                &buckets,
                None,
            )?;
        }

        let sum = |of: fn(&BrokerCounters) -> &Count| {
            shared.counters.iter().map(|block| of(block).get()).sum::<u64>()
        };
        let mut refused = encoder.encode_descriptor(
            "refusals",
            "Errors that the broker made, by code",
            None,
            MetricType::Counter,
        )?;
        for code in Code::ALL.iter().filter(|code| code.status().is_some()) {
            let count = shared.counters.iter().map(|block| block.refused[*code as usize].get()).sum();
            counter(refused.encode_family(&CodeLabel { code: code.to_string() })?, count)?;
        }
        type Reading = fn(&BrokerCounters) -> &Count;
        let counts: [(&str, &str, Reading); 8] = [
            ("retries", "Second attempts of calls", |c| &c.retries),
            ("ejections", "Times that a worker was left alone on a route for its failures", |c| &c.ejections),
            ("refused_heads", "Request heads refused before they were calls", |c| &c.refused_heads),
            ("handshakes_refused", "Workers refused in their handshake", |c| &c.handshakes_refused),
            ("worker_bad_messages", "Messages of workers that are none", |c| &c.bad_messages),
            ("worker_late_replies", "Answers to ids that were answered, cancelled or timed out", |c| {
                &c.late_replies
            }),
            ("worker_unknown_replies", "Answers to ids that were never issued", |c| &c.unknown_replies),
            ("access_log_lines_dropped", "Access-log lines that nobody read fast enough", |c| {
                &c.log_lines_dropped
            }),
        ];
        for (name, help, reading) in counts {
            let value = sum(reading);
            counter(encoder.encode_descriptor(name, help, None, MetricType::Counter)?, value)?;
        }

        let (in_sync, registered, skipped) = shared.registry.readings();
        let stale = shared.registry.stale_for(shared).as_secs() as usize;
        let gauges: [(&str, &str, usize); 8] = [
            (
                "calls_in_flight",
                "Calls accepted and not answered yet",
                shared.calls_in_flight.load(Ordering::Relaxed),
            ),
            (
                "http_connections",
                "Open connections of callers",
                shared.http_connections.load(Ordering::Relaxed),
            ),
            (
                "body_bytes",
                "Bytes of request bodies that are held",
                shared.body_bytes.load(Ordering::Relaxed),
            ),
            ("endpoints", "Endpoints known, served or not", table.all.len()),
            ("registry_in_sync", "1 while the copy of the registry is known to be true", in_sync.into()),
            (
                "registry_registered",
                "1 while this broker's node stands; always 0 of a standalone broker",
                registered.into(),
            ),
            ("registry_nodes_skipped", "Nodes of the registry that are not believed", skipped),
            ("registry_stale_seconds", "Age of the copy of the registry; 0 in sync", stale),
        ];
        for (name, help, value) in gauges {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&(value as i64))?;
        }
        let mut by_service = std::collections::BTreeMap::<String, i64>::new();
        for (worker, _) in shared.roster.workers() {
            *by_service.entry(worker.service.clone()).or_default() += 1;
        }
        let mut workers = encoder.encode_descriptor(
            "workers_connected",
            "Connected workers by service",
            None,
            MetricType::Gauge,
        )?;
        for (service, count) in by_service.into_iter().take(SERIES_OF_THE_BROKER / 2) {
            workers.encode_family(&ServiceLabel { service })?.encode_gauge(&count)?;
        }
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION") };
        encoder
            .encode_descriptor("build_info", "1, with the version as its label", None, MetricType::Gauge)?
            .encode_family(&build)?
            .encode_gauge(&1i64)
    }
}

fn counter(mut encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabels, u64, f64>(&value, None)
}

/// One row for each label; routes over the limit of series share `_other`.
fn by_label(routes: &[Arc<Route>]) -> Vec<(RouteLabels, RouteTotals)> {
    let shown_max = (METRIC_SERIES_MAX - SERIES_OF_THE_BROKER) / SERIES_PER_ROUTE - 1;
    let mut rows = Vec::new();
    let mut other = RouteTotals::default();
    for route in routes {
        let totals = route.state.counters.totals();
        if rows.len() < shown_max {
            rows.push((RouteLabels { route: route.label.clone(), service: route.service.clone() }, totals));
        } else {
            other.merge(&totals);
        }
    }
    if routes.len() > shown_max {
        rows.push((RouteLabels { route: "_other".into(), service: "_other".into() }, other));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open =
            "# HELP a Help.\n# TYPE a counter\na_total 1\n# HELP b Help.\n# TYPE b gauge\nb 2\n# EOF\n";
        let text =
            "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n# HELP b Help.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(open), text);
    }

    #[test]
    fn calls_of_all_cores_are_added_up_and_ranked() {
        let counters = RouteCounters::new(2);
        for _ in 0..50 {
            counters.count(0, 200, Duration::from_micros(800));
            counters.count(1, 503, Duration::from_micros(8_000));
        }
        counters.count(0, 0, Duration::from_secs(100));

        let totals = counters.totals();
        assert_eq!(totals.classes, [1, 50, 0, 0, 50]);
        assert_eq!(totals.calls(), 101);
        assert!((500..=1_000).contains(&totals.quantile_us(0.4)));
        assert!((5_000..=10_000).contains(&totals.quantile_us(0.9)));
        assert!(totals.quantile_us(1.0) > 60_000_000);
        assert_eq!(RouteTotals::default().quantile_us(0.5), 0);
    }
}
