//! The handshake: no bytes but the right proof open a session, on either side, and a hello that is believed has the form of P-14.

#![no_main]

use hera_protocol::handshake::{BrokerHandshake, BrokerSide, PROVE_ID, WorkerHandshake};
use hera_protocol::key::WorkerKey;
use hera_protocol::limits::Limits;
use hera_protocol::message::hello::Hello;
use hera_protocol::message::{self, Message, method};
use hera_protocol::proof::Signer;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A handshake that succeeds, as the one to attack.
struct Good {
    identity: Signer,
    key: WorkerKey,
    public: [u8; 32],
    worker: WorkerHandshake,
    broker: BrokerHandshake,
    head: Vec<u8>,
    proof: [u8; 64],
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let identity = Signer::from_seed(&[3; 32]);
    let key = WorkerKey { id: "0123456789abcdef".into(), seed: [5; 32], cluster: identity.public() };
    let hello = Hello {
        versions: vec![1],
        features: Vec::new(),
        limits: Limits::default(),
        nonce: NONCE.into(),
        key: key.id.clone(),
        instance: "i".into(),
        version: "1".into(),
        library: "l".into(),
    };
    let worker = WorkerHandshake::new(&hello).unwrap();
    let broker = BrokerHandshake::hello(&side(&identity), &worker.hello, NONCE).unwrap();
    let proven = worker.answer(&key, &broker.answer, &broker.proof, None).unwrap();
    let public = Signer::from_seed(&[5; 32]).public();
    let (head, proof) = (proven.head.to_vec(), proven.proof);
    Good { identity, key, public, worker, broker, head, proof }
});

fn side(identity: &Signer) -> BrokerSide<'_> {
    let (broker, library) = ("b-1", "hera 0");
    BrokerSide { identity, broker, library, limits: Limits::default(), features: &["x"], certificate: None }
}

// The first byte says which message of the handshake the rest is.
fuzz_target!(|data: &[u8]| {
    let Some((&choice, sent)) = data.split_first() else { return };
    match choice % 5 {
        0 => hello(sent),
        1 => answer(sent),
        2 => proof(sent),
        3 => changed(sent),
        _ => key(sent),
    }
});

fn hello(head: &[u8]) {
    let Ok(broker) = BrokerHandshake::hello(&side(&GOOD.identity), head, NONCE) else { return };
    let hello = &broker.hello;
    let is_hex =
        |text: &str, len| text.len() == len && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    let is_word = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
    };
    assert!(is_hex(&hello.nonce, 64) && is_hex(&hello.key, 16));
    assert!(is_word(&hello.instance) && is_word(&hello.version) && hello.versions.contains(&1));
    let (ours, most) = (broker.limits, Limits::default());
    assert!(ours.are_usable() && ours.head_bytes_max <= most.head_bytes_max);
    assert!(ours.attachment_bytes_max <= most.attachment_bytes_max);

    // A worker that said just this believes the answer; and no proof is taken for a key that is not known.
    let worker = WorkerHandshake { hello: head.to_vec().into() };
    let proven = worker.answer(&GOOD.key, &broker.answer, &broker.proof, None).unwrap();
    assert!(broker.prove(&proven.head, &proven.proof, Some(&GOOD.public)).is_ok());
    assert!(broker.prove(&proven.head, &proven.proof, None).is_err());
    assert!(broker.prove(&proven.head, &proven.proof, Some(&[0; 32])).is_err());
}

/// An answer of a broker that has not the cluster's key: the first 64 bytes are its proof.
///
/// libFuzzer sees what is compared and comes to know the good one, which is no forgery.
fn answer(sent: &[u8]) {
    let (proof, head) = sent.split_at(sent.len().min(64));
    let is_good = head == &GOOD.broker.answer[..];
    let believed = |proof: &[u8]| GOOD.worker.answer(&GOOD.key, head, proof, None).is_ok();
    assert_eq!(believed(proof), is_good && proof == GOOD.broker.proof);
    assert_eq!(believed(&GOOD.broker.proof), is_good);
}

/// A proof of a worker that has not the key, or has it and says something else with it.
fn proof(sent: &[u8]) {
    let (proof, head) = sent.split_at(sent.len().min(64));
    let proven = GOOD.broker.prove(&GOOD.head, proof, Some(&GOOD.public)).is_ok();
    assert_eq!(proven, proof == GOOD.proof);
    let good = GOOD.broker.prove(head, &GOOD.proof, Some(&GOOD.public)).is_ok();
    let is_prove = matches!(message::read(head),
        Ok(Message::Request { id: PROVE_ID, method, .. }) if method == method::PROVE);
    assert_eq!(good, is_prove);
}

/// Each pair is a place and what is done to the byte there: one changed byte anywhere breaks the handshake.
fn changed(sent: &[u8]) {
    let change = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for pair in sent.chunks_exact(2) {
            let at = usize::from(pair[0]) % bytes.len();
            bytes[at] ^= pair[1];
        }
        bytes
    };
    let (answer, proof) = (change(&GOOD.broker.answer), change(&GOOD.broker.proof));
    let same = answer[..] == GOOD.broker.answer[..];
    assert_eq!(GOOD.worker.answer(&GOOD.key, &answer, &GOOD.broker.proof, None).is_ok(), same);
    let same = proof == GOOD.broker.proof;
    assert_eq!(GOOD.worker.answer(&GOOD.key, &GOOD.broker.answer, &proof, None).is_ok(), same);
    let proof = change(&GOOD.proof);
    let same = proof == GOOD.proof;
    assert_eq!(GOOD.broker.prove(&GOOD.head, &proof, Some(&GOOD.public)).is_ok(), same);
}

fn key(sent: &[u8]) {
    let Ok(text) = std::str::from_utf8(sent) else { return };
    if let Ok(key) = WorkerKey::parse(text) {
        assert_eq!(key.to_text(), text.trim());
    }
    // Most of what is tried fails by the checksum: here everything before it is as it was given.
    let digits: String =
        sent.iter().map(|byte| char::from(b"0123456789abcdef"[usize::from(byte & 15)])).collect();
    let _ = WorkerKey::parse(&format!("herakey_{digits:0<152}"));
}
