//! Both sides of the handshake as state machines without a socket (P-14 to P-21).
//!
//! ```text
//!   worker  WorkerHandshake::hello ──> hello        BrokerHandshake::hello  broker
//!           WorkerHandshake::answer <── answer+proof
//!           prove+proof ──> BrokerHandshake::prove ──> the key's id and whether it is proven
//! ```

use crate::VERSION;
use crate::error::Code;
use crate::key::WorkerKey;
use crate::limits::Limits;
use crate::message::hello::{Hello, HelloAnswer};
use crate::message::{self, Message, Outcome, method};
use crate::proof::{Role, Signer, transcript, verify};
use bytes::Bytes;

/// Id of the hello (P-14).
pub const HELLO_ID: u64 = 1;
/// Id of the proof (P-18).
pub const PROVE_ID: u64 = 2;

/// Why a handshake ended without a session. `code` goes to the peer, `reason` to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refused {
    /// What the other side is told.
    pub code: Code,
    /// What the log is told; nothing secret.
    pub reason: String,
}

fn refuse(code: Code, reason: impl Into<String>) -> Refused {
    Refused { code, reason: reason.into() }
}

/// What a broker is in a handshake.
#[derive(Clone, Debug)]
pub struct BrokerSide<'a> {
    /// The cluster's identity.
    pub identity: &'a Signer,
    /// The broker's id.
    pub broker: &'a str,
    /// Name and version of the broker.
    pub library: &'a str,
    /// What it accepts.
    pub limits: Limits,
    /// Features it offers.
    pub features: &'a [&'a str],
    /// SHA-256 of the leaf certificate of this connection.
    pub certificate: Option<[u8; 32]>,
}

/// The broker's side after a good hello: waits for the proof.
#[derive(Debug)]
pub struct BrokerHandshake {
    /// What the worker said.
    pub hello: Hello,
    /// What holds between the two.
    pub limits: Limits,
    /// Head of the answer to send.
    pub answer: Bytes,
    /// Attachment of the answer to send.
    pub proof: [u8; 64],
    transcript: [u8; 32],
}

impl BrokerHandshake {
    /// Reads the first frame of a connection and prepares the answer. `nonce` is fresh and random.
    pub fn hello(side: &BrokerSide<'_>, head: &[u8], nonce: &str) -> Result<BrokerHandshake, Refused> {
        let params = match message::read(head) {
            Ok(Message::Request { id: HELLO_ID, method, params }) if method == method::HELLO => params,
            Ok(Message::Request { method, .. }) if method == method::HELLO => {
                return Err(refuse(Code::InvalidRequest, "hello without id 1"));
            }
            Ok(_) => return Err(refuse(Code::HandshakeRequired, "first message is not a hello")),
            Err(bad) => return Err(refuse(bad.code, bad.reason)),
        };
        let hello: Hello =
            message::fit(params).ok_or_else(|| refuse(Code::InvalidParams, "hello lacks a member"))?;
        if !hello.versions.contains(&VERSION) {
            return Err(refuse(
                Code::UnsupportedVersion,
                format!("worker speaks versions {:?}, this broker {VERSION}", hello.versions),
            ));
        }
        hello.check().map_err(|name| refuse(Code::InvalidParams, format!("hello has a bad {name}")))?;

        let limits = side.limits.intersect(hello.limits);
        let answer = HelloAnswer {
            version: VERSION,
            features: side
                .features
                .iter()
                .filter(|feature| hello.features.iter().any(|other| other == *feature))
                .map(|feature| (*feature).to_owned())
                .collect(),
            limits,
            nonce: nonce.to_owned(),
            broker: side.broker.to_owned(),
            library: side.library.to_owned(),
        };
        let answer = write(|out| message::write_result(out, HELLO_ID, &answer))?;
        let transcript = transcript(head, &answer, side.certificate.as_ref());
        let proof = side.identity.prove(Role::Broker, &transcript);
        Ok(BrokerHandshake { hello, limits, answer, proof, transcript })
    }

