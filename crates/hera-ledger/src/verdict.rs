//! What a ledger says: counts, and each promise that was broken.

use crate::call::{Call, Method, Outcome};
use crate::ledger::Broken;
use crate::nonce::Nonce;
use crate::run::Run;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// More are counted and not kept.
const VIOLATIONS_KEPT: usize = 1_000;
/// More are kept and not printed.
const VIOLATIONS_SHOWN: usize = 20;
/// Ten minutes, to two digits.
const TOOK_MAX_US: u64 = 600_000_000;

/// A promise that was broken, and by what.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub broken: Broken,
    /// The call.
    pub nonce: Nonce,
    /// As its caller saw it, if any did.
    pub call: Option<Call>,
    /// As workers noted it.
    pub runs: Vec<Run>,
}

/// The counts of a ledger.
#[derive(Clone, Debug)]
pub struct Verdict {
    outcomes: BTreeMap<(Method, String), u64>,
    broken: BTreeMap<Broken, u64>,
    violations: Vec<Violation>,
    took_us: Histogram<u64>,
    worst: BTreeMap<Method, Duration>,
    /// Calls, and runs without a call, that were judged.
    pub judged: u64,
    /// Runs of those.
    pub runs: u64,
    /// Runs beyond the first of a call.
    pub runs_again: u64,
}

impl Default for Verdict {
    fn default() -> Verdict {
        // The bounds are constants, so that this cannot fail.
        let took_us = Histogram::new_with_max(TOOK_MAX_US, 2).unwrap_or_else(|error| unreachable!("{error}"));
        Verdict {
            outcomes: BTreeMap::new(),
            broken: BTreeMap::new(),
            violations: Vec::new(),
            took_us,
            worst: BTreeMap::new(),
            judged: 0,
            runs: 0,
            runs_again: 0,
        }
    }
}

impl Verdict {
    pub(crate) fn count(&mut self, call: &Call) {
        *self.outcomes.entry((call.method, call.outcome.label())).or_default() += 1;
        let felt = call.lag.saturating_add(call.took);
        let us = u64::try_from(felt.as_micros()).unwrap_or(TOOK_MAX_US);
        self.took_us.saturating_record(us.min(TOOK_MAX_US));
        let worst = self.worst.entry(call.method).or_default();
        *worst = felt.max(*worst);
    }

    pub(crate) fn add(&mut self, violation: Violation) {
        *self.broken.entry(violation.broken).or_default() += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// How often each was broken.
    pub fn broken(&self) -> impl Iterator<Item = (Broken, u64)> + '_ {
        self.broken.iter().map(|(broken, count)| (*broken, *count))
    }

    /// The first thousand.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Calls whose label ([`Outcome::label`]) is wanted.
    pub fn count_of(&self, wanted: impl Fn(Method, &str) -> bool) -> u64 {
        let wanted =
            |((method, label), count): (&(Method, String), &u64)| wanted(*method, label).then_some(*count);
        self.outcomes.iter().filter_map(wanted).sum()
    }

    /// Calls that ended in anything but 2xx.
    pub fn failures(&self) -> u64 {
        self.count_of(|_, label| !is_success(label))
    }

    /// Failures by label.
    pub fn failures_by_label(&self) -> BTreeMap<&str, u64> {
        let mut by_label = BTreeMap::new();
        for ((_, label), count) in self.outcomes.iter().filter(|((_, label), _)| !is_success(label)) {
            *by_label.entry(label.as_str()).or_default() += count;
        }
        by_label
    }

    /// The time in which this share (0 to 1) of the calls were done.
    pub fn took(&self, share: f64) -> Duration {
        Duration::from_micros(self.took_us.value_at_quantile(share))
    }

    /// The longest that any call of a wanted method took.
    pub fn worst(&self, wanted: impl Fn(Method) -> bool) -> Duration {
        let wanted = self.worst.iter().filter(|(method, _)| wanted(**method));
        wanted.map(|(_, took)| *took).max().unwrap_or_default()
    }

    /// Fails with the whole report unless every promise was kept.
    #[track_caller]
    pub fn must_be_clean(&self) {
        assert!(self.is_clean(), "the ledger is not clean\n{self}");
    }
}

