//! How much one address or one user may ask for, whatever number of sockets they have.

use crate::App;
use crate::throttle::{Rate, Throttle};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use presence_protocol::UserId;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// An address that dials faster than it may is told so; one that dials this much faster yet is only
/// answered over HTTP.
const FLOOD: u32 = 4;
/// Of so many requests of an address one may have no good token.
const PER_FAILURE: u32 = 20;
/// For how many seconds of the rate one may have saved up.
const SAVED_SECONDS: u32 = 10;
/// How many different places there are to count addresses in. A few share one; which ones, nobody can
/// know.
const PLACES: u64 = 1 << 18;
/// The same for users. They are no more than have tokens, and hardly any share one: who goes too far is
/// closed for it.
const USER_PLACES: u64 = 1 << 30;

/// How often what is not needed is given back.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// How often and how many; 0 is no limit.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// How many connections a second one address may begin; 0 is no limit.
    ///
    /// Ten times as many may come at once, because a whole office may share an address. Behind a proxy
    /// this needs --trusted-proxy, or all of them count as the proxy's.
    #[arg(
        long = "max-connects-per-address",
        env = "WHOSHERE_MAX_CONNECTS_PER_ADDRESS",
        value_name = "NUMBER",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub connects_per_address: u32,

    /// How many connections a second one user may begin, from whatever address; 0 is no limit.
    ///
    /// Ten times as many may come at once, because all tabs of a person may come back together.
    #[arg(
        long = "max-connects-per-user",
        env = "WHOSHERE_MAX_CONNECTS_PER_USER",
        value_name = "NUMBER",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub connects_per_user: u32,

    /// Most connections of one user at a time; 0 is no limit.
    ///
    /// Each open tab has one. Who has them all is told to come later; nobody else notices.
    #[arg(
        long = "max-connections-per-user",
        env = "WHOSHERE_MAX_CONNECTIONS_PER_USER",
        value_name = "NUMBER",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub connections_per_user: u32,

    /// How many messages a second one user may send, on all their connections; 0 is no limit.
    ///
    /// Ten times as many may come at once. Beyond that pulses are dropped, and of a session's updates in a
    /// key, and of whether its page is looked at, the last is told once a second. Who goes far beyond it for long is closed.
    #[arg(
        long = "max-frames-per-user",
        env = "WHOSHERE_MAX_FRAMES_PER_USER",
        value_name = "NUMBER",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub frames_per_user: u32,

    /// How many messages a second may come from one address; 0 is no limit.
    ///
    /// Ten times as many may come at once. Beyond that it is as with a user, but nobody is closed: others
    /// may share the address. Behind a proxy this needs --trusted-proxy.
    #[arg(
        long = "max-frames-per-address",
        env = "WHOSHERE_MAX_FRAMES_PER_ADDRESS",
        value_name = "NUMBER",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub frames_per_address: u32,

    /// How many requests of the HTTP API a second may come from one address; 0 is no limit.
    ///
    /// Ten times as many may come at once. Who brings tokens that aren't good may do so a twentieth as often
    /// and is then refused whatever it brings. Behind a proxy this needs --trusted-proxy.
    #[arg(
        long = "max-requests-per-address",
        env = "WHOSHERE_MAX_REQUESTS_PER_ADDRESS",
        value_name = "NUMBER",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub requests_per_address: u32,

    /// How many such requests a second one token's user may make, wherever they come from; 0 is no limit.
    ///
    /// Ten times as many may come at once.
    #[arg(
        long = "max-requests-per-user",
        env = "WHOSHERE_MAX_REQUESTS_PER_USER",
        value_name = "NUMBER",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub requests_per_user: u32,

    /// Most presences in one key, those of lost sessions included. Each takes up to 6 KB with its meta.
    #[arg(
        long = "max-presences-per-key",
        env = "WHOSHERE_MAX_PRESENCES_PER_KEY",
        value_name = "NUMBER",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub presences_per_key: u32,

    /// Most presences in all keys, those of lost sessions and of observers included. Each takes up to 6 KB
    /// with its meta.
    #[arg(
        long = "max-presences",
        env = "WHOSHERE_MAX_PRESENCES",
        value_name = "NUMBER",
        default_value_t = 200_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    pub presences: u32,

    /// Most presences of one user in all keys, whatever number of connections they have; 0 is no limit.
    ///
    /// Those that a server keeps for its user are counted and never refused for it. Who has them all can
    /// enter no further key; nobody else notices.
    #[arg(
        long = "max-presences-per-user",
        env = "WHOSHERE_MAX_PRESENCES_PER_USER",
        value_name = "NUMBER",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub presences_per_user: u32,

    /// Most keys that one connection may be in.
    #[arg(
        long = "max-keys-per-connection",
        env = "WHOSHERE_MAX_KEYS_PER_CONNECTION",
        value_name = "NUMBER",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub keys_per_connection: u32,
}

