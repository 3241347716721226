//! A broker's node: readable by Curator's discovery, believed by its MAC, dialled by workers without it.

use serde::{Deserialize, Serialize};

use super::limits::BROKER_NODE_BYTES_MAX;
use crate::record::{BadRecord, Sealer};

/// Plain TCP, in `protocols`.
pub const TCP: &str = "hera/1+tcp";
/// TLS, in `protocols`.
pub const TLS: &str = "hera/1+tls";

const LABEL: &str = "broker";
/// Curator's service name; its base path is the chroot.
const SERVICE: &str = "brokers";

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerNode {
    /// `[a-z0-9-]{1,32}`, the node's name.
    pub id: String,
    /// Host where workers dial.
    pub address: String,
    /// Port where workers dial.
    pub port: u16,
    /// How they dial: [`TCP`], [`TLS`].
    pub protocols: Vec<String>,
    /// Where callers come in, as a URL.
    pub http: String,
    /// Address of the admin listener, as its own host sees it.
    pub admin: String,
    /// Version of Hera.
    pub version: String,
    /// Unix seconds.
    pub started: u64,
}

/// The node's JSON. Curator's reader ignores keys that it does not know, and would choke on a `payload` without a class.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    name: String,
    id: String,
    address: String,
    port: u16,
    #[serde(default)]
    ssl_port: Option<u16>,
    #[serde(default, skip_deserializing)]
    payload: Option<()>,
    #[serde(default, rename = "registrationTimeUTC")]
    registration_time_utc: u64,
    #[serde(default)]
    service_type: String,
    #[serde(default, skip_deserializing)]
    uri_spec: Option<()>,
    #[serde(default)]
    protocols: Vec<String>,
    #[serde(default)]
    http: String,
    #[serde(default)]
    admin: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    started: u64,
    #[serde(default)]
    mac: String,
}

impl BrokerNode {
    /// The node's data, with its MAC.
    pub fn to_json(&self, sealer: &Sealer, now_ms: u64) -> Vec<u8> {
        let node = self.clone();
        let instance = Instance {
            mac: sealer.mac(LABEL, &self.covered()),
            name: SERVICE.to_owned(),
            id: node.id,
            address: node.address,
            port: node.port,
            ssl_port: None,
            payload: None,
            registration_time_utc: now_ms,
            service_type: "DYNAMIC".to_owned(),
            uri_spec: None,
            protocols: node.protocols,
            http: node.http,
            admin: node.admin,
            version: node.version,
            started: node.started,
        };
        serde_json::to_vec(&instance).expect("texts and numbers have a JSON form")
    }

    /// Reads a node and believes it only with our MAC.
    pub fn from_json(name: &str, data: &[u8], sealer: &Sealer) -> Result<BrokerNode, BadRecord> {
        let instance = instance(data).ok_or(BadRecord::Form)?;
        let node = BrokerNode {
            id: instance.id,
            address: instance.address,
            port: instance.port,
            protocols: instance.protocols,
            http: instance.http,
            admin: instance.admin,
            version: instance.version,
            started: instance.started,
        };
        sealer.verify(LABEL, &node.covered(), &instance.mac)?;
        // A true node under another name would count twice.
        if node.id == name { Ok(node) } else { Err(BadRecord::Form) }
    }

    /// Every value ends with a line feed, and none of ours holds one: no two nodes are covered by the same bytes.
    fn covered(&self) -> Vec<u8> {
        let values = [
            self.id.clone(),
            self.address.clone(),
            self.port.to_string(),
            self.protocols.join(","),
            self.http.clone(),
            self.admin.clone(),
            self.version.clone(),
            self.started.to_string(),
        ];
        values.iter().flat_map(|value| value.bytes().chain([b'\n'])).collect()
    }
}

/// Where and how a worker dials a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// The broker's id, or what stands for it.
    pub id: String,
    /// Name or IP address.
    pub address: String,
    /// Port for workers.
    pub port: u16,
    /// What it offers; never empty of those that we speak.
    pub protocols: Vec<String>,
}

