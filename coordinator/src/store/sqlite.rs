//! The store in one SQLite file.
//!
//! One writer, in this process only: an advisory lock on a file beside it and SQLite's own exclusive mode keep a second
//! coordinator out. WAL with `synchronous=FULL`: a commit returns after its fsync.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator_core::cluster::Change;
use coordinator_core::trust;
use model::id::ClusterId;
use prost::Message;
use proto::wire;
use rusqlite::{Connection, ErrorCode, params};
use rustix::fs::{FlockOperation, flock};

use crate::store::record::{
    AUDIT, Kind, Record, from_record, is_trust, to_record, trust_from_record, trust_to_record,
};
use crate::store::{Identity, Keyed, Store, StoreError};

/// Counts the layouts of the file. Only ever grows.
const SCHEMA: i64 = 3;
/// The first SQLite without the fault that could damage a WAL written by two connections.
const OLDEST_SQLITE: i32 = 3_051_003;
/// A starting coordinator waits so long for one that is just ending.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// The store in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    identity: Identity,
    /// Held as long as the store is open.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in a directory, makes it when there is none, and takes the lead.
    ///
    /// # Errors
    /// When somebody else has it, when it is damaged or too new, or when the disk does not let it be written.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("wharf.db");
        fs::create_dir_all(directory).map_err(|error| failed(directory, &error.to_string()))?;
        let lock = lock(directory)?;
        if !path.exists() {
            create(&path)?;
        }
        let explain = |error| explain(&path, &error);
        let connection = connect(&path).map_err(explain)?;
        check(&path, &connection)?;
        secure(&connection).map_err(explain)?;
        let identity = lead(&path, &connection)?;
        Ok(Self { path, connection, identity, _lock: lock })
    }

    /// The records of some kinds, in the order of kind and key. Those of who did what are left where they are.
    fn records(&self, is_meant: impl Fn(i64) -> bool) -> Result<Vec<Stored>, StoreError> {
        let explain = |error| explain(&self.path, &error);
        let mut statement = self
            .connection
            .prepare("SELECT kind, key, value FROM objects WHERE kind < ?1 OR kind > ?2 ORDER BY kind, key")
            .map_err(explain)?;
        let mut rows = statement.query([AUDIT.start(), AUDIT.end()]).map_err(explain)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(explain)? {
            let kind: i64 = row.get(0).map_err(explain)?;
            if is_meant(kind) {
                let key: String = row.get(1).map_err(explain)?;
                records.push((kind, key, row.get(2).map_err(explain)?));
            }
        }
        Ok(records)
    }

    fn damaged(&self, why: String) -> StoreError {
        StoreError::Damaged { path: self.path.display().to_string(), why }
    }
}

/// A record as it lies in the file: kind, key and value.
type Stored = (i64, String, Vec<u8>);

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("wharf.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed(&path, &error.to_string()))?;
    let deadline = std::time::Instant::now() + LOCK_WAIT;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if std::time::Instant::now() >= deadline {
            return Err(StoreError::InUse { path: directory.display().to_string() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(file)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    assert!(
        rusqlite::version_number() >= OLDEST_SQLITE,
        "the bundled SQLite is older than allowed"
    );
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

/// From here on a commit survives a loss of power, and no earlier version opens the file: it would not know each record.
/// The first thing that may write to the file.
fn secure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "user_version", SCHEMA)
}

/// Refuses a file that is damaged or too new, before anything is written to it.
fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let verdict = verdict.map_err(|error| explain(path, &error))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged { path: path.display().to_string(), why: verdict });
    }
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let found = found.map_err(|error| explain(path, &error))?;
    if found > SCHEMA {
        let path = path.display().to_string();
        return Err(StoreError::TooNew { path, found, known: SCHEMA });
    }
    Ok(())
}

/// Makes a new store beside its place and moves it there when it is whole. So a file in that place without a name of its
/// cluster was cut short, and is never taken for a new one.
fn create(path: &Path) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let begin = || -> rusqlite::Result<()> {
        let connection = Connection::open(&new)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE identity (only INTEGER PRIMARY KEY CHECK (only = 1), value BLOB NOT NULL) STRICT;
             CREATE TABLE objects (kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
                 PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;",
        )?;
        let bytes = new_identity().encode_to_vec();
        connection.execute("INSERT INTO identity VALUES (1, ?1)", params![bytes])?;
        connection.pragma_update(None, "user_version", SCHEMA)?;
        connection.execute_batch("COMMIT")
    };
    let place = || -> std::io::Result<()> {
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    // What an earlier attempt left behind was never acknowledged to anybody.
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&new, &error.to_string())),
    }
    begin().map_err(|error| explain(&new, &error))?;
    place().map_err(|error| failed(path, &error.to_string()))
}

