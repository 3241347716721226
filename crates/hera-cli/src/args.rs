//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hera_broker::config::Flag;

#[derive(Parser)]
#[command(
    name = "hera",
    version,
    about = "An API bus: callers speak HTTP, workers dial out",
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Run a broker
    Broker(BrokerFlags),
    /// Tokens: what callers prove themselves with
    #[command(subcommand)]
    Token(TokenVerb),
    /// Worker keys: what services prove themselves with
    #[command(subcommand)]
    Key(KeyVerb),
    /// Show the brokers of the cluster
    Brokers(Where),
    /// Show the workers that are connected
    Workers(Where),
    /// Show or forget the endpoints that are known
    Endpoints(EndpointsArgs),
    /// Call an endpoint as a service does: over the workers' wire, with a worker key (SECRET or SECRET_FILE)
    Call(Call),
    /// Check or show the configuration of a broker
    #[command(subcommand)]
    Config(ConfigVerb),
    /// A cluster in ZooKeeper
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// HAProxy in front of the brokers
    #[command(subcommand)]
    Haproxy(HaproxyVerb),
}

#[derive(Subcommand)]
pub(crate) enum HaproxyVerb {
    /// Print a whole configuration of HAProxy for the brokers of a cluster
    Render(RenderHaproxy),
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("brokers").required(true))]
pub(crate) struct RenderHaproxy {
    /// Where the brokers are registered, as zk://host:port,host:port/chroot
    #[arg(long, value_name = "URL", group = "brokers")]
    pub(crate) registry: Option<String>,
    /// A broker, as ID=HOST:PORT or ID=https://HOST:PORT, instead of a registry; may be given again
    #[arg(long, value_name = "ID=ADDR", group = "brokers")]
    pub(crate) server: Vec<String>,
    /// File of the cluster key [default: /etc/hera/cluster.key]
    #[arg(long, value_name = "FILE", requires = "registry")]
    pub(crate) cluster_key: Option<PathBuf>,
    /// Where callers come in, as IP:PORT, *:PORT or fd@NUMBER; may be given again [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Vec<String>,
    /// Certificate and key for callers (one PEM file): HTTPS with HTTP/2
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Certificates to trust (PEM): of brokers that speak TLS, and of ZooKeeper with zks://
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Socket for HAProxy's Runtime API
    #[arg(long, value_name = "PATH")]
    pub(crate) stats: Option<PathBuf>,
    /// Connections of callers at once; HAProxy needs four descriptors for each
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) maxconn: u32,
    /// Calls at once with one broker, in each of two backends
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) server_maxconn: u32,
    /// Threads of HAProxy [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) nbthread: Option<u32>,
    /// User and group that HAProxy becomes, when root starts it
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Loopback address on which HAProxy speaks to itself; another one for each HAProxy of a machine
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001")]
    pub(crate) inner: SocketAddr,
    /// Follow the registry: write --output anew and reload HAProxy when brokers come or go; ends on SIGTERM
    #[arg(long, requires_all = ["registry", "output", "how"])]
    pub(crate) watch: bool,
    /// File that is kept true
    #[arg(long, value_name = "FILE", requires = "watch")]
    pub(crate) output: Option<PathBuf>,
    /// What makes HAProxy read it again, for sh
    #[arg(long, value_name = "COMMAND", requires = "watch", group = "how")]
    pub(crate) reload: Option<String>,
    /// Or: file with the process id of the master of `haproxy -W`, which gets SIGUSR2
    #[arg(long, value_name = "FILE", requires = "watch", group = "how")]
    pub(crate) pid_file: Option<PathBuf>,
    /// How long a broker stays in the file after it left the registry: a drain takes up to 35 s
    #[arg(long, value_name = "TIME", requires = "watch", default_value = "60s", value_parser = duration)]
    pub(crate) keep: Duration,
}

#[derive(Subcommand)]
pub(crate) enum ClusterVerb {
    /// Make the cluster key and lay out ZooKeeper, once
    Init(InitCluster),
}