fn is_success(label: &str) -> bool {
    label.len() == 3 && label.starts_with('2')
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken: u64 = self.broken.values().sum();
        writeln!(
            f,
            "ledger: {} calls, {} runs, {} of them again, {} not 2xx, {broken} promises broken",
            self.calls(),
            self.runs,
            self.runs_again,
            self.failures(),
        )?;
        writeln!(
            f,
            "took: p50 {:?}, p99 {:?}, worst {:?}",
            self.took(0.5),
            self.took(0.99),
            self.worst(|_| true)
        )?;
        for ((method, label), count) in &self.outcomes {
            writeln!(f, "  {method:<6} {label:<40} {count:>8}")?;
        }
        for (broken, count) in &self.broken {
            writeln!(f, "BROKEN {count:>6}  {}", broken.text())?;
        }
        for violation in self.violations.iter().take(VIOLATIONS_SHOWN) {
            writeln!(f, "{violation}")?;
        }
        let hidden = broken.saturating_sub(VIOLATIONS_SHOWN as u64);
        if hidden > 0 {
            writeln!(f, "… and {hidden} more")?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.nonce, self.broken.text())?;
        if let Some(call) = &self.call {
            let (begun, head, took) = (Clock(call.begun_us), call.head, call.took);
            write!(
                f,
                "\n    {begun} {} took {head:?} to the head, {took:?} in all, of {:?}: {}",
                call.method,
                call.deadline,
                call.outcome.label()
            )?;
            match &call.outcome {
                Outcome::Answered(answer) => {
                    let word = |text: &Option<Box<str>>| text.as_deref().unwrap_or("-").to_owned();
                    write!(f, ", broker {}, worker {}", word(&answer.broker), word(&answer.worker))?;
                    if !answer.foreign.is_empty() {
                        write!(f, ", nonces of others {:?}", answer.foreign)?;
                    }
                }
                Outcome::NotSent(why) | Outcome::NoAnswer(why) | Outcome::Cut(_, why) => {
                    write!(f, ", {why}")?
                }
            }
        }
        for run in &self.runs {
            write!(f, "\n    {} {} ran at {}", Clock(run.at_us), run.method, run.worker)?;
        }
        Ok(())
    }
}

/// Time of day, UTC, as logs have it.
struct Clock(u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, seconds) = (self.0 / 1_000 % 1_000, self.0 / 1_000_000);
        write!(f, "{:02}:{:02}:{:02}.{ms:03}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Answer, Executed};
    use crate::ledger::{Ledger, Terms};

    fn call(nonce: u128, method: Method, answer: Answer, ms: u64) -> Call {
        Call {
            nonce: Nonce(nonce),
            method,
            idempotent: method.is_idempotent(),
            begun_us: 3_600_000_000 + 61_000_000,
            lag: Duration::ZERO,
            head: Duration::from_millis(ms),
            took: Duration::from_millis(ms),
            deadline: Duration::from_secs(15),
            outcome: Outcome::Answered(answer),
        }
    }

    #[test]
    fn report_tells_counts_and_each_violation() {
        let mut ledger = Ledger::new(Terms::default());
        let ok = Answer { status: 200, has_nonce: true, broker: Some("b-1".into()), ..Answer::default() };
        let no = Answer {
            status: 503,
            executed: Some(Executed::No),
            code: Some("no_worker".into()),
            broker: Some("b-2".into()),
            ..Answer::default()
        };
        ledger.calls([call(1, Method::Get, ok, 4), call(2, Method::Post, no, 9)]);
        let run =
            |nonce, method| Run { nonce: Nonce(nonce), method, at_us: 3_661_000_000, worker: "w-7".into() };
        ledger.runs([run(1, Method::Get), run(2, Method::Post)]);

        let verdict = ledger.close();
        let report = verdict.to_string();

        assert_eq!((verdict.calls(), verdict.failures(), verdict.runs), (2, 1, 2));
        assert_eq!(
            verdict.failures_by_label().into_iter().collect::<Vec<_>>(),
            [("503 no no_worker by broker", 1)]
        );
        assert_eq!(verdict.worst(Method::is_idempotent), Duration::from_millis(4));
        for part in [
            "503 no no_worker by broker",
            "said Hera-Executed: no and ran",
            "b-2",
            "w-7",
            "01:01:01.000",
            "n_00000000000000000000000000000002",
        ] {
            assert!(report.contains(part), "{part} is missing in\n{report}");
        }
    }
}
