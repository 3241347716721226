//! Configuration files that must be taken, and files that must be refused with the line and the key named.
//!
//! A file in `invalid_config` begins with a comment `# refused: LINE TEXT`: the error must be at that line and hold that text.
//! A file in `valid_config` may hold comments `# KEY = VALUE`: the setting must show that value.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use hera_broker::config::{AccessLog, Config, ConfigError, Flag, Origin};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    files
}

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, environment(variables), Vec::new())
}

fn flag(key: &'static str, value: &str, name: &'static str) -> Flag {
    Flag { key, value: value.to_owned(), name }
}

fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hera.toml");
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

#[test]
fn valid_files_are_taken_and_mean_what_they_say() {
    for path in files("valid_config") {
        let config = Config::load(Some(&path), [], Vec::new()).unwrap_or_else(|error| panic!("{error}"));

        let settings = config.settings();
        let text = std::fs::read_to_string(&path).unwrap();
        for expected in text.lines().filter_map(|line| line.strip_prefix("# ")) {
            let Some((key, value)) = expected.split_once(" = ") else { continue };
            let setting = settings.iter().find(|setting| setting.key == key);
            let setting = setting.unwrap_or_else(|| panic!("{}: no key {key}", path.display()));
            assert_eq!(setting.value.as_deref(), Some(value), "{}: {key}", path.display());
        }
    }
}

