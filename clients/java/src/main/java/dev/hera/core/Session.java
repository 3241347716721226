package dev.hera.core;

import com.fasterxml.jackson.databind.JsonNode;
import dev.hera.HeraException;
import dev.hera.protocol.CallParams;
import dev.hera.protocol.Code;
import dev.hera.protocol.Failure;
import dev.hera.protocol.Frame;
import dev.hera.protocol.FrameReader;
import dev.hera.protocol.Handshake;
import dev.hera.protocol.Heads;
import dev.hera.protocol.Json;
import dev.hera.protocol.Limits;
import dev.hera.protocol.Message;
import dev.hera.protocol.MessageReader;
import dev.hera.protocol.Pending;
import dev.hera.protocol.Proof;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * The life of one connection, from the hello to its end (spec/protocol.md sections 3, 4, 6, 8).
 *
 * <pre>
 *   hello --> prove --> declare --> live --> draining --> ending
 * </pre>
 *
 * The connection's loop alone calls it, but for what says otherwise. The loop never runs application code (P-27): calls wait in {@code arrived}
 * until the turn's frames are all read, so that a cancel beside its call, or the end of the stream, is seen before a handler starts
 * (P-37).
 */
final class Session {
    private static final long SILENCE_NANOS = 8_000_000_000L;
    private static final long FORGOTTEN_NANOS = 10_000_000_000L;
    private static final long HANDSHAKE_NANOS = Limits.HANDSHAKE_MS_MAX * 1_000_000L;

    private enum State {
        HELLO,
        PROVE,
        DECLARE,
        LIVE,
        ENDING
    }

    /** What of ours the broker has to answer; a remote call where there is one. */
    private record Asked(What what, RemoteCall call) {
        private enum What {
            DECLARE,
            DRAIN,
            CALL
        }

        static final Asked DECLARE = new Asked(What.DECLARE, null);
        static final Asked DRAIN = new Asked(What.DRAIN, null);
    }

    private final Worker worker;
    private final byte[] certificate;
    private final FrameReader reader;
    private final Outlet outlet;
    private final byte[] hello;
    private final Pending<Asked> pending = new Pending<>(Handshake.PROVE_ID + 1);
    private final Map<Long, Call> calls = new ConcurrentHashMap<>();
    private final Map<Long, RemoteCall> remoteCalls = new ConcurrentHashMap<>();
    private final BodyNotices notices = new BodyNotices(this);
    private final Queue<Call> postponed = new ConcurrentLinkedQueue<>();
    private final List<Call> arrived = new ArrayList<>();
    private final long began;

    private volatile State state = State.HELLO;
    private volatile String broker = "?";
    private volatile long turnAt;
    private volatile int attachmentMax = Limits.ATTACHMENT_BYTES_MAX;
    private volatile int inFlightMax;
    private volatile int headMax = Limits.HEAD_BYTES_MAX;
    private volatile boolean proven;
    private volatile boolean remoteOffered;
    private volatile boolean brokerDrains;
    private long heardAt;
    private int badHeads;
    private boolean drainAsked;
    private boolean fenced;
    private volatile boolean finished;
    private Optional<HeraException> fault = Optional.empty();

    /**
     * @param certificate SHA-256 of the broker's leaf certificate on TLS, else empty
     * @param wake brings the loop to look at the outlet
     */
    Session(Worker worker, byte[] certificate, FrameReader reader, Runnable wake, long now) {
        this.worker = worker;
        this.certificate = certificate;
        this.reader = reader;
        this.outlet = new Outlet(wake);
        this.inFlightMax = worker.inFlightMax();
        this.began = now;
        this.heardAt = now;
        this.turnAt = now;
        this.hello = Handshake.hello(worker.hello());
        outlet.frame(hello);
    }

    /** Any thread may ask. */
    Outlet outlet() {
        return outlet;
    }

    /** Largest attachment that the broker takes. Any thread may ask. */
    int attachmentMax() {
        return attachmentMax;
    }

    /** Largest head that the broker takes. Any thread may ask. */
    int headMax() {
        return headMax;
    }

    /** The broker's id, {@code ?} before it answered. Any thread may ask. */
    String broker() {
        return broker;
    }

    /** Whether the broker accepted the declaration. Any thread may ask. */
    boolean isLive() {
        return state == State.LIVE;
    }

    /** Whether the broker proved itself: only then is its refusal of our key believed. */
    boolean isProven() {
        return proven;
    }

