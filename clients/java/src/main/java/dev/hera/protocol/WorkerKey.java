package dev.hera.protocol;

import dev.hera.HeraException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.regex.Pattern;

/** A worker key, taken apart (P-22). Never logged: only {@code id} may be shown. */
public final class WorkerKey {
    private static final Pattern FORM = Pattern.compile("herakey_[0-9a-f]{152}");
    private static final int CHECKED = 8 + 16 + 64 + 64;

    private final String id;
    private final byte[] seed;
    private final byte[] cluster;

    private WorkerKey(String id, byte[] seed, byte[] cluster) {
        this.id = id;
        this.seed = seed;
        this.cluster = cluster;
    }

    /**
     * Reads the text of a worker key; white space around it is allowed, since files end in a newline.
     *
     * @throws HeraException {@code bad_key}, which never shows the text
     */
    public static WorkerKey parse(String text) {
        String key = text.strip();
        if (!FORM.matcher(key).matches()) {
            throw new HeraException("bad_key", "worker key is not `herakey_` and 152 lower-case hex digits");
        }
        byte[] checked = key.substring(0, CHECKED).getBytes(StandardCharsets.US_ASCII);
        String sum = HexFormat.of().formatHex(Proof.sha256(checked)).substring(0, 8);
        if (!sum.equals(key.substring(CHECKED))) {
            throw new HeraException("bad_key", "worker key is damaged: its checksum does not fit");
        }
        HexFormat hex = HexFormat.of();
        return new WorkerKey(key.substring(8, 24), hex.parseHex(key, 24, 88), hex.parseHex(key, 88, CHECKED));
    }

    /** 16 hex digits, no secret. */
    public String id() {
        return id;
    }

    /** Seed of the worker's Ed25519 pair, 32 bytes. */
    public byte[] seed() {
        return seed;
    }

    /** The cluster's Ed25519 public key, 32 bytes: what a broker has to prove. */
    public byte[] cluster() {
        return cluster;
    }

    @Override
    public String toString() {
        return "worker key " + id;
    }
}
