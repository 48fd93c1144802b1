//! The store that comes with the relay: one `SQLite` database, in a folder or in memory.

use super::{Store, StoreError};
use presence_core::Time;
use presence_core::relay::View;
use presence_protocol::{AvatarUrl, Color, Key, User, UserId};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The database's name in its folder.
const FILE: &str = "whoshere.db";
/// How large it may grow. What was viewed the longest ago makes room.
const MAX_FILE_BYTES: i64 = 1024 * 1024 * 1024;
/// The same for one in memory.
const MAX_MEMORY_BYTES: i64 = 64 * 1024 * 1024;
const PAGE_BYTES: i64 = 4096;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS last_seen (
        key TEXT NOT NULL,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        color TEXT NOT NULL,
        avatar TEXT,
        at INTEGER NOT NULL,
        PRIMARY KEY (key, user)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS last_seen_of_key ON last_seen (key, at);
    CREATE INDEX IF NOT EXISTS last_seen_of_user ON last_seen (user);
    CREATE INDEX IF NOT EXISTS last_seen_at ON last_seen (at);
";

/// Views in a `SQLite` database.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// The database in this folder, a new one if there is none.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let file = folder.join(FILE);
        keep_private(&file);
        Self::prepare(Connection::open(file)?, MAX_FILE_BYTES)
    }

    /// One that ends with the process.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, MAX_MEMORY_BYTES)
    }

    pub(super) fn prepare(connection: Connection, most_bytes: i64) -> Result<Self, StoreError> {
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // In this mode a killed process loses nothing that was committed; a power cut may cost the last
        // moments, but never the database.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "max_page_count", most_bytes / PAGE_BYTES)?;
        // What is deleted is gone from the file, too.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    fn insert(&mut self, views: &[View]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare(
                "INSERT INTO last_seen (key, user, name, color, avatar, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (key, user) DO UPDATE SET
                     name = excluded.name, color = excluded.color, avatar = excluded.avatar,
                     at = excluded.at
                 WHERE excluded.at >= last_seen.at",
            )?;
            for View { key, user, at } in views {
                insert.execute(params![
                    key.as_str(),
                    user.id().as_str(),
                    user.name(),
                    user.color().to_string(),
                    user.avatar().map(AvatarUrl::as_str),
                    number(*at),
                ])?;
            }
        }
        transaction.commit()
    }

    /// Forgets the oldest tenth.
    fn make_room(&mut self) -> rusqlite::Result<()> {
        let count: i64 =
            self.connection.query_row("SELECT count(*) FROM last_seen", [], |row| row.get(0))?;
        let until: Option<i64> = self
            .connection
            .query_row(
                "SELECT at FROM last_seen ORDER BY at LIMIT 1 OFFSET ?1",
                [count / 10],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(until) = until {
            self.connection.execute("DELETE FROM last_seen WHERE at <= ?1", [until])?;
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn keep(&mut self, views: &[View]) -> Result<(), StoreError> {
        match self.insert(views) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                self.make_room()?;
                Ok(self.insert(views)?)
            }
            it => Ok(it?),
        }
    }

    fn views(&mut self, key: &Key, since: Time, most: usize) -> Result<Vec<View>, StoreError> {
        let mut select = self.connection.prepare(
            "SELECT user, name, color, avatar, at FROM last_seen
             WHERE key = ?1 AND at >= ?2 ORDER BY at DESC LIMIT ?3",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = select.query_map(params![key.as_str(), number(since), most], |row| {
            let (id, name, color): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let (avatar, at): (Option<String>, i64) = (row.get(3)?, row.get(4)?);
            Ok(view(key, &id, &name, &color, avatar.as_deref(), at))
        })?;
        // A row that somebody else wrote may hold anything.
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn forget_before(&mut self, before: Time) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM last_seen WHERE at < ?1", [number(before)])?;
        self.erase()
    }

    fn forget_user(&mut self, user: &UserId) -> Result<usize, StoreError> {
        let n_rows =
            self.connection.execute("DELETE FROM last_seen WHERE user = ?1", [user.as_str()])?;
        self.erase()?;
        Ok(n_rows)
    }
}

impl SqliteStore {
    /// What was deleted is still in the log, and in the pages that the log is to replace.
    fn erase(&self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)
    }
}

fn view(
    key: &Key,
    id: &str,
    name: &str,
    color: &str,
    avatar: Option<&str>,
    at: i64,
) -> Option<View> {
    let user = User::new(UserId::parse(id)?, name, Color::parse(color)?).ok()?;
    let user = Arc::new(user.with_avatar(avatar.and_then(AvatarUrl::parse)));
    Some(View { key: key.clone(), user, at: Time::from_millis(u64::try_from(at).ok()?) })
}

fn number(at: Time) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// Whatever comes later takes over the file's permissions: it is nobody else's business who viewed what.
fn keep_private(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // If it fails, so does SQLite, which says why.
        let _ = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    }
    #[cfg(not(unix))]
    let _ = file;
}
