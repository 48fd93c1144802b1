//! Claims about the relay, in virtual time.
//!
//! Every test runs through a [`Shell`] that treats its relay as a real one does, and reads like a real
//! viewer: it applies each delta to its own copy and fails if one doesn't follow on the last.

use super::*;
use core::cell::{Cell, RefCell};
use presence_protocol::{
    Color, Delta, Epoch, Presence, PresenceState, Pulse, Seen, Snapshot, User, UserId,
};
use proptest::prelude::*;
use std::rc::Rc;
use std::sync::Arc;

const DOC: &str = "document:42";
const OTHER: &str = "document:43";

mod census;
mod entering;
mod excess;
mod last_seen;
mod notices;
mod observing;
mod renewal;
mod server;
mod watched;

mod pulses {
    use super::*;

    #[test]
    fn a_pulse_is_told_at_once_and_its_end_too() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pulse(&alice, "cursor", Some("[1]"));
        assert_eq!(shell.sees(&bob), ["alice cursor [1]"]);
        shell.pass(100);
        shell.pulse(&alice, "cursor", None);
        assert_eq!(shell.sees(&bob), ["alice cursor ended"]);
        shell.pulse(&alice, "cursor", None);
        shell.pass(10_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn the_latest_of_a_window_wins() {
        let (mut shell, alice, bob) = two_in(DOC);
        for value in 0..10 {
            shell.pulse(&alice, "cursor", Some(&format!("{value}")));
            shell.pass(1);
        }
        shell.pass(100);
        assert_eq!(shell.sees(&bob), ["alice cursor 0", "alice cursor 9"]);
    }

    #[test]
    fn five_seconds_after_the_last_word_of_a_dead_page_its_pulse_ends() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pulse(&alice, "typing", Some("1"));
        shell.pass(3_000);
        shell.pulse(&alice, "typing", Some("1"));
        shell.fall_silent(&alice);
        shell.sees(&bob);
        shell.pass(4_999);
        assert_eq!(shell.sees(&bob), NOTHING);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["alice typing ended"]);
    }

    #[test]
    fn who_comes_later_gets_it_when_it_is_sent_again() {
        let (mut shell, alice, _) = two_in(DOC);
        shell.pulse(&alice, "typing", Some("1"));
        shell.pass(1_000);
        let carol = shell.visit("carol", DOC);
        assert_eq!(shell.sees(&carol), ["= alice bob carol"]);
        shell.pulse(&alice, "typing", Some("1"));
        assert_eq!(shell.sees(&carol), ["alice typing 1"]);
    }

    #[test]
    fn a_pulse_goes_with_its_presence() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pulse(&alice, "typing", Some("1"));
        shell.sees(&bob);
        shell.pass(100);
        shell.close_tab(&alice);
        shell.pass(10_000);
        assert_eq!(shell.sees(&bob), ["-alice left"]);
    }

    #[test]
    fn a_ninth_pulse_is_refused_and_the_eight_go_on() {
        let (mut shell, alice, bob) = two_in(DOC);
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            shell.pulse(&alice, name, Some("1"));
        }
        shell.pass(100);
        let own: Vec<_> = shell.sees(&alice);
        assert_eq!(own.iter().filter(|it| *it == "error bad_pulse document:42").count(), 1);
        let rest = "alice b 1, alice c 1, alice d 1, alice e 1, alice f 1, alice g 1, alice h 1";
        assert_eq!(shell.sees(&bob), ["alice a 1", rest]);
    }

    #[test]
    fn a_slow_viewer_gets_a_snapshot_and_then_the_latest() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&bob);
        for value in 0..100 {
            shell.pulse(&alice, "cursor", Some(&format!("{value}")));
            shell.pass(50);
        }
        shell.unblock(&bob);
        assert_eq!(shell.sees(&bob), ["= alice bob"]);
        shell.pulse(&alice, "cursor", Some("100"));
        assert_eq!(shell.sees(&bob), ["alice cursor 100"]);
    }

    #[test]
    fn a_page_that_is_back_on_another_socket_goes_on_with_its_pulses() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pulse(&alice, "typing", Some("1"));
        shell.sees(&bob);
        shell.reset(&alice);
        let alice = shell.resume(&alice);
        shell.join(&alice, DOC);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), NOTHING);
        shell.pulse(&alice, "typing", None);
        assert_eq!(shell.sees(&bob), ["alice typing ended"]);
    }

    #[test]
    fn who_has_not_joined_has_no_pulse() {
        let (mut shell, _, bob) = two_in(DOC);
        let carol = shell.page("carol");
        shell.pulse(&carol, "typing", Some("1"));
        assert_eq!(shell.sees(&carol), ["error not_joined document:42"]);
        assert_eq!(shell.sees(&bob), NOTHING);
    }
}

mod coming_and_going {
    use super::*;

    #[test]
    fn who_enters_gets_everybody_and_is_seen_at_once() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        assert_eq!(shell.sees(&alice), ["= alice"]);
        let bob = shell.page("bob");
        shell.join(&bob, DOC);
        assert_eq!(shell.sees(&bob), ["= alice bob"]);
        assert_eq!(shell.sees(&alice), ["+bob"]);
    }

    #[test]
    fn a_second_tab_is_a_presence_of_its_own() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        let second = shell.visit("alice", DOC);
        assert_ne!(alice.session, second.session);
        assert_eq!(shell.sees(&second), ["= alice alice"]);
        shell.close_tab(&second);
        shell.sees(&alice);
        assert_eq!(shell.roster(DOC), ["alice"]);
    }

    #[test]
    fn a_close_1001_is_a_leave() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.close_tab(&alice);
        assert_eq!(shell.sees(&bob), ["-alice left"]);
    }

    #[test]
    fn a_close_1001_leaves_all_keys_of_its_socket() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.join(&alice, OTHER);
        shell.join(&bob, OTHER);
        shell.pass(1_000);
        shell.sees(&bob);
        shell.close_tab(&alice);
        assert_eq!(shell.sees(&bob), ["-alice left", "-alice left"]);
        assert_eq!((shell.roster(DOC), shell.roster(OTHER)), (list(&["bob"]), list(&["bob"])));
    }

    #[test]
    fn a_leave_frame_is_a_leave_and_its_connection_goes_on() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.leave(&alice, DOC);
        shell.update(&bob, DOC, r#"{"a":1}"#);
        shell.beat(&alice);
        assert_eq!(shell.sees(&alice), ["heartbeat"]);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), ["-alice left", r#"bob {"a":1}"#]);
        shell.join(&alice, DOC);
        assert_eq!(shell.sees(&alice), ["= alice bob"]);
    }

    #[test]
    fn a_reset_socket_changes_nothing_for_thirty_seconds() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        shell.pass(9_999);
        assert_eq!(shell.sees(&bob), NOTHING);
        shell.pass(20_000);
        assert_eq!(shell.sees(&bob), ["alice reconnecting"]);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["-alice timeout"]);
    }

    #[test]
    fn dims_after_ten_seconds_on_the_same_presence() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        shell.pass(10_000);
        assert_eq!(shell.sees(&bob), ["alice reconnecting"]);
        shell.pass(5_000);
        let alice = shell.resume(&alice);
        shell.join(&alice, DOC);
        assert_eq!(shell.sees(&bob), ["alice active"]);
    }

    #[test]
    fn back_within_the_grace_is_no_change() {
        let (mut shell, alice, bob) = two_in(DOC);
        let since = shell.since(&alice, DOC);
        shell.pass(5_000);
        shell.reset(&alice);
        shell.pass(9_000);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        assert_eq!(shell.sees(&back), ["= alice bob"]);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
        assert_eq!((back.session, shell.since(&back, DOC)), (alice.session, since));
    }

    #[test]
    fn back_at_the_last_moment_of_the_grace_is_no_leave() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        shell.pass(29_999);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), ["alice reconnecting", "alice active"]);
    }

    #[test]
    fn back_after_the_grace_is_one_leave_and_one_join() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        shell.pass(31_000);
        let back = shell.resume(&alice);
        shell.join_as(&back, DOC, "{}", Some(31_000));
        assert_eq!(shell.sees(&bob), ["alice reconnecting", "-alice timeout", "+alice"]);
        assert_eq!(shell.since(&back, DOC), shell.now.relative_to(began()));
    }

    #[test]
    fn a_meta_that_changed_while_away_is_an_update() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        shell.pass(2_000);
        let back = shell.resume(&alice);
        shell.join_as(&back, DOC, r#"{"a":1}"#, None);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
    }

    #[test]
    fn the_user_of_a_newer_token_replaces_the_presence_as_a_whole() {
        let (mut shell, alice, bob) = two_in(DOC);
        let renamed = named("alice", "Alice B.");
        let conn = shell.open();
        shell.greet(conn, Ok(renamed), Some(alice.claims), Dial(2));
        shell.frame(conn, join(DOC));
        assert_eq!(shell.sees(&bob), ["+Alice B."]);
    }

    #[test]
    fn joining_again_replaces_the_meta_and_brings_another_snapshot() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.join_as(&alice, DOC, r#"{"a":1}"#, None);
        shell.beat(&alice);
        assert_eq!(shell.sees(&alice), ["= alice bob", "heartbeat document:42@3"]);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
    }

    #[test]
    fn who_is_away_is_shown_so_in_all_keys_until_back() {
        let (mut shell, alice, bob) = two_in(DOC);
        let carol = shell.visit("carol", OTHER);
        shell.join(&alice, OTHER);
        shell.sees(&bob);
        shell.sees(&carol);
        shell.attention(&alice, true);
        assert_eq!(shell.sees(&bob), ["alice away"]);
        shell.pass(3_600_000);
        assert_eq!(shell.sees(&carol), ["alice away"], "an hour is no leave");
        shell.attention(&alice, true);
        shell.attention(&alice, false);
        assert_eq!(shell.sees(&bob), ["alice active"]);
    }

    #[test]
    fn a_join_leaves_the_attention_as_it_is_unless_it_says_otherwise() {
        let (mut shell, alice, bob) = two_in(DOC);
        let carol = shell.visit("carol", OTHER);
        shell.sees(&carol);
        shell.attention(&alice, true);
        shell.sees(&bob);
        shell.join(&alice, OTHER);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), NOTHING);
        assert_eq!(shell.sees(&carol), ["+alice"]);
        let all = shell.entries(OTHER);
        let of_alice = all.iter().find(|it| it.session == alice.session).unwrap();
        assert_eq!(of_alice.state, PresenceState::Away);
        let (key, meta, away) = (parse(OTHER), Meta::empty(), Some(false));
        shell.frame(alice.conn, Command::Join { key, grant: None, meta, age: None, away });
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), ["alice active"], "it is one page in all of its keys");
        assert_eq!(shell.sees(&carol), ["alice active"]);
    }

    #[test]
    fn who_is_lost_while_away_is_reconnecting_and_then_what_it_says() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.attention(&alice, true);
        shell.reset(&alice);
        shell.pass(10_000);
        let back = shell.resume(&alice);
        let (key, meta) = (parse(DOC), Meta::empty());
        shell.frame(
            back.conn,
            Command::Join { key, grant: None, meta, age: None, away: Some(true) },
        );
        shell.pass(20);
        assert_eq!(shell.sees(&bob), ["alice away", "alice reconnecting", "alice away"]);
    }

    #[test]
    fn keys_isolate() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        let bob = shell.visit("bob", OTHER);
        shell.update(&bob, OTHER, r#"{"a":1}"#);
        shell.update(&bob, DOC, r#"{"a":1}"#);
        shell.pass(1_000);
        assert_eq!(shell.sees(&alice), ["= alice"]);
        assert_eq!(shell.sees(&bob), ["= bob", r#"bob {"a":1}"#, "error not_joined document:42"]);
        shell.close_tab(&bob);
        assert_eq!(shell.sees(&alice), NOTHING);
    }
}

mod silence {
    use super::*;

    #[test]
    fn silence_counts_from_the_first_missed_beat() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.fall_silent(&alice);
        shell.pass(10_000 + 9_999);
        assert_eq!(shell.sees(&bob), NOTHING);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["alice reconnecting"]);
        shell.pass(19_999);
        assert_eq!(shell.sees(&bob), NOTHING);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["-alice timeout"]);
        assert_eq!(shell.sees(&alice), ["alice reconnecting", "close timeout"]);
    }

    #[test]
    fn who_falls_silent_while_away_is_away_again_when_heard() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.attention(&alice, true);
        shell.fall_silent(&alice);
        shell.pass(20_000);
        shell.speak_again(&alice);
        shell.pass(20);
        assert_eq!(shell.sees(&bob), ["alice away", "alice reconnecting", "alice away"]);
    }

    #[test]
    fn a_pong_keeps_a_hidden_tab_present() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pass(3_600_000);
        assert_eq!((shell.sees(&bob), shell.sees(&alice)), (vec![], vec![]));
        // Every eleven seconds, each counted from the pong before.
        assert_eq!(shell.pings(&alice), 3_600 / 11);
    }

    #[test]
    fn a_beat_that_sets_out_when_it_is_due_spares_the_ping() {
        let (mut shell, alice, bob) = two_in(DOC);
        for _ in 0..10 {
            shell.pass(10_999);
            shell.beat(&alice);
        }
        assert_eq!((shell.pings(&alice), shell.pings(&bob)), (0, 109_990 / 11_000));
        shell.pass(11_000);
        assert_eq!(shell.pings(&alice), 1);
    }

    #[test]
    fn a_shorter_heartbeat_leaves_less_time_before_the_ping() {
        let heartbeat = Duration::from_millis(400);
        let mut shell = Shell::with(RelayConfig { heartbeat, ..RelayConfig::default() });
        let alice = shell.page("alice");
        shell.pass(439);
        assert_eq!(shell.pings(&alice), 0);
        shell.pass(1);
        assert_eq!(shell.pings(&alice), 1);
    }

    #[test]
    fn a_frame_within_the_heartbeat_spares_the_ping() {
        let (mut shell, alice, _bob) = two_in(DOC);
        for _ in 0..10 {
            shell.pass(9_000);
            shell.beat(&alice);
        }
        assert_eq!(shell.sees(&alice), vec!["heartbeat document:42@2"; 10]);
        assert_eq!(shell.pings(&alice), 0);
    }

    #[test]
    fn one_that_answers_late_has_never_been_away() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.fall_silent(&alice);
        shell.pass(19_000);
        shell.relay.heard(shell.now, alice.conn);
        shell.pass(10_000);
        shell.relay.heard(shell.now, alice.conn);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn one_that_is_heard_again_is_pinged_before_it_counts_as_lost_again() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.fall_silent(&alice);
        shell.pass(19_000);
        shell.speak_again(&alice);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
        assert_eq!(shell.pings(&alice), 1 + 60 / 11);
    }

    #[test]
    fn a_silent_socket_that_is_reset_was_lost_when_its_beat_was_missed() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.fall_silent(&alice);
        shell.pass(17_000);
        shell.reset(&alice);
        shell.pass(22_999);
        assert_eq!(shell.sees(&bob), ["alice reconnecting"]);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["-alice timeout"]);
    }

    #[test]
    fn a_hidden_tab_that_is_reset_before_its_ping_has_the_whole_grace() {
        for quiet in [10_001, 10_500, 10_999, 11_000] {
            let (mut shell, alice, bob) = two_in(DOC);
            shell.pass(quiet);
            shell.reset(&alice);
            shell.pass(29_999);
            assert_eq!(shell.sees(&bob), ["alice reconnecting"], "{quiet}");
            shell.pass(1);
            assert_eq!(shell.sees(&bob), ["-alice timeout"], "{quiet}");
        }
    }

    #[test]
    fn one_that_is_reset_with_its_ping_unanswered_is_gone_within_41_seconds() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.fall_silent(&alice);
        shell.pass(14_000);
        shell.reset(&alice);
        shell.pass(26_999);
        assert_eq!(shell.sees(&bob), ["alice reconnecting"]);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["-alice timeout"]);
    }

    #[test]
    fn silence_counts_from_the_hello_and_not_from_the_socket() {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.pass(4_000);
        shell.hello(conn, "alice", None, Dial(1));
        let alice = shell.greeted(conn, "alice", Dial(1));
        shell.fall_silent(&alice);
        shell.pass(39_999);
        assert_eq!(shell.sees(&alice), NOTHING);
        shell.pass(1);
        assert_eq!(shell.sees(&alice), ["close timeout"]);
    }

    #[test]
    fn a_relay_that_looks_late_pings_all_the_same() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.now += Duration::from_secs(16);
        shell.run_timers();
        // Both answer at once, so nobody was away.
        assert_eq!((shell.pings(&alice), shell.pings(&bob)), (1, 1));
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_key_joined_after_a_silence_is_watched_as_well() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.join(&bob, OTHER);
        shell.fall_silent(&alice);
        shell.pass(17_000);
        shell.join(&alice, OTHER);
        shell.sees(&bob);
        shell.pass(40_000);
        let seen = shell.sees(&bob);
        assert_eq!(seen.iter().filter(|it| *it == "-alice timeout").count(), 2, "{seen:?}");
    }

    #[test]
    fn a_relay_that_reads_before_it_runs_deadlines_loses_nobody_by_a_stall() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.now += Duration::from_secs(35);
        for page in [&alice, &bob] {
            shell.relay.frame(shell.now, page.conn, Command::Heartbeat);
        }
        shell.run_timers();
        assert_eq!(shell.sees(&bob), ["heartbeat document:42@2"]);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }
}