#[derive(Args)]
pub(crate) struct InitCluster {
    /// Where, as zk://host:port,host:port/chroot
    #[arg(long, value_name = "URL")]
    pub(crate) registry: String,
    /// File of the cluster key; made with mode 0600 unless it is there [default: /etc/hera/cluster.key]
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster_key: Option<PathBuf>,
    /// Certificates to trust with zks:// (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Go without ACLs: whoever reaches ZooKeeper may delete tokens
    #[arg(long)]
    pub(crate) open_acls: bool,
}

/// Options of a broker; each sets the key of the configuration that it names.
#[derive(Args, Clone, Default)]
pub(crate) struct BrokerFlags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where callers come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Where workers come in [default: 127.0.0.1:4372]
    #[arg(long, value_name = "ADDR")]
    workers: Option<String>,
    /// Where people and Prometheus come in [default: 127.0.0.1:4380]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// What brokers share [default: standalone]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Folder of state [default: ./hera-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// File of the cluster key [default: cluster.key in the data dir]
    #[arg(long, value_name = "FILE")]
    cluster_key: Option<String>,
    /// Host under which workers reach this broker
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Certificate of the listeners for callers and workers (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
}

impl BrokerFlags {
    /// The flags that were given, as the last layer of the configuration.
    pub(crate) fn into_flags(self) -> Vec<Flag> {
        let flags = [
            ("http.listen", "--http", self.http),
            ("workers.listen", "--workers", self.workers),
            ("admin.listen", "--admin", self.admin),
            ("registry.url", "--registry", self.registry),
            ("broker.data_dir", "--data-dir", self.data_dir),
            ("cluster.key_file", "--cluster-key", self.cluster_key),
            ("broker.advertise", "--advertise", self.advertise),
            ("tls.cert", "--tls-cert", self.tls_cert),
            ("tls.key", "--tls-key", self.tls_key),
        ];
        flags.into_iter().filter_map(|(key, name, value)| Some(Flag { key, name, value: value? })).collect()
    }
}

/// Where a verb acts: a running broker, ZooKeeper, or the files of a standalone broker.
#[derive(Args, Clone, Default)]
pub(crate) struct Where {
    /// Admin address of a running broker [default: 127.0.0.1:4380]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<String>,
    /// Data dir of a standalone broker: alone, its files are used, running or not; with --admin, it holds the admin token
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// File of the admin token [default: admin.token in the data dir]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Act on ZooKeeper itself, as zk://host:port,host:port/chroot; needs the cluster key
    #[arg(long, value_name = "URL", conflicts_with_all = ["admin", "admin_token_file", "data_dir"])]
    pub(crate) registry: Option<String>,
    /// File of the cluster key [default: the data dir's own; with --registry /etc/hera/cluster.key]
    #[arg(long, value_name = "FILE")]
    pub(crate) cluster_key: Option<PathBuf>,
    /// Certificates to trust with zks:// (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token; it is printed once, alone on stdout
    Create(CreateToken),
    /// Show all tokens, without their secrets
    List(Where),
    /// Refuse a token from now on
    Revoke(Named),
    /// Replace a token by one with the same rights; the old one ends at once
    Rotate(Named),
}

#[derive(Args)]
pub(crate) struct CreateToken {
    /// Name, unique among tokens
    #[arg(long, value_name = "NAME", required_unless_present = "anonymous")]
    pub(crate) name: Option<String>,
    /// Make the record for calls without a token instead
    #[arg(long, conflicts_with = "name")]
    pub(crate) anonymous: bool,
    /// What it may call, as 'GET /0/**'; may be given again; without it: nothing
    #[arg(long, value_name = "SCOPE")]
    pub(crate) allow: Vec<String>,
    /// How often, as 100/s or 10/m
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<String>,
    /// How long, as 30d, 12h, 15m or 90s
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// A label that workers see, as team=ads; may be given again
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) at: Where,
}

