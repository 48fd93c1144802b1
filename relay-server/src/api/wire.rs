//! What the API answers with.

use presence_core::Time;
use presence_core::relay::{Moment, News, View};
use presence_protocol::{AvatarUrl, Key, LeaveReason, Meta, Presence, User, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Person<'a> {
    id: &'a str,
    name: &'a str,
    color: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
}

impl<'a> Person<'a> {
    fn new(user: &'a User) -> Self {
        Self {
            id: user.id().as_str(),
            name: user.name(),
            color: user.color().to_string(),
            avatar: user.avatar().map(AvatarUrl::as_str),
            info: user.info().and_then(|it| serde_json::from_str(it.as_str()).ok()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Members<'a> {
    key: &'a str,
    count: usize,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    user: Person<'a>,
    sessions: Vec<Session<'a>>,
}

#[derive(Serialize)]
struct Session<'a> {
    session: String,
    state: &'static str,
    age_ms: u64,
    meta: &'a RawValue,
}

impl<'a> Session<'a> {
    fn new(at: Moment, presence: &'a Presence<Meta>) -> Option<Self> {
        // A meta is one JSON object, or it wouldn't be there.
        let meta = serde_json::from_str(presence.meta.as_str()).ok()?;
        let (session, state) = (presence.session.to_string(), presence.state.name());
        Some(Self { session, state, age_ms: at.age(presence), meta })
    }
}

/// What happened to a user in a key.
#[derive(Serialize)]
pub(super) struct Change<'a> {
    key: &'a str,
    user: Person<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sessions: Vec<Session<'a>>,
}

impl<'a> Change<'a> {
    pub(super) fn new(key: &'a Key, at: Moment, news: &'a News) -> Self {
        Self {
            key: key.as_str(),
            user: Person::new(&news.user),
            reason: news.left.map(LeaveReason::name),
            sessions: news.sessions.iter().filter_map(|it| Session::new(at, it)).collect(),
        }
    }
}

/// Why nothing more is told.
#[derive(Serialize)]
pub(super) struct End {
    pub(super) code: &'static str,
}

impl<'a> Members<'a> {
    /// The presences of a key, by user; who has been there the longest comes first.
    pub(super) fn new(key: &'a Key, at: Moment, roster: &'a [Presence<Meta>]) -> Self {
        let mut sorted: Vec<_> = roster.iter().collect();
        sorted.sort_by_key(|it| it.since);
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut places = BTreeMap::new();
        for presence in sorted {
            let Some(session) = Session::new(at, presence) else { continue };
            let place = *places.entry(presence.user.id()).or_insert(members.len());
            match members.get_mut(place) {
                Some(member) => member.sessions.push(session),
                None => members
                    .push(Member { user: Person::new(&presence.user), sessions: vec![session] }),
            }
        }
        Self { key: key.as_str(), count: members.len(), members }
    }
}

#[derive(Serialize)]
pub(super) struct Counts {
    pub(super) counts: Vec<Count>,
}

#[derive(Serialize)]
pub(super) struct Count {
    pub(super) key: String,
    pub(super) members: usize,
    pub(super) sessions: usize,
}

#[derive(Serialize)]
pub(super) struct Online<'a> {
    users: Vec<Somebody<'a>>,
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Somebody<'a> {
    user: Person<'a>,
    keys: Vec<&'a str>,
}

impl<'a> Online<'a> {
    pub(super) fn new(
        found: &'a BTreeMap<UserId, (Presence<Meta>, Vec<Key>)>,
        is_more: bool,
    ) -> Self {
        let users = found.values().map(|(presence, keys)| Somebody {
            user: Person::new(&presence.user),
            keys: keys.iter().map(Key::as_str).collect(),
        });
        let next = found.last_key_value().filter(|_| is_more).map(|(id, _)| id.as_str());
        Self { users: users.collect(), next }
    }
}

#[derive(Serialize)]
pub(super) struct LastSeen<'a> {
    key: &'a str,
    seen: Vec<Seen<'a>>,
}

#[derive(Serialize)]
struct Seen<'a> {
    user: Person<'a>,
    ago_ms: u128,
}

impl<'a> LastSeen<'a> {
    pub(super) fn new(key: &'a Key, views: &'a [View], now: Time) -> Self {
        let seen = views.iter().map(|View { user, at, .. }| Seen {
            user: Person::new(user),
            ago_ms: now.since(*at).as_millis(),
        });
        Self { key: key.as_str(), seen: seen.collect() }
    }
}

#[derive(Serialize)]
pub(super) struct Kicked {
    pub(super) kicked: usize,
}

#[derive(Serialize)]
pub(super) struct Placed {
    pub(super) session: String,
    pub(super) ttl: f64,
}

#[derive(Serialize)]
pub(super) struct Lifted {
    pub(super) lifted: bool,
}

#[derive(Serialize)]
pub(super) struct Withdrawn {
    pub(super) withdrawn: bool,
}

#[derive(Serialize)]
pub(super) struct Forgotten {
    pub(super) forgotten: usize,
}
