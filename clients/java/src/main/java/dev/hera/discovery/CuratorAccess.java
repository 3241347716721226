package dev.hera.discovery;

import dev.hera.HeraException;

/**
 * Lets this module, where it is one, see Curator and ZooKeeper. ZooKeeper's two jars share packages, so no module can require both; they stay on the
 * class path, and this module reads it.
 */
final class CuratorAccess {
    private CuratorAccess() {}

    /** @throws HeraException {@code bad_option} when they are not there */
    static void open() {
        Module own = CuratorAccess.class.getModule();
        if (own.isNamed()) own.addReads(ClassLoader.getSystemClassLoader().getUnnamedModule());
        try {
            Class.forName("org.apache.curator.framework.CuratorFramework", false, CuratorAccess.class.getClassLoader());
            Class.forName("org.apache.zookeeper.ZooKeeper", false, CuratorAccess.class.getClassLoader());
        } catch (ClassNotFoundException cause) {
            throw new HeraException("bad_option", "zk:// needs Curator and ZooKeeper on the class path: " + cause.getMessage() + " is missing", cause);
        }
    }
}
