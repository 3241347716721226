import dev.hera.Hera;

/** Says when its call begins and ends. */
public class Slow {
    public static void main(String[] args) {
        try (Hera hera = Hera.fromEnvironment()) {
            hera.get("/0/slow", ctx -> {
                System.out.println("began");
                Thread.sleep(1_000);
                System.out.println("ended");
                ctx.text("done");
            });
            hera.connect();
            System.out.println("connected to hera");
            hera.join();
        }
    }
}
