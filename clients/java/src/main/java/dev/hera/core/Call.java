package dev.hera.core;

import dev.hera.Headers;
import dev.hera.Result;
import dev.hera.protocol.CallParams;
import dev.hera.protocol.Code;
import dev.hera.protocol.Frame;
import dev.hera.protocol.Heads;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * One call, from its frame until nothing more may be said for its id.
 *
 * <pre>
 *   arrived --> running --> answered, bodies under way --> over
 *      +-----------+--- cancel, connection lost -----------+
 * </pre>
 *
 * The loop makes it, cancels it and brings it chunks and credit; a handler's thread runs and answers it. Its lock guards who runs it and
 * whether it is answered, and is never held while a body's or the outlet's is asked for.
 */
final class Call implements Runnable {
    private final Session session;
    private final long id;
    private final DeclaredEndpoint endpoint;
    private final CallParams params;
    private final byte[] attachment;
    private final long arrived;
    private final long deadline;
    private final Optional<Incoming> incoming;
    private final Queue<Result> results = new ConcurrentLinkedQueue<>();

    private volatile boolean cancelled;
    private volatile boolean handled;
    private volatile long submitted;
    private Thread thread;
    private Optional<CompletionStage<?>> stage = Optional.empty();
    private boolean answered;
    private boolean failed;
    private boolean aborted;
    private Outgoing outgoing;
    private String outcome = "cancelled";

    Call(Session session, long id, DeclaredEndpoint endpoint, CallParams params, byte[] attachment, long arrived) {
        this.session = session;
        this.id = id;
        this.endpoint = endpoint;
        this.params = params;
        this.attachment = attachment;
        this.arrived = arrived;
        this.deadline = arrived + params.timeoutMs() * 1_000_000;
        this.incoming = params.more()
                ? Optional.of(new Incoming(session.outlet(), BodyName.ofCall(id), attachment, this::settle))
                : Optional.empty();
    }

    long id() {
        return id;
    }

    DeclaredEndpoint endpoint() {
        return endpoint;
    }

    CallParams params() {
        return params;
    }

    /** All of the body where it is not streamed. */
    byte[] attachment() {
        return attachment;
    }

    /** Largest attachment that the broker takes. */
    int attachmentMax() {
        return session.attachmentMax();
    }

    Optional<Incoming> incoming() {
        return incoming;
    }

    /** Monotonic nanoseconds. */
    long arrived() {
        return arrived;
    }

    /** Monotonic nanoseconds. */
    long deadline() {
        return deadline;
    }

    /** Whether nobody waits for the answer any more. */
    boolean isCancelled() {
        return cancelled;
    }

    /** The status or the code that it ended with. */
    synchronized String outcome() {
        return outcome;
    }

    /** It was given to the handlers' threads. */
    void submitted(long now) {
        submitted = now;
    }

    // ---- running

    /** On a handler's thread. */
    @Override
    public void run() {
        if (!begin()) return;
        try {
            session.serve(this);
        } catch (RuntimeException | Error defect) {
            // What handlers throw is caught below: this is ours, and the call must not hang for it.
            fail(Code.HANDLER_FAILED, "the worker failed");
            throw defect;
        } finally {
            end();
        }
    }

    private boolean begin() {
        long now = System.nanoTime();
        // The process was frozen while this call waited for its thread: what came for it meanwhile is read first (P-37).
        if (session.isStale(now)) {
            session.postpone(this);
            return false;
        }
        session.noteDelay(now - submitted);
        if (now - deadline >= 0) {
            fail(Code.PAST_DEADLINE, "the deadline passed before the handler started");
            return false;
        }
        synchronized (this) {
            if (cancelled) return false;
            thread = Thread.currentThread();
        }
        return true;
    }

    /** After this no interrupt of this call can meet another one on the same thread. */
    private void end() {
        synchronized (this) {
            thread = null;
        }
        Thread.interrupted();
    }

    /** The handler goes on without its thread. Gives false when nobody waits any more. */
    boolean continueWith(CompletionStage<?> going) {
        synchronized (this) {
            if (!aborted) {
                stage = Optional.of(going);
                return true;
            }
        }
        going.toCompletableFuture().cancel(true);
        return false;
    }

