//! How loaded this process is (P-25): its share of the CPU, its memory, and how late the runtime's timers are.
//!
//! Linux tells it in `/proc` and `/sys/fs/cgroup`; elsewhere these values are left out, which means unknown.

use crate::lock::lock;
use hera_protocol::message::load::Load;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// How often the runtime is asked whether it is on time.
const TICK: Duration = Duration::from_millis(100);
/// How far back the greatest delay reaches.
const DELAY_WINDOW: Duration = Duration::from_secs(2);
/// Several brokers ask at once; a share over less time would be noise.
const CPU_EVERY: Duration = Duration::from_millis(500);
/// Ticks per second in `/proc/self/stat`: Linux shows 100 to user space on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
const CGROUPS: &str = "/sys/fs/cgroup";

/// Measures; one for the process, whatever the number of brokers.
pub(crate) struct Monitor {
    cores: f64,
    rss_limit_bytes: Option<f64>,
    cpu: Mutex<Cpu>,
    delays: Mutex<Delays>,
}

struct Cpu {
    at: Instant,
    seconds: Option<f64>,
    share: Option<f64>,
}

impl Monitor {
    /// Reads the limits of this process and begins to measure.
    pub(crate) fn new() -> Monitor {
        let groups = read("/proc/self/cgroup").unwrap_or_default();
        let machine = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let total = read("/proc/meminfo").and_then(|text| kib(&text, "MemTotal:"));
        let limits = [cgroup_memory(Path::new(CGROUPS), &groups), total];
        Monitor {
            cores: cgroup_cores(Path::new(CGROUPS), &groups).map_or(machine, |cores| cores.min(machine)),
            rss_limit_bytes: limits.into_iter().flatten().min_by(f64::total_cmp),
            cpu: Mutex::new(Cpu { at: Instant::now(), seconds: cpu_seconds(), share: None }),
            delays: Mutex::default(),
        }
    }

    /// What is known now.
    pub(crate) fn load(&self, in_flight: usize) -> Load {
        Load {
            cpu: self.cpu_share(Instant::now()),
            rss_bytes: read("/proc/self/status").and_then(|text| kib(&text, "VmRSS:")),
            rss_limit_bytes: self.rss_limit_bytes,
            delay_ms: Some(lock(&self.delays).greatest(Instant::now()).as_secs_f64() * 1e3),
            in_flight: Some(in_flight as f64),
        }
    }

    fn cpu_share(&self, now: Instant) -> Option<f64> {
        let mut cpu = lock(&self.cpu);
        let wall = now.saturating_duration_since(cpu.at);
        if wall >= CPU_EVERY {
            let seconds = cpu_seconds();
            let used = seconds.zip(cpu.seconds).map(|(now, before)| now - before);
            cpu.share = used.map(|used| (used / (wall.as_secs_f64() * self.cores)).clamp(0.0, 1.0));
            cpu.at = now;
            cpu.seconds = seconds;
        }
        cpu.share
    }

    /// Ticks on the runtime and notes how late each tick is, until dropped.
    pub(crate) async fn tick(&self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            let before = Instant::now();
            tick.tick().await;
            let now = Instant::now();
            lock(&self.delays).note(now, now.duration_since(before).saturating_sub(TICK));
        }
    }
}

/// Delays of the last 2 s.
#[derive(Default)]
struct Delays(VecDeque<(Instant, Duration)>);

impl Delays {
    fn note(&mut self, now: Instant, late: Duration) {
        self.forget(now);
        self.0.push_back((now, late));
    }

