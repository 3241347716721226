//! A worker's list of brokers: watched in ZooKeeper, held on disk (R-8 to R-11).

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zookeeper_client::{Client, Error as ZkError};

use super::layout;
use super::limits::DIALS_MAX;
use super::node::Dial;
use super::session::Access;
use crate::backoff::{self, Backoff};
use crate::error::Error;
use crate::secret::random;
use hera_protocol::key::hex;

/// The list is read again so often, besides every event.
const AGAIN: Duration = Duration::from_secs(60);
/// The saved list is used when ZooKeeper has not answered by then (R-11).
const SAVED_AFTER: Duration = Duration::from_secs(1);
/// Nodes are read so many at once.
const WINDOW: usize = 64;
const FORMAT: u32 = 1;

/// Watches the list for as long as somebody listens; `brokers` holds the last list that was not empty.
///
/// Nothing here ends a worker: what goes wrong is told to the log once, and tried again.
pub async fn run(access: Access, saved: SavedList, brokers: watch::Sender<Vec<Dial>>) {
    let watching = follow(&access, &saved, &brokers);
    let falling_back = async {
        tokio::time::sleep(SAVED_AFTER).await;
        let known = saved.read();
        if brokers.borrow().is_empty() && !known.is_empty() {
            tracing::warn!(registry = %access.url, brokers = known.len(), "the registry does not answer; the saved list of brokers is used");
            brokers.send_if_modified(|list| {
                let first = list.is_empty();
                if first {
                    *list = known;
                }
                first
            });
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = watching => {}
        () = falling_back => {}
        () = brokers.closed() => {}
    }
}

async fn follow(access: &Access, saved: &SavedList, brokers: &watch::Sender<Vec<Dial>>) {
    let mut backoff = Backoff::default();
    let mut told = String::new();
    loop {
        let began = std::time::Instant::now();
        let error = match access.connect().await {
            Ok(client) => session(access, &client, saved, brokers, &mut told).await,
            Err(error) => error,
        };
        let text = error.to_string();
        if text != told {
            tracing::warn!(error = %text, "the list of brokers cannot be read just now; the last one holds");
            told = text;
        }
        backoff.reset_after(began.elapsed());
        tokio::time::sleep(backoff.next(backoff::share())).await;
    }
}

/// Lists, waits for a change, lists again; gives why it cannot go on.
async fn session(
    access: &Access,
    client: &Client,
    saved: &SavedList,
    brokers: &watch::Sender<Vec<Dial>>,
    told: &mut String,
) -> Error {
    let mut state = client.state_watcher();
    let mut skipped = 0;
    loop {
        let listed = list(access, client).await;
        let (list, bad, watcher) = match listed {
            Ok(listed) => listed,
            Err(error) if client.state().is_terminated() => return error,
            Err(error) => {
                // The session may come back: another server of the string is being dialled.
                if *told != error.to_string() {
                    *told = error.to_string();
                    tracing::warn!(%error, "the list of brokers cannot be read just now; the last one holds");
                }
                tokio::select! {
                    _ = state.changed() => {}
                    () = tokio::time::sleep(SAVED_AFTER) => {}
                }
                continue;
            }
        };
        told.clear();
        if bad != skipped {
            skipped = bad;
            tracing::warn!(registry = %access.url, skipped, "nodes below /brokers are no brokers and are skipped");
        }
        // R-10: an empty list is what a failing registry looks like, so the last one holds.
        if !list.is_empty() && *brokers.borrow() != list {
            saved.write(&list);
            brokers.send_replace(list);
        }
        tokio::select! {
            _ = watcher.changed() => {}
            now = state.changed() => if now.is_terminated() {
                return access.unavailable("the session is over");
            },
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

type Listed = (Vec<Dial>, usize, zookeeper_client::OneshotWatcher);

/// The brokers by id, how many nodes were skipped, and a watch on the list.
async fn list(access: &Access, client: &Client) -> Result<Listed, Error> {
    let (mut names, _, watcher) = access.ask(client.get_and_watch_children(layout::BROKERS)).await?;
    names.sort();
    let (mut list, mut skipped) = (Vec::new(), 0);
    'all: for window in names.chunks(WINDOW) {
        let asked: Vec<_> =
            window.iter().map(|name| (name, client.get_data(&layout::broker(name)))).collect();
        for (name, answer) in asked {
            let dial = match access.within(answer).await? {
                Ok((data, _)) => Dial::from_json(name, &data),
                // Gone since the list was made.
                Err(ZkError::NoNode) => continue,
                Err(ZkError::NoAuth | ZkError::BadArguments(_)) => None,
                Err(error) => return Err(access.failed(&error)),
            };
            match dial {
                Some(dial) => list.push(dial),
                None => skipped += 1,
            }
            if list.len() == DIALS_MAX {
                break 'all;
            }
        }
    }
    Ok((list, skipped, watcher))
}

/// The file that holds the last list (R-11).
#[derive(Clone, Debug)]
pub struct SavedList(Option<PathBuf>);

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    brokers: Vec<Dial>,
}

impl SavedList {
    /// The file for this connection string; `variable` reads the environment.
    pub fn new(connection: &str, variable: impl Fn(&str) -> Option<String>) -> SavedList {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("HERA_STATE_DIR")
            .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("hera")))
            .or_else(|| set("HOME").map(|home| home.join(".local/state/hera")));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, connection.as_bytes());
        let file = format!("brokers-{}.json", hex(&hash.as_ref()[..8]));
        SavedList(folder.map(|folder| folder.join(file)))
    }

    /// The list; empty where there is none that can be read.
    pub fn read(&self) -> Vec<Dial> {
        let bytes = self.0.as_ref().and_then(|path| std::fs::read(path).ok());
        let saved: Option<Saved> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known =
            saved.filter(|saved| saved.format == FORMAT).map(|saved| saved.brokers).unwrap_or_default();
        known.into_iter().filter(Dial::is_usable).take(DIALS_MAX).collect()
    }

    /// Replaces the file whole: ten copies of a worker on a host share it. That it cannot be written is worth one line and no more.
    fn write(&self, brokers: &[Dial]) {
        let Some(path) = &self.0 else { return };
        let saved = Saved { format: FORMAT, brokers: brokers.to_vec() };
        let bytes = serde_json::to_vec(&saved).expect("texts and numbers have a JSON form");
        if let Err(error) = replace(path, &bytes) {
            static TOLD: std::sync::Once = std::sync::Once::new();
            TOLD.call_once(|| {
                tracing::warn!(path = %path.display(), %error, "the list of brokers cannot be saved; set HERA_STATE_DIR");
            });
        }
    }
}

