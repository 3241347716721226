/** The Java client of Hera: {@link dev.hera.Hera} is where to begin. */
module dev.hera.client {
    requires transitive com.fasterxml.jackson.databind;
    requires org.slf4j;
    requires java.management;
    requires static transitive micrometer.core;

    // Curator and ZooKeeper stay on the class path, since ZooKeeper's two jars share packages: see ZooKeeperDiscovery.
    exports dev.hera;
    exports dev.hera.micrometer;
}
