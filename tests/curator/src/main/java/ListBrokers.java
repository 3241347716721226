import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;

/** Prints `id address port` of each broker; arguments: connection string without chroot, base path. */
public final class ListBrokers {
    public static void main(String[] arguments) throws Exception {
        // A typed payload is the strict reader: an object without a class in it would not be read.
        try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], new RetryOneTime(1000))) {
            client.start();
            try (ServiceDiscovery<Map> discovery =
                    ServiceDiscoveryBuilder.builder(Map.class).client(client).basePath(arguments[1]).build()) {
                for (ServiceInstance<Map> broker : discovery.queryForInstances("brokers")) {
                    System.out.println(broker.getId() + " " + broker.getAddress() + " " + broker.getPort());
                }
            }
        }
    }
}