    /// Reads the second frame. `public` is the public key of the record that the hello's key id names, if it exists.
    ///
    /// An unknown key costs a verification too, so its answer takes as long as a wrong proof's (P-19).
    pub fn prove(&self, head: &[u8], proof: &[u8], public: Option<&[u8; 32]>) -> Result<(), Refused> {
        match message::read(head) {
            Ok(Message::Request { id: PROVE_ID, method, .. }) if method == method::PROVE => {}
            Ok(_) => return Err(refuse(Code::HandshakeRequired, "second message is not a proof with id 2")),
            Err(bad) => return Err(refuse(bad.code, bad.reason)),
        }
        let proven = verify(public.unwrap_or(&[0; 32]), Role::Worker, &self.transcript, proof);
        match public {
            Some(_) if proven => Ok(()),
            Some(_) => Err(refuse(Code::Unauthenticated, format!("key {} is not proven", self.hello.key))),
            None => Err(refuse(Code::Unauthenticated, format!("key {} is not known", self.hello.key))),
        }
    }
}

/// The worker's side: sent a hello, waits for the broker's proof.
#[derive(Debug)]
pub struct WorkerHandshake {
    /// Head of the hello to send.
    pub hello: Bytes,
}

/// What a worker sends after it believed the broker.
#[derive(Debug)]
pub struct WorkerProof {
    /// What the broker said.
    pub answer: HelloAnswer,
    /// Head of the `prove` to send.
    pub head: Bytes,
    /// Attachment of the `prove` to send.
    pub proof: [u8; 64],
}

impl WorkerHandshake {
    /// Prepares the hello.
    pub fn new(hello: &Hello) -> Result<WorkerHandshake, Refused> {
        let hello = write(|out| message::write_request(out, HELLO_ID, method::HELLO, hello))?;
        Ok(WorkerHandshake { hello })
    }

    /// Judges the broker's answer and proof; only then is anything signed (P-18).
    pub fn answer(
        &self,
        key: &WorkerKey,
        head: &[u8],
        proof: &[u8],
        certificate: Option<&[u8; 32]>,
    ) -> Result<WorkerProof, Refused> {
        let answer: HelloAnswer = match message::read(head) {
            Ok(Message::Response { outcome: Outcome::Result(raw), .. }) => message::fit(Some(raw))
                .ok_or_else(|| refuse(Code::InvalidParams, "the broker's answer lacks a member"))?,
            Ok(Message::Response { outcome: Outcome::Error(raw), .. }) => return Err(refusal(raw)),
            Ok(_) => return Err(refuse(Code::HandshakeRequired, "the broker's first message is no answer")),
            Err(bad) => return Err(refuse(bad.code, bad.reason)),
        };
        let transcript = transcript(&self.hello, head, certificate);
        if !verify(&key.cluster, Role::Broker, &transcript, proof) {
            return Err(refuse(
                Code::Unauthenticated,
                "the broker did not prove that it belongs to the cluster",
            ));
        }
        if answer.version != VERSION {
            return Err(refuse(Code::UnsupportedVersion, format!("broker chose version {}", answer.version)));
        }
        let head = write(|out| message::write_request(out, PROVE_ID, method::PROVE, &message::Empty {}))?;
        let proof = Signer::from_seed(&key.seed).prove(Role::Worker, &transcript);
        Ok(WorkerProof { answer, head, proof })
    }
}

/// What an error response during the handshake says.
pub fn refusal(raw: &serde_json::value::RawValue) -> Refused {
    match message::fit::<message::failure::Failure<'_>>(Some(raw)) {
        Some(failure) => refuse(
            failure.code().unwrap_or(Code::InternalError),
            failure.message.chars().take(200).collect::<String>(),
        ),
        None => refuse(Code::InvalidRequest, "an error that is no error object"),
    }
}