impl Limits {
    /// No limits.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self {
        connects_per_address: 0,
        connects_per_user: 0,
        connections_per_user: 0,
        frames_per_user: 0,
        frames_per_address: 0,
        requests_per_address: 0,
        requests_per_user: 0,
        presences_per_key: u32::MAX,
        presences: u32::MAX,
        presences_per_user: 0,
        keys_per_connection: u32::MAX,
    };
}

/// Gives back places that nobody needs any more, for as long as the relay runs.
pub(crate) async fn tidy(app: Arc<App>) {
    loop {
        sleep(TIDY_EVERY).await;
        app.spent.tidy();
    }
}

/// Where somebody is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u32);

/// What everybody has spent.
///
/// Its memory has a bound however many addresses there are, because these are hashed into a fixed number
/// of places; users need tokens. The places of those who have spent nothing lately are given back.
#[derive(Debug)]
pub(crate) struct Spent {
    hasher: RandomState,
    connects: Counter,
    floods: Counter,
    handshakes: Counter,
    user_connects: Counter,
    address_frames: Counter,
    user_frames: Counter,
    /// What users have said beyond what they may.
    user_excess: Counter,
    requests: Counter,
    user_requests: Counter,
    failures: Failures,
}

/// What may become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It is taken.
    Free,
    /// It is one too many.
    Excess,
    /// It is one too many of somebody who has gone far beyond it for long.
    Abuse,
}

/// An address dials too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooOften {
    /// A page there can be told to wait.
    Busy,
    /// Even saying so in a way that pages understand would cost too much.
    Flood {
        /// When it is worth trying again.
        wait: Duration,
    },
}

impl Spent {
    pub(crate) fn new(limits: Limits) -> Self {
        let per_second = limits.connects_per_address;
        Self {
            hasher: RandomState::new(),
            connects: Counter::per_second(per_second),
            floods: Counter::per_second(per_second.saturating_mul(FLOOD)),
            handshakes: Counter::per_second(per_second.saturating_mul(FLOOD)),
            user_connects: Counter::per_second(limits.connects_per_user),
            address_frames: Counter::per_second(limits.frames_per_address),
            user_frames: Counter::per_second(limits.frames_per_user),
            user_excess: Counter::per_second(limits.frames_per_user.saturating_mul(FLOOD)),
            requests: Counter::per_second(limits.requests_per_address),
            user_requests: Counter::per_second(limits.requests_per_user),
            failures: Failures::per_second(limits.requests_per_address.div_ceil(PER_FAILURE)),
        }
    }

    /// Where an address is counted. In IPv6 whoever has one address has 2^64 of them.
    pub(crate) fn of_address(&self, address: IpAddr) -> Place {
        match address {
            IpAddr::V4(it) => self.place(it, PLACES),
            IpAddr::V6(it) => self.place(u128::from(it) >> 64, PLACES),
        }
    }

    /// Where a user is counted.
    pub(crate) fn of_user(&self, user: &UserId) -> Place {
        self.place(user, USER_PLACES)
    }

    /// An address wants something new.
    pub(crate) fn connect(&self, place: Place) -> Result<(), TooOften> {
        self.floods.spend(place).map_err(|wait| TooOften::Flood { wait })?;
        self.connects.spend(place).map_err(|_| TooOften::Busy)
    }

    /// An address wants to shake hands, which costs more than to be answered. It may do so as often as it
    /// is answered, whatever it asks for.
    pub(crate) fn handshake(&self, place: Place) -> Result<(), TooOften> {
        self.handshakes.spend(place).map_err(|wait| TooOften::Flood { wait })
    }

    /// A user says hello on another connection; false if they do so too often.
    pub(crate) fn greet(&self, user: Place) -> bool {
        self.user_connects.spend(user).is_ok()
    }

    /// An address asks for something, or is to wait.
    pub(crate) fn request(&self, place: Place) -> Result<(), Duration> {
        self.failures.may(place)?;
        self.requests.spend(place)
    }

    /// What it asked for needed a token, and its one isn't good.
    pub(crate) fn failure(&self, place: Place) {
        self.failures.spend(place);
    }

