package dev.hera;

import java.util.Optional;

/**
 * W3C trace context of a call.
 *
 * @param traceparent the header of that name
 * @param tracestate the header of that name, when there is one
 */
public record Trace(String traceparent, Optional<String> tracestate) {}