#[test]
fn invalid_files_are_refused_at_their_line() {
    for path in files("invalid_config") {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# refused: ").unwrap();
        let (line, named) = expected.split_once(' ').unwrap();

        let error =
            Config::load(Some(&path), [], Vec::new()).map(|_| ()).expect_err(&path.display().to_string());

        assert_eq!(error.line(), Some(line.parse().unwrap()), "{error}");
        assert_eq!(error.file(), Some(path.as_path()));
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn error_is_one_line_with_file_line_and_nearest_key() {
    let (_dir, path) = file("[http]\n\nlisen = \"127.0.0.1:1\"\n");

    let error = Config::load(Some(&path), [], Vec::new()).unwrap_err();

    let expected = format!("{}:3: unknown key http.lisen; did you mean http.listen?", path.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn control_bytes_of_a_value_do_not_reach_the_terminal() {
    let error = from_environment(&[("HERA_BROKER__ID", "a\n\u{1b}[31m")]).unwrap_err();

    assert!(!error.to_string().chars().any(char::is_control));
}

#[test]
fn nothing_set_gives_the_defaults() {
    let config = Config::load(None, [], Vec::new()).unwrap();

    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.workers.listen.to_string(), "127.0.0.1:4372");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:4380");
    assert_eq!(config.broker.data_dir, Path::new("./hera-data"));
    assert_eq!(config.drain.timeout, Duration::from_secs(30));
    assert_eq!(config.drain.timeout, Duration::from_secs(30));
    assert_eq!(config.http.body_memory_bytes_max, 268_435_456);
    assert_eq!(config.log.access, AccessLog::Stderr);
    assert!(config.http.trusted_peers.iter().any(|peers| peers.contains("::1".parse().unwrap())));
    assert!(config.broker.cores >= 1);
    assert!(config.settings().iter().all(|setting| setting.origin == Origin::Default));
}

#[test]
fn broker_id_is_its_own_unless_given() {
    let id = || Config::load(None, [], Vec::new()).unwrap().broker.id;

    assert_ne!(id(), id());
    assert!(id().len() == 10 && id().starts_with("b-"));
    assert_eq!(from_environment(&[("HERA_BROKER__ID", "b-1")]).unwrap().broker.id, "b-1");
}

#[test]
fn later_layers_win_and_say_where_a_value_comes_from() {
    let (_dir, path) = file(
        "[http]\nlisten = \"127.0.0.1:1\"\n[workers]\nlisten = \"127.0.0.1:2\"\n[admin]\nlisten = \"127.0.0.1:3\"\n",
    );
    let environment =
        environment(&[("HERA_WORKERS__LISTEN", "127.0.0.1:22"), ("HERA_ADMIN__LISTEN", "127.0.0.1:33")]);

    let config =
        Config::load(Some(&path), environment, vec![flag("admin.listen", "127.0.0.1:333", "--admin")])
            .unwrap();

    let of = |key: &str| {
        let setting = config.settings().into_iter().find(|setting| setting.key == key).unwrap();
        (setting.value.unwrap(), setting.origin)
    };
    assert_eq!(of("http.listen"), ("\"127.0.0.1:1\"".into(), Origin::File(path.clone(), Some(2))));
    assert_eq!(
        of("workers.listen"),
        ("\"127.0.0.1:22\"".into(), Origin::Environment("HERA_WORKERS__LISTEN".into()))
    );
    assert_eq!(of("admin.listen"), ("\"127.0.0.1:333\"".into(), Origin::Flag("--admin")));
    assert_eq!(of("log.level").1, Origin::Default);
}

#[test]
fn value_of_a_lower_layer_that_is_replaced_is_not_judged() {
    let environment = environment(&[("HERA_HTTP__LISTEN", "nonsense")]);

    Config::load(None, environment, vec![flag("http.listen", "127.0.0.1:0", "--http")]).unwrap();
}

#[test]
fn environment_is_read_strictly_and_other_names_are_left_alone() {
    let config = from_environment(&[
        ("HERA", "hera://localhost"),
        ("HERA_HOME", "/x"),
        ("PATH", "/bin"),
        ("HERA_HTTP__TRUSTED_PEERS", "10.0.0.0/8, ::1"),
        ("HERA_HTTP__CONNECTIONS_MAX", "7"),
        ("HERA_LOG__ACCESS", "off"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.http.connections_max, 7);
    assert_eq!(config.http.trusted_peers.len(), 2);
    assert_eq!(config.log.access, AccessLog::Off);

    for (name, value) in [
        ("HERA_HTTP__LISEN", "x"),
        ("HERA_http__listen", "127.0.0.1:1"),
        ("HERA_HTTP__", "x"),
        ("HERA___", "x"),
        ("HERA_HTTP__LISTEN", ""),
        ("HERA_HTTP__CONNECTIONS_MAX", "0"),
        ("HERA_HTTP__PLAIN_OFF_LOOPBACK", "yes"),
    ] {
        let error = from_environment(&[(name, value)]).unwrap_err();
        assert_eq!(error.origin, Origin::Environment(name.to_owned()), "{error}");
    }
    let error = from_environment(&[("HERA_HTTP__LISEN", "x")]).unwrap_err();
    assert!(error.message.contains("HERA_HTTP__LISTEN"));
}

#[test]
fn plain_listener_off_loopback_needs_tls_or_its_own_opt_out() {
    let tls = [("HERA_TLS__CERT", "c.pem"), ("HERA_TLS__KEY", "k.pem")];
    for section in ["HTTP", "WORKERS"] {
        let listen = format!("HERA_{section}__LISTEN");
        let opt_out = format!("HERA_{section}__PLAIN_OFF_LOOPBACK");
        let option = format!("{}.plain_off_loopback", section.to_lowercase());
        for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let error = from_environment(&[(&listen, address)]).unwrap_err();
            assert_eq!(error.origin, Origin::Environment(listen.clone()));
            assert!(error.message.contains(&option));

            from_environment(&[(&listen, address), (&opt_out, "true")]).unwrap();
            from_environment(&[(&listen, address), tls[0], tls[1]]).unwrap();
        }
        for address in ["127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            from_environment(&[(&listen, address)]).unwrap();
        }
    }
    // One opt-out is not the other's.
    from_environment(&[("HERA_HTTP__LISTEN", "0.0.0.0:1"), ("HERA_WORKERS__PLAIN_OFF_LOOPBACK", "true")])
        .unwrap_err();
}

#[test]
fn admin_listener_stays_on_loopback() {
    let tls = [("HERA_TLS__CERT", "c.pem"), ("HERA_TLS__KEY", "k.pem")];

    let error = from_environment(&[("HERA_ADMIN__LISTEN", "0.0.0.0:1"), tls[0], tls[1]]).unwrap_err();

    assert!(error.message.contains("admin.listen"));
}

#[test]
fn file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("none.toml")), [], Vec::new()).unwrap_err();

    assert_eq!((error.file(), error.line()), (Some(Path::new("none.toml")), None));
}

#[test]
fn settings_are_toml_that_gives_the_same_configuration() {
    let config = from_environment(&[
        ("HERA_BROKER__ID", "b-1"),
        ("HERA_BROKER__DATA_DIR", "/srv/a \"b\""),
        ("HERA_DRAIN__TIMEOUT", "1500ms"),
        ("HERA_TLS__CERT", "c.pem"),
        ("HERA_TLS__KEY", "k.pem"),
        ("HERA_ADMIN__HOSTS", "Hera.example.com"),
    ]);
    let shown = |config: &Config| -> String {
        let set = config.settings().into_iter().filter_map(|setting| Some((setting.key, setting.value?)));
        set.map(|(key, value)| format!("{key} = {value}\n")).collect()
    };
    let text = shown(&config.unwrap());
    let (_dir, path) = file(&text);

    let again = Config::load(Some(&path), [], Vec::new()).unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(shown(&again), text);
    assert!(text.contains("admin.hosts = [\"hera.example.com\"]"));
}