    /** Whether everything was said, and only the outlet is still to be written. */
    boolean isEnding() {
        return state == State.ENDING;
    }

    // ---- turns of the loop

    /** The loop has begun a turn. */
    void turn(Ticks.Turn turn, long now) {
        turnAt = now;
        if (turn.ticked()) calls.values().forEach(call -> late(call, now));
    }

    /** Tells a handler that its deadline passed. The broker's cancel follows; a call that got none for long is forgotten without it. */
    private void late(Call call, long now) {
        long since = now - call.deadline();
        if (since >= 0) call.abort();
        if (since < FORGOTTEN_NANOS || !call.isHandled()) return;
        call.cancel("deadline passed");
        over(call);
    }

    /** Takes one frame. Gives false when nothing more is to be read. */
    boolean frame(Frame frame, long arrival) {
        heardAt = System.nanoTime();
        switch (state) {
            case HELLO -> hello(frame);
            case PROVE -> prove(MessageReader.read(frame.head()));
            case ENDING -> {}
            default -> message(MessageReader.read(frame.head()), frame.attachment(), arrival);
        }
        return state != State.ENDING;
    }

    /** Bytes came that are no whole frame yet: a sign of life too (P-26). */
    void heard(long now) {
        heardAt = now;
    }

    /** Everything that waited was read: calls start, and what is due happens. */
    void endOfTurn(Ticks.Turn turn, long now, boolean wantsDrain) {
        start();
        if (wantsDrain) drain();
        // A late turn means that we were away, not the broker; the next one judges.
        if (turn.late()) return;
        if (now - heardAt > SILENCE_NANOS) end(new HeraException("silent_broker", "no frame came for 8 s"));
        if (!isLive() && !isEnding() && now - began > HANDSHAKE_NANOS) {
            end(new HeraException("handshake_timeout", "the handshake took over 5 s"));
        }
    }

    private void start() {
        for (Call call = postponed.poll(); call != null; call = postponed.poll()) arrived.add(call);
        for (Call call : arrived) {
            if (call.isCancelled()) continue;
            call.submitted(System.nanoTime());
            if (!worker.execute(call)) call.fail(Code.BUSY, "as many handlers run as may");
        }
        arrived.clear();
    }

    /** Says that we go; ends once the fence came and every call is over (P-43). */
    private void drain() {
        if (!drainAsked && isLive()) {
            drainAsked = true;
            pending.push(Asked.DRAIN, id -> outlet.frame(Heads.request(id, "drain", Heads.NO_MEMBERS)));
        }
        boolean idle = calls.isEmpty() && remoteCalls.isEmpty() && (fenced || !isLive());
        if (idle && !isEnding()) end(new HeraException("closed", "worker was drained"));
    }

    /**
     * The connection is gone, or is to go at once: every call is told, and nothing is said any more. Gives why.
     *
     * @param unwritten frames that were taken of the outlet, and of which no byte went out
     */
    HeraException finish(HeraException reason, Collection<Frame> unwritten) {
        if (!finished) {
            finished = true;
            state = State.ENDING;
            Set<Frame> unsent = Collections.newSetFromMap(new IdentityHashMap<>());
            unsent.addAll(unwritten);
            unsent.addAll(outlet.close());
            // Also those that are being made: they find the session ended.
            pending.takeAll().stream().filter(asked -> asked.what() == Asked.What.CALL).forEach(asked -> asked.call().lost(unsent::contains));
            remoteCalls.values().forEach(call -> call.lost(unsent::contains));
            for (Call call : calls.values()) {
                call.cancel("connection to the broker ended");
                over(call);
            }
        }
        return fault.orElse(reason);
    }

    /** Ends it for a reason of ours, once what waits is written. */
    private void end(HeraException reason) {
        if (fault.isEmpty()) fault = Optional.of(reason);
        state = State.ENDING;
    }

    /** Names a fault of the broker to it, once, and ends (P-12). */
    void fatal(Code code, String message) {
        if (isEnding()) return;
        outlet.frame(Heads.failure(Message.Id.NONE, code, message));
        end(new HeraException(code.text(), message));
    }

    // ---- handshake