    /// The same for whom its token names.
    pub(crate) fn request_of(&self, user: &UserId) -> Result<(), Duration> {
        self.user_requests.spend(self.of_user(user))
    }

    /// A message came, from somebody who is known or not yet.
    pub(crate) fn message(&self, address: Place, user: Option<Place>) -> Pace {
        let is_too_much = |counter: &Counter, place| counter.spend(place).is_err();
        let is_address_over = is_too_much(&self.address_frames, address);
        match user.filter(|it| is_too_much(&self.user_frames, *it)) {
            Some(user) if is_too_much(&self.user_excess, user) => Pace::Abuse,
            Some(_) => Pace::Excess,
            None if is_address_over => Pace::Excess,
            None => Pace::Free,
        }
    }

    /// Gives back what those took who have spent nothing lately.
    pub(crate) fn tidy(&self) {
        for counter in [
            &self.connects,
            &self.floods,
            &self.handshakes,
            &self.user_connects,
            &self.address_frames,
            &self.user_frames,
            &self.user_excess,
            &self.requests,
            &self.user_requests,
        ] {
            counter.tidy();
        }
        self.failures.tidy();
    }

    fn place(&self, whose: impl Hash, n_places: u64) -> Place {
        let place = self.hasher.hash_one(whose) % n_places;
        Place(u32::try_from(place).unwrap_or_default())
    }
}

/// Counts what went wrong, so that who has failed too often can be refused before they try again.
#[derive(Debug)]
struct Failures {
    rate: Rate,
    spent: Mutex<HashMap<Place, Throttle>>,
}

impl Failures {
    fn per_second(number: u32) -> Self {
        let burst = Duration::from_secs(SAVED_SECONDS.into());
        Self { rate: Rate::per_second(number).with_burst(burst), spent: Mutex::default() }
    }

    /// How long to wait, if there were too many.
    fn may(&self, place: Place) -> Result<(), Duration> {
        let spent = self.lock().get(&place).copied().unwrap_or_default();
        spent.wait(self.rate.now(), &self.rate).map_or(Ok(()), Err)
    }

    fn spend(&self, place: Place) {
        self.lock().entry(place).or_default().spend(self.rate.now(), &self.rate);
    }