impl Dial {
    /// What a node offers a worker, or `None` where it offers nothing that it could use. No MAC is looked at: the
    /// broker proves itself in the handshake.
    pub fn from_json(name: &str, data: &[u8]) -> Option<Dial> {
        let instance = instance(data)?;
        let dial = Dial {
            id: instance.id,
            address: instance.address,
            port: instance.port,
            protocols: instance.protocols,
        };
        (is_id(name) && dial.id == name && dial.is_usable()).then_some(dial)
    }

    /// Whether it is to be dialled over TLS.
    pub fn tls(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol == TLS)
    }

    /// Whether it may be dialled without TLS.
    pub fn tcp(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol == TCP)
    }

    /// Whether a worker could dial it at all.
    pub fn is_usable(&self) -> bool {
        let known = |protocol: &String| protocol == TCP || protocol == TLS;
        is_host(&self.address) && self.port > 0 && self.protocols.iter().any(known)
    }
}

/// A broker's id, and so its node's name.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

/// A host name or an IP address, as `broker.advertise` takes it.
fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let name = (1..=253).contains(&text.len()) && text.bytes().all(plain);
    name || text.parse::<std::net::Ipv6Addr>().is_ok()
}

fn instance(data: &[u8]) -> Option<Instance> {
    let instance: Instance =
        (data.len() <= BROKER_NODE_BYTES_MAX).then(|| serde_json::from_slice(data).ok())??;
    (instance.name == SERVICE).then_some(instance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_key::ClusterKey;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&ClusterKey::from_bytes([byte; 32]))
    }

    fn node() -> BrokerNode {
        BrokerNode {
            id: "b-1".into(),
            address: "10.0.0.7".into(),
            port: 4372,
            protocols: vec![TCP.into()],
            http: "http://10.0.0.7:8080".into(),
            admin: "127.0.0.1:4380".into(),
            version: "0.1.0".into(),
            started: 1_790_000_000,
        }
    }

    #[test]
    fn node_survives_its_json_and_any_change_is_seen() {
        let json = node().to_json(&sealer(1), 7);

        assert_eq!(BrokerNode::from_json("b-1", &json, &sealer(1)), Ok(node()));
        assert_eq!(BrokerNode::from_json("b-2", &json, &sealer(1)), Err(BadRecord::Form));
        assert_eq!(BrokerNode::from_json("b-1", &json, &sealer(2)), Err(BadRecord::Mac));
        let text = String::from_utf8(json).unwrap();
        for (from, to) in
            [("10.0.0.7\",\"port", "10.0.0.8\",\"port"), ("4372", "4373"), ("+tcp", "+tls"), ("8080", "8081")]
        {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(BrokerNode::from_json("b-1", changed.as_bytes(), &sealer(1)), Err(BadRecord::Mac));
        }
    }

    #[test]
    fn node_has_what_curator_reads() {
        let json: serde_json::Value = serde_json::from_slice(&node().to_json(&sealer(1), 7)).unwrap();

        for (key, value) in
            [("name", "brokers"), ("id", "b-1"), ("serviceType", "DYNAMIC"), ("address", "10.0.0.7")]
        {
            assert_eq!(json[key], value);
        }
        assert!(json["payload"].is_null() && json["uriSpec"].is_null() && json["sslPort"].is_null());
        assert_eq!(json["registrationTimeUTC"], 7);
    }

    #[test]
    fn worker_needs_no_mac_and_skips_what_it_cannot_dial() {
        let json = String::from_utf8(node().to_json(&sealer(1), 7)).unwrap();
        let dial = Dial::from_json("b-1", json.as_bytes()).unwrap();
        assert_eq!((dial.address.as_str(), dial.port, dial.tls()), ("10.0.0.7", 4372, false));

        let changed = |from: &str, to: &str| json.replacen(from, to, 1);
        for bad in [
            changed("hera/1+tcp", "hera/9+tcp"),
            changed("4372", "0"),
            changed("4372", "70000"),
            changed("10.0.0.7", "a b"),
            changed("\"brokers\"", "\"other\""),
            changed("{", "["),
            format!("{json}{}", " ".repeat(BROKER_NODE_BYTES_MAX)),
            String::new(),
        ] {
            assert!(Dial::from_json("b-1", bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Dial::from_json("b-1", changed("hera/1+tcp", "hera/1+tls").as_bytes()).unwrap().tls());
    }
}
