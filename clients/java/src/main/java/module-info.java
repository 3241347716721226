/** The Java client of Hera: {@link dev.hera.Hera} is where to begin. */
module dev.hera.client {
    requires transitive com.fasterxml.jackson.databind;
    requires org.slf4j;
    requires java.management;
    // Not transitive: whoever has no Micrometer has to compile all the same.
    requires static micrometer.core;

    // Curator and ZooKeeper stay on the class path, since ZooKeeper's two jars share packages: see CuratorAccess.
    exports dev.hera;
    exports dev.hera.micrometer;
}
