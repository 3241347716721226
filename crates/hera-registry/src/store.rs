//! Files that are whole or not there, private, and changed by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hera_protocol::key::hex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::record::{Kind, Sealer};
use crate::secret::random;

const FORMAT: u32 = 1;
const TEMPORARY: &str = ".tmp";

/// Makes a folder of mode 0700, and those above it, unless it is there.
pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create", path))
}

/// Reads a small file that nobody but its owner may read or write.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    const BYTES_MAX: u64 = 4096;
    let file = File::open(path).map_err(Error::io("open", path))?;
    // The handle is judged, not the name: the name could come to mean another file in between.
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    if !metadata.is_file() {
        return Err(Error::corrupt(path, "is no regular file"));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::WrongMode { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::with_capacity(128);
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Replaces a file so that a reader, or a crash at any moment, sees the old content or the new, never a part.
///
/// The mode is 0600. The caller holds the lock of the folder where writers may meet.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}{TEMPORARY}", hex(&random::<4>())));
    let written = write_new(&temporary, path, bytes)
        .and_then(|()| fs::rename(&temporary, path).map_err(Error::io("rename to", path)));
    if written.is_err() {
        // The first error is the one to tell; a leftover file is removed at the next start.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // Without this the rename itself could be lost with the power.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

fn write_new(temporary: &Path, target: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .map_err(Error::io("create", temporary))?;
    file.write_all(bytes).map_err(Error::io("write", temporary))?;
    // The clock of the file system moves in steps of milliseconds. Two quick writes could have one time, one size
    // and even one inode, and a broker that polls would miss the second: so time always moves on (see `Stamp`).
    if let Ok(before) = fs::metadata(target).and_then(|metadata| metadata.modified()) {
        let after = SystemTime::now().max(before + Duration::from_nanos(1_000));
        file.set_modified(after).map_err(Error::io("write", temporary))?;
    }
    file.sync_all().map_err(Error::io("sync", temporary))
}

/// Removes what writers that died left behind. The caller holds the lock, so no writer is alive.
pub(crate) fn remove_leftovers(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(TEMPORARY) {
            let path = entry.path();
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The right to change the files of a data dir; given back on drop, and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Waits until no other process or thread changes the files: milliseconds, since each holds it for one change.
    pub(crate) fn take(dir: &Path) -> Result<StateLock, Error> {
        let path = dir.join("state.lock");
        let file = open_lock(&path)?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok(StateLock { _file: file })
    }
}

/// The right to be the broker of a data dir; held for a broker's whole life.
#[derive(Debug)]
pub struct BrokerLock {
    _file: File,
}

impl BrokerLock {
    /// Takes it at once, or says `in_use`.
    pub(crate) fn take(dir: &Path) -> Result<BrokerLock, Error> {
        let path = dir.join("broker.lock");
        let file = open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(BrokerLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
        }
    }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    // A lock file is never removed: a second one under the same name would be a second lock.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(Error::io("open", path))
}

/// What some files looked like at one moment; equal stamps mean that nobody wrote since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(SystemTime, u64, u64)>>);

impl Stamp {
    /// One `stat` for each file; a file that is not there has a stamp too.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Stamp {
        let look = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.ino(), metadata.len()))
        };
        Stamp(files.into_iter().map(look).collect())
    }
}

/// The records of one file: those that are believed, and the rest.
#[derive(Debug)]
pub(crate) struct Records<T> {
    /// In the order of the file.
    pub(crate) good: Vec<T>,
    /// Kept when the file is written again: perhaps only the wrong cluster key was given.
    bad: Vec<Box<RawValue>>,
    /// One line for the log for each of `bad`.
    pub(crate) skipped: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    records: Vec<Box<RawValue>>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    /// Records that replace all that was there.
    pub(crate) fn of(good: Vec<T>) -> Records<T> {
        Records { good, bad: Vec::new(), skipped: Vec::new() }
    }

    /// Reads a file; one that is not there has no records. Error `corrupt` where it is not the JSON that [`write`]
    /// writes: then nothing in it can be trusted to be all there is.
    pub(crate) fn read(path: &Path, kind: Kind, sealer: &Sealer) -> Result<Records<T>, Error> {
        let mut records = Records { good: Vec::new(), bad: Vec::new(), skipped: Vec::new() };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(records),
            Err(source) => return Err(Error::Io { action: "read", path: path.to_owned(), source }),
        };
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| {
            Error::corrupt(path, format!("is damaged ({error}); restore it from a backup, or move it away"))
        })?;
        if content.format != FORMAT {
            let reason =
                format!("has format {}, and this version reads {FORMAT}; use a newer hera", content.format);
            return Err(Error::corrupt(path, reason));
        }
        for (at, sealed) in content.records.into_iter().enumerate() {
            match sealer.open(kind, &sealed) {
                Ok(record) => records.good.push(record),
                Err(reason) => {
                    records.skipped.push(format!("{}: record {} skipped: {reason}", path.display(), at + 1));
                    records.bad.push(sealed);
                }
            }
        }
        Ok(records)
    }

    /// Writes all records back, the skipped ones as they were. The caller holds the [`StateLock`].
    pub(crate) fn write(&self, path: &Path, kind: Kind, sealer: &Sealer) -> Result<(), Error> {
        let sealed = self.good.iter().map(|record| sealer.seal(kind, record));
        let records = sealed.chain(self.bad.iter().cloned()).collect();
        let mut bytes = serde_json::to_vec(&Content { format: FORMAT, records })
            .map_err(|error| Error::corrupt(path, error.to_string()))?;
        bytes.push(b'\n');
        write(path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_key::ClusterKey;

    fn sealer() -> Sealer {
        Sealer::new(&ClusterKey::from_bytes([1; 32]))
    }

    #[test]
    fn written_file_is_private_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");

        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn failed_write_keeps_the_target_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::create_dir(&path).unwrap();

        assert_eq!(write(&path, b"one").unwrap_err().code(), "io");

        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn quick_writes_of_one_size_have_different_stamps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut stamps = vec![Stamp::of([&path])];

        for content in 0..50_u8 {
            write(&path, &[content]).unwrap();
            let stamp = Stamp::of([&path]);
            assert!(!stamps.contains(&stamp));
            assert_eq!(Stamp::of([&path]), stamp);
            stamps.push(stamp);
        }
    }

    #[test]
    fn skipped_records_are_named_and_survive_a_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let other = Sealer::new(&ClusterKey::from_bytes([2; 32]));
        let theirs = Records { good: vec![1_u32], bad: Vec::new(), skipped: Vec::new() };
        theirs.write(&path, Kind::Token, &other).unwrap();

        let mut ours = Records::<u32>::read(&path, Kind::Token, &sealer()).unwrap();
        ours.good.push(2);
        ours.write(&path, Kind::Token, &sealer()).unwrap();

        let ours = Records::<u32>::read(&path, Kind::Token, &sealer()).unwrap();
        assert_eq!((ours.good, ours.skipped.len()), (vec![2], 1));
        assert_eq!(Records::<u32>::read(&path, Kind::Token, &other).unwrap().good, [1]);
    }

    #[test]
    fn file_that_is_cut_short_or_of_another_format_is_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for content in ["", "{", "[]", r#"{"format":2,"records":[]}"#, r#"{"format":1,"records":[{"#] {
            fs::write(&path, content).unwrap();
            let error = Records::<u32>::read(&path, Kind::Token, &sealer()).unwrap_err();
            assert_eq!(error.code(), "corrupt", "{content}");
        }
    }
}
