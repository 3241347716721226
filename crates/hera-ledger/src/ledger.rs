//! Calls held against runs.

use crate::call::{Answer, Call, Executed, Outcome};
use crate::nonce::Nonce;
use crate::run::Run;
use crate::verdict::{Verdict, Violation};
use std::collections::HashMap;
use std::time::Duration;

/// What a test allows, beside what Hera promises.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Connections may be lost: for tests that kill the very listener that callers are connected to.
    pub lost_connections: bool,
    /// Answers may break off after they began: for tests that kill a worker in a stream.
    pub cut_answers: bool,
    /// A status comes so long after the deadline at the latest (D2: 1 s); `None` asks nothing.
    pub answer_within: Option<Duration>,
    /// A run begins so long after the deadline at the latest. D3 allows none after it; the clocks of caller and worker are read at
    /// different places, and the deadline runs from the end of the head.
    pub run_within: Option<Duration>,
}

impl Terms {
    /// The promises alone.
    pub const PROMISES: Terms = Terms {
        lost_connections: false,
        cut_answers: false,
        answer_within: Some(Duration::from_secs(1)),
        run_within: Some(Duration::from_millis(200)),
    };
}

impl Default for Terms {
    fn default() -> Terms {
        Terms::PROMISES
    }
}

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Broken {
    /// 2xx, and no worker ran it.
    AnsweredAndNeverRan,
    /// 2xx, and the body does not carry the nonce.
    AnswerWithoutNonce,
    /// The answer carries the nonce of another call.
    AnswerOfAnother,
    /// `Hera-Executed: no`, and it ran.
    SaidNoAndRan,
    /// It may run once, and ran more often.
    RanTwice,
    /// A failure without `Hera-Executed`.
    Unlabelled,
    /// No status came.
    NoAnswer,
    /// An answer broke off.
    CutAnswer,
    /// The status came too late after the deadline.
    AnsweredLate,
    /// A worker began after the deadline.
    RanLate,
    /// A worker ran what no caller called, or called and was done with long ago.
    RanUncalled,
    /// A worker was called with another method than the caller's.
    MethodChanged,
}

impl Broken {
    /// What happened.
    pub fn text(self) -> &'static str {
        match self {
            Broken::AnsweredAndNeverRan => "answered 2xx and never ran",
            Broken::AnswerWithoutNonce => "answered 2xx without its nonce",
            Broken::AnswerOfAnother => "got the answer of another call",
            Broken::SaidNoAndRan => "said Hera-Executed: no and ran",
            Broken::RanTwice => "not idempotent and ran more than once",
            Broken::Unlabelled => "failed without Hera-Executed",
            Broken::NoAnswer => "got no answer",
            Broken::CutAnswer => "got half an answer",
            Broken::AnsweredLate => "answered too late after its deadline",
            Broken::RanLate => "ran after its deadline",
            Broken::RanUncalled => "ran and nobody called it, or its caller was done with it",
            Broken::MethodChanged => "ran under another method",
        }
    }
}

/// All calls and runs that are not judged yet, and the counts of those that are.
#[derive(Debug)]
pub struct Ledger {
    terms: Terms,
    entries: HashMap<Nonce, Entry>,
    verdict: Verdict,
}

#[derive(Debug, Default)]
struct Entry {
    call: Option<Call>,
    runs: Vec<Run>,
}

impl Ledger {
    /// An empty one.
    pub fn new(terms: Terms) -> Ledger {
        Ledger { terms, entries: HashMap::new(), verdict: Verdict::default() }
    }

    /// Enters calls that ended.
    pub fn calls(&mut self, calls: impl IntoIterator<Item = Call>) {
        for call in calls {
            self.verdict.count(&call);
            let entry = self.entries.entry(call.nonce).or_default();
            entry.call = Some(call);
        }
    }

    /// Enters runs.
    pub fn runs(&mut self, runs: impl IntoIterator<Item = Run>) {
        for run in runs {
            self.entries.entry(run.nonce).or_default().runs.push(run);
        }
    }

