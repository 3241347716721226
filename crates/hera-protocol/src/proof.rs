//! Proofs: Ed25519 signatures over a role label and the transcript (P-16, P-17).

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

const TRANSCRIPT_LABEL: &[u8] = b"hera/1 transcript";

/// Who signs: a proof of one role is never one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The broker, with the cluster's identity.
    Broker,
    /// The worker, with its key.
    Worker,
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Role::Broker => b"hera/1 broker",
            Role::Worker => b"hera/1 worker",
        }
    }
}

/// SHA-256 over everything that both sides said so far (P-16).
///
/// `certificate` is the SHA-256 of the broker's leaf certificate on TLS, so a proof cannot be carried from one
/// TLS connection to another.
pub fn transcript(hello: &[u8], answer: &[u8], certificate: Option<&[u8; 32]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(TRANSCRIPT_LABEL);
    for head in [hello, answer] {
        context.update(&(head.len() as u32).to_be_bytes());
        context.update(head);
    }
    match certificate {
        None => context.update(&[0]),
        Some(hash) => {
            context.update(&[1]);
            context.update(hash);
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A signer made from a 32-byte seed.
pub struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Any 32 bytes are a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Signer {
        // The only error is a seed of another length, which the type rules out.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed");
        Signer { pair }
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        public
    }

    /// The proof of `role` over `transcript`, 64 bytes.
    pub fn prove(&self, role: Role, transcript: &[u8; 32]) -> [u8; 64] {
        let mut proof = [0; 64];
        proof.copy_from_slice(self.pair.sign(&signed(role, transcript)).as_ref());
        proof
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// SHA-256 of `bytes`: what a certificate is named by in a transcript.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Whether `proof` is the signature of `role` over `transcript` by the holder of `public`.
pub fn verify(public: &[u8; 32], role: Role, transcript: &[u8; 32], proof: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(&signed(role, transcript), proof).is_ok()
}

fn signed(role: Role, transcript: &[u8; 32]) -> Vec<u8> {
    [role.label(), &[0], transcript].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_holds_for_its_role_transcript_and_key_alone() {
        let signer = Signer::from_seed(&[1; 32]);
        let said = transcript(b"hello", b"answer", None);
        let proof = signer.prove(Role::Worker, &said);

        assert!(verify(&signer.public(), Role::Worker, &said, &proof));
        assert!(!verify(&signer.public(), Role::Broker, &said, &proof));
        assert!(!verify(&Signer::from_seed(&[2; 32]).public(), Role::Worker, &said, &proof));
        assert!(!verify(&signer.public(), Role::Worker, &said, &proof[..63]));
        assert!(!verify(&signer.public(), Role::Worker, &said, &[]));
        for other in [
            transcript(b"hell", b"oanswer", None),
            transcript(b"hello", b"answer", Some(&[0; 32])),
            transcript(b"hello!", b"answer", None),
        ] {
            assert!(!verify(&signer.public(), Role::Worker, &other, &proof));
        }
    }
}
