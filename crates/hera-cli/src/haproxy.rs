//! `hera haproxy render`: the configuration of HAProxy that belongs in front of the brokers, once or kept true.

mod kept;
mod options;
mod problem;
mod render;
mod server;
mod watch;

use hera_registry::ClusterKey;
use hera_registry::zookeeper::{Access, BrokerNode, ZkRegistry, ZkUrl};

use crate::args::RenderHaproxy;
use crate::cluster::cluster_key_file;
use crate::failure::Failure;
use crate::output;
use crate::target::block_on;
use options::Options;
use server::Server;

pub(crate) fn render(args: &RenderHaproxy) -> Result<(), Failure> {
    let options = Options::of(args)?;
    for text in options.plain_off_loopback() {
        output::tell(&format!(
            "hera: {text} is open to other machines without TLS: anyone on the way reads the callers' tokens; give --tls-cert"
        ));
    }
    if args.watch {
        return watch::run(args, options);
    }
    let listed = match &args.registry {
        Some(url) => {
            let access = access(url, args)?;
            let nodes = block_on(async { ZkRegistry::connect(access).await?.list_brokers().await })??;
            Listed::of_nodes(&nodes)
        }
        None => Listed::of_flags(&args.server)?,
    };
    listed.check(&options)?;
    for reason in &listed.skipped {
        output::tell(&format!("hera: left out: {reason}"));
    }
    let text = render::render(&options, &listed.servers, &listed.skipped);
    output::result(text.trim_end())
}

/// The brokers for a configuration, by id.
struct Listed {
    servers: Vec<Server>,
    /// Of those that cannot stand in one, why.
    skipped: Vec<String>,
}

impl Listed {
    fn of_flags(texts: &[String]) -> Result<Listed, Failure> {
        let servers: Result<Vec<Server>, String> = texts.iter().map(|text| Server::parse(text)).collect();
        let mut servers = servers.map_err(|problem| Failure::refused("bad_server", &problem))?;
        servers.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(two) = servers.windows(2).find(|two| two[0].id == two[1].id) {
            return Err(Failure::refused("bad_server", &format!("--server {} stands twice", two[0].id)));
        }
        Ok(Listed { servers, skipped: Vec::new() })
    }

    /// One odd broker must not keep HAProxy from the others.
    fn of_nodes(nodes: &[BrokerNode]) -> Listed {
        let mut listed = Listed { servers: Vec::new(), skipped: Vec::new() };
        for node in nodes {
            match Server::of(node) {
                Ok(server) => listed.servers.push(server),
                Err(problem) => listed.skipped.push(problem),
            }
        }
        listed.servers.sort_by(|a, b| a.id.cmp(&b.id));
        listed
    }

    /// A certificate that is held to nothing proves nothing, so there is no default.
    fn check(&self, options: &Options) -> Result<(), Failure> {
        match self.servers.iter().find(|server| server.tls && options.ca_file.is_none()) {
            Some(server) => Err(Failure::refused(
                "bad_option",
                &format!("broker {} speaks TLS: give the certificates to trust by --ca-file", server.id),
            )),
            None => Ok(()),
        }
    }
}

fn access(url: &str, args: &RenderHaproxy) -> Result<Access, Failure> {
    let key = ClusterKey::read(&cluster_key_file(args.cluster_key.as_deref()))?;
    Ok(Access { ca_file: args.ca_file.clone(), ..Access::new(ZkUrl::parse(url)?, Some(key)) })
}
