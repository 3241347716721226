import dev.hera.Hera;
import dev.hera.HeraException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Users in a real database, by JDBC. DATABASE names it; by default one in memory, of H2. */
public class Users {
    record User(long id, String name) {}

    private final String database;

    Users(String database) throws SQLException {
        this.database = database;
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            statement.execute("create table if not exists users (id bigint generated always as identity primary key, name varchar(100) not null unique)");
        }
    }

    public static void main(String[] args) throws SQLException {
        Users users = new Users(System.getenv().getOrDefault("DATABASE", "jdbc:h2:mem:users;DB_CLOSE_DELAY=-1"));
        try (Hera hera = Hera.fromEnvironment()) {
            hera.get("/0/users", ctx -> ctx.json(users.all()));
            hera.get("/0/users/{id}", ctx -> ctx.json(users.find(Long.parseLong(ctx.pathParam("id")))));
            hera.post("/0/users", ctx -> ctx.status(201).json(users.add(ctx.bodyAs(User.class).name())));

            // Another worker may run a PUT again when this one is lost, so it has to do no harm twice.
            hera.put("/0/users/{id}", ctx -> {
                users.rename(Long.parseLong(ctx.pathParam("id")), ctx.bodyAs(User.class).name());
                ctx.status(204);
            });

            hera.exception(NumberFormatException.class, (e, ctx) -> ctx.status(400).json(Map.of("error", "id is not a number")));
            hera.exception(java.sql.SQLIntegrityConstraintViolationException.class, (e, ctx) -> ctx.status(409).json(Map.of("error", "that name is taken")));

            hera.connect();
            System.out.println("connected to hera");
            hera.join();
        }
    }

    private Connection open() throws SQLException {
        return DriverManager.getConnection(database);
    }

    List<User> all() throws SQLException {
        try (Connection connection = open();
                PreparedStatement query = connection.prepareStatement("select id, name from users order by id");
                ResultSet rows = query.executeQuery()) {
            List<User> users = new ArrayList<>();
            while (rows.next()) users.add(new User(rows.getLong("id"), rows.getString("name")));
            return users;
        }
    }

    User find(long id) throws SQLException {
        try (Connection connection = open(); PreparedStatement query = connection.prepareStatement("select name from users where id = ?")) {
            query.setLong(1, id);
            try (ResultSet rows = query.executeQuery()) {
                if (!rows.next()) throw new HeraException(404, "no_user", "no user has the id " + id);
                return new User(id, rows.getString("name"));
            }
        }
    }

    User add(String name) throws SQLException {
        try (Connection connection = open();
                PreparedStatement insert = connection.prepareStatement("insert into users (name) values (?)", Statement.RETURN_GENERATED_KEYS)) {
            insert.setString(1, name);
            insert.executeUpdate();
            try (ResultSet keys = insert.getGeneratedKeys()) {
                keys.next();
                return new User(keys.getLong(1), name);
            }
        }
    }

    void rename(long id, String name) throws SQLException {
        try (Connection connection = open(); PreparedStatement update = connection.prepareStatement("update users set name = ? where id = ?")) {
            update.setString(1, name);
            update.setLong(2, id);
            if (update.executeUpdate() == 0) throw new HeraException(404, "no_user", "no user has the id " + id);
        }
    }
}