/// Counts this coordinator among those that have led the store.
fn lead(path: &Path, connection: &Connection) -> Result<Identity, StoreError> {
    let damaged = |why: String| StoreError::Damaged { path: path.display().to_string(), why };
    let bytes = connection.query_row("SELECT value FROM identity", [], |row| row.get(0));
    let bytes: Vec<u8> = bytes.map_err(|error| match error.sqlite_error_code() {
        // No such table, or no row: it was a store once, and was cut short.
        None | Some(ErrorCode::Unknown) => damaged(format!("it has no identity ({error})")),
        Some(_) => explain(path, &error),
    })?;
    let mut identity = wire::Identity::decode(bytes.as_slice())
        .map_err(|error| damaged(format!("its identity can not be read: {error}")))?;
    identity.epoch += 1;
    let cluster: ClusterId =
        identity.cluster.parse().map_err(|error| damaged(format!("its identity: {error}")))?;
    let update = "UPDATE identity SET value = ?1";
    let written = connection.execute(update, params![identity.encode_to_vec()]);
    written.map_err(|error| explain(path, &error))?;
    Ok(Identity { cluster, incarnation: identity.incarnation, epoch: identity.epoch })
}

/// Two stores never have the same name: their containers would be taken for each other's.
fn new_identity() -> wire::Identity {
    // Seeded by the operating system; the only chance in this program, and none of it decides anything.
    let random = || RandomState::new().hash_one(std::process::id());
    let incarnation = random() >> 1;
    wire::Identity { cluster: format!("{:012x}", random() >> 16), incarnation, epoch: 0 }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        let records = self.records(|kind| !is_trust(kind))?;
        let changes = records.iter().map(|(kind, key, value)| from_record(*kind, key, value));
        changes.collect::<Result<_, _>>().map_err(|why| self.damaged(why))
    }

    fn commit(&mut self, changes: &[Change], beside: &[Record]) -> Result<(), StoreError> {
        let records = changes.iter().map(to_record).chain(beside.iter().cloned());
        write(&mut self.connection, records).map_err(|error| explain(&self.path, &error))
    }

    fn load_trust(&mut self) -> Result<Vec<trust::Change>, StoreError> {
        let authority = Kind::Authority as i64;
        let records = self.records(|kind| is_trust(kind) && kind != authority)?;
        let changes = records.iter().map(|(kind, key, value)| trust_from_record(*kind, key, value));
        changes.collect::<Result<_, _>>().map_err(|why| self.damaged(why))
    }

    fn commit_trust(
        &mut self,
        changes: &[trust::Change],
        beside: &[Record],
    ) -> Result<(), StoreError> {
        let records = changes.iter().map(trust_to_record).chain(beside.iter().cloned());
        write(&mut self.connection, records).map_err(|error| explain(&self.path, &error))
    }

    fn scan(&mut self, kind: Kind, after: &str, limit: usize) -> Result<Vec<Keyed>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let scan = || -> rusqlite::Result<Vec<Keyed>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT key, value FROM objects WHERE kind = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
            )?;
            let rows = statement.query_map(params![kind as i64, after, limit], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect()
        };
        scan().map_err(|error| explain(&self.path, &error))
    }

    fn last(&mut self, kind: Kind) -> Result<Option<String>, StoreError> {
        let sql = "SELECT max(key) FROM objects WHERE kind = ?1";
        let last = self.connection.query_row(sql, [kind as i64], |row| row.get(0));
        last.map_err(|error| explain(&self.path, &error))
    }

    fn authority(&mut self) -> Result<Option<wire::Authority>, StoreError> {
        let records = self.records(|kind| kind == Kind::Authority as i64)?;
        let Some((_, _, value)) = records.first() else { return Ok(None) };
        let authority = wire::Authority::decode(value.as_slice());
        authority.map(Some).map_err(|error| self.damaged(format!("its authority: {error}")))
    }

    fn keep_authority(&mut self, authority: &wire::Authority) -> Result<(), StoreError> {
        let value = Some(authority.encode_to_vec());
        let record = Record { kind: Kind::Authority, key: String::new(), value };
        write(&mut self.connection, [record].into_iter())
            .map_err(|error| explain(&self.path, &error))
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn describe(&self) -> String {
        format!("SQLite {}", self.path.display())
    }
}

fn write(
    connection: &mut Connection,
    records: impl Iterator<Item = Record>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for record in records {
        let kind = record.kind as i64;
        match record.value {
            Some(value) => transaction
                .prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3)")?
                .execute(params![kind, record.key, value])?,
            None => transaction
                .prepare_cached("DELETE FROM objects WHERE kind = ?1 AND key = ?2")?
                .execute(params![kind, record.key])?,
        };
    }
    transaction.commit()
}

fn failed(path: &Path, why: &str) -> StoreError {
    StoreError::Failed { path: path.display().to_string(), why: why.to_owned() }
}

fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, why) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path, why }
        }
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
        Some(_) | None => StoreError::Failed { path, why },
    }
}
