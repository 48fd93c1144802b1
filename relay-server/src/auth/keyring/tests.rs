use super::*;
use crate::auth::keys::tests::{Signer, jwk_set};
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const SOON: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn a_file_that_has_changed_is_read_again_and_one_that_is_damaged_changes_nothing() {
    let folder = std::env::temp_dir().join(format!("whoshere-keyring-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("keys");
    let [ed, ec, _] = Signer::one_of_each();
    std::fs::write(&path, ed.pem()).unwrap();
    let mut keyring = Keyring::new([]);
    keyring.add_place(Place::File(path.clone())).unwrap();
    hurry(&mut keyring, SOON, SOON);
    keyring.watch().unwrap();
    let known = |keyring: &Keyring| keyring.sets().nth(1).unwrap();
    let of = |text: &str| TokenKey::parse_all(text, Origin::Here).unwrap();
    assert_eq!(*known(&keyring), of(&ed.pem()));

    let set = jwk_set(&[ed.jwk(Some("a")), ec.jwk(Some("b"))]);
    std::fs::write(&path, &set).unwrap();
    until(|| *known(&keyring) == of(&set));
    std::fs::write(&path, "garbage").unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(*known(&keyring), of(&set));
    std::fs::remove_file(&path).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(*known(&keyring), of(&set));
    std::fs::write(&path, ec.pem()).unwrap();
    until(|| *known(&keyring) == of(&ec.pem()));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_empty_set_takes_all_keys_away_and_an_empty_file_none() {
    let folder = std::env::temp_dir().join(format!("whoshere-emptied-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("keys");
    let [ed, ..] = Signer::one_of_each();
    let set = jwk_set(&[ed.jwk(Some("a"))]);
    std::fs::write(&path, r#"{"keys":[]}"#).unwrap();
    let place = || Place::File(path.clone());
    assert!(Keyring::new([]).add_place(place()).is_err(), "nobody starts with that on purpose");
    std::fs::write(&path, &set).unwrap();
    let mut keyring = Keyring::new([]);
    keyring.add_place(place()).unwrap();
    let source = &keyring.sources[0];
    let n_after = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let is_taken = source.look(Instant::now()).is_ok();
        (is_taken, source.held().keys.len())
    };
    for damaged in ["", "{", r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"short"}]}"#] {
        assert_eq!(n_after(damaged), (false, 1), "{damaged}");
    }
    assert_eq!(n_after(r#"{"keys":[]}"#), (true, 0));
    assert_eq!(n_after(&set), (true, 1));
    assert_eq!(n_after(r#"{"keys":[{"kty":"RSA","use":"enc"}]}"#), (true, 0), "of other uses");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_flood_of_names_that_are_not_known_asks_once_in_a_while() {
    let server = Server::start();
    let mut keyring = Keyring::new([]);
    keyring.add_place(Place::Address(server.address().into())).unwrap();
    hurry(&mut keyring, NEVER, NEVER);
    keyring.watch().unwrap();
    for n in 0..10_000 {
        assert!(keyring.ask(&format!("{n}")));
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(server.n_answers(), 1, "it was asked a moment ago");
    drop(keyring);

    let mut keyring = Keyring::new([]);
    keyring.add_place(Place::Address(server.address().into())).unwrap();
    hurry(&mut keyring, NEVER, SOON);
    keyring.watch().unwrap();
    keyring.ask("new");
    until(|| server.n_answers() >= 3);
    drop(keyring);
    assert!(!Keyring::new([]).ask("new"), "there is nobody to ask");
}

#[test]
fn a_name_is_unknown_for_certain_once_every_place_was_looked_at_since() {
    let server = Server::start();
    let mut keyring = Keyring::new([]);
    keyring.add_place(Place::Address(server.address().into())).unwrap();
    hurry(&mut keyring, NEVER, SOON);
    assert!(keyring.ask("new") && keyring.ask("new"), "nobody has looked since");
    keyring.watch().unwrap();
    until(|| !keyring.ask("new"));
    assert!(keyring.ask("another"), "each is looked for");
}

#[test]
fn names_that_nobody_knows_are_remembered_for_a_while_and_not_too_many() {
    let mut unknown = Unknown::default();
    let begin = Instant::now();
    let later = begin + Duration::from_secs(1);
    assert_eq!(unknown.since(begin, "new"), begin);
    assert_eq!(unknown.since(later, "new"), begin);
    let much_later = begin + ADDRESS_PAUSE + Duration::from_secs(2);
    assert_eq!(unknown.since(much_later, "new"), much_later, "it may be there by now");
    for n in 0..MAX_UNKNOWN {
        unknown.since(much_later, &format!("{n}"));
    }
    assert_eq!(unknown.kids.len(), MAX_UNKNOWN);
    let at_last = much_later + Duration::from_secs(1);
    assert_eq!(unknown.since(at_last, "new"), at_last, "others have taken its place");
}

#[test]
fn an_address_that_has_never_answered_is_asked_until_it_does() {
    let server = Server::failing_first();
    let mut keyring = Keyring::new([]);
    keyring.add_place(Place::Address(server.address().into())).unwrap();
    assert!(keyring.take_failure().is_some());
    assert!(keyring.is_waiting() && keyring.ask("a") && keyring.ask("a"));
    hurry(&mut keyring, NEVER, SOON);
    keyring.watch().unwrap();
    until(|| !keyring.is_waiting());
    assert_eq!(keyring.sets().map(|it| it.len()).sum::<usize>(), 1);
}

#[test]
fn an_address_is_asked_again_by_itself() {
    let server = Server::start();
    let mut keyring = Keyring::new([]);
    keyring.add_place(Place::Address(server.address().into())).unwrap();
    hurry(&mut keyring, SOON, NEVER);
    keyring.watch().unwrap();
    until(|| server.n_answers() > 3);
}

#[test]
fn an_address_that_answers_something_else_has_no_keys() {
    let big = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "a".repeat(100_000));
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: https://else.example/\r\nContent-Length: 0\r\n\r\n",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"keys\":[]}\n",
        &big,
    ] {
        let server = Server::answering(answer.to_owned());
        let mut keyring = Keyring::new([]);
        let result = keyring.add_place(Place::Address(server.address().into()));
        assert!(result.is_err() || keyring.take_failure().is_some(), "{answer}");
        assert!(result.is_err() || keyring.is_waiting(), "it may have keys later");
        assert!(keyring.sets().all(|it| it.is_empty()));
    }
}

/// Answers every request the same.
struct Server {
    port: u16,
    answers: Arc<AtomicU32>,
}

impl Server {
    fn start() -> Self {
        let answer = Self::answer();
        Self::answering(answer)
    }

    /// Has nothing to say when it is asked for the first time.
    fn failing_first() -> Self {
        let failure = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        Self::answering_in_turn(
            [failure.to_owned()].into_iter().chain(std::iter::repeat(Self::answer())),
        )
    }

    fn answer() -> String {
        let [signer, ..] = Signer::one_of_each();
        let set = jwk_set(&[signer.jwk(Some("a"))]);
        let n_bytes = set.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {n_bytes}\r\n\r\n{set}")
    }

    fn answering(answer: String) -> Self {
        Self::answering_in_turn(std::iter::repeat(answer))
    }

    fn answering_in_turn(mut turns: impl Iterator<Item = String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(turns.next().unwrap().as_bytes());
            }
        });
        Self { port, answers }
    }

    fn address(&self) -> Address {
        Address::parse(&format!("http://127.0.0.1:{}/jwks", self.port), None).unwrap()
    }

    fn n_answers(&self) -> u32 {
        self.answers.load(Ordering::SeqCst)
    }
}

fn hurry(keyring: &mut Keyring, pause: Duration, least_pause: Duration) {
    for source in &mut keyring.sources {
        let source = Arc::get_mut(source).unwrap();
        (source.pause, source.least_pause) = (pause, least_pause);
    }
}

#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it takes too long");
        thread::sleep(Duration::from_millis(2));
    }
}
