package dev.hera.discovery;

/** One broker of the list. */
public record Broker(String id, Address address) {}
