//! What a folder keeps from the relay's last life, and what of it is asked for no longer.

use super::ConfigError;
use crate::{Outbox, SqliteStore, StoreError};
use presence_core::relay::KeyPattern;
use rustix::fs::{Access, access};
use std::fmt;
use std::path::Path;

/// Something that a start removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// Who viewed keys that aren't named any more; how many rows, if they can be counted.
    Views(Option<usize>),
    /// What a webhook is still to be told, without a webhook.
    Events(Option<usize>),
}

impl fmt::Display for Surplus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, what) = match self {
            Self::Views(n) => (n, "records of who viewed a key that --last-seen doesn't name"),
            Self::Events(n) => (n, "events that no --webhook is told any more"),
        };
        match n {
            Some(n) => write!(f, "{n} {what}"),
            None => write!(f, "all {what}"),
        }
    }
}

/// What a start would remove from a folder, which is left as it is.
pub(super) fn check(
    folder: &Path,
    last_seen: &[KeyPattern],
    has_webhook: bool,
) -> Result<Vec<Surplus>, ConfigError> {
    let unusable = |error| ConfigError::StoreUnusable { place: folder.to_owned(), error };
    let mut surplus = Vec::new();
    if last_seen.is_empty() {
        surplus.extend(views(folder));
    } else if let Some(n @ 1..) = SqliteStore::count_others(folder, last_seen).map_err(unusable)? {
        surplus.push(Surplus::Views(Some(n)));
    }
    if has_webhook {
        Outbox::count(folder).map_err(|error| unusable(error.into()))?;
    } else {
        surplus.extend(events(folder));
    }
    if has_webhook || !last_seen.is_empty() || !surplus.is_empty() {
        access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| unusable(StoreError::Folder(error.into())))?;
    }
    Ok(surplus)
}

/// Removes from a folder what is asked for no longer as a whole, and says what that was.
pub(super) fn remove(
    folder: &Path,
    has_views: bool,
    has_webhook: bool,
) -> Result<Vec<Surplus>, ConfigError> {
    let failed = |error| ConfigError::NotForgotten { path: folder.to_owned(), error };
    let mut removed = Vec::new();
    if !has_views {
        removed.extend(views(folder));
        SqliteStore::remove(folder).map_err(failed)?;
    }
    if !has_webhook {
        removed.extend(events(folder));
        Outbox::remove(folder).map_err(failed)?;
    }
    Ok(removed)
}

fn views(folder: &Path) -> Option<Surplus> {
    SqliteStore::count_others(folder, &[])
        .map_or(Some(Surplus::Views(None)), |it| it.map(|n| Surplus::Views(Some(n))))
}

fn events(folder: &Path) -> Option<Surplus> {
    Outbox::count(folder)
        .map_or(Some(Surplus::Events(None)), |it| it.map(|n| Surplus::Events(Some(n))))
}