/// A token or key by its name or id.
#[derive(Args)]
pub(crate) struct Named {
    /// Name or id
    #[arg(value_name = "NAME|ID")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Subcommand)]
pub(crate) enum KeyVerb {
    /// Make the worker key of a service; it is printed once, alone on stdout
    Create(CreateKey),
    /// Show all worker keys, without their secrets
    List(Where),
    /// Change what a service may do; its key stays
    Update(UpdateKey),
    /// Refuse a worker key from now on
    Revoke(Named),
    /// Replace a worker key by one with the same rights; the old one ends at once
    Rotate(Named),
}

#[derive(Args)]
pub(crate) struct CreateKey {
    /// The service, unique among keys
    #[arg(long, value_name = "SERVICE")]
    pub(crate) name: String,
    /// Where its endpoints may lie, as '/0/metrics-api/**'; may be given again; without it: nowhere
    #[arg(long, value_name = "PREFIX")]
    pub(crate) serve: Vec<String>,
    /// What its workers may call, as 'GET /0/**'; may be given again; without it: nothing
    #[arg(long, value_name = "SCOPE")]
    pub(crate) call: Vec<String>,
    /// Allow its prefixes to overlap those of other services
    #[arg(long)]
    pub(crate) share: bool,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct UpdateKey {
    /// Name or id
    #[arg(value_name = "SERVICE|ID")]
    pub(crate) name: String,
    /// Replaces all its prefixes; may be given again
    #[arg(long, value_name = "PREFIX", group = "change")]
    pub(crate) serve: Vec<String>,
    /// Takes all its prefixes away
    #[arg(long, conflicts_with = "serve", group = "change")]
    pub(crate) serve_nothing: bool,
    /// Replaces all its scopes; may be given again
    #[arg(long, value_name = "SCOPE", group = "change")]
    pub(crate) call: Vec<String>,
    /// Takes all its scopes away
    #[arg(long, conflicts_with = "call", group = "change")]
    pub(crate) call_nothing: bool,
    /// Allow its prefixes to overlap those of other services
    #[arg(long, group = "change")]
    pub(crate) share: bool,
    /// Refuse new prefixes that overlap those of other services
    #[arg(long, conflicts_with = "share", group = "change")]
    pub(crate) no_share: bool,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Args)]
pub(crate) struct Call {
    /// HTTP method
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// Path, and query behind ?
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
    /// Where the brokers are, as in HERA of a worker [default: HERA, else hera://127.0.0.1:4372]
    #[arg(long, value_name = "URL")]
    pub(crate) brokers: Option<String>,
    /// Certificates to trust with heras:// (PEM) [default: HERA_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A header, as 'Name: value'; may be given again
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// The body; @FILE reads it from a file, @- from stdin
    #[arg(short, long, value_name = "BODY")]
    pub(crate) data: Option<String>,
    /// How long the call may take, as 1500ms or 2s [default: the endpoint's timeout]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Print status, headers and body as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EndpointsArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<EndpointsVerb>,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Subcommand)]
pub(crate) enum EndpointsVerb {
    /// Forget an endpoint, as 'GET /0/x'; calls to it are 404 until a worker declares it again
    Forget(Forget),
}

#[derive(Args)]
pub(crate) struct Forget {
    /// As `hera endpoints` shows it
    #[arg(value_name = "ENDPOINT")]
    pub(crate) endpoint: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

#[derive(Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say whether a broker would start with this configuration
    Check(BrokerFlags),
    /// Print the configuration that a broker would start with, as TOML
    Show(ShowConfig),
}

#[derive(Args)]
pub(crate) struct ShowConfig {
    /// Say beside each value where it comes from
    #[arg(long)]
    pub(crate) origin: bool,
    #[command(flatten)]
    pub(crate) flags: BrokerFlags,
}

fn duration(text: &str) -> Result<Duration, String> {
    hera_registry::duration::parse(text)
        .ok_or_else(|| "a time is a whole number with s, m, h or d, as 60s".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE, as team=ads")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
