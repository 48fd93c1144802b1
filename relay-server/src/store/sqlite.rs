//! The store that comes with the relay: one `SQLite` database, in a folder or in memory.

use super::files::{count, keep_private, look, remove, write_ahead};
use super::{MAX_VIEWS_PER_USER, Store, StoreError};
use presence_core::Time;
use presence_core::relay::{KeyPattern, View};
use presence_protocol::{AvatarUrl, Color, Key, User, UserId};
use rusqlite::{Connection, ErrorCode, Params, params};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The database's name in its folder.
const FILE: &str = "whoshere.db";
/// How large the database may grow. What was viewed the longest ago makes room.
const MAX_FILE_BYTES: i64 = 1024 * 1024 * 1024 - LOG_BYTES;
/// The same for one in memory.
const MAX_MEMORY_BYTES: i64 = 64 * 1024 * 1024;
/// How large the log beside it becomes at most, by the size of [`BATCH`].
pub(super) const LOG_BYTES: i64 = 32 * 1024 * 1024;
const PAGE_BYTES: i64 = 4096;
/// Most rows that one transaction touches, so that neither the log nor the wait of others grows with what
/// there is to do.
const BATCH: usize = 500;

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
    DROP INDEX IF EXISTS last_seen_of_user;
    CREATE INDEX IF NOT EXISTS last_seen_of_user_at ON last_seen (user, at);
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

    /// Removes the database of a folder, if there is one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn remove(folder: &Path) -> std::io::Result<()> {
        remove(&folder.join(FILE))
    }

    /// How many views of other keys a folder keeps, without changing anything; `None` if it keeps nothing.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn count_others(folder: &Path, keys: &[KeyPattern]) -> Result<Option<usize>, StoreError> {
        let Some(connection) = look(&folder.join(FILE))? else { return Ok(None) };
        let all = count(&connection, "last_seen")?;
        if all == 0 || keys.is_empty() {
            return Ok(Some(all));
        }
        let mut select = connection.prepare("SELECT key, count(*) FROM last_seen GROUP BY key")?;
        let of_keys = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut n_others = 0;
        for of_key in of_keys {
            let (key, n_rows): (String, i64) = of_key?;
            n_others += if is_meant(keys, &key) { 0 } else { n_rows };
        }
        Ok(Some(usize::try_from(n_others).unwrap_or_default()))
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
        write_ahead(&connection)?;
        // In this mode a killed process loses nothing that was committed; a power cut may cost the last
        // moments, but never the database.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "max_page_count", most_bytes / PAGE_BYTES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES / 8)?;
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
        {
            let mut forget = transaction.prepare(
                "DELETE FROM last_seen WHERE (key, user) IN (
                     SELECT key, user FROM last_seen WHERE user = ?1
                     ORDER BY at DESC LIMIT -1 OFFSET ?2)",
            )?;
            let most = i64::try_from(MAX_VIEWS_PER_USER).unwrap_or(i64::MAX);
            let users: BTreeSet<_> = views.iter().map(|it| it.user.id()).collect();
            for user in users {
                forget.execute(params![user.as_str(), most])?;
            }
        }
        transaction.commit()
    }

    /// Inserts views, and forgets the oldest of all for as long as there is no room, but no more than a
    /// tenth.
    fn insert_with_room(&mut self, views: &[View]) -> rusqlite::Result<()> {
        let is_full =
            |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        let mut result = self.insert(views);
        if result.as_ref().is_err_and(is_full) {
            let count: i64 =
                self.connection
                    .query_row("SELECT count(*) FROM last_seen", [], |row| row.get(0))?;
            let tenth = usize::try_from(count / 10).unwrap_or(usize::MAX);
            for _ in 0..=tenth / BATCH {
                self.delete("true ORDER BY at", [])?;
                result = self.insert(views);
                if !result.as_ref().is_err_and(is_full) {
                    break;
                }
            }
        }
        result
    }

    /// Deletes at most a batch of the rows that a condition names. Returns how many.
    fn delete(&self, condition: &str, parameters: impl Params) -> rusqlite::Result<usize> {
        let sql = format!(
            "DELETE FROM last_seen WHERE (key, user) IN
             (SELECT key, user FROM last_seen WHERE {condition} LIMIT {BATCH})"
        );
        self.connection.execute(&sql, parameters)
    }

    /// What was deleted is still in the log, and in the pages that the log is to replace.
    fn erase(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
    }
}

impl Store for SqliteStore {
    fn keep(&mut self, views: &[View]) -> Result<(), StoreError> {
        for batch in views.chunks(BATCH) {
            self.insert_with_room(batch)?;
        }
        Ok(())
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
        while self.delete("at < ?1 ORDER BY at", [number(before)])? > 0 {}
        Ok(self.erase()?)
    }

    fn forget_user(&mut self, user: &UserId, keys: &[KeyPattern]) -> Result<usize, StoreError> {
        let mut select = self.connection.prepare("SELECT key FROM last_seen WHERE user = ?1")?;
        let of_user = select.query_map([user.as_str()], |row| row.get::<_, String>(0))?;
        let of_user = of_user.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut n_rows = 0;
        for key in of_user.iter().filter(|it| is_meant(keys, it)) {
            let row = params![key, user.as_str()];
            n_rows += self
                .connection
                .execute("DELETE FROM last_seen WHERE key = ?1 AND user = ?2", row)?;
        }
        if n_rows > 0 {
            self.erase()?;
        }
        Ok(n_rows)
    }

    fn forget_others(&mut self, keys: &[KeyPattern]) -> Result<usize, StoreError> {
        let mut last = String::new();
        let mut n_rows = 0;
        // From key to key, since a key may have many rows.
        let next = "SELECT min(key) FROM last_seen WHERE key > ?1";
        while let Some(key) =
            self.connection.query_row(next, [&last], |row| row.get::<_, Option<String>>(0))?
        {
            if !is_meant(keys, &key) {
                loop {
                    let n_deleted = self.delete("key = ?1", [&key])?;
                    n_rows += n_deleted;
                    if n_deleted == 0 {
                        break;
                    }
                }
            }
            last = key;
        }
        if n_rows > 0 {
            self.erase()?;
        }
        Ok(n_rows)
    }
}

fn is_meant(keys: &[KeyPattern], key: &str) -> bool {
    Key::parse(key).is_some_and(|key| keys.iter().any(|it| it.matches(&key)))
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
