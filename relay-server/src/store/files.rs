//! The files of a database: made, removed, and looked at without leaving a trace.

use rusqlite::{Connection, OpenFlags, ffi};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Whatever comes later takes over the file's permissions: it is nobody else's business who viewed what.
pub(crate) fn keep_private(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // If it fails, so does SQLite, which says why.
        let _ = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    }
    #[cfg(not(unix))]
    let _ = file;
}

/// Has a database write what is new into a log beside it (WAL). `SQLite` doesn't say so by itself where that can't
/// be, on some network drives for instance: a kill would still lose nothing, but each batch would wait for the
/// disk twice, and what is deleted would be in a journal that nobody overwrites.
pub(crate) fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    match mode.as_str() {
        // One in memory has no file to put a log beside.
        "wal" | "memory" => Ok(()),
        _ => {
            let why = format!("its folder allows no write-ahead log (journal_mode is {mode})");
            let code = ffi::Error::new(ffi::SQLITE_CANTOPEN);
            Err(rusqlite::Error::SqliteFailure(code, Some(why)))
        }
    }
}

/// Removes a database, if there is one.
pub(crate) fn remove(file: &Path) -> std::io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        match std::fs::remove_file(beside(file, end)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A database as it is, to be read; `None` if there is none. Neither it nor its folder is changed, whether a
/// relay has it open, was killed, or has ended.
pub(crate) fn look(file: &Path) -> rusqlite::Result<Option<Connection>> {
    if !file.exists() {
        return Ok(None);
    }
    // A reader would make this file where it isn't there, unless nothing is going to change.
    let how = if beside(file, "-shm").exists() { "readonly_shm=1" } else { "immutable=1" };
    let address = format!("file:{}?mode=ro&{how}", escaped(file));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(address, flags)?;
    // What isn't a database shows only when it is read.
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(Some(connection))
}

/// How many rows a table has; none if there is no such table.
pub(crate) fn count(connection: &Connection, table: &str) -> rusqlite::Result<usize> {
    if !connection.table_exists(None, table)? {
        return Ok(0);
    }
    let select = format!("SELECT count(*) FROM {table}");
    let n: i64 = connection.query_row(&select, [], |row| row.get(0))?;
    Ok(usize::try_from(n).unwrap_or_default())
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(end);
    name.into()
}

/// A path as it stands in an address.
fn escaped(file: &Path) -> String {
    let escape = |byte: &u8| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
            char::from(*byte).to_string()
        }
        _ => format!("%{byte:02x}"),
    };
    file.as_os_str().as_encoded_bytes().iter().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_a_log_beside_it_or_is_refused() {
        let folder = std::env::temp_dir().join(format!("whoshere-ahead-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.db");
        write_ahead(&Connection::open_in_memory().unwrap()).unwrap();
        let open = Connection::open(&file).unwrap();
        write_ahead(&open).unwrap();
        let mode = || -> String {
            let connection = Connection::open(&file).unwrap();
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap()
        };
        assert_eq!(mode(), "wal");
        drop(open);
        #[cfg(unix)]
        {
            // SQLite's way for file systems without shared memory, which a log needs.
            let (file, flags) = (folder.join("b.db"), OpenFlags::default());
            let open = Connection::open_with_flags_and_vfs(file, flags, c"unix-dotfile").unwrap();
            let refusal = write_ahead(&open).unwrap_err().to_string();
            assert!(refusal.contains("journal_mode is delete"), "{refusal}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn whoever_looks_leaves_no_trace_and_sees_what_was_written_last() {
        let folder = std::env::temp_dir().join(format!("whoshere look?#%{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.db");
        // What readers share inside of one process (-shm) is nothing that is kept.
        let all = || {
            let read = |end: &str| std::fs::read(beside(&file, end)).ok();
            let names = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name());
            (names.collect::<std::collections::BTreeSet<_>>(), read(""), read("-wal"))
        };
        assert!(look(&file).unwrap().is_none());
        let open = Connection::open(&file).unwrap();
        open.pragma_update(None, "journal_mode", "wal").unwrap();
        open.execute_batch("CREATE TABLE a (n INTEGER); INSERT INTO a VALUES (1), (2)").unwrap();
        let n_rows = || {
            let before = all();
            let connection = look(&file).unwrap().unwrap();
            let n = count(&connection, "a").unwrap();
            assert_eq!(count(&connection, "b").unwrap(), 0);
            assert!(connection.execute("DELETE FROM a", []).is_err());
            drop(connection);
            assert!(all() == before, "something was changed");
            n
        };
        assert_eq!(n_rows(), 2, "while it is open, with all of it in the log");
        let killed = ["", "-wal", "-shm"].map(|it| std::fs::read(beside(&file, it)).unwrap());
        drop(open);
        assert_eq!(n_rows(), 2, "once it is closed");
        for (end, bytes) in ["", "-wal", "-shm"].into_iter().zip(killed) {
            std::fs::write(beside(&file, end), bytes).unwrap();
        }
        assert_eq!(n_rows(), 2, "after a kill");
        remove(&file).unwrap();
        assert!(all().0.is_empty());
        std::fs::write(&file, "no database at all").unwrap();
        assert!(look(&file).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
