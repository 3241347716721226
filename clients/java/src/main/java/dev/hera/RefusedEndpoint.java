package dev.hera;

/**
 * One endpoint of a declaration that the broker refused (P-30).
 *
 * @param endpoint as it was declared
 * @param code {@code bad_endpoint}, {@code duplicate_endpoint}, {@code endpoint_forbidden} or {@code too_many_endpoints}
 * @param message what to do about it
 */
public record RefusedEndpoint(String endpoint, String code, String message) {}
