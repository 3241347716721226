//! Hosts as folders of one machine, on which pages are run: each has its own `/etc`, `/usr` and `/var`, and its own loopback address.

use crate::page::{Block, Kind, blocks};
use hera_testkit::{TestZooKeeper, hera};
use hera_tests::worker_process::{beside_test, root};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A page drains brokers and waits for others to be ready; on a busy machine that takes its time.
const PAGES_SECONDS_MAX: &str = "240";
/// Hosts, and their addresses in the pages.
const HOSTS: [(&str, &str); 2] = [("broker1", "10.0.0.7"), ("broker2", "10.0.0.8")];
/// Folders of the system that each host has for itself.
const FOLDERS: [&str; 3] = ["/etc/", "/var/lib/", "/usr/bin"];

/// What systemd would do with a unit, in the folder of the host: the broker as its unit says, HAProxy as Debian's does.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
verb=$1
shift
[ "${1:-}" != --now ] || shift
name=${1:-}
pid_file=$ROOT/$name.pid

start() {
  local command
  case $name in
    haproxy) command="haproxy -W -f $ROOT/etc/haproxy/haproxy.cfg -p $ROOT/haproxy.master" ;;
    *) command=$(sed -n 's/^ExecStart=//p' "$ROOT/etc/systemd/system/$name.service" | sed "s#^/usr/bin/#$ROOT/usr/bin/#; s# /etc/# $ROOT/etc/#g") ;;
  esac
  # A unit knows nothing of the environment of whoever starts it.
  env -i PATH="$PATH" $command </dev/null >>"$ROOT/$name.log" 2>&1 &
  echo $! >"$pid_file"
}

stop() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.1; done
}

case $verb in
  daemon-reload) ;;
  enable | start) start ;;
  restart) stop && start ;;
  stop) stop ;;
  reload) kill -s "$([ "$name" = haproxy ] && echo USR2 || echo HUP)" "$(cat "$pid_file")" ;;
  *) echo "systemctl $verb: no such verb here" >&2 && exit 1 ;;
esac
"#;

/// Runs all blocks of these pages in one shell; panics with its output at the first command that fails. Gives what HAProxy logged.
pub(crate) fn run(pages: &[&'static str], zookeeper: Option<&TestZooKeeper>) -> String {
    let scene = Scene::new(zookeeper);
    let mut script = "set -euo pipefail\n".to_owned();
    for block in pages.iter().flat_map(|page| blocks(page)) {
        scene.add(&mut script, &block);
    }
    scene.run(&script);
    fs::read_to_string(scene.dir.path().join(HOSTS[0].0).join("haproxy.log")).unwrap_or_default()
}

struct Scene<'a> {
    dir: tempfile::TempDir,
    zookeeper: Option<&'a TestZooKeeper>,
}

impl Scene<'_> {
    fn new(zookeeper: Option<&TestZooKeeper>) -> Scene<'_> {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(hera(), dir.path().join("hera")).unwrap();
        symlink(root().join("deploy"), dir.path().join("deploy")).unwrap();
        symlink(beside_test("hera-readme-sample"), bin.join("hello")).unwrap();
        // The other host is a folder beside this one.
        symlink("/bin/cp", bin.join("scp")).unwrap();
        program(&bin.join("systemctl"), SYSTEMCTL);
        for (host, _) in HOSTS {
            fs::create_dir(dir.path().join(host)).unwrap();
        }
        Scene { dir, zookeeper }
    }

    fn add(&self, script: &mut String, block: &Block) {
        let dir = self.dir.path().display();
        let (page, line) = (block.page, block.line);
        match &block.kind {
            Kind::Run(host) => {
                let text = self.on(host, &block.text);
                let _ = writeln!(
                    script,
                    "echo '== {page}:{line} on {host}'\nexport ROOT={dir}/{host}\nexport PATH=$ROOT/usr/bin:{dir}/bin:$SYSTEM\n{text}"
                );
            }
            Kind::File(path, host) => {
                let (path, text) = (self.on(host, path), self.on(host, &block.text));
                let _ = writeln!(script, "cat > {path} <<'END OF FILE'\n{text}END OF FILE");
            }
            Kind::Machine | Kind::Untagged => {}
        }
    }

    /// A text of a page as it has to be for this host.
    fn on(&self, host: &str, text: &str) -> String {
        let dir = self.dir.path().display().to_string();
        let own = HOSTS.iter().position(|(name, _)| *name == host);
        let own = own.unwrap_or_else(|| panic!("host {host:?} is none of {HOSTS:?}"));
        let mut text = text.replace("127.0.0.1:", &format!("{}:", address(own)));
        for (n, (name, of_page)) in HOSTS.iter().enumerate() {
            text = text.replace(&format!("root@{name}:/"), &format!("{dir}/{name}/"));
            text = text.replace(of_page, &address(n));
        }
        // Where HAProxy speaks to itself is one address for all of a machine, unless told.
        text = text.replace("haproxy render ", &format!("haproxy render --inner {}:8001 ", address(own)));
        if let Some(zookeeper) = self.zookeeper {
            for n in 0..zookeeper.len() {
                text = text.replace(&format!("zk{}:2181", n + 1), &zookeeper.address(n).to_string());
            }
        }
        FOLDERS.iter().fold(text, |text, folder| rooted(&text, folder, &format!("{dir}/{host}")))
    }

    fn run(&self, script: &str) {
        let dir = self.dir.path();
        let (file, output) = (dir.join("script"), dir.join("output"));
        fs::write(&file, script).unwrap();
        let both = fs::File::create(&output).unwrap();
        let mut command = Command::new("timeout");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HERA")) {
            command.env_remove(name);
        }
        // Debian puts HAProxy where only root's `PATH` looks.
        let path = std::env::var("PATH").unwrap() + ":/usr/sbin:/sbin";
        let child = command
            .args(["--kill-after=5", PAGES_SECONDS_MAX, "bash"])
            .arg(&file)
            .current_dir(dir)
            .env("SYSTEM", path)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(both.try_clone().unwrap())
            .stderr(both)
            .spawn()
            .unwrap();
        let mut group = Group(child);
        let status = group.0.wait().unwrap();
        if !status.success() {
            let logs: Vec<String> = HOSTS.iter().map(|(host, _)| logs(&dir.join(host))).collect();
            panic!(
                "the pages ended with {status}\n---- output ----\n{}\n{}",
                fs::read_to_string(output).unwrap(),
                logs.join("\n")
            );
        }
    }
}

/// The shell and all that it started: gone when dropped.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

/// All of 127.0.0.0/8 is loopback, and tests run side by side.
fn address(host: usize) -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Two tests of one process have the same hosts, and run one after the other.
    format!("127.{high}.{low}.{}", 7 + host)
}

/// Puts `front` before each path that begins with `folder`.
fn rooted(text: &str, folder: &str, front: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(folder) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        // Not where it is the rest of a longer path, as of one that has its front already.
        if !out.ends_with(|c: char| c.is_ascii_alphanumeric() || "/.-_}".contains(c)) {
            out.push_str(front);
        }
        out.push_str(folder);
        rest = &from[folder.len()..];
    }
    out + rest
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the units of a host wrote.
fn logs(host: &Path) -> String {
    let files = fs::read_dir(host).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.map(|path| format!("---- {} ----\n{}", path.display(), fs::read_to_string(&path).unwrap())).collect()
}
