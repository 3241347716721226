/**
 * Serves HTTP endpoints through Hera, an API bus: {@link dev.hera.Hera} dials the brokers, says what it serves, and is called over those
 * connections. No port is opened.
 */
package dev.hera;
