//! The binary `hera`: runs a broker, and carries the verbs for people.
//!
//! stdout carries the result alone, so that `TOKEN=$(hera token create …)` works; everything else goes to stderr.
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.

mod admin_client;
mod args;
mod broker;
mod call;
mod cluster;
mod configuration;
mod failure;
mod haproxy;
mod key;
mod look;
mod output;
mod table;
mod target;
mod time;
mod token;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, ClusterVerb, ConfigVerb, HaproxyVerb, KeyVerb, TokenVerb, Verb};
use failure::Failure;

/// Frees on one thread what another allocated at little cost, as calls that cross cores do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Wrong usage ends in `parse`, with exit code 2.
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(&format!("hera: {failure}"));
            ExitCode::from(failure.exit_code)
        }
    }
}

fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Broker(flags) => broker::run(flags),
        Verb::Token(TokenVerb::Create(args)) => token::create(args),
        Verb::Token(TokenVerb::List(args)) => token::list(&args),
        Verb::Token(TokenVerb::Revoke(args)) => token::revoke(&args),
        Verb::Token(TokenVerb::Rotate(args)) => token::rotate(&args),
        Verb::Key(KeyVerb::Create(args)) => key::create(args),
        Verb::Key(KeyVerb::List(args)) => key::list(&args),
        Verb::Key(KeyVerb::Update(args)) => key::update(args),
        Verb::Key(KeyVerb::Revoke(args)) => key::revoke(&args),
        Verb::Key(KeyVerb::Rotate(args)) => key::rotate(&args),
        Verb::Brokers(args) => look::brokers(&args),
        Verb::Workers(args) => look::workers(&args),
        Verb::Endpoints(args) => look::endpoints(&args),
        Verb::Call(args) => call::run(args),
        Verb::Config(ConfigVerb::Check(args)) => configuration::check(args),
        Verb::Config(ConfigVerb::Show(args)) => configuration::show(args),
        Verb::Cluster(ClusterVerb::Init(args)) => cluster::init(&args),
        Verb::Haproxy(HaproxyVerb::Render(args)) => haproxy::render(&args),
    }
}
