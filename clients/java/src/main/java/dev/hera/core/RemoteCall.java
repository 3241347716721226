package dev.hera.core;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.HeraException;
import dev.hera.protocol.Failure;
import dev.hera.protocol.Frame;
import dev.hera.protocol.Heads;
import dev.hera.protocol.Message;
import dev.hera.protocol.ReplyRules;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;

/**
 * One call of ours on one session, from its frame until both bodies are over (section 10). The calling thread makes it and waits; the loop brings
 * the answer, chunks and credit. No lock is held while the outlet's or a body's is asked for.
 */
final class RemoteCall {
    /** How an attempt ended. */
    sealed interface Outcome {
        /** Somebody answered. */
        record Answered(JsonNode result, Incoming body) implements Outcome {}

        /** The broker answered with an error of its own. */
        record Failed(Failure failure) implements Outcome {}

        /** The connection ended before the answer. */
        record Lost(boolean handedOver) implements Outcome {}

        /** The stream that the body is read from failed; the worker is told. */
        record Broken(Exception cause) implements Outcome {}

        /** No answer came in time; the worker is told, where it has the call. */
        record Late(boolean handedOver) implements Outcome {}
    }

    private final Session session;
    private final CompletableFuture<Outcome> outcome = new CompletableFuture<>();
    private volatile long id;
    private volatile Frame frame;
    private volatile Optional<Outgoing> sending = Optional.empty();
    private volatile Optional<Incoming> receiving = Optional.empty();
    private volatile boolean over;

    RemoteCall(Session session) {
        this.session = session;
    }

    long id() {
        return id;
    }

    /** It has its id, and this is its frame; called before the frame is queued. */
    void numbered(long number, Frame first, boolean more) {
        id = number;
        frame = first;
        if (more) sending = Optional.of(new Outgoing(session.outlet(), BodyName.ofRemoteCall(number), session.attachmentMax(), this::settle));
    }

    /** Its body, when that goes on behind the frame. */
    Optional<Outgoing> sending() {
        return sending;
    }

    /**
     * Waits for the answer, at most until {@code until}, monotonic nanoseconds.
     *
     * @throws InterruptedException the call is cancelled then
     */
    Outcome await(long until) throws InterruptedException {
        try {
            return outcome.get(Math.max(0, until - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (TimeoutException late) {
            cancel();
            return new Outcome.Late(true);
        } catch (InterruptedException cancelled) {
            cancel();
            throw cancelled;
        } catch (ExecutionException impossible) {
            // It is never completed with an exception.
            throw new IllegalStateException(impossible);
        }
    }

    /** Its body cannot be read to the end: the other side sees it cut short. */
    void broken(Exception cause) {
        sending.ifPresent(body -> body.reset("cancelled"));
        if (outcome.complete(new Outcome.Broken(cause))) cancel();
    }

    /** Nobody waits for it any more (P-54). */
    void cancel() {
        if (over) return;
        session.outlet().frame(Heads.notification("cancel", id, json -> json.writeBooleanField("remote", true)));
        end("call was cancelled");
    }

    private void end(String why) {
        over = true;
        session.remoteOver(this);
        sending.ifPresent(body -> body.close(why));
        receiving.ifPresent(body -> body.fail(why));
    }

    // ---- on the loop

    void answer(Message.Response response, byte[] attachment) {
        if (response.failed()) {
            outcome.complete(new Outcome.Failed(Failure.of(response.error().tree())));
            end("call failed");
            return;
        }
        JsonNode result = response.result().tree();
        if (!isReply(result)) {
            garbled("answer is not a status and headers");
            return;
        }
        Incoming body = new Incoming(session.outlet(), BodyName.ofRemoteReply(id), attachment, this::settle);
        receiving = Optional.of(body);
        if (!result.path("more").asBoolean()) body.end();
        outcome.complete(new Outcome.Answered(result, body));
    }

    /** What P-33 asks for; whatever else a broker may have passed on is no answer. */
    private static boolean isReply(JsonNode result) {
        JsonNode status = result.path("status");
        if (!status.isInt() || !ReplyRules.isStatus(status.intValue()) || !result.path("headers").isArray()) return false;
        for (JsonNode pair : result.path("headers")) {
            if (pair.size() != 2 || !pair.path(0).isTextual() || !pair.path(1).isTextual()) return false;
        }
        return !result.has("more") || result.path("more").isBoolean();
    }

    /** The answer was no message, or none that can be. */
    void garbled(String reason) {
        outcome.complete(new Outcome.Failed(Failure.of(Failure.badReply(reason))));
        end("answer cannot be read");
    }

    /** P-41: it is over when its answer and its own body are. */
    private void settle() {
        boolean answered = receiving.map(Incoming::isOver).orElse(false);
        if (!answered || !sending.map(Outgoing::isOver).orElse(true)) return;
        over = true;
        session.remoteOver(this);
    }

    Optional<Incoming> receiving() {
        return receiving;
    }

    /** The connection ended. @param unsent whether this frame never went out */
    void lost(Predicate<Frame> unsent) {
        outcome.complete(new Outcome.Lost(!unsent.test(frame)));
        end("connection to the broker ended");
    }
}