/// Writes a head outside a frame: the handshake signs its exact bytes.
fn write(head: impl FnOnce(message::HeadWriter<'_>) -> serde_json::Result<()>) -> Result<Bytes, Refused> {
    let mut out = Vec::new();
    head(&mut out).map_err(|_| refuse(Code::InternalError, "head cannot be written"))?;
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn key(identity: &Signer) -> WorkerKey {
        WorkerKey { id: "0123456789abcdef".into(), seed: [5; 32], cluster: identity.public() }
    }

    fn hello(versions: Vec<u32>) -> Hello {
        Hello {
            versions,
            features: vec!["future".into()],
            limits: Limits { in_flight_max: 8, ..Limits::default() },
            nonce: NONCE.into(),
            key: "0123456789abcdef".into(),
            instance: "host-1-ab".into(),
            version: "1.0".into(),
            library: "test 1".into(),
        }
    }

    fn side(identity: &Signer) -> BrokerSide<'_> {
        BrokerSide {
            identity,
            broker: "b-1",
            library: "hera 0",
            limits: Limits::default(),
            features: &[],
            certificate: None,
        }
    }

    #[test]
    fn both_sides_believe_each_other_and_agree_on_the_smaller_limits() {
        let identity = Signer::from_seed(&[3; 32]);
        let worker = WorkerHandshake::new(&hello(vec![1, 2])).unwrap();

        let broker = BrokerHandshake::hello(&side(&identity), &worker.hello, NONCE).unwrap();
        let proven = worker.answer(&key(&identity), &broker.answer, &broker.proof, None).unwrap();

        assert_eq!(proven.answer.limits.in_flight_max, 8);
        assert!(proven.answer.features.is_empty());
        let public = Signer::from_seed(&[5; 32]).public();
        assert_eq!(broker.prove(&proven.head, &proven.proof, Some(&public)), Ok(()));
    }

    #[test]
    fn captured_proof_opens_no_second_connection() {
        let identity = Signer::from_seed(&[3; 32]);
        let worker = WorkerHandshake::new(&hello(vec![1])).unwrap();
        let first = BrokerHandshake::hello(&side(&identity), &worker.hello, NONCE).unwrap();
        let proven = worker.answer(&key(&identity), &first.answer, &first.proof, None).unwrap();

        let fresh = NONCE.replace('0', "f");
        let second = BrokerHandshake::hello(&side(&identity), &worker.hello, &fresh).unwrap();

        let public = Signer::from_seed(&[5; 32]).public();
        let refused = second.prove(&proven.head, &proven.proof, Some(&public)).unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated);
    }

    #[test]
    fn unknown_key_and_wrong_proof_are_one_answer() {
        let identity = Signer::from_seed(&[3; 32]);
        let worker = WorkerHandshake::new(&hello(vec![1])).unwrap();
        let broker = BrokerHandshake::hello(&side(&identity), &worker.hello, NONCE).unwrap();
        let head = br#"{"jsonrpc":"2.0","id":2,"method":"prove","params":{}}"#;

        let unknown = broker.prove(head, &[0; 64], None).unwrap_err();
        let wrong = broker.prove(head, &[0; 64], Some(&identity.public())).unwrap_err();
        assert_eq!((unknown.code, wrong.code), (Code::Unauthenticated, Code::Unauthenticated));
    }

    #[test]
    fn broker_of_another_cluster_is_left_before_anything_is_signed() {
        let identity = Signer::from_seed(&[3; 32]);
        let impostor = Signer::from_seed(&[4; 32]);
        let worker = WorkerHandshake::new(&hello(vec![1])).unwrap();
        let broker = BrokerHandshake::hello(&side(&impostor), &worker.hello, NONCE).unwrap();

        let refused = worker.answer(&key(&identity), &broker.answer, &broker.proof, None).unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated);
    }

    #[test]
    fn changed_hello_breaks_the_proof() {
        let identity = Signer::from_seed(&[3; 32]);
        let worker = WorkerHandshake::new(&hello(vec![1, 2])).unwrap();
        let tampered = std::str::from_utf8(&worker.hello).unwrap().replace("[1,2]", "[1]");
        let broker = BrokerHandshake::hello(&side(&identity), tampered.as_bytes(), NONCE).unwrap();

        let refused = worker.answer(&key(&identity), &broker.answer, &broker.proof, None).unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated);
    }

    #[test]
    fn no_common_version_is_named() {
        let identity = Signer::from_seed(&[3; 32]);
        let worker = WorkerHandshake::new(&hello(vec![7])).unwrap();
        let refused = BrokerHandshake::hello(&side(&identity), &worker.hello, NONCE).unwrap_err();
        assert_eq!(refused.code, Code::UnsupportedVersion);
    }

    #[test]
    fn certificate_is_part_of_what_is_signed() {
        let identity = Signer::from_seed(&[3; 32]);
        let worker = WorkerHandshake::new(&hello(vec![1])).unwrap();
        let tls = BrokerSide { certificate: Some([1; 32]), ..side(&identity) };
        let broker = BrokerHandshake::hello(&tls, &worker.hello, NONCE).unwrap();

        assert!(worker.answer(&key(&identity), &broker.answer, &broker.proof, Some(&[1; 32])).is_ok());
        assert!(worker.answer(&key(&identity), &broker.answer, &broker.proof, Some(&[2; 32])).is_err());
        assert!(worker.answer(&key(&identity), &broker.answer, &broker.proof, None).is_err());
    }
}