    private void hello(Frame answer) {
        try {
            Handshake.Proven said = Handshake.judge(worker.key(), hello, answer, certificate);
            proven = true;
            broker = said.broker();
            inFlightMax = Math.min(said.inFlightMax(), inFlightMax);
            headMax = Math.min(said.headBytesMax(), headMax);
            remoteOffered = said.remoteCalls();
            attachmentMax = Math.min(said.attachmentBytesMax(), attachmentMax);
            state = State.PROVE;
            outlet.frame(Handshake.prove(), Proof.prove(worker.key().seed(), Proof.Role.WORKER, said.said()));
        } catch (HeraException refused) {
            handshakeFailed(refused);
        }
    }

    private void prove(Message answer) {
        try {
            Handshake.result(answer, Handshake.PROVE_ID);
        } catch (HeraException refused) {
            handshakeFailed(refused);
            return;
        }
        reader.open();
        state = State.DECLARE;
        pending.push(Asked.DECLARE, this::declare);
    }

    private void declare(long id) {
        byte[] declaration = Heads.request(id, "declare", worker.declaration());
        if (declaration.length <= headMax) outlet.frame(declaration);
        else end(HeraException.declarationRefused("declaration does not fit a frame: declare fewer endpoints", List.of()));
    }

    /** A message out of order is named to the broker; anything else it knows already, or need not know. */
    private void handshakeFailed(HeraException refused) {
        if (refused.code().equals(Code.HANDSHAKE_REQUIRED.text())) fatal(Code.HANDSHAKE_REQUIRED, refused.getMessage());
        else end(refused);
    }

    // ---- messages

    private void message(Message message, byte[] attachment, long arrival) {
        if (message instanceof Message.Request request) request(request, attachment, arrival);
        else if (message instanceof Message.Notification notification) notification(notification, attachment);
        else if (message instanceof Message.Response response) response(response, attachment);
        else bad((Message.Bad) message);
    }

    private void request(Message.Request request, byte[] attachment, long arrival) {
        switch (request.method()) {
            case "ping" -> outlet.frame(Heads.result(request.id(), Heads.NO_MEMBERS));
            case "status" -> outlet.frame(Heads.result(request.id(), worker.load()));
            case "drain" -> {
                // P-44: it goes; we serve on, and this address is dialled again only after it closed.
                brokerDrains = true;
                outlet.frame(Heads.result(request.id(), Heads.NO_MEMBERS));
                worker.log().info("broker {} drains", broker);
            }
            case "hello", "prove" -> fatal(Code.INVALID_REQUEST, "a second " + request.method());
            default -> call(request, attachment, arrival);
        }
    }

    private void call(Message.Request request, byte[] attachment, long arrival) {
        long id = request.id();
        Optional<DeclaredEndpoint> endpoint = worker.find(request.method());
        if (endpoint.isEmpty()) {
            outlet.frame(Heads.failure(id, Code.UNKNOWN_METHOD, "no such method here"));
            return;
        }
        Optional<CallParams> params = CallParams.read(request.params());
        if (params.isEmpty()) {
            outlet.frame(Heads.failure(id, Code.INVALID_PARAMS, "params of the call do not fit"));
        } else if (calls.containsKey(id)) {
            // Answering would answer the other call of this id.
            fatal(Code.INVALID_REQUEST, "id " + id + " is in flight already");
        } else if (fenced) {
            outlet.frame(Heads.failure(id, Code.DRAINING, "the worker is leaving"));
        } else if (calls.size() >= inFlightMax) {
            outlet.frame(Heads.failure(id, Code.BUSY, "as many calls are in flight as were agreed on"));
        } else {
            Call call = new Call(this, id, endpoint.get(), params.get(), attachment, arrival);
            calls.put(id, call);
            worker.counted(1);
            arrived.add(call);
        }
    }

    private void notification(Message.Notification notification, byte[] attachment) {
        JsonNode params = notification.params().tree();
        long id = params.path("id").asLong();
        // Unknown notifications, and what crossed the end of its call, are dropped (P-9, P-36).
        if (params.path("remote").asBoolean()) {
            RemoteCall call = remoteCalls.get(id);
            if (call != null) notices.ofRemoteCall(call, notification.method(), params, attachment);
            return;
        }
        Call call = calls.get(id);
        if (call == null) return;
        if (notification.method().equals("cancel")) {
            call.cancel("call was cancelled");
            over(call);
        } else {
            notices.ofCall(call, notification.method(), params, attachment);
        }
    }

