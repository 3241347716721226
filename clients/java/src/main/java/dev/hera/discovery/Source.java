package dev.hera.discovery;

import dev.hera.HeraException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The one string by which a worker finds brokers: a list of them, or ZooKeeper. */
public sealed interface Source {
    int BROKER_PORT = 4372;
    int ZOOKEEPER_PORT = 2181;
    int SERVERS_MAX = 64;
    int CHROOT_BYTES_MAX = 255;

    /** The brokers themselves. */
    record Fixed(List<Address> brokers) implements Source {}

    /**
     * ZooKeeper's servers, and where Hera lies in it.
     *
     * @param text as it was given; the saved list goes by it
     * @param chroot stands in front of every path; empty for the root
     */
    record Ensemble(String text, List<Address> servers, String chroot) implements Source {
        /** Whether it is to be spoken to over TLS. */
        public boolean tls() {
            return servers.get(0).tls();
        }
    }

    /**
     * Reads {@code hera://host[:port],…}, {@code heras://…}, {@code zk://host[:port],…[/chroot]}, {@code zks://…}, or the same as {@code zk://} with no scheme.
     *
     * @throws HeraException {@code bad_option}
     */
    static Source parse(String given) {
        String text = given.strip();
        Matcher schemed = Parts.SCHEME.matcher(text);
        boolean hasScheme = schemed.lookingAt();
        String scheme = hasScheme ? schemed.group(1) : "zk";
        String rest = hasScheme ? text.substring(schemed.end()) : text;
        return switch (scheme) {
            case "hera", "heras" -> new Fixed(Parts.addresses(Parts.withoutSlash(rest), "broker", BROKER_PORT, scheme.equals("heras")));
            case "zk", "zks" -> Parts.ensemble(text, rest, scheme.equals("zks"));
            default -> throw Parts.bad("scheme " + scheme + ":// is not hera, heras, zk or zks");
        };
    }

    /** How the parts of the string are read. */
    final class Parts {
        private static final Pattern SCHEME = Pattern.compile("([a-zA-Z][a-zA-Z0-9+.-]*)://");
        private static final Pattern ADDRESS = Pattern.compile("(?:\\[([0-9A-Fa-f:.]+)\\]|([^\\s:/@\\[\\]]+))(?::(\\d{1,5}))?");
        private static final Pattern CHROOT = Pattern.compile("(/(?!\\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+");

        private Parts() {}

        private static Ensemble ensemble(String text, String rest, boolean tls) {
            int slash = rest.indexOf('/');
            String hosts = slash < 0 ? rest : rest.substring(0, slash);
            String chroot = slash < 0 ? "" : withoutSlash(rest.substring(slash));
            if (!chroot.isEmpty() && (chroot.length() > CHROOT_BYTES_MAX || !CHROOT.matcher(chroot).matches())) {
                throw bad("zookeeper chroot is not /segment/segment of A-Z a-z 0-9 . _ -, at most " + CHROOT_BYTES_MAX + " bytes");
            }
            List<Address> servers = addresses(hosts, "zookeeper server", ZOOKEEPER_PORT, tls);
            if (servers.size() > SERVERS_MAX) throw bad(servers.size() + " zookeeper servers exceed the limit of " + SERVERS_MAX);
            return new Ensemble(text, servers, chroot);
        }

        private static String withoutSlash(String text) {
            return text.endsWith("/") ? text.substring(0, text.length() - 1) : text;
        }

        private static List<Address> addresses(String list, String what, int port, boolean tls) {
            List<Address> addresses = new ArrayList<>();
            for (String part : list.split(",", -1)) {
                Address address = address(part.strip(), what, port, tls);
                if (!addresses.contains(address)) addresses.add(address);
            }
            return List.copyOf(addresses);
        }

        private static Address address(String text, String what, int portDefault, boolean tls) {
            Matcher found = ADDRESS.matcher(text);
            if (!found.matches()) throw bad(what + " \"" + text + "\" is not host or host:port");
            int port = found.group(3) == null ? portDefault : Integer.parseInt(found.group(3));
            if (port < 1 || port > 65_535) throw bad(what + " \"" + text + "\" has a port that is not 1 to 65535");
            return new Address(found.group(1) == null ? found.group(2) : found.group(1), port, tls);
        }

        private static HeraException bad(String message) {
            return new HeraException("bad_option", message);
        }
    }
}