    fn greatest(&mut self, now: Instant) -> Duration {
        self.forget(now);
        self.0.iter().map(|(_, late)| *late).max().unwrap_or_default()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > DELAY_WINDOW) {
            self.0.pop_front();
        }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Seconds of CPU that the process used, all threads.
fn cpu_seconds() -> Option<f64> {
    stat_seconds(&read("/proc/self/stat")?)
}

/// Fields 14 and 15 of `/proc/self/stat`; the name in field 2 may hold anything, so counting begins behind its bracket.
fn stat_seconds(text: &str) -> Option<f64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// Bytes of a `Name:   123 kB` line.
fn kib(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// Cores that the process may use: the least of its cgroup and all above; version 2, then version 1.
fn cgroup_cores(root: &Path, groups: &str) -> Option<f64> {
    let v2 = least(root, group(groups, ""), |folder| {
        let text = read(folder.join("cpu.max"))?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    });
    let v1 = || {
        least(&root.join("cpu"), group(groups, "cpu"), |folder| {
            let number = |file| read(folder.join(file))?.trim().parse::<f64>().ok();
            Some(number("cpu.cfs_quota_us")? / number("cpu.cfs_period_us")?)
        })
    };
    v2.or_else(v1)
}

/// Bytes of memory that the process may use, by the same rule.
fn cgroup_memory(root: &Path, groups: &str) -> Option<f64> {
    let v2 = least(root, group(groups, ""), |folder| read(folder.join("memory.max"))?.trim().parse().ok());
    let v1 = || {
        least(&root.join("memory"), group(groups, "memory"), |folder| {
            read(folder.join("memory.limit_in_bytes"))?.trim().parse().ok()
        })
    };
    v2.or_else(v1)
}

/// The process's path in the hierarchy of `controller` (`""` is version 2).
fn group<'a>(groups: &'a str, controller: &str) -> &'a str {
    let line = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    });
    line.unwrap_or("/")
}

/// The least positive value of `group` and the folders above it. In a container the path is often the host's and does not exist here; the
/// root then holds the container's own values.
fn least(root: &Path, group: &str, value: impl Fn(&Path) -> Option<f64>) -> Option<f64> {
    let inside = Path::new(group.trim_start_matches('/'));
    let folders = inside.ancestors().map(|folder| root.join(folder));
    folders.filter_map(|folder| value(&folder)).filter(|value| *value > 0.0).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_process_name() {
        let text = "7 (a) b (c) R 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 8 0 1 1 1";

        assert_eq!(stat_seconds(text), Some(2.0));
        assert_eq!(stat_seconds("nonsense"), None);
    }

    #[test]
    fn greatest_delay_is_of_the_last_two_seconds() {
        let start = Instant::now();
        let mut delays = Delays::default();
        delays.note(start, Duration::from_millis(900));
        delays.note(start + Duration::from_secs(1), Duration::from_millis(5));

        assert_eq!(delays.greatest(start + Duration::from_secs(2)), Duration::from_millis(900));
        assert_eq!(delays.greatest(start + Duration::from_millis(2_500)), Duration::from_millis(5));
        assert_eq!(delays.greatest(start + Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn limits_of_both_cgroup_versions_are_the_least_on_the_way_up() {
        let root = std::env::temp_dir().join(format!("hera-cgroup-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/cpu.max", "50000 100000\n");
        write("a/b/cpu.max", "max 100000\n");
        write("a/b/memory.max", "1000\n");
        write("cpu/c/cpu.cfs_quota_us", "-1\n");
        write("cpu/c/cpu.cfs_period_us", "100000\n");
        write("memory/memory.limit_in_bytes", "2000\n");

        assert_eq!(cgroup_cores(&root, "0::/a/b\n"), Some(0.5));
        assert_eq!(cgroup_memory(&root, "0::/a/b\n"), Some(1000.0));
        let v1 = "4:memory:/not/here\n3:cpu,cpuacct:/c\n";
        assert_eq!(cgroup_cores(&root, v1), None);
        assert_eq!(cgroup_memory(&root, v1), Some(2000.0));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_a_limit() {
        let load = Monitor::new().load(3);

        assert!(load.rss_bytes.unwrap() > 0.0);
        assert!(load.rss_limit_bytes.unwrap() > load.rss_bytes.unwrap());
        assert_eq!(load.in_flight, Some(3.0));
    }
}