    fn tidy(&self) {
        let now = self.rate.now();
        let mut spent = self.lock();
        spent.retain(|_, it| !it.is_full(now));
        spent.shrink_to_fit();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Throttle>> {
        // Nothing that can panic happens under the lock.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one kind of thing; nothing if there is no limit.
#[derive(Debug)]
struct Counter(Option<DefaultKeyedRateLimiter<Place>>);

impl Counter {
    fn per_second(number: u32) -> Self {
        let at_once = NonZeroU32::new(number.saturating_mul(SAVED_SECONDS));
        Self(NonZeroU32::new(number).zip(at_once).map(|(per_second, at_once)| {
            RateLimiter::keyed(Quota::per_second(per_second).allow_burst(at_once))
        }))
    }

    /// Spends one, or says how long to wait.
    fn spend(&self, place: Place) -> Result<(), Duration> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter
            .check_key(&place)
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    fn tidy(&self) {
        if let Some(limiter) = &self.0 {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(connects_per_address: u32) -> Spent {
        Spent::new(Limits { connects_per_address, ..Limits::NONE })
    }

    #[test]
    fn who_says_too_much_is_first_told_later_and_then_closed() {
        let spent = Spent::new(Limits { frames_per_user: 1, ..Limits::NONE });
        let address = spent.of_address([192, 0, 2, 1].into());
        let of = |id: &str| spent.of_user(&UserId::parse(id).unwrap());
        let said = (0..60).map(|_| spent.message(address, Some(of("alice")))).collect::<Vec<_>>();
        assert!(said.iter().take(10).all(|it| *it == Pace::Free), "{said:?}");
        assert!(said.iter().skip(15).take(25).all(|it| *it == Pace::Excess), "{said:?}");
        assert_eq!(said.last(), Some(&Pace::Abuse));
        assert_eq!(spent.message(address, Some(of("bob"))), Pace::Free, "nobody else notices");
        assert_eq!(spent.message(address, None), Pace::Free);
    }

    #[test]
    fn a_user_begins_connections_at_a_rate_from_wherever() {
        let spent = Spent::new(Limits { connects_per_user: 1, ..Limits::NONE });
        let of = |id: &str| spent.of_user(&UserId::parse(id).unwrap());
        let told = (0..30).map(|_| spent.greet(of("alice"))).collect::<Vec<_>>();
        assert!(told.iter().take(10).all(|it| *it), "{told:?}");
        assert_eq!(told.last(), Some(&false));
        assert!(spent.greet(of("bob")), "nobody else notices");
    }

    #[test]
    fn nobody_is_closed_for_what_others_of_their_address_say() {
        let spent = Spent::new(Limits { frames_per_address: 1, ..Limits::NONE });
        let address = spent.of_address([192, 0, 2, 1].into());
        let said = (0..1000).map(|_| spent.message(address, None)).collect::<Vec<_>>();
        assert!(said.iter().take(10).all(|it| *it == Pace::Free), "{said:?}");
        assert!(said.iter().skip(15).all(|it| *it != Pace::Abuse));
        assert_eq!(said.last(), Some(&Pace::Excess));
        let other = spent.of_address([192, 0, 2, 2].into());
        assert_eq!(spent.message(other, None), Pace::Free);
    }

    #[test]
    fn an_address_is_first_told_to_wait_and_then_only_answered() {
        let spent = spent(1);
        let place = spent.of_address([192, 0, 2, 1].into());
        let told = (0..60).map(|_| spent.connect(place)).collect::<Vec<_>>();
        assert!(told.iter().take(10).all(Result::is_ok));
        assert!(told.iter().skip(15).take(25).all(|it| *it == Err(TooOften::Busy)));
        assert!(matches!(told.last(), Some(Err(TooOften::Flood { wait })) if !wait.is_zero()));
        let other = spent.of_address([192, 0, 2, 2].into());
        assert_eq!(spent.connect(other), Ok(()), "nobody else notices");
    }

    #[test]
    fn an_address_shakes_hands_as_often_as_it_is_answered() {
        let spent = spent(1);
        let place = spent.of_address([192, 0, 2, 1].into());
        let told = (0..60).map(|_| spent.handshake(place)).collect::<Vec<_>>();
        assert!(told.iter().take(40).all(Result::is_ok));
        assert!(matches!(told.last(), Some(Err(TooOften::Flood { .. }))));
        assert_eq!(spent.connect(place), Ok(()), "what it asks for is counted for itself");
        let other = spent.of_address([192, 0, 2, 2].into());
        assert_eq!(spent.handshake(other), Ok(()), "nobody else notices");
    }

    #[test]
    fn who_fails_too_often_is_refused_before_they_ask_again() {
        let spent =
            Spent::new(Limits { requests_per_address: 20, requests_per_user: 1, ..Limits::NONE });
        let place = spent.of_address([192, 0, 2, 1].into());
        for n in 0..12 {
            assert!(n > 8 || spent.request(place).is_ok(), "{n}: one a second, and ten at once");
            spent.failure(place);
        }
        assert!(spent.request(place).is_err());
        let other = spent.of_address([192, 0, 2, 2].into());
        assert_eq!(spent.request(other), Ok(()), "nobody else notices");
        spent.tidy();
        assert!(spent.request(place).is_err());
        let told = (0..400).map(|_| spent.request(other)).collect::<Vec<_>>();
        assert!(told.iter().take(190).all(Result::is_ok) && told.iter().any(Result::is_err));
        let [alice, bob] = ["alice", "bob"].map(|it| UserId::parse(it).unwrap());
        assert!((0..20).any(|_| spent.request_of(&alice).is_err()));
        assert_eq!(spent.request_of(&bob), Ok(()));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let spent = spent(0);
        let place = spent.of_address([192, 0, 2, 1].into());
        assert!((0..100_000).all(|_| spent.handshake(place).is_ok()));
        spent.failure(place);
        assert!((0..100_000).all(|_| spent.request(place).is_ok()));
        assert!((0..100_000).all(|_| spent.connect(place).is_ok()));
    }

    #[test]
    fn the_addresses_of_one_network_count_as_one() {
        let spent = spent(1);
        let of = |text: &str| spent.of_address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn however_many_addresses_there_are_they_take_no_more_than_the_places() {
        let spent = spent(1);
        for n in 0..400_000_u32 {
            let _ = spent.connects.spend(spent.of_address(n.to_be_bytes().into()));
        }
        let n_places = spent.connects.0.as_ref().unwrap().len();
        assert!((200_000..=1 << 18).contains(&n_places), "{n_places}");
    }

    #[test]
    fn who_has_spent_nothing_lately_is_forgotten() {
        let spent = spent(1000);
        let place = spent.of_address([192, 0, 2, 1].into());
        spent.connect(place).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        spent.tidy();
        assert!(spent.connects.0.as_ref().unwrap().is_empty());
    }
}
