//! Claims about what is kept of who viewed a key, and who is told.

use super::*;
use crate::relay::{Asked, LastSeenRules, Request, View};

const RETENTION: u64 = 7_200_000;

#[test]
fn a_view_is_kept_when_it_begins_and_when_it_ends() {
    let (mut shell, mut store) = keeping("document:*");
    let alice = shell.visit("alice", DOC);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 0"]);
    shell.pass(5_000);
    shell.leave(&alice, DOC);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 5"]);
    shell.pass(5_000);
    shell.close_tab(&alice);
    assert_eq!(store.takes(&mut shell), NOTHING);
}

#[test]
fn of_who_stays_it_is_kept_once_a_minute() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    store.takes(&mut shell);
    let mut kept = Vec::new();
    for _ in 0..360 {
        shell.pass(10_000);
        shell.beat(&alice);
        kept.extend(store.takes(&mut shell).into_iter().filter(|it| it.contains("alice")));
    }
    assert!((50..=60).contains(&kept.len()), "{} in an hour", kept.len());
}

#[test]
fn who_comes_and_goes_between_tabs_and_joins_again_is_kept_once_a_minute() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 0"]);
    let mut kept = Vec::new();
    for _ in 0..600 {
        shell.join(&alice, DOC);
        for away in [true, false] {
            shell.pass(500);
            shell.attention(&alice, away);
            shell.frame(alice.conn, join_away(DOC, away));
        }
        kept.extend(store.takes(&mut shell));
    }
    let minutes: Vec<_> = (1..=10).map(|it| format!("document:42 alice {}", it * 60)).collect();
    assert_eq!(kept, minutes);
    shell.pass(3_000);
    shell.leave(&alice, DOC);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 603"], "and when she leaves");
}

#[test]
fn one_key_more_has_the_others_kept_no_sooner() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.pass(30_000);
    shell.join(&alice, OTHER);
    let minute = 60_000 - 30_000 + 1_000;
    assert_eq!(store.takes(&mut shell).len(), 2);
    shell.beat(&alice);
    shell.pass(minute);
    shell.beat(&alice);
    shell.attention(&alice, true);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 61"]);
}

#[test]
fn a_page_that_was_put_away_was_viewed_until_then_whatever_becomes_of_it() {
    for how in [Closed::Leave, Closed::Lost] {
        let (mut shell, mut store) = keeping("*");
        let alice = shell.visit("alice", DOC);
        store.takes(&mut shell);
        shell.pass(20_000);
        shell.beat(&alice);
        shell.attention(&alice, true);
        assert_eq!(store.takes(&mut shell), NOTHING, "it is kept already that she is here");
        shell.pass(5_000);
        shell.end(alice.conn, how);
        assert_eq!(store.takes(&mut shell), ["document:42 alice 20"]);
    }
}

#[test]
fn who_is_away_views_nothing() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.pass(1_000);
    shell.attention(&alice, true);
    store.takes(&mut shell);
    for _ in 0..60 {
        shell.pass(10_000);
        shell.beat(&alice);
    }
    shell.attention(&alice, true);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 1"], "until she was away");
    shell.attention(&alice, false);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 601"]);
    shell.attention(&alice, true);
    store.takes(&mut shell);
    shell.close_tab(&alice);
    assert_eq!(store.takes(&mut shell), NOTHING);
}

#[test]
fn a_page_that_was_opened_behind_others_was_not_viewed() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.page("alice");
    shell.frame(alice.conn, join_away(DOC, true));
    shell.close_tab(&alice);
    assert_eq!(store.takes(&mut shell), NOTHING);
}

#[test]
fn to_join_another_key_from_behind_other_tabs_views_none() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.attention(&alice, true);
    shell.pass(5_000);
    store.takes(&mut shell);
    shell.join(&alice, OTHER);
    shell.pass(5_000);
    shell.close_tab(&alice);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 0"], "before she was away");
}