mod counting {
    use super::stats::{Dropped, Received, Sent, Stats};
    use super::*;

    #[test]
    fn what_is_there_is_counted_and_what_is_gone_is_not() {
        let (mut shell, alice, bob) = two_in(DOC);
        let second = shell.visit("bob", DOC);
        shell.visit("bob", OTHER);
        let silent = shell.open();
        assert_eq!(there(&shell), (5, 4, 2, 4, 3));
        shell.reset(&second);
        assert_eq!(there(&shell), (4, 3, 2, 4, 3), "who is lost is still held");
        shell.pass(30_000);
        assert_eq!(there(&shell), (3, 3, 2, 3, 3), "who said no hello was closed");
        assert_eq!(shell.reads(silent), ["close timeout"]);
        shell.relay.refuse(shell.now, bob.conn, CloseCode::Busy);
        shell.drain();
        assert_eq!(there(&shell), (2, 2, 2, 3, 3));
        shell.close_tab(&alice);
        assert_eq!(there(&shell), (1, 1, 2, 2, 2));
    }

    #[test]
    fn what_is_said_and_written_is_counted_by_its_kind() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pass(1_000);
        let before = shell.relay.stats();
        shell.update(&alice, DOC, r#"{"n":1}"#);
        shell.beat(&alice);
        shell.garbage(bob.conn);
        let after = shell.relay.stats();
        let more = |of: &dyn Fn(&Stats) -> u64| of(&after) - of(&before);
        for kind in [Received::Update, Received::Heartbeat, Received::Bad] {
            assert_eq!(more(&|it| it.received.of(kind)), 1, "{}", kind.name());
        }
        assert_eq!(more(&|it| it.received.of(Received::Join)), 0);
        assert_eq!(more(&|it| it.sent.of(Sent::Delta)), 2, "once for each viewer");
        assert_eq!(more(&|it| it.deltas), 1, "encoded once");
        assert_eq!(more(&|it| it.sent.of(Sent::Heartbeat)), 1);
        assert_eq!(more(&|it| it.sent.of(Sent::Error)), 1);
        assert_eq!(after.errors.get("bad_frame"), Some(&1));
        assert_eq!(after.closed.get("denied"), None);
        let stranger = shell.open();
        shell.relay.hello(shell.now, stranger, Err(Refusal::Denied), None, Dial(1));
        assert_eq!(shell.relay.stats().closed.get("denied"), Some(&1));
    }