    private void response(Message.Response response, byte[] attachment) {
        // A fault that belongs to no request: the broker closes next (P-12), or complains of a head of ours (P-10).
        if (response.id().equals(Message.Id.NONE) && response.failed()) {
            Failure failure = Failure.of(response.error().tree());
            boolean refused = failure.code().equals(Code.UNAUTHENTICATED.text());
            if (fault.isEmpty()) {
                String code = refused ? failure.code() : "connection_lost";
                fault = Optional.of(new HeraException(code, "broker said " + failure.code() + ": " + failure.shortMessage()));
            }
            return;
        }
        Pending.Kind kind = pending.kind(response.id(), System.nanoTime());
        if (kind == Pending.Kind.TOO_MANY) {
            fatal(Code.INVALID_REQUEST, Limits.UNKNOWN_REPLIES_MAX + " responses to ids that were never issued");
        } else if (kind == Pending.Kind.OURS) {
            answer(pending.take(response.id().number()), response, attachment);
        }
    }

    private void answer(Asked asked, Message.Response response, byte[] attachment) {
        if (asked.what() == Asked.What.CALL) {
            asked.call().answer(response, attachment);
        } else if (asked == Asked.DRAIN) {
            // Also an error: such a broker knows no fence, and waiting longer for one brings nothing.
            fenced = true;
        } else if (response.failed()) {
            Failure failure = Failure.of(response.error().tree());
            String text = "broker refused the declaration: " + failure.shortMessage();
            boolean refused = failure.code().equals(Code.DECLARATION_REFUSED.text());
            end(refused ? HeraException.declarationRefused(text, failure.endpoints()) : new HeraException(failure.code(), text));
        } else {
            state = State.LIVE;
            worker.live(this);
        }
    }

    /** P-10. */
    private void bad(Message.Bad bad) {
        if (++badHeads >= Limits.BAD_HEADS_MAX) {
            fatal(bad.code(), bad.reason());
            return;
        }
        Asked asked = bad.id().map(pending::take).orElse(null);
        if (asked == Asked.DECLARE) {
            end(new HeraException("bad_reply", "answer to the declaration: " + bad.reason()));
        } else if (asked == Asked.DRAIN) {
            fenced = true;
        } else if (asked != null) {
            asked.call().garbled(bad.reason());
        }
        Message.Id id = bad.id().map(Message.Id::new).orElse(Message.Id.NONE);
        outlet.frame(Heads.failure(id, bad.code(), bad.reason()));
    }

    // ---- what other threads call

    /** Whether calls of ours may be made here. */
    boolean takesCalls() {
        return isLive() && remoteOffered;
    }

    /** Whether the broker said that it is going (P-44). */
    boolean brokerDrains() {
        return brokerDrains;
    }

    /**
     * Makes a call of ours; nothing when as many are in flight as may be (P-55).
     *
     * @throws HeraException {@code head_too_large}
     */
    Optional<RemoteCall> call(Json.Members params, byte[] attachment, boolean more) {
        if (remoteCalls.size() >= inFlightMax) return Optional.empty();
        RemoteCall call = new RemoteCall(this);
        AtomicBoolean queued = new AtomicBoolean();
        pending.push(new Asked(Asked.What.CALL, call), id -> {
            Frame frame = new Frame(Heads.request(id, "call", params), attachment);
            call.numbered(id, frame, more);
            // Asked under the lock by which the end of the session takes all that wait: none is queued after that and told nothing.
            if (finished || frame.head().length > headMax) return;
            remoteCalls.put(id, call);
            outlet.frame(frame);
            queued.set(true);
        });
        if (!queued.get()) {
            pending.take(call.id());
            if (!finished) throw HeraException.ofCall(Code.HEAD_TOO_LARGE.text(), "call does not fit a frame's head", 431, "no", "", 0);
            call.lost(frame -> true);
        }
        return Optional.of(call);
    }

    /** Nothing more comes or goes for a call of ours. */
    void remoteOver(RemoteCall call) {
        remoteCalls.remove(call.id());
        pending.take(call.id());
    }

    /** Whether the loop has not turned for so long that the process must have been away. */
    boolean isStale(long now) {
        return now - turnAt > Ticks.LATE_NANOS;
    }

    /** Starts a call after the next turn. */
    void postpone(Call call) {
        postponed.add(call);
        outlet.wake();
    }

    void serve(Call call) {
        worker.serve(call);
    }

    void noteDelay(long nanos) {
        worker.noteDelay(nanos);
    }

    void cancelStage(CompletionStage<?> stage) {
        worker.cancelStage(stage);
    }

    /** Both bodies of a call have ended, or it was cancelled. */
    void over(Call call) {
        if (calls.remove(call.id(), call)) worker.over(call);
    }
}
