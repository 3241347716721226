package dev.hera;

import java.util.AbstractMap.SimpleImmutableEntry;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Headers of HTTP in their order; a name may stand more than once, and its case does not matter. Values are Latin-1, one char for each
 * byte. Immutable.
 */
public final class Headers implements Iterable<Map.Entry<String, String>> {
    private static final Headers NONE = new Headers(List.of());
    private final List<Map.Entry<String, String>> entries;

    private Headers(List<Map.Entry<String, String>> entries) {
        this.entries = entries;
    }

    /** {@return no headers} */
    public static Headers none() {
        return NONE;
    }

    /** {@return a builder with nothing in it} */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * {@return the first value of a header}
     *
     * @param name in any case
     */
    public Optional<String> first(String name) {
        for (Map.Entry<String, String> entry : entries) {
            if (entry.getKey().equalsIgnoreCase(name)) return Optional.of(entry.getValue());
        }
        return Optional.empty();
    }

    /**
     * {@return all values of a header, in order}
     *
     * @param name in any case
     */
    public List<String> all(String name) {
        return entries.stream().filter(entry -> entry.getKey().equalsIgnoreCase(name)).map(Map.Entry::getValue).toList();
    }

    /** {@return how many there are} */
    public int size() {
        return entries.size();
    }

    /** Goes over names, in lower case, and values in order. */
    @Override
    public Iterator<Map.Entry<String, String>> iterator() {
        return entries.iterator();
    }

    /** The names alone: values may hold what a log must not. */
    @Override
    public String toString() {
        return entries.stream().map(Map.Entry::getKey).toList().toString();
    }

    /** Gathers headers. Not for several threads. */
    public static final class Builder {
        private final List<Map.Entry<String, String>> entries = new ArrayList<>();

        private Builder() {}

        /**
         * Adds a header beside others of its name.
         *
         * @param name in any case
         * @param value Latin-1
         * @return this
         */
        public Builder add(String name, String value) {
            entries.add(new SimpleImmutableEntry<>(name.toLowerCase(Locale.ROOT), value));
            return this;
        }

        /**
         * Sets a header in place of all of its name.
         *
         * @param name in any case
         * @param value Latin-1
         * @return this
         */
        public Builder set(String name, String value) {
            remove(name);
            return add(name, value);
        }

        /**
         * Removes all headers of a name.
         *
         * @param name in any case
         * @return this
         */
        public Builder remove(String name) {
            entries.removeIf(entry -> entry.getKey().equalsIgnoreCase(name));
            return this;
        }

        /**
         * {@return whether there is one of this name}
         *
         * @param name in any case
         */
        public boolean has(String name) {
            return entries.stream().anyMatch(entry -> entry.getKey().equalsIgnoreCase(name));
        }

        /** {@return the headers as they are now} */
        public Headers build() {
            return entries.isEmpty() ? NONE : new Headers(List.copyOf(entries));
        }
    }
}
