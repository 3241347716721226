//! A broker's own node, and whose it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zookeeper_client::{Client, CreateMode, Error as ZkError};

use super::layout::{self, Who};
use super::verbs::ZkRegistry;
use crate::error::Error;
use crate::standalone::SESSIONS;
use crate::store;

/// Sessions that a broker remembers as its own: a restart makes one, an expiry makes one.
const SESSIONS_MAX: usize = 16;
const LOOK: Duration = Duration::from_millis(100);

/// The sessions that this data dir had.
#[derive(Debug)]
pub(crate) struct OwnSessions {
    path: PathBuf,
    ids: Vec<i64>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    sessions: Vec<String>,
}

impl OwnSessions {
    /// Reads the file; one that cannot be read names no sessions, which costs a wait and nothing else.
    pub(crate) fn open(data_dir: &Path) -> OwnSessions {
        let path = data_dir.join(SESSIONS);
        let saved: Option<Saved> =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // As written below: two's complement, so all of them are unsigned texts.
        let number =
            |text: String| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok().map(u64::cast_signed);
        let ids = saved.into_iter().flat_map(|saved| saved.sessions).filter_map(number);
        OwnSessions { path, ids: ids.take(SESSIONS_MAX).collect() }
    }

    /// Saves a session before anything is made in it.
    pub(crate) fn add(&mut self, id: i64) -> Result<(), Error> {
        self.ids.retain(|other| *other != id);
        self.ids.push(id);
        let surplus = self.ids.len().saturating_sub(SESSIONS_MAX);
        self.ids.drain(..surplus);
        let sessions = self.ids.iter().map(|id| format!("{id:#x}")).collect();
        let json = serde_json::to_vec(&Saved { sessions }).expect("texts have a JSON form");
        store::write(&self.path, &json)
    }

    fn has(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }
}

/// Makes the node of this broker in the client's session.
///
/// A node of an earlier session of ours is replaced in one transaction, so that readers never see the broker missing. One that a
/// stranger owns is waited out for one session timeout and a half; then error `id_taken`.
pub(crate) async fn register(
    registry: &ZkRegistry,
    client: &Client,
    own: &OwnSessions,
    id: &str,
    data: &[u8],
) -> Result<(), Error> {
    let access = registry.access();
    let path = layout::broker(id);
    let options = CreateMode::Ephemeral.with_acls(registry.rules().acls(Who::Readable));
    // Servers end a session at the next tick after its timeout.
    let until = tokio::time::Instant::now() + client.session_timeout() * 3 / 2 + Duration::from_millis(500);
    loop {
        match access.within(client.create(&path, data, &options)).await? {
            Ok(_) => return Ok(()),
            Err(ZkError::NodeExists) => {}
            Err(ZkError::NoNode) => return Err(Error::NotInitialised { url: access.url.to_string() }),
            Err(error) => return Err(access.failed(&error)),
        }
        let Some(stat) = access.ask(client.check_stat(&path)).await? else { continue };
        if stat.ephemeral_owner == client.session_id().0 {
            return access.ask(client.set_data(&path, data, None)).await.map(|_| ());
        }
        if own.has(stat.ephemeral_owner) {
            let mut change = client.new_multi_writer();
            let added = change
                .add_delete(&path, Some(stat.version))
                .and_then(|()| change.add_create(&path, data, &options));
            added.map_err(|error| access.failed(&error))?;
            if access.ask(async { Ok::<_, ZkError>(change.commit().await) }).await?.is_ok() {
                return Ok(());
            }
            continue;
        }
        if tokio::time::Instant::now() >= until {
            return Err(Error::IdTaken { id: id.to_owned() });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Removes the node of this broker, if it is this session's.
pub(crate) async fn unregister(registry: &ZkRegistry, client: &Client, id: &str) -> Result<(), Error> {
    let access = registry.access();
    let path = layout::broker(id);
    let Some(stat) = access.ask(client.check_stat(&path)).await? else { return Ok(()) };
    if stat.ephemeral_owner != client.session_id().0 {
        return Ok(());
    }
    match access.within(client.delete(&path, Some(stat.version))).await? {
        Ok(()) | Err(ZkError::NoNode | ZkError::BadVersion) => Ok(()),
        Err(error) => Err(access.failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_remembered_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut own = OwnSessions::open(dir.path());
        // Servers give ids whose first bit may be set.
        for id in [-5, i64::MIN, 0x1234] {
            own.add(id).unwrap();
        }

        let mut own = OwnSessions::open(dir.path());
        assert!(own.has(-5) && own.has(i64::MIN) && own.has(0x1234) && !own.has(7));

        for id in 0..100 {
            own.add(id).unwrap();
        }
        assert_eq!(OwnSessions::open(dir.path()).ids.len(), SESSIONS_MAX);
    }

    #[test]
    fn damaged_file_names_no_sessions() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sessions.json"), b"{").unwrap();

        assert!(OwnSessions::open(dir.path()).ids.is_empty());
    }
}
