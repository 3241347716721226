package dev.hera.core;

import dev.hera.Endpoint;
import dev.hera.ExceptionHandler;
import dev.hera.Filter;
import dev.hera.HeraException;
import dev.hera.Routing;
import dev.hera.protocol.EndpointPattern;
import dev.hera.protocol.Json;
import dev.hera.protocol.Limits;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/** The routing of one worker. The broker's table chooses the endpoint; here it is only looked up by its name. */
public final class Routes implements Routing {
    private final Map<String, DeclaredEndpoint> endpoints = new LinkedHashMap<>();
    private final Set<String> shapes = new HashSet<>();
    private final List<Filter> before = new ArrayList<>();
    private final List<Filter> after = new ArrayList<>();
    private final Map<Class<?>, ExceptionHandler<?>> exceptions = new LinkedHashMap<>();
    private boolean frozen;

    @Override
    public Endpoint endpoint(String endpoint) {
        return new DeclaredEndpoint(this, EndpointPattern.parse(endpoint));
    }

    @Override
    public Routing before(Filter filter) {
        change();
        before.add(Objects.requireNonNull(filter, "filter"));
        return this;
    }

    @Override
    public Routing after(Filter filter) {
        change();
        after.add(Objects.requireNonNull(filter, "filter"));
        return this;
    }

    @Override
    public <E extends Throwable> Routing exception(Class<E> type, ExceptionHandler<? super E> handler) {
        change();
        exceptions.put(type, Objects.requireNonNull(handler, "handler"));
        return this;
    }

    Routing add(DeclaredEndpoint endpoint) {
        change();
        if (endpoints.size() >= Limits.ENDPOINTS_MAX) {
            throw new HeraException("too_many_endpoints", "endpoints of a worker exceed the limit of " + Limits.ENDPOINTS_MAX);
        }
        if (!shapes.add(endpoint.shape())) {
            throw new HeraException("duplicate_endpoint", "endpoint `" + endpoint.text() + "` is served already, maybe with other names");
        }
        endpoints.put(endpoint.text(), endpoint);
        return this;
    }

    /** From now on nothing may be added: other threads read it. */
    void freeze() {
        frozen = true;
    }

    Optional<DeclaredEndpoint> find(String endpoint) {
        return Optional.ofNullable(endpoints.get(endpoint));
    }

    int size() {
        return endpoints.size();
    }

    List<Filter> beforeFilters() {
        return before;
    }

    List<Filter> afterFilters() {
        return after;
    }

    /** The handler of the nearest type above what was thrown. */
    @SuppressWarnings("unchecked")
    Optional<ExceptionHandler<Throwable>> exceptionHandler(Throwable thrown) {
        for (Class<?> type = thrown.getClass(); type != Object.class; type = type.getSuperclass()) {
            ExceptionHandler<?> handler = exceptions.get(type);
            // Put in under this very type, so it takes what was thrown.
            if (handler != null) return Optional.of((ExceptionHandler<Throwable>) handler);
        }
        return Optional.empty();
    }

    /** Params of {@code declare}. */
    Json.Members declaration() {
        return json -> {
            json.writeArrayFieldStart("endpoints");
            for (DeclaredEndpoint endpoint : endpoints.values()) endpoint.write(json);
            json.writeEndArray();
        };
    }

    private void change() {
        if (frozen) throw new IllegalStateException("endpoints and filters are declared when the worker connects: add them before connect()");
    }
}