    /// Judges the calls that ended before `ended_us`, and the runs without a call that began before `begun_us`, and forgets them, so that a
    /// ledger of days stays small. A run of a call that was forgotten counts as [`Broken::RanUncalled`].
    pub fn settle(&mut self, ended_us: u64, begun_us: u64) {
        let (terms, verdict) = (&self.terms, &mut self.verdict);
        self.entries.retain(|nonce, entry| {
            let due = match &entry.call {
                Some(call) => call.begun_us.saturating_add(micros(call.took)) < ended_us,
                None => entry.runs.iter().all(|run| run.at_us < begun_us),
            };
            if due {
                judge_entry(terms, *nonce, entry, verdict);
            }
            !due
        });
    }

    /// What was judged so far.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Judges all that is left. Callers have ended, and workers are gone or idle.
    pub fn close(mut self) -> Verdict {
        let mut rest: Vec<(Nonce, Entry)> = self.entries.drain().collect();
        // In the order of what happened, so that the report reads like a log.
        rest.sort_by_key(|(_, entry)| match &entry.call {
            Some(call) => call.begun_us,
            None => entry.runs.first().map_or(0, |run| run.at_us),
        });
        for (nonce, entry) in &rest {
            judge_entry(&self.terms, *nonce, entry, &mut self.verdict);
        }
        self.verdict
    }
}

fn judge_entry(terms: &Terms, nonce: Nonce, entry: &Entry, verdict: &mut Verdict) {
    verdict.judged += 1;
    verdict.runs += entry.runs.len() as u64;
    verdict.runs_again += entry.runs.len().saturating_sub(1) as u64;
    for broken in judge(terms, entry.call.as_ref(), &entry.runs) {
        verdict.add(Violation { broken, nonce, call: entry.call.clone(), runs: entry.runs.clone() });
    }
}

/// The promises that a call and its runs break.
pub fn judge(terms: &Terms, call: Option<&Call>, runs: &[Run]) -> Vec<Broken> {
    let Some(call) = call else { return vec![Broken::RanUncalled] };
    let mut broken = Vec::new();
    let mut check = |what: Broken, is_broken: bool| {
        if is_broken {
            broken.push(what);
        }
    };
    match &call.outcome {
        Outcome::Answered(answer) => {
            check(Broken::AnsweredAndNeverRan, answer.is_success() && runs.is_empty());
            check(Broken::AnswerWithoutNonce, answer.is_success() && !answer.has_nonce);
            check(Broken::AnswerOfAnother, !answer.foreign.is_empty());
            check(Broken::SaidNoAndRan, answer.executed == Some(Executed::No) && !runs.is_empty());
            check(Broken::Unlabelled, must_be_labelled(answer) && answer.executed.is_none());
        }
        Outcome::NotSent(_) => {
            check(Broken::NoAnswer, !terms.lost_connections);
            check(Broken::RanUncalled, !runs.is_empty());
        }
        Outcome::NoAnswer(_) => check(Broken::NoAnswer, !terms.lost_connections),
        Outcome::Cut(..) => check(Broken::CutAnswer, !terms.cut_answers && !terms.lost_connections),
    }
    check(Broken::RanTwice, !call.idempotent && runs.len() > 1);
    let late = |limit: Option<Duration>| limit.map(|more| call.deadline.saturating_add(more));
    check(Broken::AnsweredLate, late(terms.answer_within).is_some_and(|limit| call.head > limit));
    let began_late = |limit: Duration| {
        let until = call.begun_us.saturating_add(micros(limit));
        runs.iter().any(|run| run.at_us > until)
    };
    check(Broken::RanLate, late(terms.run_within).is_some_and(began_late));
    check(Broken::MethodChanged, runs.iter().any(|run| run.method != call.method));
    broken
}

