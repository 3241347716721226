package dev.hera.protocol;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.HexFormat;

/** What both sides sign and verify in the handshake (P-16, P-17). */
public final class Proof {
    // RFC 8410: the fixed DER in front of a raw Ed25519 seed and of a raw public key.
    private static final byte[] PKCS8 = HexFormat.of().parseHex("302e020100300506032b657004220420");
    private static final byte[] SPKI = HexFormat.of().parseHex("302a300506032b6570032100");

    /** Whose proof it is; the label keeps one side's from being passed off as the other's. */
    public enum Role {
        BROKER,
        WORKER;

        private byte[] label() {
            String label = this == BROKER ? "hera/1 broker\0" : "hera/1 worker\0";
            return label.getBytes(StandardCharsets.US_ASCII);
        }
    }

    private Proof() {}

    /**
     * SHA-256 over everything both sides said so far (P-16).
     *
     * @param certificate SHA-256 of the broker's leaf certificate on TLS, so that a proof cannot be carried to another connection; empty on
     *     plain TCP
     */
    public static byte[] transcript(byte[] hello, byte[] answer, byte[] certificate) {
        MessageDigest digest = sha256();
        digest.update("hera/1 transcript".getBytes(StandardCharsets.US_ASCII));
        for (byte[] head : new byte[][] {hello, answer}) {
            digest.update(ByteBuffer.allocate(4).putInt(head.length).flip());
            digest.update(head);
        }
        digest.update((byte) (certificate.length == 0 ? 0 : 1));
        digest.update(certificate);
        return digest.digest();
    }

    /** The proof of {@code role} over {@code said}, 64 bytes. */
    public static byte[] prove(byte[] seed, Role role, byte[] said) {
        try {
            PrivateKey key = KeyFactory.getInstance("Ed25519").generatePrivate(new PKCS8EncodedKeySpec(join(PKCS8, seed)));
            Signature signature = Signature.getInstance("Ed25519");
            signature.initSign(key);
            signature.update(join(role.label(), said));
            return signature.sign();
        } catch (GeneralSecurityException cause) {
            // Every Java from 15 on has Ed25519, and any 32 bytes are a seed.
            throw new IllegalStateException(cause);
        }
    }

    /** Whether {@code proof} is the signature of {@code role} over {@code said} by the holder of {@code publicKey}. */
    public static boolean verifies(byte[] publicKey, Role role, byte[] said, byte[] proof) {
        if (proof.length != 64) return false;
        try {
            PublicKey key = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(join(SPKI, publicKey)));
            Signature signature = Signature.getInstance("Ed25519");
            signature.initVerify(key);
            signature.update(join(role.label(), said));
            return signature.verify(proof);
        } catch (GeneralSecurityException notAKeyOrProof) {
            // 32 bytes that are no point of the curve are a key that nobody holds.
            return false;
        }
    }

    /** SHA-256 of these bytes. */
    public static byte[] sha256(byte[] bytes) {
        return sha256().digest(bytes);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (GeneralSecurityException cause) {
            // Every Java has it.
            throw new IllegalStateException(cause);
        }
    }

    private static byte[] join(byte[] first, byte[] second) {
        return ByteBuffer.allocate(first.length + second.length).put(first).put(second).array();
    }
}
