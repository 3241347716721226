//! Where the binary `hera` is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Path of the binary: `HERA_BIN`, else the one beside the running test, which is built when it is missing.
pub fn hera() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("HERA_BIN") {
        Some(path) => PathBuf::from(path),
        None => built(),
    })
}

/// A run of the binary with nothing of Hera in its environment.
pub fn command() -> Command {
    let mut command = Command::new(hera());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HERA")) {
        command.env_remove(name);
    }
    command
}

/// A test lies in `target/PROFILE/deps/`, the binaries one above.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let binary = profile.join("hera");
    if !binary.exists() {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--package", "hera-cli"]);
        build.args((profile.file_name() == Some("release".as_ref())).then_some("--release"));
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "hera-cli does not build");
    }
    binary
}