#[test]
fn a_silent_page_was_viewed_until_it_fell_silent() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.pass(7_000);
    shell.beat(&alice);
    shell.fall_silent(&alice);
    store.takes(&mut shell);
    shell.pass(120_000);
    assert_eq!(store.takes(&mut shell), ["document:42 alice 17"]);
}

#[test]
fn nothing_is_kept_of_other_keys_nor_unless_it_is_asked_for() {
    let mut shell = Shell::new();
    let mut store = Store::default();
    let alice = shell.visit("alice", DOC);
    shell.leave(&alice, DOC);
    assert_eq!(store.takes(&mut shell), NOTHING);

    let (mut shell, mut store) = keeping(OTHER);
    let alice = shell.visit("alice", DOC);
    shell.leave(&alice, DOC);
    assert_eq!(store.takes(&mut shell), NOTHING);
    let alice = shell.visit("alice", DOC);
    shell.sees(&alice);
    shell.frame(alice.conn, Command::LastSeen { key: parse(DOC) });
    assert_eq!(shell.sees(&alice), ["document:42 seen by"]);
}

#[test]
fn a_token_can_forbid_it() {
    let (mut shell, mut store) = keeping("*");
    let conn = shell.open();
    shell.greet(conn, Ok(Grant { last_seen: false, ..grant("alice") }), None, Dial(1));
    shell.frame(conn, join(DOC));
    shell.end(conn, Closed::Leave);
    assert_eq!(store.takes(&mut shell), NOTHING);

    let alice = shell.page("alice");
    let forbids = Grant { last_seen: false, ..only("alice", DOC) };
    shell.frame(alice.conn, join_with(DOC, Ok(forbids)));
    shell.close_tab(&alice);
    assert_eq!(store.takes(&mut shell), NOTHING);

    let conn = shell.open();
    shell.greet(conn, Ok(only("alice", DOC)), None, Dial(1));
    let forbids = Grant { last_seen: false, ..only("alice", OTHER) };
    shell.frame(conn, join_with("nowhere:1", Ok(forbids)));
    shell.frame(conn, join(DOC));
    shell.end(conn, Closed::Leave);
    let kept = store.takes(&mut shell);
    assert_eq!(kept, NOTHING, "it forbids, whatever becomes of its own join");
}

#[test]
fn who_is_in_the_key_is_told_and_nobody_else() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.close_tab(&alice);
    shell.pass(60_000);
    let bob = shell.visit("bob", DOC);
    shell.sees(&bob);
    shell.frame(bob.conn, Command::LastSeen { key: parse(DOC) });
    store.answers(&mut shell);
    assert_eq!(shell.sees(&bob), ["document:42 seen by bob 0 alice 60"]);

    let carol = shell.visit("carol", OTHER);
    shell.sees(&carol);
    shell.frame(carol.conn, Command::LastSeen { key: parse(DOC) });
    store.answers(&mut shell);
    assert_eq!(shell.sees(&carol), ["error not_joined document:42"]);
}

#[test]
fn an_answer_that_comes_too_late_is_told_to_nobody() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.frame(alice.conn, Command::LastSeen { key: parse(DOC) });
    let asked = store.asked(&mut shell).pop().unwrap();
    shell.close_tab(&alice);
    let bob = shell.visit("bob", DOC);
    assert_eq!(alice.conn, bob.conn, "the number is used again");
    shell.sees(&bob);
    answer(&mut shell, asked, Vec::new());
    shell.drain();
    assert_eq!(shell.sees(&bob), NOTHING);

    shell.frame(bob.conn, Command::LastSeen { key: parse(DOC) });
    let asked = store.asked(&mut shell).pop().unwrap();
    shell.leave(&bob, DOC);
    answer(&mut shell, asked, Vec::new());
    shell.drain();
    assert_eq!(shell.sees(&bob), NOTHING);

    shell.join(&bob, DOC);
    shell.frame(bob.conn, Command::LastSeen { key: parse(DOC) });
    assert_eq!(store.asked(&mut shell).len(), 1, "who is there again may ask again");
}