/// All failures, but the 400 and 408 that HAProxy makes for a head it never got whole (D2).
fn must_be_labelled(answer: &Answer) -> bool {
    let by_proxy = answer.broker.is_none();
    let headless = by_proxy && matches!(answer.status, 400 | 408);
    !answer.is_success() && !headless
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Method;

    const BEGUN: u64 = 1_000_000;

    fn call(method: Method, outcome: Outcome) -> Call {
        Call {
            nonce: Nonce(1),
            method,
            idempotent: method.is_idempotent(),
            begun_us: BEGUN,
            lag: Duration::ZERO,
            head: Duration::from_millis(5),
            took: Duration::from_millis(5),
            deadline: Duration::from_secs(2),
            outcome,
        }
    }

    fn ok() -> Answer {
        Answer { status: 200, has_nonce: true, broker: Some("b".into()), ..Answer::default() }
    }

    fn failed(status: u16, executed: Option<Executed>) -> Answer {
        Answer { status, executed, broker: Some("b".into()), ..Answer::default() }
    }

    fn run_at(method: Method, at_us: u64) -> Run {
        Run { nonce: Nonce(1), method, at_us, worker: "w".into() }
    }

    fn run(method: Method) -> Run {
        run_at(method, BEGUN + 10)
    }

    fn judged(call: &Call, runs: &[Run]) -> Vec<Broken> {
        judge(&Terms::default(), Some(call), runs)
    }

    #[test]
    fn clean_calls_break_nothing() {
        let get = call(Method::Get, Outcome::Answered(ok()));
        let post = call(Method::Post, Outcome::Answered(ok()));
        let no = call(Method::Post, Outcome::Answered(failed(503, Some(Executed::No))));
        let maybe = call(Method::Post, Outcome::Answered(failed(502, Some(Executed::Maybe))));

        assert_eq!(judged(&get, &[run(Method::Get)]), []);
        assert_eq!(judged(&get, &[run(Method::Get), run(Method::Get)]), [], "a GET may run twice");
        assert_eq!(judged(&post, &[run(Method::Post)]), []);
        assert_eq!(judged(&no, &[]), []);
        assert_eq!(judged(&maybe, &[]), []);
        assert_eq!(judged(&maybe, &[run(Method::Post)]), []);
    }

    #[test]
    fn success_needs_a_run_and_its_nonce() {
        let post = call(Method::Post, Outcome::Answered(ok()));
        let bare = call(Method::Post, Outcome::Answered(Answer { has_nonce: false, ..ok() }));

        assert_eq!(judged(&post, &[]), [Broken::AnsweredAndNeverRan]);
        assert_eq!(judged(&bare, &[run(Method::Post)]), [Broken::AnswerWithoutNonce]);
    }

    #[test]
    fn nonce_of_another_call_is_seen_in_any_answer() {
        let foreign = vec![Nonce(2)];
        let success = call(Method::Get, Outcome::Answered(Answer { foreign: foreign.clone(), ..ok() }));
        let failure = Answer { foreign, ..failed(502, Some(Executed::Maybe)) };
        let failure = call(Method::Get, Outcome::Answered(failure));

        assert_eq!(judged(&success, &[run(Method::Get)]), [Broken::AnswerOfAnother]);
        assert_eq!(judged(&failure, &[]), [Broken::AnswerOfAnother]);
    }

    #[test]
    fn no_means_no_run_for_any_method() {
        for method in Method::ALL {
            let call = call(method, Outcome::Answered(failed(503, Some(Executed::No))));
            assert_eq!(judged(&call, &[run(method)]), [Broken::SaidNoAndRan]);
        }
    }

    #[test]
    fn second_run_is_told_of_what_may_run_once() {
        let twice = |method| [run(method), run(method)];
        let maybe = || Outcome::Answered(failed(502, Some(Executed::Maybe)));
        let declared = Call { idempotent: true, ..call(Method::Post, maybe()) };

        assert_eq!(judged(&call(Method::Post, maybe()), &twice(Method::Post)), [Broken::RanTwice]);
        assert_eq!(judged(&call(Method::Patch, maybe()), &twice(Method::Patch)), [Broken::RanTwice]);
        assert_eq!(judged(&call(Method::Put, maybe()), &twice(Method::Put)), []);
        assert_eq!(judged(&declared, &twice(Method::Post)), []);
    }

    #[test]
    fn failure_needs_a_label_whoever_made_it() {
        let by_proxy = |status| Answer { broker: None, ..failed(status, None) };

        for answer in [failed(400, None), failed(502, None), by_proxy(503), by_proxy(502)] {
            let call = call(Method::Get, Outcome::Answered(answer));
            assert_eq!(judged(&call, &[]), [Broken::Unlabelled]);
        }
        for status in [400, 408] {
            assert_eq!(judged(&call(Method::Get, Outcome::Answered(by_proxy(status))), &[]), []);
        }
    }

    #[test]
    fn missing_answers_are_told_unless_the_terms_allow_them() {
        let lost = call(Method::Post, Outcome::NoAnswer("reset".into()));
        let unsent = call(Method::Post, Outcome::NotSent("refused".into()));
        let cut = call(Method::Get, Outcome::Cut(200, "reset".into()));
        let allowing = Terms { lost_connections: true, ..Terms::default() };

        assert_eq!(judged(&lost, &[]), [Broken::NoAnswer]);
        assert_eq!(judged(&unsent, &[]), [Broken::NoAnswer]);
        assert_eq!(judged(&cut, &[run(Method::Get)]), [Broken::CutAnswer]);
        for call in [&lost, &unsent, &cut] {
            assert_eq!(judge(&allowing, Some(call), &[]), []);
        }
        let twice = [run(Method::Post), run(Method::Post)];
        assert_eq!(judge(&allowing, Some(&lost), &twice), [Broken::RanTwice], "the rest holds");
        assert_eq!(judge(&allowing, Some(&unsent), &twice[..1]), [Broken::RanUncalled]);
    }

    #[test]
    fn answer_comes_within_a_second_of_the_deadline() {
        let late = || Outcome::Answered(failed(504, Some(Executed::Maybe)));
        let just = Call { head: Duration::from_millis(2_999), ..call(Method::Get, late()) };
        let over = Call { head: Duration::from_millis(3_001), ..call(Method::Get, late()) };
        let stream = Call { took: Duration::from_secs(60), ..call(Method::Get, Outcome::Answered(ok())) };

        assert_eq!(judged(&just, &[]), []);
        assert_eq!(judged(&over, &[]), [Broken::AnsweredLate]);
        assert_eq!(judged(&stream, &[run(Method::Get)]), [], "a stream may go on");
    }

    #[test]
    fn ghost_runs_are_told() {
        let timed_out = call(Method::Get, Outcome::Answered(failed(504, Some(Executed::Maybe))));

        assert_eq!(judged(&timed_out, &[run_at(Method::Get, BEGUN + 2_100_000)]), []);
        assert_eq!(judged(&timed_out, &[run_at(Method::Get, BEGUN + 2_300_000)]), [Broken::RanLate]);
        assert_eq!(judge(&Terms::default(), None, &[run(Method::Get)]), [Broken::RanUncalled]);
    }

    #[test]
    fn method_stays_what_it_was() {
        let get = call(Method::Get, Outcome::Answered(ok()));

        assert_eq!(judged(&get, &[run(Method::Post)]), [Broken::MethodChanged]);
    }

    #[test]
    fn settled_calls_are_judged_once_and_what_runs_later_is_told() {
        let mut ledger = Ledger::new(Terms::default());
        ledger.calls([call(Method::Post, Outcome::Answered(ok()))]);
        ledger.runs([run(Method::Post)]);

        ledger.settle(BEGUN, BEGUN);
        assert_eq!(ledger.verdict().judged, 0, "it ended later");
        ledger.settle(BEGUN + 1_000_000, BEGUN);
        assert_eq!((ledger.verdict().judged, ledger.verdict().is_clean()), (1, true));
        ledger.runs([run(Method::Post)]);
        let verdict = ledger.close();

        assert_eq!(verdict.broken().collect::<Vec<_>>(), [(Broken::RanUncalled, 1)]);
        assert_eq!((verdict.calls(), verdict.runs), (1, 2));
    }
}