fn replace(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", hex(&random::<4>())));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(port: u16) -> Dial {
        Dial { id: "b".into(), address: "h".into(), port, protocols: vec![super::super::node::TCP.into()] }
    }

    #[test]
    fn saved_list_is_found_by_its_connection_string() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deep/er").display().to_string();
        let variable = |name: &str| (name == "HERA_STATE_DIR").then(|| state.clone());
        let list = SavedList::new("zk://a:1", variable);

        assert!(list.read().is_empty());
        list.write(&[dial(1), dial(2)]);

        assert_eq!(list.read(), [dial(1), dial(2)]);
        assert!(SavedList::new("zk://b:1", variable).read().is_empty());
    }

    #[test]
    fn damaged_or_planted_list_names_no_brokers() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().display().to_string();
        let list = SavedList::new("x", |name| (name == "HERA_STATE_DIR").then(|| state.clone()));
        let path = list.0.clone().unwrap();
        for text in [
            "",
            "{",
            r#"{"format":2,"brokers":[]}"#,
            r#"{"format":1,"brokers":[{"id":"a","address":"a b","port":1,"protocols":["hera/1+tcp"]}]}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(list.read().is_empty(), "{text}");
        }
    }

    #[test]
    fn folder_that_cannot_be_written_is_no_failure() {
        let list = SavedList::new("x", |name| (name == "HERA_STATE_DIR").then(|| "/proc/none".to_owned()));
        list.write(&[dial(1)]);
        assert!(list.read().is_empty());
        assert!(SavedList::new("x", |_| None).read().is_empty());
    }
}