#[test]
fn who_asks_faster_than_the_store_answers_waits_for_four_keys_at_most() {
    let (mut shell, mut store) = keeping("*");
    let keys: Vec<_> = (0..10).map(|it| format!("document:{it}")).collect();
    let alice = shell.page("alice");
    for key in &keys {
        shell.join(&alice, key);
    }
    for key in keys.iter().chain(&keys) {
        shell.frame(alice.conn, Command::LastSeen { key: parse(key) });
    }
    assert_eq!(store.asked(&mut shell).len(), 4);
}

#[test]
fn what_is_too_old_is_forgotten_and_never_told() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.close_tab(&alice);
    shell.pass(RETENTION + 3_600_000);
    assert_eq!(store.views.len(), 0, "nothing was put there yet");
    store.takes(&mut shell);
    assert_eq!(store.views.len(), 0, "it was kept and then forgotten");

    let alice = shell.visit("alice", DOC);
    shell.close_tab(&alice);
    store.takes(&mut shell);
    let bob = shell.visit("bob", DOC);
    shell.sees(&bob);
    // A store that hasn't come round to forgetting.
    let old = store.views.clone();
    for _ in 0..(RETENTION / 10_000) {
        shell.pass(10_000);
        shell.beat(&bob);
    }
    store.takes(&mut shell);
    shell.sees(&bob);
    shell.pass(1);
    shell.frame(bob.conn, Command::LastSeen { key: parse(DOC) });
    let asked = store.asked(&mut shell).pop().unwrap();
    answer(&mut shell, asked, old);
    shell.drain();
    assert_eq!(shell.sees(&bob), ["document:42 seen by"]);
}

#[test]
fn what_is_too_old_stays_for_as_long_again_at_most_and_an_hour_of_a_long_retention() {
    for (retention, most) in [(1, 6), (60, 120), (1_800, 3_600), (7_200, 10_800)] {
        let (mut shell, mut store) = keeping_for("*", Duration::from_secs(retention));
        shell.pass(500);
        let alice = shell.visit("alice", DOC);
        shell.close_tab(&alice);
        store.takes(&mut shell);
        shell.pass(retention * 1_000 - 600);
        store.takes(&mut shell);
        assert_eq!(store.views.len(), 1, "{retention} s aren't over");
        shell.pass((most - retention) * 1_000 + 600);
        store.takes(&mut shell);
        assert_eq!(store.views.len(), 0, "after {most} s of {retention}");
    }
}

#[test]
fn a_token_that_forbids_it_has_forgotten_what_was_kept_of_its_keys() {
    let (mut shell, mut store) = keeping("*");
    for key in [DOC, OTHER] {
        let alice = shell.visit("alice", key);
        shell.close_tab(&alice);
    }
    let bob = shell.visit("bob", DOC);
    shell.close_tab(&bob);
    store.takes(&mut shell);
    let conn = shell.open();
    let forbids = Grant { last_seen: false, ..only("alice", DOC) };
    shell.greet(conn, Ok(forbids), None, Dial(1));
    store.takes(&mut shell);
    let left = |store: &Store| {
        let names = store.views.iter().map(|it| format!("{} {}", it.user.name(), it.key));
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(left(&store), [format!("alice {OTHER}"), format!("bob {DOC}")]);

    let alice = shell.page("alice");
    let forbids = Grant { last_seen: false, ..grant("alice") };
    shell.frame(alice.conn, join_with(OTHER, Ok(forbids)));
    store.takes(&mut shell);
    assert_eq!(left(&store), [format!("bob {DOC}")]);
}

#[test]
fn a_store_that_fails_is_told_as_an_error_and_not_as_nobody() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    shell.sees(&alice);
    shell.frame(alice.conn, Command::LastSeen { key: parse(DOC) });
    let asked = store.asked(&mut shell).pop().unwrap();
    shell.relay.last_seen(shell.now, asked, None);
    shell.drain();
    assert_eq!(shell.sees(&alice), ["error unavailable document:42"]);
    shell.frame(alice.conn, Command::LastSeen { key: parse(DOC) });
    store.answers(&mut shell);
    assert_eq!(shell.sees(&alice), ["document:42 seen by alice 0"], "and may ask again");
}

