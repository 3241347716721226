package dev.hera;

import java.time.Duration;

/** Is told of each call when it is over; has to be quick, and to do for many threads. */
@FunctionalInterface
public interface CallObserver {
    /**
     * One call is over.
     *
     * @param endpoint as it was declared
     * @param outcome the status, such as {@code 200}, or the code of a failure, such as {@code handler_failed}, {@code cancelled} or {@code past_deadline}
     * @param took since it arrived
     */
    void over(String endpoint, String outcome, Duration took);
}
