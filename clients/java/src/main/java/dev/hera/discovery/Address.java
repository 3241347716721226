package dev.hera.discovery;

/** Where to dial. */
public record Address(String host, int port, boolean tls) {
    @Override
    public String toString() {
        return host.indexOf(':') < 0 ? host + ":" + port : "[" + host + "]:" + port;
    }
}