#[test]
fn nobody_asks_more_than_ten_times_in_a_second() {
    let (mut shell, mut store) = keeping("*");
    let alice = shell.visit("alice", DOC);
    let mut ask = |shell: &mut Shell<MemoryBackplane>| {
        shell.frame(alice.conn, Command::LastSeen { key: parse(DOC) });
        let n = store.asked(shell).into_iter().map(|it| answer(shell, it, Vec::new())).count();
        shell.drain();
        n
    };
    assert_eq!((0..100).map(|_| ask(&mut shell)).sum::<usize>(), 10);
    shell.pass(1_000);
    assert_eq!((0..100).map(|_| ask(&mut shell)).sum::<usize>(), 10);
}

fn join_away(key: &str, away: bool) -> Command {
    let (key, meta) = (parse(key), Meta::empty());
    Command::Join { key, grant: None, meta, age: None, away: Some(away) }
}

fn answer(shell: &mut Shell<MemoryBackplane>, asked: Asked, views: Vec<View>) {
    let frame = asked.answer(shell.now, views);
    shell.relay.last_seen(shell.now, asked, Some(Rc::new(frame)));
}

/// A relay that keeps who viewed such keys for two hours.
fn keeping(pattern: &str) -> (Shell<MemoryBackplane>, Store) {
    keeping_for(pattern, Duration::from_millis(RETENTION))
}

fn keeping_for(pattern: &str, retention: Duration) -> (Shell<MemoryBackplane>, Store) {
    let mut shell = Shell::new();
    let keys = vec![KeyPattern::parse(pattern).unwrap()];
    let rules = LastSeenRules::new(keys, retention);
    shell.relay.keep_last_seen(shell.now, rules);
    let store = Store { began: shell.now, ..Store::default() };
    (shell, store)
}

/// A store that does what it is asked to when the test says so.
#[derive(Default)]
struct Store {
    began: Time,
    views: Vec<View>,
    asked: Vec<Asked>,
}

impl Store {
    /// Takes what there is to keep, and tells it.
    fn takes(&mut self, shell: &mut Shell<MemoryBackplane>) -> Vec<String> {
        let mut kept = Vec::new();
        while let Some(request) = shell.relay.poll_request() {
            match request {
                Request::Keep(view) => {
                    let at = view.at.since(self.began).as_secs();
                    kept.push(format!("{} {} {at}", view.key, view.user.name()));
                    self.views.retain(|it| (&it.key, it.user.id()) != (&view.key, view.user.id()));
                    self.views.insert(0, view);
                }
                Request::LookUp(asked) => self.asked.push(asked),
                Request::ForgetBefore(before) => self.views.retain(|it| it.at >= before),
                Request::ForgetUser { user, keys } => {
                    let is_meant = |it: &View| keys.iter().any(|keys| keys.matches(&it.key));
                    self.views.retain(|it| *it.user.id() != user || !is_meant(it));
                }
            }
        }
        kept
    }

    /// The questions that there are.
    fn asked(&mut self, shell: &mut Shell<MemoryBackplane>) -> Vec<Asked> {
        self.takes(shell);
        core::mem::take(&mut self.asked)
    }

    /// Answers them.
    fn answers(&mut self, shell: &mut Shell<MemoryBackplane>) {
        for asked in self.asked(shell) {
            let of_key = self.views.iter().filter(|it| it.key == asked.key).cloned().collect();
            answer(shell, asked, of_key);
        }
        shell.drain();
    }
}