    #[test]
    fn changes_that_are_gathered_are_fewer_when_they_are_told_and_late_by_their_window() {
        let (mut shell, alice, _bob) = two_in(DOC);
        shell.pass(1_000);
        let before = shell.relay.stats();
        for n in 0..10 {
            shell.update(&alice, DOC, &format!(r#"{{"n":{n}}}"#));
            shell.pass(1);
        }
        shell.pass(100);
        let after = shell.relay.stats();
        assert_eq!(after.changes - before.changes, 10);
        assert_eq!(after.changes_told - before.changes_told, 2, "the first one, and the last");
        assert_eq!(after.deltas - before.deltas, 2);
        let taken = |it: &Stats| it.fan_out.buckets().map(|(_, n)| n).collect::<Vec<_>>();
        let more: Vec<_> = taken(&after)
            .iter()
            .zip(taken(&before))
            .map(|(after, before)| after - before)
            .collect();
        assert_eq!(more.iter().sum::<u64>(), 4, "two deltas for two viewers");
        assert_eq!((more[0], more[5]), (2, 2), "at once, and within 32 ms: {more:?}");
    }

    #[test]
    fn what_is_dropped_is_counted_by_its_reason() {
        let config = RelayConfig { max_connections: 2, ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let (alice, bob) = (shell.visit("alice", DOC), shell.visit("bob", DOC));
        assert_eq!(shell.relay.connect(shell.now), Err(Full));
        shell.block(&bob);
        for n in 0..100 {
            shell.update(&alice, DOC, &format!(r#"{{"n":{n}}}"#));
            shell.pass(100);
        }
        shell.unblock(&bob);
        for _ in 0..5 {
            shell.resync(&alice, DOC);
        }
        let dropped = shell.relay.stats().dropped;
        assert_eq!(dropped.of(Dropped::Full), 1);
        assert_eq!(dropped.of(Dropped::Behind), 1, "once, however much it missed");
        assert_eq!(dropped.of(Dropped::Snapshot), 4);
    }

    #[test]
    fn every_socket_ends_in_one_way_and_is_counted_once() {
        let mut shell = Shell::new();
        for how in [Closed::Leave, Closed::Goodbye, Closed::Stuck, Closed::Lost, Closed::Lost] {
            let page = shell.visit("alice", DOC);
            shell.end(page.conn, how);
        }
        let silent = shell.open();
        shell.end(silent, Closed::Goodbye);
        let refused = shell.open();
        shell.relay.hello(shell.now, refused, Err(Refusal::Denied), None, Dial(1));
        shell.relay.refuse(shell.now, refused, CloseCode::Busy);
        shell.end(refused, Closed::Lost);
        shell.visit("bob", DOC);

        let stats = shell.relay.stats();
        let ended: Vec<_> = Ended::ALL.iter().map(|it| (it.name(), stats.ended.of(*it))).collect();
        let expected = [("closed", 1), ("left", 1), ("goodbye", 2), ("lost", 2), ("stuck", 1)];
        assert_eq!(ended, expected);
        assert_eq!(stats.opened, ended.iter().map(|it| it.1).sum::<u64>() + 1);
        assert_eq!(stats.closed, BTreeMap::from([("denied", 1)]));
    }

    #[test]
    fn a_frame_is_counted_once_and_by_its_kind_whatever_it_means() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        let again = Ok(grant("alice"));
        shell.relay.hello(shell.now, alice.conn, again, None, Dial(1));
        shell.drain();
        assert_eq!(shell.sees(&alice), ["= alice", "error bad_frame"]);
        let received = shell.relay.stats().received;
        assert_eq!((received.of(Received::Hello), received.of(Received::Bad)), (2, 0));
    }

    #[test]
    fn a_meta_that_waited_and_was_replaced_is_counted_as_dropped() {
        let (mut shell, alice, _) = two_in(DOC);
        shell.update_in_excess(&alice, DOC, r#"{"n":1}"#);
        shell.update(&alice, DOC, r#"{"n":2}"#);
        shell.update_in_excess(&alice, DOC, r#"{"n":3}"#);
        shell.join(&alice, DOC);
        assert_eq!(shell.relay.stats().dropped.of(Dropped::Rate), 2);
    }

    #[test]
    fn what_nobody_reads_is_not_told() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        shell.sees(&alice);
        assert_eq!(shell.relay.stats().changes_told, 0, "who comes gets a snapshot");
    }

    fn there(shell: &Shell<MemoryBackplane>) -> (usize, usize, usize, usize, usize) {
        let Stats { connections, sessions, keys, presences, members, .. } = shell.relay.stats();
        (connections, sessions, keys, presences, members)
    }
}

mod draining {
    use super::*;

    #[test]
    fn sessions_are_told_one_after_the_other_when_to_come_back() {
        let waits = waits(60_000, 30_000);
        assert!(waits.is_sorted());
        for tenth in [0, 100, 200, 300] {
            let n = waits.iter().filter(|it| **it == tenth).count();
            assert_eq!(n, 50, "two milliseconds for each of them");
        }
    }

    #[test]
    fn nobody_is_sent_away_for_longer_than_was_asked_or_a_third_of_the_grace() {
        for (spread, grace, longest) in [(300, 30_000, 200), (9_900, 900, 200), (0, 30_000, 0)] {
            assert_eq!(waits(spread, grace).last(), Some(&longest));
        }
    }

    #[test]
    fn who_has_no_session_is_told_that_it_is_over_and_nobody_is_told_anything_else() {
        let (mut shell, alice, bob) = two_in(DOC);
        let silent = shell.open();
        shell.relay.drain(shell.now, Duration::from_secs(5));
        assert_eq!(close_of(&mut shell, silent), [Outgoing::Close(CloseCode::GoingAway.into())]);
        for page in [alice, bob] {
            assert_eq!(wait_of(&close_of(&mut shell, page.conn)), Some(0));
        }
    }

    #[test]
    fn who_comes_back_to_the_next_relay_is_older_than_it_and_to_the_same_one_never_left() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.relay.drain(shell.now, Duration::from_secs(5));
        shell.drain();
        assert_eq!(shell.sees(&bob), ["close restarting"]);
        shell.pass(5_000);
        let again = shell.resume(&bob);
        shell.join(&again, DOC);
        shell.pass(100);
        assert_eq!(shell.sees(&again), ["= alice bob"]);
        let mut next = shell.restart();
        let after = next.dial(&alice, Dial(2));
        assert_eq!(after.session, alice.session);
    }

    /// How long each of 200 sessions is told to stay away.
    fn waits(spread: u64, grace: u64) -> Vec<u64> {
        let config = RelayConfig { grace: Duration::from_millis(grace), ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let visit = |it| shell.visit(&format!("user{it}"), &format!("document:{}", it / 10));
        let pages: Vec<_> = (0..200).map(visit).collect();
        shell.relay.drain(shell.now, Duration::from_millis(spread));
        pages.iter().map(|it| wait_of(&close_of(&mut shell, it.conn)).unwrap()).collect()
    }

    /// What is written to a connection.
    fn close_of(
        shell: &mut Shell<MemoryBackplane>,
        conn: ConnId,
    ) -> Vec<Outgoing<Rc<ServerFrame<Meta>>>> {
        let mut out = Vec::new();
        shell.relay.collect(shell.now, conn, usize::MAX, &mut out);
        out
    }

    /// The milliseconds of a close frame that is all there is.
    fn wait_of(out: &[Outgoing<Rc<ServerFrame<Meta>>>]) -> Option<u64> {
        let [Outgoing::Close(close)] = out else { return None };
        let wait = Wait::from_code(close.code())?;
        u64::try_from(wait.duration().as_millis()).ok()
    }
}

mod resuming {
    use super::*;

    #[test]
    fn newest_dial_wins_and_its_predecessor_is_fenced() {
        let (mut shell, old, bob) = two_in(DOC);
        let new = shell.resume(&old);
        shell.join(&new, DOC);
        shell.update(&old, DOC, r#"{"late":1}"#);
        shell.leave(&old, DOC);
        assert_eq!(shell.sees(&old), ["close replaced"]);
        shell.close_tab(&old);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
        assert_eq!(shell.roster(DOC), ["alice", "bob"]);
    }

    #[test]
    fn a_resume_overtakes_its_old_sockets_close() {
        for end in [Closed::Lost, Closed::Leave] {
            let (mut shell, old, bob) = two_in(DOC);
            let new = shell.resume(&old);
            shell.join(&new, DOC);
            shell.relay.closed(shell.now, old.conn, end);
            shell.pass(60_000);
            assert_eq!(shell.sees(&bob), NOTHING, "{end:?}");
        }
    }

    #[test]
    fn an_older_dial_that_arrives_late_is_closed_as_replaced() {
        let (mut shell, first, bob) = two_in(DOC);
        let third = shell.dial(&first, Dial(3));
        shell.join(&third, DOC);
        for late in [Dial(2), Dial(3)] {
            let conn = shell.open();
            shell.hello(conn, "alice", Some(first.claims.clone()), late);
            assert_eq!(shell.reads(conn), ["close replaced"]);
        }
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_lost_welcome_costs_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        // Twice the page never reads the answer, so it goes on with the token that it has.
        let unheard = shell.dial(&alice, Dial(2));
        let again = shell.dial(&alice, Dial(3));
        shell.reset(&unheard);
        let last = shell.dial(&alice, Dial(4));
        shell.join(&last, DOC);
        shell.reset(&again);
        shell.pass(60_000);
        assert_eq!(last.session, alice.session);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_resume_that_never_joins_is_held_like_a_lost_one() {
        let (mut shell, alice, bob) = two_in(DOC);
        let _new = shell.resume(&alice);
        shell.pass(29_999);
        assert_eq!(shell.sees(&bob), ["alice reconnecting"]);
        shell.pass(1);
        assert_eq!(shell.sees(&bob), ["-alice timeout"]);
    }

    #[test]
    fn a_resume_for_another_user_is_a_new_session() {
        let (mut shell, alice, bob) = two_in(DOC);
        let conn = shell.open();
        shell.hello(conn, "mallory", Some(alice.claims.clone()), Dial(2));
        let welcome = shell.welcome(conn);
        assert!(!welcome.resumed);
        assert_ne!(welcome.session, alice.session);
        shell.frame(conn, join(DOC));
        assert_eq!(shell.sees(&bob), ["+mallory"]);
        shell.update(&alice, DOC, r#"{"here":1}"#);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), [r#"alice {"here":1}"#]);
    }

    #[test]
    fn welcome_says_what_a_page_must_know() {
        let mut shell = Shell::new();
        shell.now += Duration::from_secs(7);
        let conn = shell.open();
        shell.hello(conn, "alice", None, Dial(1));
        let welcome = shell.welcome(conn);
        assert_eq!((welcome.heartbeat_ms, welcome.grace_ms), (10_000, 30_000));
        assert_eq!(welcome.expires_in_ms, 86_400_000);
        let age_ms = 7_000 + AGE_OF_EPOCH;
        assert_eq!(welcome.epoch, EpochInfo { id: Epoch::new(1), age_ms });
        assert!(!welcome.resumed);
    }

    #[test]
    fn a_hello_that_is_said_again_to_a_relay_that_forgot_it_is_a_new_session() {
        let (shell, alice, _bob) = two_in(DOC);
        let mut restarted = shell.restart();
        let conn = restarted.open();
        restarted.hello(conn, "alice", Some(alice.claims.clone()), alice.dial);
        let welcome = restarted.welcome(conn);
        assert!(!welcome.resumed);
        assert_ne!(welcome.session, alice.session);
    }

    #[test]
    fn a_session_never_began_in_the_future() {
        let (mut shell, alice, _bob) = two_in(DOC);
        let since = shell.now + Duration::from_secs(3_600);
        let ahead = Page { claims: ResumeClaims { since, ..alice.claims }, ..alice };
        let back = shell.resume(&ahead);
        assert_eq!(back.claims.since, shell.now);
    }

    #[test]
    fn a_new_socket_begins_in_no_key() {
        let (mut shell, alice, _bob) = two_in(DOC);
        let back = shell.resume(&alice);
        shell.update(&back, DOC, r#"{"a":1}"#);
        assert_eq!(shell.sees(&back), ["error not_joined document:42"]);
    }

    #[test]
    fn age_is_honoured_after_a_restart_only() {
        let (mut shell, alice, _bob) = two_in(DOC);
        shell.pass(20_000);
        // In the same epoch the relay knows that she wasn't in this key.
        let same = shell.resume(&alice);
        shell.join_as(&same, OTHER, "{}", Some(20_000));
        assert_eq!(shell.since(&same, OTHER), shell.now.relative_to(began()));

        let mut restarted = shell.restart();
        let back = restarted.resume(&same);
        assert!(back.resumed);
        restarted.join_as(&back, DOC, "{}", Some(20_000));
        assert_eq!(restarted.since(&back, DOC), -20_000);
    }

    #[test]
    fn age_is_clamped_to_the_age_of_the_session() {
        let mut shell = Shell::new();
        let alice = shell.page("alice");
        shell.pass(20_000);
        let mut restarted = shell.restart();
        let back = restarted.resume(&alice);
        restarted.join_as(&back, DOC, "{}", Some(u64::MAX));
        assert_eq!(restarted.since(&back, DOC), -20_000);
    }

    #[test]
    fn a_new_session_has_no_age() {
        let mut shell = Shell::new();
        let alice = shell.page("alice");
        shell.join_as(&alice, DOC, "{}", Some(1_000_000));
        assert_eq!(shell.since(&alice, DOC), shell.now.relative_to(began()));
    }

    #[test]
    fn a_second_drop_right_after_a_restart_costs_no_age() {
        let (mut shell, alice, _bob) = two_in(DOC);
        shell.pass(20_000);
        let mut restarted = shell.restart();
        // Its welcome arrives, so the page has a token of the new epoch; its join doesn't.
        let dropped = restarted.resume(&alice);
        restarted.reset(&dropped);
        restarted.pass(1_000);
        let back = restarted.resume(&dropped);
        restarted.join_as(&back, DOC, "{}", Some(21_000));
        assert_eq!(restarted.since(&back, DOC), -20_000);
    }

    #[test]
    fn age_means_nothing_once_everybodys_grace_is_over() {
        let (mut shell, alice, _bob) = two_in(DOC);
        shell.pass(20_000);
        let mut restarted = shell.restart();
        let began = restarted.now;
        restarted.pass(40_001);
        let back = restarted.resume(&alice);
        restarted.join_as(&back, DOC, "{}", Some(60_000));
        assert_eq!(restarted.since(&back, DOC), restarted.now.relative_to(began));
    }

    #[test]
    fn two_sessions_of_a_relay_never_share_an_id() {
        let mut shell = Shell::new();
        let sessions: BTreeSet<_> = (0..100).map(|_| shell.page("alice").session).collect();
        assert_eq!(sessions.len(), 100);
    }
}

mod beacons {
    use super::*;

    #[test]
    fn a_beacon_is_a_leave() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        shell.pass(3_000);
        shell.beacon(&alice, Dial(2), &[DOC]);
        assert_eq!(shell.sees(&bob), ["-alice left"]);
    }

    #[test]
    fn a_beacon_ends_its_pages_socket_so_that_nothing_late_brings_it_back() {
        let (mut shell, alice, bob) = two_in(DOC);
        let dialed = shell.resume(&alice);
        shell.beacon(&alice, dialed.dial, &[DOC]);
        shell.join(&dialed, DOC);
        assert_eq!(shell.sees(&dialed), ["close replaced"]);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), ["-alice left"]);
    }

    #[test]
    fn a_hello_that_comes_after_its_pages_beacon_is_closed_as_replaced() {
        let (mut shell, alice, _bob) = two_in(DOC);
        shell.reset(&alice);
        shell.beacon(&alice, Dial(2), &[DOC]);
        let conn = shell.open();
        shell.hello(conn, "alice", Some(alice.claims.clone()), Dial(2));
        assert_eq!(shell.reads(conn), ["close replaced"]);
        assert_eq!(shell.roster(DOC), ["bob"]);
    }

    #[test]
    fn a_beacon_that_a_newer_dial_overtook_means_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        let joined = shell.dial(&alice, Dial(3));
        shell.join(&joined, DOC);
        shell.beacon(&alice, Dial(2), &[DOC]);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_beacon_means_nothing_even_if_the_newer_dial_has_not_joined_yet() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        let newer = shell.dial(&alice, Dial(3));
        shell.beacon(&alice, Dial(2), &[DOC]);
        shell.join(&newer, DOC);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_beacon_older_than_its_own_token_means_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        shell.beacon(&back, Dial(1), &[DOC]);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_beacon_leaves_the_keys_that_it_names_and_no_others() {
        let (mut shell, alice, _bob) = two_in(DOC);
        shell.join(&alice, OTHER);
        shell.reset(&alice);
        shell.beacon(&alice, Dial(1), &[OTHER, "never:seen"]);
        shell.pass(20);
        assert_eq!(shell.roster(DOC), ["alice", "bob"]);
        assert_eq!(shell.relay.keys(), 1);
    }
}

mod telling {
    use super::*;

    #[test]
    fn a_quiet_key_sends_at_once() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
        shell.pass(20);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":2}"#]);
    }

    #[test]
    fn a_busy_key_sends_one_frame_per_window() {
        let (mut shell, alice, bob) = two_in(DOC);
        for millis in 0..200 {
            shell.update(&alice, DOC, &format!(r#"{{"at":{millis}}}"#));
            shell.pass(1);
        }
        assert_eq!(shell.sees(&bob).len(), 200 / 20 + 1);
    }

    #[test]
    fn the_last_value_in_a_window_wins() {
        let (mut shell, alice, bob) = two_in(DOC);
        for value in 0..5 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
        }
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":0}"#, r#"alice {"a":4}"#]);
    }

    #[test]
    fn an_update_that_changes_nothing_sends_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.update(&alice, DOC, "{}");
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.sees(&bob);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn join_and_leave_in_one_window_is_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.update(&alice, DOC, r#"{"busy":1}"#);
        shell.sees(&bob);
        let carol = shell.page("carol");
        shell.join(&carol, DOC);
        shell.leave(&carol, DOC);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), NOTHING);
        assert_eq!(shell.sees(&carol), NOTHING);
    }

    #[test]
    fn leave_and_join_in_one_window_replaces_the_presence() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.pass(1_000);
        shell.update(&bob, DOC, r#"{"busy":1}"#);
        shell.sees(&alice);
        shell.sees(&bob);
        shell.leave(&alice, DOC);
        shell.join(&alice, DOC);
        shell.pass(1_000);
        assert_eq!(shell.sees(&bob), ["+alice"]);
        assert_eq!(shell.sees(&alice), ["= alice bob"]);
    }

    #[test]
    fn a_window_grows_with_its_viewers() {
        let config = RelayConfig::default();
        let millis = |viewers| window(&config, viewers).as_millis();
        assert_eq!([millis(1), millis(100), millis(500), millis(9_999)], [20, 20, 100, 200]);
    }

    #[test]
    fn snapshots_are_taken_at_flush_points_only() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        let carol = shell.page("carol");
        shell.join(&carol, DOC);
        shell.resync(&bob, DOC);
        shell.sees(&bob);
        assert_eq!(shell.sees(&carol), NOTHING);
        shell.pass(20);
        assert_eq!(shell.sees(&carol), ["= alice bob carol"]);
        assert_eq!(shell.sees(&bob), ["= alice bob carol"]);
    }

    #[test]
    fn a_change_that_is_being_gathered_moves_no_rev_of_an_answer() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        shell.beat(&bob);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#, "heartbeat document:42@3"]);
        shell.pass(20);
        shell.beat(&bob);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":2}"#, "heartbeat document:42@4"]);
    }

    #[test]
    fn heartbeat_answers_name_the_rev_last_written_to_this_socket() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&bob);
        for value in 0..3 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
            shell.pass(20);
        }
        shell.beat(&bob);
        // He is given one frame at a time. His answer doesn't wait for all, and names the one before it.
        let mut seen = Vec::new();
        while shell.collect(bob.conn, 1) {
            seen.append(&mut shell.reads(bob.conn));
        }
        seen.append(&mut shell.reads(bob.conn));
        let (first, second, third) = (r#"alice {"a":0}"#, r#"alice {"a":1}"#, r#"alice {"a":2}"#);
        assert_eq!(seen[..4], [first, "heartbeat document:42@3", second, third]);
    }

    #[test]
    fn a_change_that_changes_nothing_wakes_nobody() {
        let (mut shell, alice, bob) = two_in(DOC);
        let again = Command::Update { key: parse(DOC), meta: meta("{}") };
        shell.relay.frame(shell.now, alice.conn, again);
        assert_eq!(shell.relay.poll_wake(), None);
        let (session, dial) = (bob.session, bob.dial);
        let lost = Change::Lost { session, dial, lost_for: Duration::ZERO };
        shell.relay.publish(shell.now, &parse(DOC), lost);
        shell.relay.publish(shell.now, &parse(DOC), Change::Back { session, dial });
        assert_eq!(shell.relay.poll_wake(), None);
    }

    #[test]
    fn a_log_keeps_only_what_somebody_still_has_to_read() {
        let (mut shell, alice, bob) = two_in(DOC);
        let update = |shell: &mut Shell<_>, values: core::ops::Range<u32>| {
            for value in values {
                shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
                shell.pass(20);
            }
            shell.relay.slots[&parse(DOC)].log.len()
        };
        assert_eq!(update(&mut shell, 0..20), 1);
        shell.block(&bob);
        assert_eq!(update(&mut shell, 20..30), 10);
        shell.unblock(&bob);
        assert_eq!(update(&mut shell, 30..31), 1);
    }

    #[test]
    fn a_key_of_many_gathers_for_longer_though_only_one_looks() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        for n in 0..199 {
            let other = shell.visit(&format!("user-{n}"), DOC);
            shell.reset(&other);
        }
        shell.pass(100);
        shell.sees(&alice);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        assert_eq!(shell.sees(&alice), [r#"alice {"a":1}"#]);
        shell.pass(39);
        assert_eq!(shell.sees(&alice), NOTHING);
        shell.pass(1);
        assert_eq!(shell.sees(&alice), [r#"alice {"a":2}"#]);
    }

    #[test]
    fn a_busy_key_does_not_starve_the_others_of_a_slow_socket() {
        let (mut shell, alice, bob) = two_in(DOC);
        for page in [&alice, &bob] {
            shell.join(page, OTHER);
            shell.pass(20);
            shell.sees(page);
        }
        shell.block(&bob);
        for value in 0..10 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
            shell.pass(20);
        }
        shell.update(&alice, OTHER, r#"{"b":1}"#);
        let mut seen = Vec::new();
        for _ in 0..2 {
            shell.collect(bob.conn, 1);
            seen.append(&mut shell.reads(bob.conn));
        }
        assert_eq!(seen, [r#"alice {"a":0}"#, r#"alice {"b":1}"#]);
    }

    #[test]
    fn nobody_gets_more_snapshots_than_one_a_second_for_each_key() {
        let (mut shell, _alice, bob) = two_in(DOC);
        let mut count = 0;
        for _ in 0..300 {
            shell.resync(&bob, DOC);
            count += shell.sees(&bob).len();
            shell.pass(10);
        }
        assert!((3..=4).contains(&count), "{count} in three seconds");
    }

    #[test]
    fn a_key_whose_snapshot_is_still_to_be_written_is_in_no_answer() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        shell.resync(&bob, DOC);
        shell.beat(&bob);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#, "heartbeat"]);
    }

    #[test]
    fn a_resync_is_answered_by_a_snapshot_and_nothing_is_told_twice() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.resync(&bob, DOC);
        assert_eq!(shell.sees(&bob), ["= alice bob"]);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
    }

    #[test]
    fn a_viewer_that_falls_off_the_log_gets_one_snapshot_and_keeps_its_place() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&bob);
        for value in 0..400 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
            shell.pass(20);
        }
        shell.unblock(&bob);
        assert_eq!(shell.sees(&bob), ["= alice bob"]);
        shell.update(&alice, DOC, r#"{"a":"next"}"#);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":"next"}"#]);
        assert_eq!(shell.roster(DOC), ["alice", "bob"]);
    }

    #[test]
    fn a_viewer_that_lags_a_little_gets_every_frame() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&bob);
        for value in 0..60 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
            shell.pass(20);
        }
        shell.unblock(&bob);
        assert_eq!(shell.sees(&bob).len(), 60);
    }

    #[test]
    fn a_delta_is_encoded_once_for_many_viewers() {
        let mut shell = Shell::new();
        let pages: Vec<_> = (0..50).map(|it| shell.visit(&format!("user{it}"), DOC)).collect();
        shell.pass(1_000);
        let before = shell.encoded();
        shell.update(&pages[0], DOC, r#"{"a":1}"#);
        assert_eq!(shell.encoded() - before, 1);
        for page in &pages[1..] {
            assert!(shell.sees(page).contains(&r#"user0 {"a":1}"#.to_owned()));
        }
    }

    #[test]
    fn a_snapshot_is_encoded_once_for_all_who_need_it_at_one_flush_point() {
        let mut shell = Shell::new();
        let pages: Vec<_> = (0..50).map(|it| shell.visit(&format!("user{it}"), DOC)).collect();
        shell.update(&pages[0], DOC, r#"{"a":1}"#);
        let before = shell.encoded();
        for page in &pages {
            shell.resync(page, DOC);
        }
        assert_eq!(shell.encoded() - before, 1);
    }

    #[test]
    fn nothing_is_encoded_when_nobody_reads() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        shell.reset(&alice);
        let before = shell.encoded();
        shell.pass(60_000);
        assert_eq!(shell.encoded(), before);
        assert_eq!(shell.relay.keys(), 0);
    }

    #[test]
    fn a_budget_is_kept_but_for_the_last_frame() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&bob);
        for value in 0..10 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
            shell.pass(20);
        }
        assert!(shell.collect(bob.conn, 3 * SIZE));
        assert_eq!(shell.reads(bob.conn).len(), 3);
        assert!(shell.collect(bob.conn, 3 * SIZE + 1));
        assert_eq!(shell.reads(bob.conn).len(), 4);
        assert!(!shell.collect(bob.conn, 100 * SIZE));
        assert_eq!(shell.reads(bob.conn).len(), 3);
    }

    #[test]
    fn one_that_has_more_to_be_written_is_not_woken_for_it() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&bob);
        for value in 0..3 {
            shell.update(&alice, DOC, &format!(r#"{{"a":{value}}}"#));
            shell.pass(20);
        }
        assert!(shell.collect(bob.conn, 1));
        let update = Command::Update { key: parse(DOC), meta: meta("{}") };
        shell.relay.frame(shell.now, alice.conn, update);
        let woken: Vec<_> = core::iter::from_fn(|| shell.relay.poll_wake()).collect();
        assert_eq!(woken, [alice.conn]);
    }

    #[test]
    fn a_relay_wakes_a_connection_once_however_much_waits_for_it() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        for _ in 0..5 {
            shell.relay.frame(shell.now, alice.conn, Command::Heartbeat);
        }
        let mut wakes = 0;
        while shell.relay.poll_wake().is_some() {
            wakes += 1;
        }
        assert_eq!(wakes, 1);
    }
}

