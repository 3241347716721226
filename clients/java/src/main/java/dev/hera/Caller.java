package dev.hera;

import java.util.Map;
import java.util.Optional;

/**
 * Who calls, as the broker knows it (P-32).
 *
 * @param token name of the caller's token; empty for an anonymous caller
 * @param labels of the token, by name
 * @param ip address of the caller
 * @param service the calling service, when another worker calls
 */
public record Caller(Optional<String> token, Map<String, String> labels, String ip, Optional<String> service) {}