    // ---- answering

    /** Sends the whole answer in one frame. Gives false when it was answered already, or fits no frame; nothing is sent then. */
    boolean reply(int status, Headers headers, byte[] body) {
        byte[] head = head(status, headers, false);
        if (head.length > session.headMax()) return false;
        if (!answer(Integer.toString(status))) return false;
        if (!cancelled) session.outlet().frame(head, body);
        settle();
        return true;
    }

    /** Sends the head of an answer whose body goes on; nothing when it was answered already, or the head fits no frame. */
    Optional<Outgoing> begin(int status, Headers headers) {
        byte[] head = head(status, headers, true);
        if (head.length > session.headMax() || !answer(Integer.toString(status))) return Optional.empty();
        Outgoing body = new Outgoing(session.outlet(), BodyName.ofReply(id), session.attachmentMax(), this::settle);
        boolean late;
        synchronized (this) {
            // Known before the reply goes: the broker's credit or reset may come right behind it.
            outgoing = body;
            late = cancelled;
        }
        if (late) body.close("call was cancelled");
        else session.outlet().frame(head, Frame.NOTHING);
        return Optional.of(body);
    }

    /** Answers with an error response, where nothing was answered yet. */
    void fail(Code code, String message) {
        if (!answer(code.text())) return;
        synchronized (this) {
            failed = true;
        }
        if (!cancelled) session.outlet().frame(Heads.failure(id, code, message));
        handled();
    }

    /** The handler is done: a body that it left unread is refused (P-41). */
    void handled() {
        handled = true;
        for (Result result = results.poll(); result != null; result = results.poll()) result.close();
        incoming.ifPresent(Incoming::stop);
        settle();
    }

    /** The answer to a call that was made within this one. */
    void closeWhenHandled(Result result) {
        results.add(result);
    }

    /** Whether its handler is done. */
    boolean isHandled() {
        return handled;
    }

    /** Whether it failed, or nobody waits: no answer that a handler made can be sent. */
    synchronized boolean isClosed() {
        return failed || cancelled;
    }

    private synchronized boolean answer(String with) {
        if (answered) return false;
        answered = true;
        if (!cancelled) outcome = with;
        return true;
    }

    private byte[] head(int status, Headers headers, boolean more) {
        return Heads.result(id, json -> {
            json.writeNumberField("status", status);
            json.writeArrayFieldStart("headers");
            for (Map.Entry<String, String> header : headers) {
                json.writeStartArray();
                json.writeString(header.getKey());
                json.writeString(header.getValue());
                json.writeEndArray();
            }
            json.writeEndArray();
            if (more) json.writeBooleanField("more", true);
        });
    }

    // ---- the other side

    /** The body of its answer, when that goes on behind the reply. */
    synchronized Optional<Outgoing> outgoing() {
        return Optional.ofNullable(outgoing);
    }

    /** Tells the handler that nobody waits; what it answers may still be sent. */
    void abort() {
        CompletionStage<?> going = null;
        synchronized (this) {
            if (aborted) return;
            aborted = true;
            // With a stage the handler has returned, or is about to.
            going = stage.orElse(null);
            if (going == null && thread != null) thread.interrupt();
        }
        // Runs what depends on the stage, so not on the loop.
        if (going != null) session.cancelStage(going);
    }

    /** Whether its handler was told that nobody waits. */
    synchronized boolean isAborted() {
        return aborted;
    }

    /** Nothing more is sent for it (P-36), and its handler is told. */
    void cancel(String why) {
        Outgoing body;
        synchronized (this) {
            if (cancelled) return;
            cancelled = true;
            body = outgoing;
        }
        abort();
        incoming.ifPresent(each -> each.fail(why));
        if (body != null) body.close(why);
    }

    /** P-41: it is over when its answer and its own body are. */
    private void settle() {
        if (!handled && !cancelled) return;
        boolean over;
        synchronized (this) {
            over = cancelled || answered && (outgoing == null || outgoing.isOver());
        }
        if (over && incoming.map(Incoming::isOver).orElse(true)) session.over(this);
    }
}