mod refusing {
    use super::*;

    #[test]
    fn no_hello_within_five_seconds_is_a_timeout() {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.relay.heard(shell.now, conn);
        shell.pass(4_999);
        assert_eq!(shell.reads(conn), NOTHING);
        shell.pass(1);
        assert_eq!(shell.reads(conn), ["close timeout"]);
        assert_eq!(shell.relay.connections(), 0);
    }

    #[test]
    fn a_frame_before_the_hello_closes() {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.frame(conn, join(DOC));
        assert_eq!(shell.reads(conn), ["close bad_frame"]);
        assert_eq!(shell.relay.keys(), 0);
    }

    #[test]
    fn garbage_before_the_hello_closes_and_later_is_an_error() {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.garbage(conn);
        assert_eq!(shell.reads(conn), ["close bad_frame"]);
        let alice = shell.page("alice");
        shell.garbage(alice.conn);
        assert_eq!(shell.sees(&alice), ["error bad_frame"]);
        shell.join(&alice, DOC);
        assert_eq!(shell.sees(&alice), ["= alice"]);
    }

    #[test]
    fn a_second_hello_is_an_error_and_changes_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.hello(alice.conn, "mallory", None, Dial(9));
        assert_eq!(shell.sees(&alice), ["error bad_frame"]);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
    }

    #[test]
    fn a_bad_token_is_told_by_the_close_code() {
        for (refusal, close) in
            [(Refusal::Denied, "close denied"), (Refusal::Expired, "close expired")]
        {
            let mut shell = Shell::new();
            let conn = shell.open();
            shell.greet(conn, Err(refusal), None, Dial(1));
            assert_eq!(shell.reads(conn), [close]);
        }
    }

    #[test]
    fn a_refused_hello_does_not_disturb_the_session_that_it_names() {
        let (mut shell, alice, bob) = two_in(DOC);
        let conn = shell.open();
        shell.greet(conn, Err(Refusal::Expired), Some(alice.claims.clone()), Dial(2));
        shell.update(&alice, DOC, r#"{"a":1}"#);
        assert_eq!(shell.sees(&bob), [r#"alice {"a":1}"#]);
        assert_eq!(shell.sees(&alice), [r#"alice {"a":1}"#]);
    }

    #[test]
    fn a_token_that_expires_closes_its_socket_and_costs_nobody() {
        let mut shell = Shell::new();
        let bob = shell.visit("bob", DOC);
        let conn = shell.open();
        let grant = Grant { expires_in: Duration::from_secs(60), ..grant("alice") };
        shell.greet(conn, Ok(grant), None, Dial(1));
        let alice = shell.greeted(conn, "alice", Dial(1));
        shell.join(&alice, DOC);
        shell.sees(&bob);
        shell.pass(60_000 + 29_999);
        assert_eq!(shell.sees(&alice), ["= alice bob"], "it has the grace to bring another");
        shell.pass(1);
        assert_eq!(shell.sees(&alice), ["close expired"]);
        shell.pass(500);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_token_that_expires_before_the_first_beat_ends_its_socket_then() {
        let mut shell = Shell::new();
        let conn = shell.open();
        let short = Grant { expires_in: Duration::from_secs(3), ..grant("alice") };
        shell.greet(conn, Ok(short), None, Dial(1));
        shell.pass(32_999);
        assert_eq!(shell.reads(conn), ["welcome"]);
        shell.pass(1);
        assert_eq!(shell.reads(conn), ["close expired"]);
    }

    #[test]
    fn a_further_token_that_expires_first_ends_the_socket_then() {
        let mut shell = Shell::new();
        let alice = shell.page("alice");
        let own = Grant { expires_in: Duration::from_secs(7), ..grant("alice") };
        shell.frame(alice.conn, join_with(OTHER, Ok(own)));
        shell.pass(36_999);
        assert_eq!(shell.sees(&alice), ["= alice"]);
        shell.pass(1);
        assert_eq!(shell.sees(&alice), ["close expired"]);
    }

    #[test]
    fn a_further_token_that_lasts_longer_prolongs_nothing() {
        let mut shell = Shell::new();
        let conn = shell.open();
        let short = Grant { expires_in: Duration::from_secs(5), ..grant("alice") };
        shell.greet(conn, Ok(short), None, Dial(1));
        shell.frame(conn, join_with(DOC, Ok(grant("alice"))));
        shell.pass(35_000);
        assert_eq!(shell.reads(conn), ["welcome", "= alice", "close expired"]);
    }

    #[test]
    fn a_key_that_no_token_allows_is_denied_and_the_rest_goes_on() {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.greet(conn, Ok(only("alice", DOC)), None, Dial(1));
        shell.frame(conn, join(OTHER));
        shell.frame(conn, join(DOC));
        assert_eq!(shell.reads(conn), ["welcome", "error key_denied document:43", "= alice"]);
        assert_eq!(shell.relay.keys(), 1);
    }

    #[test]
    fn a_further_token_of_the_same_user_allows_its_key() {
        let mut shell = Shell::new();
        let conn = shell.open();
        shell.greet(conn, Ok(only("alice", DOC)), None, Dial(1));
        shell.frame(conn, join_with(OTHER, Ok(only("alice", OTHER))));
        assert_eq!(shell.reads(conn), ["welcome", "= alice"]);
    }

    #[test]
    fn a_further_token_allows_no_more_than_it_says_and_nobody_elses_counts() {
        let cases = [
            (Ok(only("mallory", OTHER)), "error key_denied document:43"),
            (Ok(only("alice", "document:44")), "error key_denied document:43"),
            (Err(Refusal::Denied), "error key_denied document:43"),
            (Err(Refusal::Expired), "error key_expired document:43"),
        ];
        for (token, error) in cases {
            let mut shell = Shell::new();
            let conn = shell.open();
            shell.greet(conn, Ok(only("alice", DOC)), None, Dial(1));
            shell.frame(conn, join_with(OTHER, token));
            assert_eq!(shell.reads(conn), ["welcome", error]);
            assert_eq!(shell.relay.keys(), 0);
        }
    }

    #[test]
    fn a_token_that_can_not_join_is_told_so() {
        for names in [&[][..], &["observe", "invisible", "pulse", "list", "kick"]] {
            let mut shell = Shell::new();
            let conn = shell.open();
            shell.greet(conn, Ok(able("alice", names)), None, Dial(1));
            shell.frame(conn, join(DOC));
            assert_eq!(shell.reads(conn), ["welcome", "error key_denied document:42"]);
            shell.frame(conn, join_with(DOC, Ok(able("alice", names))));
            assert_eq!(shell.reads(conn), ["error key_denied document:42"]);
            shell.frame(conn, join_with(DOC, Ok(able("alice", &["join"]))));
            assert_eq!(shell.reads(conn), ["= alice"]);
        }
    }

    #[test]
    fn a_token_that_can_not_pulse_may_be_here_and_say_what_it_likes_in_its_meta() {
        let mut shell = Shell::new();
        let bob = shell.visit("bob", DOC);
        let conn = shell.open();
        shell.greet(conn, Ok(able("alice", &["join"])), None, Dial(1));
        shell.frame(conn, join(DOC));
        assert_eq!(shell.reads(conn), ["welcome", "= alice bob"]);
        let pulse = |value: Option<&str>| Command::Pulse {
            key: parse(DOC),
            name: PulseName::parse("cursor").unwrap(),
            value: value.and_then(PulseValue::parse),
        };
        for value in [Some("1"), None] {
            shell.frame(conn, pulse(value));
            assert_eq!(shell.reads(conn), ["error not_allowed document:42"]);
        }
        shell.frame(conn, Command::Update { key: parse(DOC), meta: meta(r#"{"a":1}"#) });
        shell.pass(100);
        shell.sees(&bob);
        // A further token may allow it, for its key alone.
        shell.frame(
            conn,
            join_with(DOC, Ok(Grant { can: able("x", &["pulse"]).can, ..only("alice", DOC) })),
        );
        shell.reads(conn);
        shell.frame(conn, pulse(Some("1")));
        shell.pass(100);
        assert_eq!(shell.sees(&bob).last().unwrap(), "alice cursor 1");
    }

    #[test]
    fn a_full_key_is_told_so_and_its_members_may_come_back() {
        let mut shell =
            Shell::with(RelayConfig { max_presences_per_key: 2, ..RelayConfig::default() });
        let alice = shell.visit("alice", DOC);
        let bob = shell.visit("bob", DOC);
        let carol = shell.visit("carol", DOC);
        assert_eq!(shell.sees(&carol), ["error key_full document:42"]);
        shell.join(&bob, DOC);
        shell.reset(&alice);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        assert_eq!(shell.sees(&back), ["= alice bob"]);
        shell.close_tab(&bob);
        shell.join(&carol, DOC);
        shell.pass(20);
        assert_eq!(shell.sees(&carol), ["= alice carol"]);
    }

    #[test]
    fn too_many_keys_is_an_error_and_a_left_key_makes_room() {
        let mut shell =
            Shell::with(RelayConfig { max_keys_per_connection: 1, ..RelayConfig::default() });
        let alice = shell.visit("alice", DOC);
        shell.join(&alice, OTHER);
        shell.join(&alice, DOC);
        let seen = shell.sees(&alice);
        assert_eq!(seen, ["= alice", "error too_many_keys document:43", "= alice"]);
        shell.leave(&alice, DOC);
        shell.join(&alice, OTHER);
        assert_eq!(shell.sees(&alice), ["= alice"]);
    }

    #[test]
    fn what_needs_a_joined_key_says_so() {
        let mut shell = Shell::new();
        let alice = shell.page("alice");
        shell.update(&alice, DOC, "{}");
        shell.leave(&alice, DOC);
        shell.resync(&alice, DOC);
        assert_eq!(shell.sees(&alice), vec!["error not_joined document:42"; 3]);
        assert_eq!(shell.relay.keys(), 0);
    }

    #[test]
    fn a_full_relay_takes_no_further_connection_until_one_is_gone() {
        let mut shell = Shell::with(RelayConfig { max_connections: 2, ..RelayConfig::default() });
        let third = shell.open();
        let (first, _second) = (shell.page("alice"), shell.page("bob"));
        assert_eq!(shell.relay.connect(shell.now), Err(Full));
        shell.hello(third, "carol", None, Dial(1));
        assert_eq!(shell.reads(third), ["close busy"], "who came before and was slower");
        shell.end(first.conn, Closed::Lost);
        let carol = shell.page("carol");
        assert_eq!(shell.reads(carol.conn), NOTHING);
    }

    #[test]
    fn who_has_said_no_hello_takes_no_place_of_those_who_have() {
        let config = RelayConfig { max_connections: 2, max_greeting: 3, ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let silent: Vec<_> = (0..5).map(|_| shell.open()).collect();
        assert_eq!(shell.relay.connect(shell.now), Err(Full), "and is bounded, too");
        shell.end(silent[0], Closed::Lost);
        let alice = shell.page("alice");
        shell.join(&alice, DOC);
        assert_eq!(shell.reads(alice.conn), ["= alice"]);
    }

    #[test]
    fn a_page_that_comes_back_needs_no_further_place_in_a_full_relay() {
        let mut shell = Shell::with(RelayConfig { max_connections: 1, ..RelayConfig::default() });
        let again = shell.open();
        let alice = shell.page("alice");
        shell.hello(again, "alice", Some(alice.claims), Dial(2));
        assert_eq!(shell.reads(again), ["welcome"]);
    }

    #[test]
    fn a_user_with_all_connections_they_may_have_is_busy_and_nobody_else_is() {
        let config = RelayConfig { max_connections_per_user: 2, ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let conns = [(); 3].map(|()| shell.open());
        for conn in conns {
            shell.hello(conn, "alice", None, Dial(1));
        }
        assert_eq!(
            conns.map(|it| shell.reads(it).pop().unwrap()),
            ["welcome", "welcome", "close busy"]
        );
        let bob = shell.open();
        shell.hello(bob, "bob", None, Dial(1));
        assert_eq!(shell.reads(bob), ["welcome"]);

        let claims = shell.host.sealed.borrow()[0].clone();
        let resumed = shell.open();
        shell.hello(resumed, "alice", Some(claims), Dial(2));
        assert_eq!(shell.reads(resumed), ["welcome"], "a newer dial takes the older one's place");
        let fourth = shell.open();
        shell.hello(fourth, "alice", None, Dial(1));
        assert_eq!(shell.reads(fourth), ["close busy"]);
        shell.relay.closed(shell.now, conns[1], Closed::Lost);
        let fifth = shell.open();
        shell.hello(fifth, "alice", None, Dial(1));
        assert_eq!(shell.reads(fifth), ["welcome"]);
    }

    #[test]
    fn garbage_without_reading_the_answers_is_busy() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&alice);
        for _ in 0..1_000 {
            shell.garbage(alice.conn);
        }
        shell.unblock(&alice);
        let seen = shell.sees(&alice);
        assert_eq!(seen.len(), 33);
        assert_eq!(seen[32], "close busy");
        assert_eq!(shell.sees(&bob), NOTHING);
    }

    #[test]
    fn a_refused_socket_is_a_loss_and_what_it_says_later_means_nothing() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.block(&alice);
        shell.relay.refuse(shell.now, alice.conn, CloseCode::TooLarge);
        shell.leave(&alice, DOC);
        shell.garbage(alice.conn);
        shell.hello(alice.conn, "alice", None, Dial(7));
        shell.relay.heard(shell.now, alice.conn);
        shell.relay.refuse(shell.now, alice.conn, CloseCode::Busy);
        shell.unblock(&alice);
        assert_eq!(shell.sees(&alice), ["close too_large"]);
        shell.pass(30_000);
        assert_eq!(shell.sees(&bob), ["alice reconnecting", "-alice timeout"]);
    }

    #[test]
    fn a_stranger_to_the_relay_is_ignored() {
        let (mut shell, _alice, bob) = two_in(DOC);
        let nobody = ConnId(99);
        shell.relay.frame(shell.now, nobody, join(DOC));
        shell.relay.heard(shell.now, nobody);
        shell.relay.closed(shell.now, nobody, Closed::Leave);
        shell.relay.refuse(shell.now, nobody, CloseCode::Busy);
        assert!(!shell.relay.collect(shell.now, nobody, 1, &mut Vec::new()));
        assert_eq!(shell.sees(&bob), NOTHING);
    }
}

mod forgetting {
    use super::*;

    #[test]
    fn nobody_fills_a_key_alone() {
        let config = RelayConfig { max_presences_per_user: 2, ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let (first, second) = (shell.visit("alice", DOC), shell.visit("alice", DOC));
        let third = shell.visit("alice", DOC);
        assert_eq!(shell.sees(&third), ["error key_full document:42"]);
        shell.visit("bob", DOC);
        assert_eq!(shell.roster(DOC), ["alice", "alice", "bob"]);
        // One that is here already is not one more.
        let again = shell.resume(&first);
        shell.join(&again, DOC);
        shell.close_tab(&second);
        shell.join(&third, DOC);
        shell.pass(20);
        assert_eq!(shell.roster(DOC), ["alice", "alice", "bob"]);
    }

    #[test]
    fn nobody_fills_a_relay_with_many_keys() {
        let mut shell = Shell::with(few_of_a_user(2));
        let alice = shell.visit("alice", DOC);
        let other = shell.visit("alice", OTHER);
        let eve = shell.page("alice");
        shell.join(&eve, "document:44");
        shell.observe(&eve, "document:44");
        assert_eq!(shell.sees(&eve), ["error key_full document:44", "error key_full document:44"]);
        shell.visit("bob", "document:44");
        // Who is lost counts, and who is held comes back all the same.
        shell.reset(&other);
        shell.join(&eve, "document:44");
        assert_eq!(shell.sees(&eve), ["error key_full document:44"]);
        let back = shell.resume(&other);
        shell.join(&back, OTHER);
        shell.observe(&alice, DOC);
        shell.join(&alice, DOC);
        shell.pass(20);
        assert_eq!([shell.roster(DOC), shell.roster(OTHER)], [["alice"], ["alice"]]);
        shell.leave(&alice, DOC);
        shell.join(&eve, "document:44");
        shell.pass(20);
        assert_eq!(shell.roster("document:44"), ["alice", "bob"]);
    }

    #[test]
    fn whoever_has_gone_in_whatever_way_counts_for_nobody_any_more() {
        let mut shell = Shell::with(few_of_a_user(1));
        let tries: [fn(&mut Shell<MemoryBackplane>, &Page); 6] = [
            |shell, page| shell.leave(page, DOC),
            Shell::close_tab,
            |shell, page| {
                shell.reset(page);
                shell.pass(60_000);
            },
            |shell, page| {
                let user = UserId::parse("alice").unwrap();
                shell.relay.kick(shell.now, &user, Some(&parse(DOC)), Duration::ZERO).unwrap();
                shell.sees(page);
            },
            |shell, page| {
                shell.observe(page, DOC);
                shell.reset(page);
            },
            |shell, page| {
                shell.frame(page.conn, Command::Token { grant: Ok(grant("bob")) });
                shell.observe(page, DOC);
                shell.frame(page.conn, Command::Token { grant: Ok(grant("carol")) });
                shell.close_tab(page);
            },
        ];
        for goes in tries {
            let alice = shell.visit("alice", DOC);
            assert_eq!(shell.sees(&alice).last().map(String::as_str), Some("= alice"));
            goes(&mut shell, &alice);
            shell.pass(20);
            assert_eq!(shell.relay.presences.users(), 0);
        }
    }

    fn few_of_a_user(n: usize) -> RelayConfig {
        RelayConfig { max_presences_per_user_in_all: n, ..RelayConfig::default() }
    }

    #[test]
    fn lost_presences_count_among_those_that_a_relay_may_hold() {
        let config = RelayConfig { max_presences: 2, ..RelayConfig::default() };
        let mut shell = Shell::with(config);
        let (alice, bob) = (shell.visit("alice", DOC), shell.visit("bob", OTHER));
        shell.reset(&alice);
        let carol = shell.visit("carol", OTHER);
        assert_eq!(shell.sees(&carol).last().unwrap(), "error key_full document:43");
        // Who is held comes back all the same, and who has gone makes room.
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        shell.pass(60_000);
        assert_eq!(shell.roster(DOC), ["alice"]);
        shell.close_tab(&bob);
        shell.join(&carol, OTHER);
        shell.pass(20);
        assert_eq!(shell.roster(OTHER), ["carol"]);
    }

    #[test]
    fn empty_keys_are_dropped_with_all_they_hold() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.join(&alice, OTHER);
        shell.update(&alice, DOC, r#"{"a":1}"#);
        shell.update(&alice, DOC, r#"{"a":2}"#);
        shell.close_tab(&alice);
        shell.reset(&bob);
        shell.pass(30_000);
        assert_eq!((shell.relay.keys(), shell.relay.connections()), (0, 0));
        assert_eq!(shell.relay.poll_timeout(), None);
    }

    #[test]
    fn a_window_of_a_key_that_empties_leaves_no_timer() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.leave(&alice, DOC);
        shell.leave(&bob, DOC);
        shell.pass(20);
        assert_eq!(shell.relay.keys(), 0);
        shell.close_tab(&alice);
        shell.close_tab(&bob);
        assert_eq!(shell.relay.poll_timeout(), None);
    }

    #[test]
    fn a_rev_is_never_used_again_by_a_key_that_was_empty() {
        let mut shell = Shell::new();
        let alice = shell.visit("alice", DOC);
        let before = shell.rev(&alice, DOC);
        shell.leave(&alice, DOC);
        assert_eq!(shell.relay.keys(), 0);
        shell.join(&alice, DOC);
        assert!(shell.rev(&alice, DOC) > before);
    }

    #[test]
    fn sessions_are_remembered_for_a_while_and_then_forgotten() {
        let mut shell = Shell::new();
        for _ in 0..100 {
            let page = shell.visit("alice", DOC);
            shell.reset(&page);
        }
        assert_eq!(shell.relay.sessions.len(), 100);
        shell.pass(120_000);
        let last = shell.visit("alice", DOC);
        shell.reset(&last);
        assert_eq!(shell.relay.sessions.len(), 1);
    }

    #[test]
    fn connection_ids_are_used_again_without_mixing_up() {
        let (mut shell, alice, bob) = two_in(DOC);
        // Something waits for it, and its timer runs, when its number goes to somebody else.
        shell.relay.frame(shell.now, alice.conn, Command::Heartbeat);
        shell.relay.closed(shell.now, alice.conn, Closed::Lost);
        shell.sockets.remove(&alice.conn);
        let carol = shell.visit("carol", DOC);
        assert_eq!(carol.conn, alice.conn);
        shell.pass(20);
        assert_eq!(shell.sees(&carol), ["= alice bob carol"]);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        shell.pass(60_000);
        assert_eq!(shell.sees(&bob), ["+carol"]);
        assert_eq!(shell.roster(DOC), ["alice", "bob", "carol"]);
    }

    #[test]
    fn one_that_is_held_does_not_fence_whoever_has_its_old_number() {
        let (mut shell, alice, bob) = two_in(DOC);
        shell.reset(&alice);
        let carol = shell.visit("carol", DOC);
        assert_eq!(carol.conn, alice.conn);
        let back = shell.resume(&alice);
        shell.join(&back, DOC);
        shell.beacon(&back, back.dial, &[DOC]);
        shell.pass(1_000);
        assert_eq!(shell.roster(DOC), ["bob", "carol"]);
        assert_eq!(shell.sees(&bob), ["+carol", "-alice left"]);
        assert_eq!(shell.sees(&back).last().map(String::as_str), Some("close replaced"));
    }
}

/// Two relays that share one log of changes, which reaches each of them later.
mod several_relays {
    use super::*;

    #[test]
    fn nothing_changes_until_the_change_comes_back_in_order() {
        let (mut a, _b) = shared();
        let alice = a.visit("alice", DOC);
        assert_eq!(a.roster(DOC), NOTHING);
        a.catch_up();
        a.pass(20);
        assert_eq!(a.sees(&alice).last().map(String::as_str), Some("+alice"));
    }

    #[test]
    fn viewers_of_different_relays_see_each_other() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        let bob = b.visit("bob", DOC);
        a.update(&alice, DOC, r#"{"a":1}"#);
        settle(&mut a, &mut b);
        let everybody = list(&["alice", "bob"]);
        assert_eq!((a.roster(DOC), b.roster(DOC)), (everybody.clone(), everybody));
        b.sees(&bob);
        a.close_tab(&alice);
        settle(&mut a, &mut b);
        assert_eq!(b.sees(&bob), ["-alice left"]);
    }

    #[test]
    fn relays_whose_clocks_differ_agree_on_the_grace() {
        for ahead in [Duration::ZERO, Duration::from_secs(100)] {
            let (mut a, mut b) = shared();
            // One of them has stood still for a while: its clock is behind the other's for ever.
            a.now += ahead;
            b.now += Duration::from_secs(100) - ahead;
            let alice = a.visit("alice", DOC);
            let bob = b.visit("bob", DOC);
            settle(&mut a, &mut b);
            b.sees(&bob);
            a.reset(&alice);
            settle(&mut a, &mut b);
            both_pass(&mut a, &mut b, 29_000);
            assert_eq!(b.roster(DOC), ["alice", "bob"]);
            both_pass(&mut a, &mut b, 2_000);
            settle(&mut a, &mut b);
            assert_eq!(b.roster(DOC), ["bob"]);
        }
    }

    #[test]
    fn a_page_that_moves_to_another_relay_is_no_change() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        let bob = b.visit("bob", DOC);
        settle(&mut a, &mut b);
        b.sees(&bob);
        let moved = b.adopt(&alice, Dial(2));
        b.join(&moved, DOC);
        settle(&mut a, &mut b);
        // What the old socket does now means nothing, though its relay has not been told of the new one.
        a.update(&alice, DOC, r#"{"late":1}"#);
        a.close_tab(&alice);
        settle(&mut a, &mut b);
        both_pass(&mut a, &mut b, 60_000);
        assert_eq!(b.sees(&bob), NOTHING);
        assert_eq!(a.roster(DOC), ["alice", "bob"]);
    }

    #[test]
    fn a_join_that_a_newer_dial_at_another_relay_overtook_is_closed_as_replaced() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        settle(&mut a, &mut b);
        let moved = b.adopt(&alice, Dial(2));
        b.join(&moved, DOC);
        settle(&mut a, &mut b);
        a.sees(&alice);
        a.join(&alice, DOC);
        assert_eq!(a.sees(&alice), ["close replaced"]);
        settle(&mut a, &mut b);
        assert_eq!(b.roster(DOC), ["alice"]);
    }

    #[test]
    fn the_same_loss_ends_once_though_every_relay_counts() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        let bob = b.visit("bob", DOC);
        let carol = a.visit("carol", DOC);
        settle(&mut a, &mut b);
        a.reset(&alice);
        settle(&mut a, &mut b);
        a.sees(&carol);
        b.sees(&bob);
        both_pass(&mut a, &mut b, 60_000);
        let end = ["alice reconnecting", "-alice timeout"];
        assert_eq!(b.sees(&bob), end);
        assert_eq!(a.sees(&carol), end);
    }

    #[test]
    fn one_who_is_heard_in_time_does_not_time_out_though_another_relay_says_so() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        let bob = b.visit("bob", DOC);
        settle(&mut a, &mut b);
        b.sees(&bob);
        a.relay.heard(a.now, alice.conn);
        a.fall_silent(&alice);
        both_pass(&mut a, &mut b, 39_999);
        // She speaks at the last moment; before that gets round, the other relay's deadline runs.
        a.speak_again(&alice);
        a.relay.heard(a.now, alice.conn);
        b.pass(1);
        settle(&mut a, &mut b);
        b.pass(1_000);
        assert_eq!(b.sees(&bob), ["alice reconnecting", "alice active"]);
        assert_eq!(a.roster(DOC), ["alice", "bob"]);
    }

    #[test]
    fn a_deadline_whose_change_was_lost_comes_again() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        settle(&mut a, &mut b);
        a.reset(&alice);
        settle(&mut a, &mut b);
        a.pass(30_000);
        a.log.borrow_mut().truncate(a.applied);
        a.pass(5_000);
        settle(&mut a, &mut b);
        assert_eq!(a.roster(DOC), NOTHING);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn relays_that_have_heard_everything_agree(
            steps in proptest::collection::vec((any::<bool>(), step(), 0..4_usize), 1..60),
        ) {
            let (mut a, mut b) = shared();
            let mut pages: [Option<(bool, Page, bool)>; 4] = [const { None }; 4];
            for (at_a, step, catch_up) in steps {
                take(&mut a, &mut b, &mut pages, at_a, step);
                a.catch_up_by(catch_up);
                b.catch_up_by(3 - catch_up.min(3));
            }
            settle(&mut a, &mut b);
            prop_assert_eq!(a.entries(DOC), b.entries(DOC));
            settle(&mut a, &mut b);
            both_pass(&mut a, &mut b, 60_000);
            prop_assert_eq!(a.entries(DOC), b.entries(DOC));
            // Whoever's newest socket is open and joined is there, and nobody else.
            let there: BTreeSet<_> = pages
                .iter()
                .flatten()
                .filter(|(_, _, is_open)| *is_open)
                .filter(|(at_a, page, _)| if *at_a { a.is_viewer(page) } else { b.is_viewer(page) })
                .map(|(_, page, _)| page.session)
                .collect();
            let shown: BTreeSet<_> = a.entries(DOC).into_iter().map(|it| it.session).collect();
            prop_assert_eq!(shown, there);
        }
    }

    /// What one of four pages does next.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Open(usize),
        Join(usize),
        Update(usize),
        Leave(usize),
        Reset(usize),
        CloseTab(usize),
        Resume(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let page = 0..4_usize;
        prop_oneof![
            page.clone().prop_map(Step::Open),
            page.clone().prop_map(Step::Join),
            page.clone().prop_map(Step::Join),
            page.clone().prop_map(Step::Update),
            page.clone().prop_map(Step::Leave),
            page.clone().prop_map(Step::Reset),
            page.clone().prop_map(Step::CloseTab),
            page.clone().prop_map(Step::Resume),
            page.prop_map(Step::Resume),
            (0..12_000_u64).prop_map(Step::Pass),
        ]
    }

    fn take(
        a: &mut Shell<SharedLog>,
        b: &mut Shell<SharedLog>,
        pages: &mut [Option<(bool, Page, bool)>; 4],
        at_a: bool,
        step: Step,
    ) {
        match step {
            Step::Open(it) if pages[it].is_none() => {
                let shell = if at_a { a } else { b };
                pages[it] = Some((at_a, shell.visit(&format!("user{it}"), DOC), true));
            }
            Step::Resume(it) => {
                let Some((_, page, _)) = &pages[it] else { return };
                let shell = if at_a { a } else { b };
                let next = Dial(page.dial.0 + 1);
                let next = shell.adopt(page, next);
                shell.join(&next, DOC);
                pages[it] = Some((at_a, next, true));
            }
            Step::Pass(millis) => {
                a.pass(millis);
                b.pass(millis);
            }
            Step::Join(it)
            | Step::Update(it)
            | Step::Leave(it)
            | Step::Reset(it)
            | Step::CloseTab(it)
            | Step::Open(it) => {
                let Some((home, page, true)) = pages[it].clone() else { return };
                let shell = if home { a } else { b };
                match step {
                    Step::Join(_) => shell.join(&page, DOC),
                    Step::Update(_) => shell.update(&page, DOC, r#"{"a":1}"#),
                    Step::Leave(_) => shell.leave(&page, DOC),
                    Step::Reset(_) => {
                        shell.reset(&page);
                        pages[it] = Some((home, page, false));
                    }
                    Step::CloseTab(_) => {
                        shell.close_tab(&page);
                        pages[it] = None;
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn the_former_users_goodbye_means_nothing_at_the_other_relay_either() {
        let (mut a, mut b) = shared();
        let alice = a.visit("alice", DOC);
        settle(&mut a, &mut b);
        a.frame(alice.conn, Command::Token { grant: Ok(grant("carol")) });
        settle(&mut a, &mut b);
        b.beacon(&alice, Dial(2), &[DOC]);
        settle(&mut a, &mut b);
        assert_eq!((a.roster(DOC), b.roster(DOC)), (list(&["carol"]), list(&["carol"])));
    }

    fn shared() -> (Shell<SharedLog>, Shell<SharedLog>) {
        let log = Rc::new(RefCell::new(Vec::new()));
        let config = RelayConfig::default();
        let shell = |seed| Shell::over(config, SharedLog(log.clone()), seed, log.clone());
        (shell(1), shell(2))
    }

    fn settle(a: &mut Shell<SharedLog>, b: &mut Shell<SharedLog>) {
        a.catch_up();
        b.catch_up();
        a.pass(200);
        b.pass(200);
        a.catch_up();
        b.catch_up();
        a.pass(200);
        b.pass(200);
    }

    /// Time passes for both at once, and what they publish gets round at once.
    fn both_pass(a: &mut Shell<SharedLog>, b: &mut Shell<SharedLog>, millis: u64) {
        for _ in 0..millis / 100 {
            a.pass(100);
            b.pass(100);
            a.catch_up();
            b.catch_up();
        }
        a.pass(millis % 100);
        b.pass(millis % 100);
        a.catch_up();
        b.catch_up();
    }
}

mod whatever_happens {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The shell checks at each step that every copy a viewer has made of a key follows on, and
        /// that it is the key's roster whenever nothing is being gathered.
        #[test]
        fn everybody_is_where_the_rules_say(
            steps in proptest::collection::vec(step(), 1..80),
        ) {
            let mut shell = Shell::new();
            let mut model = Model::default();
            for step in steps {
                model.take(&mut shell, step);
                model.check(&shell)?;
            }
            model.close_everything(&mut shell);
            model.check(&shell)?;
            // The last to go may wait for the end of a window.
            shell.pass(30_000 + 20);
            prop_assert_eq!((shell.relay.keys(), shell.relay.connections()), (0, 0));
            prop_assert_eq!(shell.relay.poll_timeout(), None);
        }
    }

    const PAGES: usize = 4;
    const KEYS: [&str; 2] = [DOC, OTHER];

    /// What one of a few pages does next.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// It is opened, or comes back after whatever became of its last socket.
        Dial(usize),
        Join(usize, usize),
        Update(usize, usize, u8),
        Observe(usize, usize),
        Leave(usize, usize),
        Resync(usize, usize),
        Beat(usize),
        Reset(usize),
        CloseTab(usize),
        FallSilent(usize),
        SpeakAgain(usize),
        Block(usize),
        Unblock(usize),
        /// The page is closed while it has no socket.
        Beacon(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (page, key) = (0..PAGES, 0..KEYS.len());
        let both = (page.clone(), key);
        prop_oneof![
            3 => page.clone().prop_map(Step::Dial),
            4 => both.clone().prop_map(|(page, key)| Step::Join(page, key)),
            3 => (both.clone(), 0..3_u8).prop_map(|((page, key), it)| Step::Update(page, key, it)),
            2 => both.clone().prop_map(|(page, key)| Step::Observe(page, key)),
            1 => both.clone().prop_map(|(page, key)| Step::Leave(page, key)),
            1 => both.prop_map(|(page, key)| Step::Resync(page, key)),
            1 => page.clone().prop_map(Step::Beat),
            2 => page.clone().prop_map(Step::Reset),
            1 => page.clone().prop_map(Step::CloseTab),
            2 => page.clone().prop_map(Step::FallSilent),
            1 => page.clone().prop_map(Step::SpeakAgain),
            1 => page.clone().prop_map(Step::Block),
            1 => page.clone().prop_map(Step::Unblock),
            1 => page.prop_map(Step::Beacon),
            2 => (0..50_u64).prop_map(Step::Pass),
            3 => (0..12_000_u64).prop_map(Step::Pass),
        ]
    }

    /// What the rules say about each page: too simple to be wrong.
    #[derive(Debug, Default)]
    struct Model {
        pages: [Option<Modeled>; PAGES],
        now: u64,
    }

    #[derive(Debug)]
    struct Modeled {
        page: Page,
        /// Since when nothing has been heard of it, if it is silent.
        silent: Option<u64>,
        is_open: bool,
        is_blocked: bool,
        /// The keys that its socket is joined to.
        joined: BTreeSet<usize>,
        /// The keys that its socket looks at.
        observed: BTreeSet<usize>,
        /// Those that it is held in without a socket, and since when.
        held: BTreeMap<usize, u64>,
    }

    impl Modeled {
        /// Since when its socket's keys count as lost, if they do.
        fn silently_lost(&self, now: u64) -> Option<u64> {
            self.silent.filter(|at| self.is_open && now >= at + 15_000).map(|at| at + 10_000)
        }

        /// When it counts as lost if its socket ends now.
        fn lost_at(&self, now: u64) -> u64 {
            let pinged = self.silent.map_or(now, |at| now.min(at + 11_000));
            self.silently_lost(now).unwrap_or(pinged)
        }

        fn lose_socket(&mut self, at: u64) {
            self.is_open = false;
            self.is_blocked = false;
            self.silent = None;
            self.observed.clear();
            for key in core::mem::take(&mut self.joined) {
                self.held.insert(key, at);
            }
        }
    }

    impl Model {
        fn take(&mut self, shell: &mut Shell<MemoryBackplane>, step: Step) {
            match step {
                Step::Dial(it) => self.dial(shell, it),
                Step::Pass(millis) => {
                    shell.pass(millis);
                    self.pass(millis);
                }
                Step::Beacon(it) => {
                    let Some(mut known) = self.pages[it].take() else { return };
                    if known.is_open {
                        self.pages[it] = Some(known);
                        return;
                    }
                    known.held.clear();
                    shell.beacon(&known.page, known.page.dial, &KEYS);
                }
                Step::Join(it, _)
                | Step::Update(it, ..)
                | Step::Observe(it, _)
                | Step::Leave(it, _)
                | Step::Resync(it, _)
                | Step::Beat(it)
                | Step::Reset(it)
                | Step::CloseTab(it)
                | Step::FallSilent(it)
                | Step::SpeakAgain(it)
                | Step::Block(it)
                | Step::Unblock(it) => self.with_socket(shell, it, step),
            }
        }

        fn dial(&mut self, shell: &mut Shell<MemoryBackplane>, it: usize) {
            let now = self.now;
            let Some(known) = &mut self.pages[it] else {
                let page = shell.page(&format!("user{it}"));
                self.pages[it] = Some(Modeled {
                    page,
                    silent: None,
                    is_open: true,
                    is_blocked: false,
                    joined: BTreeSet::new(),
                    observed: BTreeSet::new(),
                    held: BTreeMap::new(),
                });
                return;
            };
            let old = known.page.clone();
            known.page = shell.resume(&old);
            // A fenced socket that can't be written to stays until its end is heard of.
            if known.is_open && known.is_blocked {
                shell.relay.closed(shell.now, old.conn, Closed::Leave);
                shell.sockets.remove(&old.conn);
                shell.drain();
            }
            known.lose_socket(now);
            known.is_open = true;
        }

        fn with_socket(&mut self, shell: &mut Shell<MemoryBackplane>, it: usize, step: Step) {
            let now = self.now;
            let Some(known) = self.pages[it].as_mut().filter(|it| it.is_open) else { return };
            let page = known.page.clone();
            let is_speaking = !matches!(
                step,
                Step::Reset(_)
                    | Step::CloseTab(_)
                    | Step::FallSilent(_)
                    | Step::Block(_)
                    | Step::Unblock(_)
            );
            if is_speaking && known.silent.is_some() {
                known.silent = Some(now);
            }
            match step {
                Step::Join(_, key) => {
                    shell.join(&page, KEYS[key]);
                    known.joined.insert(key);
                    known.observed.remove(&key);
                    known.held.remove(&key);
                }
                Step::Observe(_, key) => {
                    shell.observe(&page, KEYS[key]);
                    known.joined.remove(&key);
                    known.observed.insert(key);
                    known.held.remove(&key);
                }
                Step::Update(_, key, value) if known.joined.contains(&key) => {
                    shell.update(&page, KEYS[key], &format!(r#"{{"a":{value}}}"#));
                }
                Step::Leave(_, key) if known.joined.remove(&key) || known.observed.remove(&key) => {
                    shell.leave(&page, KEYS[key]);
                }
                Step::Resync(_, key)
                    if known.joined.contains(&key) || known.observed.contains(&key) =>
                {
                    shell.resync(&page, KEYS[key]);
                }
                Step::Reset(_) => {
                    known.lose_socket(known.lost_at(now));
                    shell.reset(&page);
                }
                Step::CloseTab(_) => {
                    // It leaves the keys of its socket. What is held from before it knows nothing of.
                    shell.close_tab(&page);
                    known.joined.clear();
                    known.lose_socket(now);
                }
                Step::FallSilent(_) if known.silent.is_none() => {
                    // What has been heard of it last is a pong, which the shell has sent for it.
                    known.silent = Some(shell.last_heard(&page));
                    shell.fall_silent(&page);
                }
                Step::SpeakAgain(_) => {
                    shell.speak_again(&page);
                    known.silent = known.is_blocked.then_some(now);
                }
                // What can't be written to gets no ping to answer.
                Step::Block(_) => {
                    known.silent.get_or_insert(shell.last_heard(&page));
                    known.is_blocked = true;
                    shell.block(&page);
                }
                Step::Unblock(_) => {
                    shell.unblock(&page);
                    shell.speak_again(&page);
                    known.is_blocked = false;
                    known.silent = None;
                }
                _ if is_speaking => shell.beat(&page),
                _ => {}
            }
        }

        fn pass(&mut self, millis: u64) {
            self.now += millis;
            for known in self.pages.iter_mut().flatten() {
                if let Some(at) = known.silent.filter(|at| self.now >= at + 40_000) {
                    known.lose_socket(at + 10_000);
                }
                known.held.retain(|_, lost| *lost + 30_000 > self.now);
            }
        }

        fn close_everything(&mut self, shell: &mut Shell<MemoryBackplane>) {
            for known in self.pages.iter_mut().flatten().filter(|it| it.is_open) {
                known.lose_socket(known.lost_at(self.now));
            }
            // Those that can't be written to may be open still, though the relay has given them up.
            for conn in shell.sockets.keys().copied().collect::<Vec<_>>() {
                shell.end(conn, Closed::Lost);
            }
        }

        fn check(&self, shell: &Shell<MemoryBackplane>) -> Result<(), TestCaseError> {
            for (index, key) in KEYS.iter().enumerate() {
                let mut expected = BTreeMap::new();
                for known in self.pages.iter().flatten() {
                    let lost = if known.joined.contains(&index) {
                        Some(known.silently_lost(self.now))
                    } else {
                        known.held.get(&index).map(|it| Some(*it))
                    };
                    if let Some(lost) = lost {
                        let is_dim = lost.is_some_and(|at| self.now >= at + 10_000);
                        expected.insert(known.page.session, is_dim);
                    }
                }
                let dim = |it: &Presence<Meta>| it.state == PresenceState::Reconnecting;
                let mut actual: BTreeMap<_, _> =
                    shell.entries(key).iter().map(|it| (it.session, dim(it))).collect();
                // One that was dim and is held anew after a hello stays dim; nobody promised otherwise.
                for (session, is_dim) in &mut actual {
                    if expected.get(session) == Some(&false) && self.is_held(*session, index) {
                        *is_dim = false;
                    }
                }
                prop_assert_eq!(actual, expected, "{}", key);
            }
            Ok(())
        }

        fn is_held(&self, session: SessionId, key: usize) -> bool {
            let mut pages = self.pages.iter().flatten();
            pages.any(|it| it.page.session == session && it.held.contains_key(&key))
        }
    }
}

/// What a viewer has seen when it has seen nothing.
const NOTHING: [&str; 0] = [];
/// What every encoded frame counts for.
const SIZE: usize = 100;
/// How old the epoch is when a test begins, in milliseconds.
const AGE_OF_EPOCH: u64 = 500;

/// When the epoch of every first relay began.
fn began() -> Time {
    Time::from_millis(1_000_000)
}

/// A relay and its sockets, run as a real shell runs them.
struct Shell<B> {
    relay: Relay<Scribe, B>,
    now: Time,
    sockets: BTreeMap<ConnId, Socket>,
    /// What was read from sockets that are gone.
    remains: BTreeMap<ConnId, Vec<String>>,
    names: BTreeMap<SessionId, String>,
    host: Scribe,
    /// The log of a shared backplane, and how much of it has been delivered here.
    log: Rc<RefCell<Vec<(Key, Change)>>>,
    applied: usize,
}

/// A viewer's end of a socket.
#[derive(Default)]
struct Socket {
    seen: Vec<String>,
    frames: Vec<Rc<ServerFrame<Meta>>>,
    pings: usize,
    copies: BTreeMap<Key, Copy>,
    is_silent: bool,
    is_blocked: bool,
    welcome: Option<Welcome>,
}

/// A key as a viewer knows it.
struct Copy {
    rev: Rev,
    presences: BTreeMap<SessionId, Presence<Meta>>,
}

/// A page as far as these tests need one.
#[derive(Clone, Debug)]
struct Page {
    conn: ConnId,
    user: String,
    session: SessionId,
    claims: ResumeClaims,
    dial: Dial,
    resumed: bool,
}

/// Encodes by sharing, and keeps what it has sealed.
#[derive(Clone, Debug, Default)]
struct Scribe {
    encoded: Rc<Cell<usize>>,
    sealed: Rc<RefCell<Vec<ResumeClaims>>>,
}

impl Host for Scribe {
    type Frame = Rc<ServerFrame<Meta>>;

    fn encode(&mut self, frame: &ServerFrame<Meta>) -> Self::Frame {
        self.encoded.set(self.encoded.get() + 1);
        Rc::new(frame.clone())
    }

    fn size(_frame: &Self::Frame) -> usize {
        SIZE
    }

    fn seal(&mut self, claims: &ResumeClaims) -> String {
        self.sealed.borrow_mut().push(claims.clone());
        (self.sealed.borrow().len() - 1).to_string()
    }
}

/// A log that several relays read; it orders changes, but nobody has them at once.
#[derive(Clone, Debug)]
struct SharedLog(Rc<RefCell<Vec<(Key, Change)>>>);

impl Backplane for SharedLog {
    fn epoch(&self) -> (Epoch, Time) {
        (Epoch::new(1), began())
    }

    fn publish(&mut self, key: &Key, change: &Change) -> Option<Rev> {
        self.0.borrow_mut().push((key.clone(), change.clone()));
        None
    }
}

impl Shell<MemoryBackplane> {
    fn new() -> Self {
        Self::with(RelayConfig::default())
    }

    fn with(config: RelayConfig) -> Self {
        Self::over(config, MemoryBackplane::new(Epoch::new(1), began()), 7, Rc::default())
    }

    /// The same relay after a restart: it knows nobody any more.
    fn restart(self) -> Self {
        let backplane = MemoryBackplane::new(Epoch::new(2), self.now);
        let mut shell = Self::over(RelayConfig::default(), backplane, 8, Rc::default());
        shell.now = self.now;
        shell.names = self.names;
        shell
    }
}

impl<B: Backplane> Shell<B> {
    fn over(
        config: RelayConfig,
        backplane: B,
        seed: u64,
        log: Rc<RefCell<Vec<(Key, Change)>>>,
    ) -> Self {
        let host = Scribe::default();
        Self {
            relay: Relay::new(config, host.clone(), backplane, seed),
            now: began() + Duration::from_millis(AGE_OF_EPOCH),
            sockets: BTreeMap::new(),
            remains: BTreeMap::new(),
            names: BTreeMap::new(),
            host,
            log,
            applied: 0,
        }
    }

    fn open(&mut self) -> ConnId {
        let conn = self.relay.connect(self.now).unwrap();
        self.sockets.insert(conn, Socket::default());
        self.remains.remove(&conn);
        conn
    }

    fn hello(&mut self, conn: ConnId, user: &str, resume: Option<ResumeClaims>, dial: Dial) {
        self.greet(conn, Ok(grant(user)), resume, dial);
    }

    fn greet(
        &mut self,
        conn: ConnId,
        grant: Result<Grant, Refusal>,
        resume: Option<ResumeClaims>,
        dial: Dial,
    ) {
        self.relay.hello(self.now, conn, grant, resume, dial);
        self.drain();
    }

    /// A page that has been greeted.
    fn page(&mut self, user: &str) -> Page {
        let conn = self.open();
        self.hello(conn, user, None, Dial(1));
        self.greeted(conn, user, Dial(1))
    }

    /// A page that has joined a key, which is quiet again.
    fn visit(&mut self, user: &str, key: &str) -> Page {
        let page = self.page(user);
        self.join(&page, key);
        self.pass(20);
        page
    }

    /// The page dials again and is greeted, whatever became of its last socket.
    fn resume(&mut self, page: &Page) -> Page {
        self.dial(page, Dial(page.dial.0 + 1))
    }

    fn dial(&mut self, page: &Page, dial: Dial) -> Page {
        let conn = self.open();
        self.hello(conn, &page.user, Some(page.claims.clone()), dial);
        let page = self.greeted(conn, &page.user, dial);
        assert!(page.resumed);
        page
    }

    /// A page that comes from another relay.
    fn adopt(&mut self, page: &Page, dial: Dial) -> Page {
        self.names.insert(page.session, page.user.clone());
        self.dial(page, dial)
    }

    fn greeted(&mut self, conn: ConnId, user: &str, dial: Dial) -> Page {
        self.drain();
        let welcome = self.welcome(conn);
        self.reads(conn);
        let sealed: usize = welcome.resume.parse().unwrap();
        let claims = self.host.sealed.borrow()[sealed].clone();
        assert_eq!((claims.session, claims.dial), (welcome.session, dial));
        let (session, resumed) = (welcome.session, welcome.resumed);
        self.names.insert(session, user.to_owned());
        Page { conn, user: user.to_owned(), session, claims, dial, resumed }
    }

    fn welcome(&self, conn: ConnId) -> Welcome {
        self.sockets[&conn].welcome.clone().unwrap()
    }

    fn frame(&mut self, conn: ConnId, command: Command) {
        self.relay.frame(self.now, conn, command);
        self.drain();
    }

    fn excess(&mut self, conn: ConnId, command: Command) {
        self.relay.excess(self.now, conn, command);
        self.drain();
    }

    fn garbage(&mut self, conn: ConnId) {
        self.relay.bad_frame(self.now, conn, ErrorCode::BadFrame, "what?".to_owned(), None);
        self.drain();
    }

    fn join(&mut self, page: &Page, key: &str) {
        self.frame(page.conn, join(key));
    }

    fn join_as(&mut self, page: &Page, key: &str, json: &str, age: Option<u64>) {
        let (key, meta) = (parse(key), meta(json));
        self.frame(page.conn, Command::Join { key, grant: None, meta, age, away: None });
    }

    fn update(&mut self, page: &Page, key: &str, json: &str) {
        self.frame(page.conn, Command::Update { key: parse(key), meta: meta(json) });
    }

    fn update_in_excess(&mut self, page: &Page, key: &str, json: &str) {
        self.excess(page.conn, Command::Update { key: parse(key), meta: meta(json) });
    }

    fn attention(&mut self, page: &Page, away: bool) {
        self.frame(page.conn, Command::Attention { away });
    }

    fn pulse(&mut self, page: &Page, name: &str, value: Option<&str>) {
        let (key, name) = (parse(DOC), PulseName::parse(name).unwrap());
        let value = value.and_then(PulseValue::parse);
        self.frame(page.conn, Command::Pulse { key, name, value });
    }

    fn pulse_in_excess(&mut self, page: &Page, name: &str, value: Option<&str>) {
        let (key, name) = (parse(DOC), PulseName::parse(name).unwrap());
        let value = value.and_then(PulseValue::parse);
        self.excess(page.conn, Command::Pulse { key, name, value });
    }

    fn observe(&mut self, page: &Page, key: &str) {
        let key = parse(key);
        self.frame(page.conn, Command::Observe { key, grant: None, invisible: false });
    }

    fn leave(&mut self, page: &Page, key: &str) {
        self.frame(page.conn, Command::Leave { key: parse(key) });
    }

    fn resync(&mut self, page: &Page, key: &str) {
        self.frame(page.conn, Command::Resync { key: parse(key) });
    }

    fn beat(&mut self, page: &Page) {
        self.frame(page.conn, Command::Heartbeat);
    }

    fn beacon(&mut self, page: &Page, dial: Dial, keys: &[&str]) {
        let keys: Vec<_> = keys.iter().map(|it| parse(it)).collect();
        self.relay.beacon(self.now, &page.claims, dial, &keys);
        self.drain();
    }

    fn reset(&mut self, page: &Page) {
        self.end(page.conn, Closed::Lost);
    }

    fn close_tab(&mut self, page: &Page) {
        self.end(page.conn, Closed::Leave);
    }

    fn end(&mut self, conn: ConnId, how: Closed) {
        if let Some(socket) = self.sockets.remove(&conn) {
            self.remains.insert(conn, socket.seen);
            self.relay.closed(self.now, conn, how);
        }
        self.drain();
    }

    /// From here on not even its browser answers.
    fn fall_silent(&mut self, page: &Page) {
        self.sockets.get_mut(&page.conn).unwrap().is_silent = true;
    }

    fn speak_again(&mut self, page: &Page) {
        self.sockets.get_mut(&page.conn).unwrap().is_silent = false;
        self.relay.heard(self.now, page.conn);
        self.drain();
    }

    /// Its socket can't be written to for a while.
    fn block(&mut self, page: &Page) {
        self.sockets.get_mut(&page.conn).unwrap().is_blocked = true;
    }

    fn unblock(&mut self, page: &Page) {
        self.sockets.get_mut(&page.conn).unwrap().is_blocked = false;
        while self.collect(page.conn, usize::MAX) {}
        self.drain();
    }

    /// Time passes, and the relay's timer fires whenever it is due.
    fn pass(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(due) = self.relay.poll_timeout().filter(|it| *it <= until) {
            self.now = self.now.max(due);
            self.run_timers();
        }
        self.now = until;
    }

    fn run_timers(&mut self) {
        self.relay.handle_timeout(self.now);
        self.drain();
        let next = self.relay.poll_timeout();
        assert!(next.is_none_or(|it| it > self.now), "a timer that ran is due again");
    }

    /// Everything that was published is delivered here.
    fn catch_up(&mut self) {
        self.catch_up_by(usize::MAX);
    }

    fn catch_up_by(&mut self, most: usize) {
        for _ in 0..most {
            let Some((key, change)) = self.log.borrow().get(self.applied).cloned() else { break };
            self.applied += 1;
            self.relay.deliver(self.now, &key, Rev(self.applied as u64), change);
            self.drain();
        }
    }

    /// Writes to all sockets that have something waiting and can be written to.
    fn drain(&mut self) {
        while let Some(conn) = self.relay.poll_wake() {
            if self.sockets.get(&conn).is_some_and(|it| !it.is_blocked) {
                self.collect(conn, usize::MAX);
            }
        }
        let writable: Vec<_> =
            self.sockets.iter().filter(|(_, it)| !it.is_blocked).map(|(conn, _)| *conn).collect();
        for conn in writable {
            let mut rest = Vec::new();
            self.relay.collect(self.now, conn, usize::MAX, &mut rest);
            assert_eq!(rest, [], "{conn:?} was not woken for what waited");
        }
        self.check_copies();
    }

    /// Writes to one socket; true if there is more.
    fn collect(&mut self, conn: ConnId, budget: usize) -> bool {
        let mut out = Vec::new();
        let is_more = self.relay.collect(self.now, conn, budget, &mut out);
        for outgoing in out {
            self.read(conn, outgoing);
        }
        is_more
    }

    /// What a viewer does with what it gets.
    fn read(&mut self, conn: ConnId, outgoing: Outgoing<Rc<ServerFrame<Meta>>>) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        match outgoing {
            Outgoing::Frame(frame) => {
                let text = socket.take(&frame, &mut self.names);
                socket.seen.push(text);
                socket.frames.push(frame);
            }
            Outgoing::Ping => {
                socket.pings += 1;
                if !socket.is_silent {
                    self.relay.heard(self.now, conn);
                }
            }
            Outgoing::Close(code) => {
                socket.seen.push(format!("close {}", code.name()));
                self.end(conn, Closed::Lost);
            }
        }
    }

    /// What is counted as it comes and goes is what there is.
    fn check_stats(&self) {
        let stats = self.relay.stats();
        let is_open = |it: &&Connection<_>| matches!(it.phase, Phase::Open(_));
        let n_open = self.relay.connections.iter().flatten().filter(is_open).count();
        let users = |it: &Slot<_>| -> BTreeSet<_> {
            it.room.presences().iter().map(|it| it.user.id().clone()).collect()
        };
        let slots = || self.relay.slots.values();
        let presences: usize = slots().map(|it| it.room.len()).sum();
        let members: usize = slots().map(|it| users(it).len()).sum();
        assert_eq!((stats.sessions, stats.presences, stats.members), (n_open, presences, members));
    }

    /// Whoever is up to date knows what the relay knows.
    fn check_copies(&self) {
        self.check_stats();
        for (conn, socket) in &self.sockets {
            for (key, copy) in &socket.copies {
                let Some(slot) = self.relay.slots.get(key) else { continue };
                let is_current = slot.viewers.get(conn).is_some_and(|it| !it.is_waiting(&slot.log));
                if is_current && slot.room.is_flushed() {
                    let theirs: Vec<_> = copy.presences.values().cloned().collect();
                    assert_eq!(theirs, slot.room.snapshot(key).presences, "{conn:?} in {key}");
                    assert_eq!(copy.rev, slot.room.flushed_rev());
                }
            }
        }
    }

    /// What a page has read since the last look.
    fn sees(&mut self, page: &Page) -> Vec<String> {
        self.reads(page.conn)
    }

    fn reads(&mut self, conn: ConnId) -> Vec<String> {
        match self.sockets.get_mut(&conn) {
            Some(socket) => core::mem::take(&mut socket.seen),
            None => self.remains.remove(&conn).unwrap_or_default(),
        }
    }

    /// The very frames that a page has read since the last look at them.
    fn frames(&mut self, page: &Page) -> Vec<Rc<ServerFrame<Meta>>> {
        self.sockets.get_mut(&page.conn).map_or_else(Vec::new, |it| core::mem::take(&mut it.frames))
    }

    fn pings(&self, page: &Page) -> usize {
        self.sockets[&page.conn].pings
    }

    fn encoded(&self) -> usize {
        self.host.encoded.get()
    }

    fn entries(&self, key: &str) -> Vec<Presence<Meta>> {
        self.relay.slots.get(&parse(key)).map_or_else(Vec::new, |it| it.room.presences())
    }

    /// The names of those in a key, in order of the alphabet.
    fn roster(&self, key: &str) -> Vec<String> {
        let name = |it: Presence<Meta>| it.user.name().to_owned();
        let mut names: Vec<_> = self.entries(key).into_iter().map(name).collect();
        names.sort();
        names
    }

    fn since(&self, page: &Page, key: &str) -> i64 {
        self.entries(key).iter().find(|it| it.session == page.session).unwrap().since
    }

    fn rev(&self, page: &Page, key: &str) -> Rev {
        self.sockets[&page.conn].copies[&parse(key)].rev
    }

    fn last_heard(&mut self, page: &Page) -> u64 {
        let heard = self.relay.connection(page.conn).unwrap().last_heard;
        heard.as_millis() - began().as_millis() - AGE_OF_EPOCH
    }

    /// True if the page's socket is open and joined, and no newer one has taken over.
    fn is_viewer(&self, page: &Page) -> bool {
        self.relay.slots.get(&parse(DOC)).is_some_and(|it| it.viewers.contains_key(&page.conn))
    }
}

impl Socket {
    /// Applies a frame as a viewer would, and says in a few words what it told.
    fn take(
        &mut self,
        frame: &ServerFrame<Meta>,
        names: &mut BTreeMap<SessionId, String>,
    ) -> String {
        match frame {
            ServerFrame::Welcome(welcome) => {
                self.welcome = Some(welcome.clone());
                "welcome".to_owned()
            }
            ServerFrame::Snapshot(Snapshot { key, rev, presences }) => {
                let known: BTreeMap<_, _> =
                    presences.iter().map(|it| (it.session, it.clone())).collect();
                assert_eq!(known.len(), presences.len(), "a presence is in a snapshot twice");
                self.copies.insert(key.clone(), Copy { rev: *rev, presences: known });
                let mut shown: Vec<_> = presences.iter().map(|it| it.user.name()).collect();
                shown.sort_unstable();
                format!("= {}", shown.join(" "))
            }
            ServerFrame::Delta(delta) => self.take_delta(delta, names),
            ServerFrame::Heartbeat { revs } => {
                let mut text = "heartbeat".to_owned();
                for (key, rev) in revs {
                    assert_eq!(self.copies[key].rev, *rev, "an answer names what wasn't written");
                    text += &format!(" {key}@{}", rev.0);
                }
                text
            }
            ServerFrame::LastSeen { key, seen } => {
                let one = |it: &Seen| format!(" {} {}", it.user.name(), it.ago_ms / 1000);
                format!("{key} seen by{}", seen.iter().map(one).collect::<String>())
            }
            ServerFrame::Token { resume, expires_in_ms, user_id } => {
                let user = user_id.as_ref().map_or("-", UserId::as_str);
                format!("token {resume} {expires_in_ms} {user}")
            }
            ServerFrame::Error { code, key, .. } => {
                let key = key.as_ref().map_or_else(String::new, |it| format!(" {it}"));
                format!("error {}{key}", code.name())
            }
        }
    }

    fn take_delta(
        &mut self,
        delta: &Delta<Meta>,
        names: &mut BTreeMap<SessionId, String>,
    ) -> String {
        let Delta { key, from, to, joined, left, updated, pulses } = delta;
        let copy = self.copies.get_mut(key).expect("a delta came before any snapshot");
        assert_eq!(copy.rev, *from, "a delta doesn't follow on the last frame");
        assert_ne!(to, from);
        let is_new = copy.presences.is_empty();
        assert_eq!(*from == Rev(0), is_new, "an empty key is at rev 0, and no other is");
        assert!(to > from || *to == Rev(0));
        copy.rev = *to;
        let mut touched = BTreeSet::new();
        let mut told = Vec::new();
        for presence in joined {
            assert!(touched.insert(presence.session));
            told.push(format!("+{}", presence.user.name()));
            names.insert(presence.session, presence.user.name().to_owned());
            copy.presences.insert(presence.session, presence.clone());
        }
        for left in left {
            assert!(touched.insert(left.session));
            let gone = copy.presences.remove(&left.session).expect("who left was not there");
            told.push(format!("-{} {}", gone.user.name(), left.reason.name()));
        }
        for updated in updated {
            assert!(touched.insert(updated.session));
            let presence = copy.presences.get_mut(&updated.session).expect("nobody was updated");
            let mut text = presence.user.name().to_owned();
            if let Some(state) = updated.state {
                presence.state = state;
                text += &format!(" {}", state.name());
            }
            if let Some(meta) = &updated.meta {
                presence.meta = meta.clone();
                text += &format!(" {}", meta.as_str());
            }
            told.push(text);
        }
        for Pulse { session, name, value } in pulses {
            let presence = copy.presences.get(session).expect("who pulses is not there");
            let value = value.as_ref().map_or("ended", PulseValue::as_str);
            told.push(format!("{} {name} {value}", presence.user.name()));
        }
        told.join(", ")
    }
}

/// Alice and bob in one key, who have read everything, in a key that is quiet.
fn two_in(key: &str) -> (Shell<MemoryBackplane>, Page, Page) {
    let mut shell = Shell::new();
    let alice = shell.visit("alice", key);
    let bob = shell.visit("bob", key);
    // Silence counts from the beginning of the test.
    for page in [&alice, &bob] {
        shell.relay.heard(shell.now, page.conn);
        shell.sees(page);
    }
    (shell, alice, bob)
}

fn grant(user: &str) -> Grant {
    named(user, user)
}

fn named(user: &str, name: &str) -> Grant {
    let id = UserId::parse(user).unwrap();
    let user = Arc::new(User::new(id, name, Color([1, 2, 3])).unwrap());
    let keys = vec![KeyPattern::parse("document:*").unwrap()];
    let can = Capabilities::OF_A_PAGE;
    Grant { user, keys, can, expires_in: Duration::from_secs(86_400), last_seen: true }
}

/// A grant that allows this and nothing else.
fn able(user: &str, names: &[&str]) -> Grant {
    Grant { can: Capabilities::parse(names.iter().copied()), ..grant(user) }
}

/// A grant for one key.
fn only(user: &str, key: &str) -> Grant {
    Grant { keys: vec![KeyPattern::parse(key).unwrap()], ..grant(user) }
}

fn join(key: &str) -> Command {
    Command::Join { key: parse(key), grant: None, meta: Meta::empty(), age: None, away: None }
}

fn join_with(key: &str, token: Result<Grant, Refusal>) -> Command {
    Command::Join {
        key: parse(key),
        grant: Some(token),
        meta: Meta::empty(),
        age: None,
        away: None,
    }
}

fn parse(key: &str) -> Key {
    Key::parse(key).unwrap()
}

fn meta(json: &str) -> Meta {
    Meta::from_json_value(json).unwrap()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}
