package dev.hera.protocol;

import java.nio.ByteBuffer;
import java.util.Optional;

/**
 * Cuts what a connection gives into frames (P-1 to P-5).
 *
 * <p>The lengths are judged from the first 8 bytes, so nothing is reserved for a frame that is refused (P-3). After a fault the
 * stream cannot be followed, and nothing more may be read.
 */
public final class FrameReader {
    private final byte[] prefix = new byte[Frame.PREFIX_BYTES];
    private int headMax = Limits.HANDSHAKE_HEAD_BYTES_MAX;
    private int attachmentMax = Limits.HANDSHAKE_ATTACHMENT_BYTES_MAX;
    private int held;
    private byte[] head;
    private byte[] attachment;

    /** The handshake is done: frames may be as large as they ever may. */
    public void open() {
        headMax = Limits.HEAD_BYTES_MAX;
        attachmentMax = Limits.ATTACHMENT_BYTES_MAX;
    }

    /**
     * Takes bytes up to the end of the next frame, and gives it; nothing when more bytes are needed.
     *
     * @throws WireException {@code bad_frame} or {@code frame_too_large}
     */
    public Optional<Frame> next(ByteBuffer bytes) throws WireException {
        if (head == null) {
            held += take(bytes, prefix, held);
            if (held < prefix.length) return Optional.empty();
            reserve();
        }
        int inHead = held - prefix.length;
        if (inHead < head.length) {
            int taken = take(bytes, head, inHead);
            held += taken;
            if (inHead + taken < head.length) return Optional.empty();
        }
        int inAttachment = held - prefix.length - head.length;
        if (inAttachment < attachment.length) {
            int taken = take(bytes, attachment, inAttachment);
            held += taken;
            if (inAttachment + taken < attachment.length) return Optional.empty();
        }
        Frame frame = new Frame(head, attachment);
        head = null;
        attachment = null;
        held = 0;
        return Optional.of(frame);
    }

    private void reserve() throws WireException {
        long length = unsigned(0);
        long headLength = unsigned(4);
        if (length < 4 || headLength < 2 || headLength > length - 4) {
            throw new WireException(Code.BAD_FRAME, "frame of " + length + " bytes cannot have a head of " + headLength);
        }
        long attachmentLength = length - 4 - headLength;
        if (headLength > headMax || attachmentLength > attachmentMax) {
            throw new WireException(Code.FRAME_TOO_LARGE, "frame with a head of " + headLength + " and an attachment of "
                    + attachmentLength + " bytes exceeds the limits of " + headMax + " and " + attachmentMax);
        }
        head = new byte[(int) headLength];
        attachment = attachmentLength == 0 ? Frame.NOTHING : new byte[(int) attachmentLength];
    }

    private long unsigned(int at) {
        long value = 0;
        for (int i = at; i < at + 4; i++) value = value << 8 | prefix[i] & 0xff;
        return value;
    }

    private static int take(ByteBuffer from, byte[] to, int at) {
        int count = Math.min(from.remaining(), to.length - at);
        from.get(to, at, count);
        return count;
    }
}
