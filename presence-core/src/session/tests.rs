//! Claims about the browser's half, in virtual time.
//!
//! Every test runs through a [`Page`]: a session, a network that does what the test says, and a relay
//! that is no more than a list of who is there. It checks at each step that a session never speaks on
//! a socket that it doesn't have, never tells of its own person, tells joins and leaves by turns so
//! that they add up to the roster, and never asks for a timer that fires at once forever.

use super::*;
use presence_protocol::{
    Color, Delta, EpochInfo, Left, Presence, PresenceState, Snapshot, Updated, User, UserId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DOC: &str = "document:42";
const OTHER: &str = "document:43";
const PULSES: [&str; 5] = ["cursor", "typing", "scroll", "a", "b"];

mod renewal;

mod pulses {
    use super::*;

    #[test]
    fn a_pulse_is_sent_at_once_and_then_the_latest_20_times_a_second() {
        let mut page = with_bob();
        for value in ["1", "2", "3"] {
            page.pulse(DOC, "cursor", Some(value));
        }
        assert_eq!(page.told(), ["1> pulse document:42 cursor 1"]);
        page.pass(49);
        assert_eq!(page.told(), NOTHING);
        page.pass(1);
        assert_eq!(page.told(), ["1> pulse document:42 cursor 3"]);
        for value in 0..100 {
            page.pulse(DOC, "cursor", Some(&format!("{value}")));
            page.pulse(DOC, "scroll", Some(&format!("{value}")));
            page.pass(10);
        }
        let told = page.told();
        assert!((19..=21).contains(&told.len()), "{told:?}");
        let n_scrolls = told.iter().filter(|it| it.contains("scroll")).count();
        assert!((9..=11).contains(&n_scrolls), "one name takes all: {told:?}");
    }

    #[test]
    fn a_pulse_that_holds_is_sent_every_three_seconds() {
        let mut page = with_bob();
        page.pulse(DOC, "typing", Some("1"));
        page.told();
        page.pass(2_999);
        assert_eq!(page.told(), NOTHING);
        page.pass(1);
        assert_eq!(page.told(), ["1> pulse document:42 typing 1"]);
        page.pulse(DOC, "typing", Some("1"));
        page.pass(1_000);
        assert_eq!(page.told(), NOTHING, "it says nothing new");
        page.pulse(DOC, "typing", None);
        assert_eq!(page.told(), ["1> pulse document:42 typing ended"]);
        page.pulse(DOC, "typing", None);
        page.pass(5_000);
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn nothing_is_sent_to_nobody() {
        let mut page = Page::live();
        page.told();
        page.pulse(DOC, "cursor", Some("1"));
        page.pulse(DOC, "typing", Some("1"));
        page.pulse(DOC, "typing", None);
        page.pass(3_500);
        assert_eq!(page.told(), NOTHING);
        page.come(DOC, "bob");
        assert_eq!(page.told(), ["+bob", "1> pulse document:42 cursor 1"]);
        page.gone(DOC, "bob");
        page.told();
        page.pulse(DOC, "cursor", Some("2"));
        page.pulse(DOC, "cursor", None);
        page.pass(3_500);
        page.come(DOC, "bob");
        assert_eq!(page.told(), ["+bob"]);
    }

    #[test]
    fn one_whose_token_allows_no_pulses_says_so_once_for_each_socket() {
        let mut page = with_bob();
        page.pulse(DOC, "cursor", Some("1"));
        page.error(ErrorCode::NotAllowed, Some(DOC));
        let refused = ["1> pulse document:42 cursor 1", "complaint not_allowed document:42"];
        assert_eq!(page.told(), refused);
        page.pulse(DOC, "cursor", Some("2"));
        page.pass(3_500);
        assert_eq!(page.told(), NOTHING);
        page.closed(1006);
        page.pass(300);
        page.come(DOC, "bob");
        assert!(page.told().contains(&"2> pulse document:42 cursor 2".to_owned()));
    }

    #[test]
    fn a_hidden_tab_ends_its_pulses_and_says_nothing() {
        let mut page = with_bob();
        page.pulse(DOC, "typing", Some("1"));
        page.pass(1_000);
        page.told();
        page.turn_away(true);
        assert_eq!(page.told(), ["1> pulse document:42 typing ended"]);
        page.pulse(DOC, "typing", Some("2"));
        page.pass(3_500);
        page.turn_away(false);
        page.pass(3_500);
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn in_a_crowd_pulses_are_rarer() {
        let mut page = with_bob();
        for it in 0..38 {
            page.come(DOC, &format!("user{it}"));
        }
        page.told();
        for value in 0..200 {
            page.pulse(DOC, "cursor", Some(&format!("{value}")));
            page.pass(10);
        }
        let n_sent = page.told().len();
        assert!((9..=11).contains(&n_sent), "40 people, 5 times a second: {n_sent} in 2 s");
    }

    #[test]
    fn eight_pulses_at_a_time() {
        let mut page = with_bob();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            assert!(page.pulse(DOC, name, Some("1")));
        }
        assert!(!page.pulse(DOC, "i", Some("1")));
        page.pass(1_000);
        page.pulse(DOC, "a", None);
        assert!(page.pulse(DOC, "i", Some("1")));
    }

    #[test]
    fn a_pulse_is_told_and_so_is_its_end() {
        let mut page = with_bob();
        page.pulsed(DOC, "bob", "cursor", Some("[1]"));
        page.pulsed(DOC, "me", "cursor", Some("[2]"));
        page.pulsed(DOC, "bob", "typing", None);
        assert_eq!(page.told(), ["bob cursor [1]"]);
        page.pulsed(DOC, "bob", "cursor", None);
        page.pass(10_000);
        assert_eq!(page.events(), ["bob cursor ended"]);
    }

    #[test]
    fn a_pulse_goes_with_its_session() {
        let mut page = with_bob();
        page.pulsed(DOC, "bob", "cursor", Some("[1]"));
        page.told();
        page.gone(DOC, "bob");
        assert_eq!(page.told(), ["- cursor ended", "-bob left"]);
    }

    #[test]
    fn a_pulse_whose_end_is_lost_is_forgotten() {
        let mut page = with_bob();
        page.pulsed(DOC, "bob", "cursor", Some("[1]"));
        page.pass(6_999);
        page.pulsed(DOC, "bob", "cursor", Some("[1]"));
        page.told();
        page.pass(6_999);
        assert_eq!(page.events(), NOTHING);
        page.pass(1);
        assert_eq!(page.events(), ["bob cursor ended"]);
    }

    #[test]
    fn what_holds_is_said_again_on_another_socket() {
        let mut page = with_bob();
        page.pulse(DOC, "typing", Some("1"));
        page.pulse(DOC, "cursor", Some("1"));
        page.pass(100);
        page.told();
        page.closed(1006);
        page.pulse(DOC, "cursor", None);
        page.pass(1_000);
        let told = page.told();
        assert_eq!(told.iter().filter(|it| it.contains("pulse")).count(), 1, "{told:?}");
        assert!(told.contains(&"2> pulse document:42 typing 1".to_owned()), "{told:?}");
    }

    fn with_bob() -> Page {
        let mut page = Page::live();
        page.come(DOC, "bob");
        page.told();
        page
    }
}

mod observing {
    use super::*;

    #[test]
    fn who_observes_says_so_and_nothing_else() {
        let mut page = observer();
        assert!(page.told().contains(&"1> observe document:42".to_owned()));
        page.come(DOC, "bob");
        page.update(DOC, 2);
        page.pulse(DOC, "typing", Some("1"));
        page.pass(5_000);
        assert_eq!(page.told(), ["+bob"]);
        assert_eq!(page.names(DOC), ["bob"]);
        page.pulsed(DOC, "bob", "typing", Some("1"));
        assert_eq!(page.told(), ["bob typing 1"]);
        page.closed(1006);
        page.pass(300);
        let told = page.told();
        assert!(told.contains(&"2> observe document:42".to_owned()), "{told:?}");
        page.leave(DOC);
        assert_eq!(page.events().last().unwrap(), "state stopped left");
    }

    #[test]
    fn to_look_on_is_to_be_gone_at_once_whatever_is_still_on_its_way() {
        let mut page = Page::live();
        page.come(DOC, "bob");
        page.told();
        page.gives_snapshots = false;
        page.turn(DOC, Mode::Invisible);
        assert_eq!(page.told(), ["1> observe document:42 invisible"]);
        assert_eq!(page.names(DOC), ["bob"]);
        page.somebody_changes(DOC);
        page.come_as(DOC, "me", ME);
        assert_eq!(page.names(DOC), ["bob"]);
        page.gone_session(DOC, ME);
        page.come(DOC, "carol");
        assert_eq!(page.told(), ["+carol"], "nor is there a gap");
    }

    #[test]
    fn to_join_tells_the_meta_of_then_and_the_pulses() {
        let mut page = observer();
        page.come(DOC, "bob");
        page.update(DOC, 2);
        page.pulse(DOC, "typing", Some("1"));
        page.told();
        page.turn_with(DOC, 3, Mode::Join);
        let told = page.told();
        assert_eq!(told, ["1> join document:42 3", "1> pulse document:42 typing 1"]);
        assert_eq!(page.names(DOC), ["bob", "me"]);
        page.turn_with(DOC, 3, Mode::Join);
        page.pass(1_000);
        assert_eq!(page.events(), NOTHING);
    }

    #[test]
    fn the_readers_other_tab_is_the_reader_and_is_not_greeted() {
        let mut page = observer();
        page.told();
        page.come_as(DOC, "me", 77);
        assert_eq!((page.told(), own(&page)), (list(&NOTHING), list(&["me"])));
        assert_eq!(page.count(DOC), 1);
        page.come(DOC, "bob");
        assert_eq!((page.told(), own(&page)), (list(&["+bob"]), list(&["me"])));
        page.gone_session(DOC, 77);
        assert_eq!((page.told(), own(&page)), (list(&NOTHING), list(&NOTHING)));
    }

    #[test]
    fn the_readers_other_tab_stays_the_reader_whatever_this_one_turns_to() {
        let mut page = Page::live();
        page.come_as(DOC, "me", 77);
        page.told();
        for mode in [Mode::Observe, Mode::Join, Mode::Invisible] {
            page.turn(DOC, mode);
            assert_eq!(own(&page), ["me"], "{mode:?}");
        }
        let events = page.events();
        assert!(!events.iter().any(|it| it.contains(['+', '-'])), "{events:?}");
    }

    #[test]
    fn with_a_relay_that_does_not_say_who_one_is_the_other_tab_is_as_others_see_it() {
        let mut page = Page::new(Net::Manual);
        page.user = None;
        page.turn(DOC, Mode::Observe);
        page.answer_all();
        page.told();
        page.come_as(DOC, "me", 77);
        assert_eq!((page.told(), own(&page)), (list(&["+me"]), list(&NOTHING)));
        // From here on it knows, so it isn't told of this tab.
        page.gives_snapshots = false;
        page.may_be_silent = true;
        page.turn(DOC, Mode::Join);
        page.come_as(DOC, "me", ME);
        assert_eq!(own(&page), ["me"]);
        page.turn(DOC, Mode::Observe);
        assert_eq!(own(&page), NOTHING);
    }

    #[test]
    fn who_has_logged_in_meanwhile_is_the_reader_from_the_answer_on() {
        let mut page = observer();
        page.come_as(DOC, "me", 77);
        page.come(DOC, "bob");
        page.told();
        page.user = Some("bob");
        page.all_events = true;
        // Nobody has come or gone just now.
        page.may_be_silent = true;
        page.renew();
        let told = page.told();
        assert_eq!(told.last().unwrap(), "changed document:42");
        assert_eq!(own(&page), ["bob"]);
        page.may_be_silent = false;
        page.all_events = false;
        page.gone(DOC, "bob");
        assert_eq!(page.told(), NOTHING);
        page.gone_session(DOC, 77);
        assert_eq!(page.told(), ["-me left"]);
    }

    #[test]
    fn who_comes_back_with_somebody_elses_token_is_that_one() {
        let mut page = observer();
        page.come_as(DOC, "me", 77);
        page.come(DOC, "bob");
        page.user = Some("bob");
        page.closed(1006);
        page.gives_snapshots = false;
        page.may_be_silent = true;
        page.pass(300);
        assert_eq!(own(&page), ["bob"]);
    }

    #[test]
    fn a_member_is_who_its_own_presence_says_until_that_is_another() {
        let mut page = Page::live();
        page.come(DOC, "bob");
        page.told();
        page.user = Some("bob");
        page.renew();
        assert_eq!(own(&page), ["me"], "the others still see it");
        assert!(!page.events().iter().any(|it| it.contains("me")), "nobody hears of oneself");
    }

    #[test]
    fn a_mode_that_is_changed_out_of_reach_is_the_next_sockets() {
        let mut page = Page::live();
        page.come(DOC, "bob");
        page.closed(1006);
        page.turn(DOC, Mode::Observe);
        assert_eq!(page.names(DOC), ["bob"]);
        page.pass(300);
        let told = page.told();
        assert!(told.contains(&"2> observe document:42".to_owned()), "{told:?}");
        assert!(!told.iter().any(|it| it.contains("> join document:42 1 ")), "{told:?}");
    }

    #[test]
    fn a_mode_that_the_token_does_not_allow_ends_the_key() {
        let mut page = Page::live();
        page.turn(DOC, Mode::Invisible);
        page.told();
        page.error(ErrorCode::KeyDenied, Some(DOC));
        let told = page.told();
        assert!(told.contains(&"refused key_denied document:42".to_owned()), "{told:?}");
        assert_eq!(told.last().unwrap(), "state stopped key_denied");
    }

    #[test]
    fn a_roster_never_counts_as_a_former_one_of_its_key_did() {
        let mut page = Page::live();
        let former = page.session.roster(&parse(DOC)).unwrap().n_changes();
        page.error(ErrorCode::Kicked, Some(DOC));
        page.turn(DOC, Mode::Join);
        assert!(page.session.roster(&parse(DOC)).unwrap().n_changes() > former);
    }

    /// Who is taken for the reader.
    fn own(page: &Page) -> Vec<String> {
        let members = page.session.roster(&parse(DOC)).unwrap().members().iter();
        members.filter(|it| it.is_me).map(|it| it.user.name().to_owned()).collect()
    }

    fn observer() -> Page {
        let mut page = Page::new(Net::Manual);
        page.turn(DOC, Mode::Observe);
        page.answer_all();
        page
    }
}

mod connecting {
    use super::*;

    #[test]
    fn a_join_fetches_a_token_dials_says_hello_and_joins() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        assert_eq!(page.told(), ["fetch 1"]);
        page.fetched(Ok("token"));
        assert_eq!(page.told(), ["dial 1"]);
        page.opened();
        assert_eq!(page.told(), ["1> hello token"]);
        page.welcomed();
        assert_eq!(page.told(), ["1> join document:42 1", "state live"]);
        page.put(DOC, "me", ME, 0);
        page.snapshot(DOC);
        assert_eq!(page.told(), ["ready document:42"]);
        assert_eq!(page.count(DOC), 1);
    }

    #[test]
    fn several_keys_share_one_socket() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.join(OTHER, 2);
        page.answer_all();
        page.told();
        page.join("document:44", 3);
        assert_eq!(page.told(), ["1> join document:44 3", "ready document:44"]);
        assert_eq!(page.dials(), 1);
    }

    #[test]
    fn who_is_away_says_so_once_and_again_on_every_socket() {
        let mut page = Page::live();
        page.told();
        for away in [true, true] {
            page.session.attention(away);
            page.drain();
        }
        assert_eq!(page.told(), ["1> attention true"]);
        page.closed(1006);
        page.pass(1_000);
        let told = page.told();
        assert!(told.contains(&"2> join document:42 1 away".to_owned()), "{told:?}");
        page.session.attention(false);
        page.drain();
        assert_eq!(page.told(), ["2> attention false"]);
    }

    #[test]
    fn who_is_away_out_of_reach_says_so_when_it_joins() {
        let mut page = Page::manual();
        page.session.attention(true);
        page.join(DOC, 1);
        page.answer_all();
        let told = page.told();
        assert!(told.contains(&"1> join document:42 1 away".to_owned()), "{told:?}");
        assert!(!told.iter().any(|it| it.contains("attention")), "{told:?}");
    }

    #[test]
    fn joining_a_key_again_only_changes_its_meta() {
        let mut page = Page::live();
        page.pass(1_000);
        page.told();
        page.join(DOC, 9);
        assert_eq!(page.told(), ["1> update document:42 9"]);
    }

    #[test]
    fn a_dial_is_given_three_seconds() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.fetched(Ok("token"));
        page.told();
        page.pass(2_999);
        assert_eq!(page.told(), NOTHING);
        page.pass(1);
        assert_eq!(page.told(), ["close redial"]);
    }

    #[test]
    fn a_welcome_is_given_five_seconds() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.fetched(Ok("token"));
        page.opened();
        page.told();
        page.pass(4_999);
        assert_eq!(page.told(), NOTHING);
        page.pass(1);
        assert_eq!(page.told(), ["close redial"]);
    }

    #[test]
    fn what_old_dials_say_means_nothing() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.fetched(Ok("token"));
        page.pass(3_000);
        page.pass(600);
        page.fetched(Ok("token"));
        assert_eq!(page.dials(), 2);
        page.told();
        let (now, first) = (page.now, Dial(1));
        page.session.socket_open(now, first);
        page.session.socket_frame(now, first, ServerFrame::Welcome(page.welcome()));
        page.session.socket_garbage(now, first);
        page.session.socket_closed(now, first, 4401);
        page.drain();
        assert_eq!(page.told(), NOTHING);
        page.opened();
        assert_eq!(page.told(), ["2> hello token"]);
    }

    #[test]
    fn an_unreachable_relay_is_a_state_and_dialed_ever_more_slowly() {
        let mut page = Page::new(Net::Refuse);
        page.join(DOC, 1);
        page.pass(3_600_000);
        let gaps = page.gaps();
        assert!(gaps[0] <= 500, "{gaps:?}");
        assert!(gaps.iter().all(|it| *it <= 30_000), "{gaps:?}");
        let (first, later) = (gaps[..5].iter().sum::<u64>(), &gaps[10..]);
        assert!(first >= 1_000, "{gaps:?}");
        assert!(later.iter().all(|it| *it >= 15_000), "{gaps:?}");
        assert_eq!(page.session.state(), State::Connecting);
    }

    #[test]
    fn the_wait_doubles_with_every_dial_that_fails() {
        for seed in 0..20 {
            let mut page = Page::seeded(seed, Net::Refuse);
            page.join(DOC, 1);
            page.pass(120_000);
            let most = [500, 1_000, 2_000, 4_000, 8_000, 16_000];
            for (gap, most) in page.gaps().into_iter().zip(most) {
                assert!((most / 2..=most).contains(&gap), "{gap} of {most}: {:?}", page.gaps());
            }
        }
    }

    #[test]
    fn jitter_spreads_those_who_lost_the_same_relay() {
        let firsts: BTreeSet<_> = (0..50)
            .map(|seed| {
                let mut page = Page::seeded(seed, Net::Up);
                page.join(DOC, 1);
                page.net = Net::Refuse;
                let lost = page.now;
                page.closed(1006);
                page.pass(1_000);
                let wait = page.dialed[1].since(lost).as_millis();
                assert!(wait <= 300, "{wait}");
                wait
            })
            .collect();
        assert!(firsts.len() > 25, "{firsts:?}");
    }

    #[test]
    fn at_most_two_seconds_pass_between_dials_while_the_grace_runs() {
        for (net, a_dial_takes) in [(Net::Refuse, 0), (Net::Hang, 3_000), (Net::Deaf, 5_000)] {
            for seed in 0..20 {
                let mut page = Page::seeded(seed, Net::Up);
                page.join(DOC, 1);
                page.pass(12_000);
                page.net = net;
                page.closed(1006);
                let lost = page.now;
                page.dialed = vec![lost];
                page.pass(30_000);
                let gaps = page.gaps();
                assert!(gaps.len() >= 3, "{gaps:?}");
                assert!(gaps[0] <= 300, "{gaps:?}");
                let most = 2_000 + a_dial_takes;
                assert!(gaps.iter().all(|it| *it <= most), "{net:?} {gaps:?}");
                assert!(gaps.iter().sum::<u64>() + most >= 30_000, "{net:?} {gaps:?}");
            }
        }
    }

    #[test]
    fn a_dial_that_hung_is_followed_by_another_at_once_while_the_grace_runs() {
        for (net, takes) in [(Net::Hang, 3_000), (Net::Deaf, 5_000)] {
            let mut page = Page::live();
            page.pass(12_000);
            page.net = net;
            page.dialed.clear();
            page.closed(1006);
            page.pass(29_000);
            assert!(page.gaps().iter().all(|it| *it == takes), "{:?}", page.gaps());
        }
    }

    #[test]
    fn a_connection_that_never_lasts_is_taken_up_ever_more_slowly() {
        let mut page = Page::live();
        page.dialed.clear();
        for _ in 0..50 {
            page.closed(1006);
            while page.session.state() != State::Live {
                page.pass(10);
            }
        }
        let gaps = page.gaps();
        assert!(gaps[10..].iter().all(|it| *it >= 900), "{gaps:?}");
        assert!(gaps.iter().all(|it| *it <= 2_010), "{gaps:?}");
        // One that has lasted makes up for it.
        page.pass(12_000);
        page.closed(1006);
        page.pass(300);
        assert_eq!(page.session.state(), State::Live);
    }

    #[test]
    fn wake_does_not_wait_for_a_timer() {
        let mut page = Page::live();
        page.net = Net::Refuse;
        page.closed(1006);
        page.pass(20_000);
        page.net = Net::Up;
        page.wake();
        assert_eq!(page.session.state(), State::Live);
    }

    #[test]
    fn wake_asks_a_socket_that_has_been_quiet_whether_it_is_alive() {
        let mut page = Page::live();
        page.told();
        page.wake();
        assert_eq!(page.told(), NOTHING);
        page.pass(1_000);
        page.wake();
        assert_eq!(page.told(), ["1> heartbeat"]);
        page.wake();
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn wake_after_a_sleep_gives_up_what_was_dialed_before_it() {
        let mut page = Page::live();
        page.net = Net::Hang;
        page.closed(1006);
        page.pass(300);
        let dials = page.dials();
        page.now += Duration::from_secs(3_600);
        page.wake();
        assert_eq!(page.dials(), dials + 1);
    }
}

mod tokens {
    use super::*;

    #[test]
    fn a_token_function_that_fails_is_asked_again_with_backoff() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        let mut asked = vec![page.now];
        for fetch in 2..10 {
            page.fetched(Err(()));
            while page.session.fetches < fetch {
                page.pass(1);
            }
            asked.push(page.now);
        }
        let gaps: Vec<_> = asked.windows(2).map(|it| it[1].since(it[0]).as_millis()).collect();
        assert!(gaps[0] <= 500 && gaps[0] >= 125, "{gaps:?}");
        assert!(gaps[7] >= 8_000 && gaps[7] <= 30_000, "{gaps:?}");
        assert_eq!(page.session.state(), State::Connecting);
    }

    #[test]
    fn a_token_function_that_never_answers_is_asked_again_and_its_late_answer_ignored() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.pass(9_999);
        assert_eq!(page.told(), ["fetch 1"]);
        page.pass(2_000);
        assert_eq!(page.told(), ["fetch 2"]);
        page.session.token(page.now, 1, Ok("late".to_owned()));
        page.drain();
        assert_eq!(page.told(), NOTHING);
        page.fetched(Ok("token"));
        assert_eq!(page.told(), ["dial 1"]);
    }

    #[test]
    fn a_good_token_is_used_again() {
        let mut page = Page::live();
        for _ in 0..3 {
            page.pass(60_000);
            page.closed(1006);
            page.pass(1_000);
        }
        assert_eq!((page.session.fetches, page.dials()), (1, 4));
    }

    #[test]
    fn a_token_is_not_used_again_in_its_last_ten_seconds() {
        let mut page = Page::new(Net::Up);
        page.expires_in = 60_000;
        page.renews = false;
        page.join(DOC, 1);
        page.pass(49_000);
        assert_eq!(page.session.fetches, 2, "of which one was of no use");
        page.closed(1006);
        page.pass(300);
        assert_eq!(page.session.fetches, 2);
        page.expires_in = 11_000;
        page.closed(1006);
        page.pass(1_000);
        page.pass(1_000);
        page.closed(1006);
        page.pass(2_000);
        assert_eq!(page.session.fetches, 3);
        assert_eq!(page.session.state(), State::Live);
    }

    #[test]
    fn a_token_that_no_relay_has_honoured_is_not_used_again() {
        let mut page = Page::new(Net::Refuse);
        page.join(DOC, 1);
        page.pass(5_000);
        assert_eq!(page.session.fetches, page.dials());
    }

    #[test]
    fn expired_fetches_another_at_once() {
        let mut page = Page::live();
        page.pass(12_000);
        page.told();
        page.net = Net::Manual;
        page.closed(4419);
        assert_eq!(page.told(), ["fetch 2", "state reconnecting"]);
    }

    #[test]
    fn a_hello_that_is_refused_as_expired_fetches_another_at_once() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.fetched(Ok("old"));
        page.opened();
        page.told();
        page.closed(4419);
        assert_eq!(page.told(), ["fetch 2"]);
    }

    #[test]
    fn a_token_function_that_returns_expired_tokens_is_not_asked_in_a_hurry() {
        for net in [Net::Expired, Net::ExpiredOnceLive] {
            let mut page = Page::new(net);
            page.join(DOC, 1);
            page.pass(60_000);
            let fetches = page.session.fetches;
            assert!((4..50).contains(&fetches), "{net:?}: {fetches}");
        }
    }

    #[test]
    fn denied_stops() {
        let mut page = Page::live();
        page.told();
        page.closed(4401);
        assert_eq!(page.told(), ["state stopped denied"]);
        page.pass(3_600_000);
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn busy_backs_off() {
        let mut page = Page::live();
        page.closed(4429);
        page.told();
        page.pass(4_999);
        assert_eq!(page.told(), NOTHING);
        page.pass(5_001);
        assert_eq!(page.session.state(), State::Live);
    }

    #[test]
    fn a_relay_that_is_restarted_is_dialed_when_it_said_and_nothing_was_news() {
        for (code, tenths) in [(4500, 0), (4507, 7), (4599, 99)] {
            let mut page = Page::live();
            page.pass(12_000);
            page.told();
            page.net = Net::Refuse;
            let dials = page.dials();
            page.closed(code);
            assert_eq!(page.told(), ["state reconnecting"]);
            page.pass((tenths * 100_u64).saturating_sub(1));
            assert_eq!(page.dials(), dials, "{code}: too soon");
            page.pass(101);
            assert!(page.dials() > dials, "{code}: too late");
        }
    }
}

mod the_codes {
    use super::*;

    #[test]
    fn every_close_code_is_reacted_to_as_its_table_says() {
        for code in CloseCode::ALL {
            let mut page = Page::live();
            page.closed(code.code());
            let stopped = State::Stopped(StopReason::Refused(*code));
            let state = page.session.state();
            assert_eq!(state == stopped, code.reaction() == Reaction::Stop, "{code:?}");
            page.pass(10_000);
            let is_back = page.session.state() == State::Live;
            assert_eq!(is_back, code.reaction() != Reaction::Stop, "{code:?}");
            let fetches = 1 + u32::from(code.reaction() == Reaction::FetchToken);
            assert_eq!(page.session.fetches, fetches, "{code:?}");
        }
    }

    #[test]
    fn a_code_that_is_not_in_the_table_is_a_loss() {
        for code in [1005, 1006, 1011, 1012, 3000, 4999, 0] {
            let mut page = Page::live();
            page.closed(code);
            page.pass(300);
            assert_eq!(page.session.state(), State::Live, "{code}");
        }
    }

    #[test]
    fn a_key_that_is_refused_ends_and_the_others_go_on() {
        let mut page = Page::live();
        page.join(OTHER, 2);
        page.told();
        page.error(ErrorCode::KeyDenied, Some(OTHER));
        assert_eq!(page.told(), ["refused key_denied document:43"]);
        assert!(page.session.roster(&parse(OTHER)).is_none());
        page.closed(1006);
        page.pass(1_000);
        assert!(!page.told().iter().any(|it| it.contains(OTHER)));
        page.error(ErrorCode::TooManyKeys, Some(DOC));
        let last =
            ["refused too_many_keys document:42", "close done", "state stopped too_many_keys"];
        assert_eq!(page.told(), last);
    }

    #[test]
    fn a_full_key_is_tried_again_after_ten_seconds() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.fetched(Ok("token"));
        page.opened();
        page.welcomed();
        page.told();
        page.error(ErrorCode::KeyFull, Some(DOC));
        assert_eq!(page.told(), ["complaint key_full document:42"]);
        page.answers_beats = true;
        page.pass(9_999);
        assert_eq!(page.told(), NOTHING);
        page.update(DOC, 7);
        page.pass(1);
        assert!(page.told().contains(&"1> join document:42 7".to_owned()));
    }

    #[test]
    fn a_full_key_is_not_tried_sooner_because_another_is_joined() {
        let mut page = Page::live();
        page.gives_snapshots = false;
        page.join(OTHER, 1);
        page.error(ErrorCode::KeyFull, Some(OTHER));
        page.told();
        page.join("document:44", 1);
        assert_eq!(page.told(), ["1> join document:44 1"]);
    }

    #[test]
    fn a_full_key_is_tried_at_once_on_a_new_socket() {
        let mut page = Page::live();
        page.gives_snapshots = false;
        page.join(OTHER, 1);
        page.error(ErrorCode::KeyFull, Some(OTHER));
        page.closed(1006);
        page.told();
        page.pass(300);
        assert!(page.told().contains(&"2> join document:43 1".to_owned()));
    }

    #[test]
    fn other_errors_are_passed_on_and_everything_goes_on() {
        let mut page = Page::live();
        page.told();
        page.error(ErrorCode::BadMeta, Some(DOC));
        page.error(ErrorCode::BadFrame, None);
        page.error(ErrorCode::KeyDenied, Some("never:joined"));
        let complaints = [
            "complaint bad_meta document:42",
            "complaint bad_frame",
            "complaint key_denied never:joined",
        ];
        assert_eq!(page.told(), complaints);
        assert_eq!(page.session.state(), State::Live);
    }

    #[test]
    fn garbage_is_a_reason_to_dial_again() {
        let mut page = Page::live();
        page.told();
        page.session.socket_garbage(page.now, Dial(1));
        page.drain();
        assert_eq!(page.told(), ["close redial", "state reconnecting"]);
        page.pass(300);
        assert_eq!(page.session.state(), State::Live);
    }
}

mod beating {
    use super::*;

    #[test]
    fn it_beats_every_ten_seconds() {
        let mut page = Page::live();
        page.told();
        page.pass(60_000);
        assert_eq!(page.told(), vec!["1> heartbeat"; 6]);
    }

    #[test]
    fn an_answer_is_given_five_seconds_and_then_it_dials_at_once() {
        let mut page = Page::live();
        page.told();
        page.answers_beats = false;
        page.net = Net::Manual;
        page.pass(14_999);
        assert_eq!(page.told(), ["1> heartbeat"]);
        page.pass(1);
        assert_eq!(page.told(), ["close redial", "dial 2", "state reconnecting"]);
    }

    #[test]
    fn a_silent_loss_counts_from_the_first_missed_beat() {
        let mut page = Page::live();
        page.pass(10_000);
        page.answers_beats = false;
        page.net = Net::Refuse;
        page.pass(15_000);
        assert_eq!(page.session.state(), State::Reconnecting);
        // The last answer came at 10 s, so the next one was missed at 20 s.
        page.pass(24_999);
        assert!(!page.is_stale(DOC));
        page.pass(1);
        assert!(page.is_stale(DOC));
    }

    #[test]
    fn any_frame_is_an_answer() {
        let mut page = Page::live();
        page.told();
        page.answers_beats = false;
        for _ in 0..25 {
            page.pass(4_000);
            page.somebody_changes(DOC);
        }
        assert_eq!(page.dials(), 1);
    }

    #[test]
    fn a_heartbeat_shorter_than_an_answer_may_take_still_finds_a_dead_socket() {
        let mut page = Page::new(Net::Up);
        page.heartbeat = 2_000;
        page.join(DOC, 1);
        page.answers_beats = false;
        page.pass(7_500);
        assert_eq!(page.dials(), 2);
    }

    #[test]
    fn timers_that_fire_once_a_minute_never_drop_a_live_socket() {
        let mut page = Page::live();
        page.answers_beats = true;
        page.pass_hidden(3_600_000);
        assert_eq!(page.dials(), 1);
    }

    #[test]
    fn an_answer_right_behind_a_late_timer_is_in_time() {
        let mut page = Page::live();
        page.answers_beats = false;
        page.pass(10_000);
        // The page is held up, and the answer with it.
        page.now += Duration::from_secs(50);
        page.session.handle_timeout(page.now);
        page.frame(ServerFrame::Heartbeat { revs: vec![] });
        page.answers_beats = true;
        page.pass(60_000);
        assert_eq!(page.dials(), 1);
    }

    #[test]
    fn a_dead_socket_is_given_up_also_by_late_timers() {
        let mut page = Page::live();
        page.answers_beats = false;
        page.pass_hidden(180_000);
        assert!(page.dials() >= 2);
    }

    #[test]
    fn a_page_that_slept_dials_within_seconds_if_nobody_answers() {
        let mut page = Page::live();
        page.answers_beats = false;
        page.pass(10_000);
        page.now += Duration::from_secs(3_600);
        page.wake();
        page.pass(1_000);
        assert_eq!(page.dials(), 2);
    }
}

mod resuming {
    use super::*;

    #[test]
    fn hello_carries_the_resume_token_and_a_growing_dial() {
        let mut page = Page::live();
        page.told();
        page.closed(1006);
        page.pass(300);
        assert!(page.told().contains(&"2> hello token, resume r1".to_owned()));
        page.closed(1006);
        page.pass(2_000);
        assert!(page.told().contains(&"3> hello token, resume r2".to_owned()));
    }

    #[test]
    fn a_lost_welcome_is_made_up_for_with_the_same_resume_token() {
        let mut page = Page::live();
        page.net = Net::Deaf;
        page.closed(1006);
        page.pass(300);
        page.net = Net::Up;
        page.pass(8_000);
        let hellos: Vec<_> = page.told().into_iter().filter(|it| it.contains("hello")).collect();
        assert_eq!(hellos[1..], ["2> hello token, resume r1", "3> hello token, resume r1"]);
    }

    #[test]
    fn it_joins_its_keys_again_with_their_whole_meta_and_age() {
        let mut page = Page::live();
        page.pass(5_000);
        page.update(DOC, 5);
        page.told();
        page.closed(1006);
        page.update(DOC, 6);
        page.pass(300);
        let joins: Vec<_> = page.told().into_iter().filter(|it| it.contains("join")).collect();
        assert_eq!(joins.len(), 1);
        let (frame, told_age) = joins[0].rsplit_once(" age ").unwrap();
        assert_eq!(frame, "2> join document:42 6");
        assert!((5_000..=5_300).contains(&told_age.parse::<u64>().unwrap()), "{told_age}");
    }

    #[test]
    fn own_reconnect_is_quiet() {
        let mut page = Page::live_with(&["bob", "carol"]);
        page.told();
        page.closed(1006);
        page.gone(DOC, "bob");
        page.come(DOC, "dave");
        page.pass(300);
        assert_eq!(page.events(), ["state reconnecting", "state live", "(-bob left)", "(+dave)"]);
    }

    #[test]
    fn own_reconnect_without_a_difference_tells_nothing() {
        let mut page = Page::live_with(&["bob", "carol"]);
        page.told();
        page.closed(1006);
        page.pass(300);
        assert_eq!(page.events(), ["state reconnecting", "state live"]);
    }

    #[test]
    fn away_for_longer_than_the_grace_is_silent_and_stale_until_then() {
        let mut page = Page::live_with(&["bob", "carol"]);
        page.told();
        page.net = Net::Refuse;
        page.closed(1006);
        page.gone(DOC, "bob");
        page.come(DOC, "dave");
        page.pass(29_999);
        assert!(!page.is_stale(DOC));
        page.pass(1);
        assert!(page.is_stale(DOC));
        assert_eq!(page.names(DOC), ["bob", "carol", "me"]);
        page.pass(10_000);
        page.net = Net::Up;
        page.pass(30_000);
        assert!(page.told.iter().any(|it| it.ends_with("> join document:42 1")), "no age");
        assert_eq!(page.events(), ["state reconnecting", "state live"]);
        assert_eq!((page.names(DOC), page.is_stale(DOC)), (list(&["carol", "dave", "me"]), false));
    }

    #[test]
    fn within_an_epoch_ages_do_not_wobble_with_the_network() {
        let mut page = Page::live();
        let began = page.session.epoch_began();
        page.closed(1006);
        // The next welcome takes longer, so that the epoch seems to have begun later.
        page.began += Duration::from_millis(200);
        page.pass(300);
        assert_eq!(page.session.state(), State::Live);
        assert_eq!(page.session.epoch_began(), began);
    }

    #[test]
    fn the_first_snapshot_tells_nothing_but_ready() {
        let mut page = Page::live_with(&["bob", "carol"]);
        assert_eq!(page.events(), ["state live", "ready document:42"]);
        page.come(DOC, "dave");
        assert_eq!(page.events(), ["+dave"]);
    }

    #[test]
    fn a_page_that_lost_its_socket_before_its_first_snapshot_is_told_nothing_of_it_either() {
        let mut page = Page::new(Net::Up);
        page.add(DOC, "bob");
        page.gives_snapshots = false;
        page.join(DOC, 1);
        page.closed(1006);
        page.gives_snapshots = true;
        page.pass(1_000);
        let events = ["state live", "state reconnecting", "state live", "ready document:42"];
        assert_eq!(page.events(), events);
    }
}

mod restarts {
    use super::*;

    #[test]
    fn in_a_new_epoch_the_missing_stay_until_the_grace_has_passed_since_the_loss() {
        let mut page = Page::live_with(&["bob", "carol"]);
        page.told();
        page.restart();
        page.pass(5_000);
        page.come_back(DOC, "bob");
        page.pass(24_999);
        assert_eq!(page.names(DOC), ["bob", "carol", "me"]);
        page.pass(1);
        assert_eq!(page.events(), ["state reconnecting", "state live", "-carol timeout"]);
        assert_eq!(page.names(DOC), ["bob", "me"]);
    }

    #[test]
    fn who_was_lost_by_a_restart_has_the_whole_grace_though_the_viewer_was_lost_before() {
        let mut page = Page::live_with(&["bob"]);
        page.told();
        page.net = Net::Refuse;
        page.closed(1006);
        page.pass(20_000);
        page.restart();
        page.net = Net::Up;
        // Twenty-five seconds after the restart, which is his loss, bob comes back.
        page.pass(25_000);
        page.come_back(DOC, "bob");
        assert_eq!(page.events(), ["state reconnecting", "state live"]);
    }

    #[test]
    fn who_comes_back_while_held_has_never_left() {
        let mut page = Page::live_with(&["bob"]);
        page.told();
        page.restart();
        page.pass(20_000);
        page.come_back(DOC, "bob");
        page.pass(60_000);
        assert_eq!(page.events(), ["state reconnecting", "state live"]);
    }

    #[test]
    fn who_came_while_one_was_away_is_told_quietly_after_a_restart_too() {
        let mut page = Page::live();
        page.told();
        page.restart();
        page.come(DOC, "bob");
        page.pass(300);
        assert_eq!(page.events(), ["state reconnecting", "state live", "(+bob)"]);
    }

    #[test]
    fn a_new_viewer_just_after_a_restart_sees_dots_without_flashes() {
        let mut page = Page::live();
        page.told();
        page.come_back(DOC, "bob");
        page.come(DOC, "carol");
        assert_eq!(page.events(), ["(+bob)", "+carol"]);
    }

    #[test]
    fn a_drop_of_ones_own_while_others_are_held_shows_nothing() {
        let mut page = Page::live_with(&["bob"]);
        page.told();
        page.restart();
        page.pass(2_000);
        // Bob comes back while nobody can tell this page; it comes back itself after his time is up.
        page.net = Net::Refuse;
        page.closed(1006);
        page.come_back(DOC, "bob");
        page.pass(28_500);
        assert_eq!(page.names(DOC), ["bob", "me"]);
        page.net = Net::Up;
        page.pass(2_000);
        page.pass(60_000);
        let told = page.events();
        assert!(!told.iter().any(|it| it.contains("bob")), "{told:?}");
    }

    #[test]
    fn who_is_still_missing_after_a_drop_of_ones_own_times_out_then() {
        let mut page = Page::live_with(&["bob"]);
        page.told();
        page.restart();
        page.pass(2_000);
        page.net = Net::Refuse;
        page.closed(1006);
        page.pass(28_500);
        assert_eq!(page.names(DOC), ["bob", "me"]);
        page.net = Net::Up;
        page.pass(2_000);
        assert_eq!(page.names(DOC), ["me"]);
        let told = page.events();
        assert_eq!(
            told.iter().filter(|it| it.contains("bob")).collect::<Vec<_>>(),
            ["-bob timeout"]
        );
    }

    #[test]
    fn nobody_is_held_through_an_absence_longer_than_the_grace() {
        let mut page = Page::live_with(&["bob"]);
        page.told();
        page.restart();
        page.pass(1_000);
        page.net = Net::Refuse;
        page.closed(1006);
        page.pass(60_000);
        page.net = Net::Up;
        page.pass(30_000);
        assert_eq!(page.names(DOC), ["me"]);
        let told = page.events();
        assert!(!told.iter().any(|it| it.contains("bob")), "{told:?}");
    }

    #[test]
    fn ages_stay_what_they_are_through_a_restart() {
        let mut page = Page::live_with(&["bob"]);
        page.pass(60_000);
        let age = |page: &Page| {
            let roster = page.session.roster(&parse(DOC)).unwrap();
            let bob = roster.members().iter().find(|it| !it.is_me).unwrap();
            page.now.as_millis() as i64 - page.session.epoch_began().unwrap() - bob.since
        };
        let before = age(&page);
        page.restart();
        page.pass(1_000);
        assert_eq!(age(&page), before + 1_000);
    }
}

mod following {
    use super::*;

    #[test]
    fn joins_leaves_and_changes_are_told_loudly() {
        let mut page = Page::live();
        page.told();
        page.come(DOC, "bob");
        page.change(DOC, "bob", 3);
        page.gone(DOC, "bob");
        assert_eq!(page.events(), ["+bob", "bob", "-bob left"]);
    }

    #[test]
    fn changed_comes_last_and_only_if_something_did() {
        let mut page = Page::live();
        page.all_events = true;
        page.told();
        page.come(DOC, "bob");
        assert_eq!(page.events(), ["+bob", "changed document:42"]);
        page.nothing_changes(DOC);
        assert_eq!(page.events(), NOTHING);
    }

    #[test]
    fn nobody_is_told_of_their_own_person() {
        let mut page = Page::live();
        page.told();
        page.come_as(DOC, "me", 77);
        page.gone_session(DOC, 77);
        page.gone_session(DOC, ME);
        let told = page.events();
        assert!(!told.iter().any(|it| it.contains("+me") || it.contains("-me")), "{told:?}");
    }

    #[test]
    fn without_dedupe_ones_own_other_tabs_are_not_told_of_either() {
        let mut page = Page::new(Net::Up);
        page.session.join(page.now, parse(DOC), 1, Dedupe::None, Mode::Join);
        page.drain();
        page.told();
        page.come_as(DOC, "me", 77);
        assert_eq!(page.count(DOC), 2);
        assert_eq!(page.events(), NOTHING);
    }

    #[test]
    fn ones_own_join_is_not_told_if_it_comes_after_the_first_snapshot() {
        let mut page = Page::new(Net::Up);
        page.hides_own_join = true;
        page.join(DOC, 1);
        page.told();
        page.come_as(DOC, "me", ME);
        assert_eq!((page.events(), page.count(DOC)), (vec![], 1));
    }

    #[test]
    fn a_gap_asks_for_a_snapshot_once_and_ignores_deltas_until_then() {
        let mut page = Page::live();
        page.told();
        page.gives_snapshots = false;
        page.lose_a_delta(DOC);
        page.come(DOC, "bob");
        assert_eq!(page.told(), ["1> resync document:42"]);
        page.come(DOC, "carol");
        page.come(DOC, "dave");
        assert_eq!(page.told(), NOTHING);
        page.snapshot(DOC);
        assert_eq!(page.told(), ["+bob", "+carol", "+dave"]);
        page.come(DOC, "erin");
        assert_eq!(page.told(), ["+erin"]);
    }

    #[test]
    fn an_answer_that_names_another_rev_asks_for_a_snapshot() {
        let mut page = Page::live();
        page.told();
        page.add(DOC, "bob");
        page.lose_a_delta(DOC);
        page.pass(10_000);
        assert_eq!(page.told(), ["1> heartbeat", "1> resync document:42", "+bob"]);
        page.pass(60_000);
        assert_eq!(page.told(), vec!["1> heartbeat"; 6]);
    }

    #[test]
    fn none_is_asked_for_while_one_is_awaited() {
        let mut page = Page::live();
        page.told();
        page.gives_snapshots = false;
        page.lose_a_delta(DOC);
        page.pass(10_000);
        page.beat_answered();
        page.beat_answered();
        assert_eq!(page.told(), ["1> heartbeat", "1> resync document:42"]);
    }

    #[test]
    fn an_answer_on_a_fresh_socket_asks_for_nothing_before_the_snapshot_is_there() {
        let mut page = Page::live();
        page.closed(1006);
        page.gives_snapshots = false;
        page.pass(300);
        page.told();
        page.frame(ServerFrame::Heartbeat { revs: vec![] });
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn frames_about_keys_that_were_left_mean_nothing() {
        let mut page = Page::live();
        page.join(OTHER, 1);
        page.leave(OTHER);
        page.told();
        page.come(OTHER, "bob");
        page.snapshot(OTHER);
        page.beat_answered();
        assert_eq!(page.told(), NOTHING);
    }
}

mod updating {
    use super::*;

    #[test]
    fn updates_are_sent_twenty_times_a_second_and_the_latest_wins() {
        let mut page = Page::live();
        page.pass(1_000);
        page.told();
        for value in 0..100 {
            page.update(DOC, value);
            page.pass(10);
        }
        page.pass(50);
        let sent: Vec<_> = page.told();
        assert_eq!(sent.len(), 21, "{sent:?}");
        assert_eq!(sent.first().map(String::as_str), Some("1> update document:42 0"));
        assert_eq!(sent.last().map(String::as_str), Some("1> update document:42 99"));
    }

    #[test]
    fn pages_with_many_keys_stay_below_what_a_relay_reads() {
        let mut page = Page::live();
        let keys: Vec<_> = (0..40).map(|it| format!("document:{it}")).collect();
        for key in &keys {
            page.join(key, 0);
        }
        page.pass(1_000);
        page.told();
        for value in 0..100 {
            for key in &keys {
                page.update(key, value);
            }
            page.pass(10);
        }
        // All of them once, and then 80 a second.
        let n_sent = page.told().iter().filter(|it| it.contains("update")).count();
        assert!((80..=40 + 80).contains(&n_sent), "{n_sent}");
    }

    #[test]
    fn a_first_update_does_not_wait() {
        let mut page = Page::live();
        page.pass(50);
        page.told();
        page.update(DOC, 2);
        assert_eq!(page.told(), ["1> update document:42 2"]);
    }

    #[test]
    fn what_was_changed_before_the_connection_is_in_the_join() {
        let mut page = Page::manual();
        page.join(DOC, 1);
        page.update(DOC, 2);
        page.answer_all();
        let told = page.told();
        assert!(told.contains(&"1> join document:42 2".to_owned()), "{told:?}");
        page.pass(1_000);
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn an_update_that_waits_is_not_sent_after_its_key_was_left() {
        let mut page = Page::live();
        page.join(OTHER, 1);
        page.update(OTHER, 2);
        page.leave(OTHER);
        page.told();
        page.pass(1_000);
        assert_eq!(page.told(), NOTHING);
    }
}

mod leaving {
    use super::*;

    #[test]
    fn leaving_a_key_says_so_and_the_others_go_on() {
        let mut page = Page::live();
        page.join(OTHER, 1);
        page.told();
        page.leave(OTHER);
        assert_eq!(page.told(), ["1> leave document:43"]);
        assert_eq!(page.session.state(), State::Live);
    }

    #[test]
    fn leaving_the_last_key_ends_it() {
        let mut page = Page::live();
        page.told();
        page.leave(DOC);
        assert_eq!(page.told(), ["1> leave document:42", "close done", "state stopped left"]);
        page.pass(3_600_000);
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn joining_after_that_is_a_new_session() {
        let mut page = Page::live();
        page.leave(DOC);
        page.told();
        page.join(DOC, 1);
        let told = page.told();
        assert!(told.contains(&"2> hello token".to_owned()), "{told:?}");
        assert!(told.contains(&"ready document:42".to_owned()), "{told:?}");
    }

    #[test]
    fn leaving_while_out_of_reach_is_said_by_a_beacon() {
        let mut page = Page::live();
        page.net = Net::Refuse;
        page.closed(1006);
        page.pass(2_000);
        page.told();
        page.leave(DOC);
        let dial = page.dials();
        assert_eq!(
            page.told(),
            [format!("beacon r1 dial {dial} document:42"), "state stopped left".to_owned()]
        );
    }

    #[test]
    fn leaving_a_key_that_was_lost_before_its_first_snapshot_is_said_by_a_beacon_too() {
        let mut page = Page::new(Net::Up);
        page.gives_snapshots = false;
        page.join(DOC, 1);
        page.net = Net::Refuse;
        page.closed(1006);
        page.told();
        page.leave(DOC);
        assert_eq!(page.told(), ["beacon r1 dial 1 document:42", "state stopped left"]);
    }

    #[test]
    fn leaving_before_any_relay_knew_of_it_needs_no_beacon() {
        let mut page = Page::new(Net::Refuse);
        page.join(DOC, 1);
        page.told();
        page.leave(DOC);
        assert_eq!(page.told(), ["state stopped left"]);
    }

    #[test]
    fn a_page_that_is_closed_leaves_its_keys_and_then_closes() {
        let mut page = Page::live();
        page.join(OTHER, 1);
        page.told();
        page.hide();
        let said =
            ["1> leave document:42", "1> leave document:43", "close done", "state connecting"];
        assert_eq!(page.told(), said);
    }

    #[test]
    fn a_page_that_is_closed_while_out_of_reach_sends_a_beacon() {
        let mut page = Page::live();
        page.join(OTHER, 1);
        page.net = Net::Refuse;
        page.closed(1006);
        page.told();
        page.hide();
        assert_eq!(page.told(), ["beacon r1 dial 1 document:42 document:43", "state connecting"]);
    }

    #[test]
    fn a_page_that_is_closed_while_it_dials_says_so_with_the_newest_dial() {
        let mut page = Page::live();
        page.net = Net::Deaf;
        page.closed(1006);
        page.pass(300);
        page.told();
        page.hide();
        let said = ["beacon r1 dial 2 document:42", "close done", "state connecting"];
        assert_eq!(page.told(), said);
    }

    #[test]
    fn a_page_from_the_cache_joins_as_a_new_session_and_is_told_nothing() {
        let mut page = Page::live_with(&["bob"]);
        page.told();
        page.hide();
        page.now += Duration::from_secs(3_600);
        page.gone(DOC, "bob");
        page.come(DOC, "carol");
        page.told();
        page.show();
        assert_eq!(page.names(DOC), ["carol", "me"]);
        let told = page.told();
        assert!(told.contains(&"2> hello token".to_owned()), "{told:?}");
        assert!(!told.iter().any(|it| it.contains("bob") || it.contains("carol")), "{told:?}");
        assert!(told.iter().any(|it| it == "2> join document:42 1"), "no age: {told:?}");
    }

    #[test]
    fn a_page_from_the_cache_holds_nobody_of_a_former_epoch() {
        let mut page = Page::live_with(&["bob"]);
        page.restart();
        page.pass(1_000);
        page.told();
        page.hide();
        page.now += Duration::from_secs(60);
        page.show();
        page.pass(1_000);
        assert_eq!(page.names(DOC), ["me"]);
        let told = page.events();
        assert!(!told.iter().any(|it| it.contains("bob")), "{told:?}");
    }

    #[test]
    fn a_page_that_is_shown_without_having_been_put_away_does_nothing() {
        let mut page = Page::live();
        page.told();
        page.show();
        assert_eq!(page.told(), NOTHING);
    }

    #[test]
    fn while_put_away_nothing_is_dialed() {
        let mut page = Page::live();
        page.hide();
        page.told();
        page.join(OTHER, 1);
        page.update(DOC, 2);
        page.wake();
        page.pass(60_000);
        assert_eq!(page.told(), NOTHING);
        page.show();
        let told = page.told();
        assert!(told.contains(&"2> join document:42 2".to_owned()), "{told:?}");
        assert!(told.contains(&"2> join document:43 1".to_owned()), "{told:?}");
    }

    #[test]
    fn a_key_that_is_entered_anew_while_put_away_is_joined_when_shown() {
        let mut page = Page::live();
        page.hide();
        page.leave(DOC);
        page.join(DOC, 7);
        page.told();
        page.show();
        assert!(page.told().contains(&"2> join document:42 7".to_owned()));
    }

    #[test]
    fn an_update_that_waits_when_it_ends_leaves_no_timer() {
        for end in [Page::hide, Page::deny] {
            let mut page = Page::live();
            page.pass(1_000);
            page.update(DOC, 2);
            page.update(DOC, 3);
            end(&mut page);
            page.pass(60_000);
            assert_eq!(page.session.poll_timeout(), None);
        }
    }

    #[test]
    fn keys_of_a_session_that_was_refused_are_silent_when_it_begins_again() {
        let mut page = Page::live_with(&["bob"]);
        page.deny();
        page.gone(DOC, "bob");
        page.told();
        page.pass(3_600_000);
        page.join(OTHER, 1);
        assert_eq!(page.names(DOC), ["me"]);
        let told = page.events();
        assert!(!told.iter().any(|it| it.contains("bob")), "{told:?}");
    }
}

mod whatever_happens {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The page checks at each step what must always hold.
        #[test]
        fn a_session_keeps_its_promises(
            seed in any::<u64>(),
            steps in proptest::collection::vec(step(), 1..80),
        ) {
            let mut page = Page::seeded(seed, Net::Up);
            for step in steps {
                page.take(step);
            }
            // Once all is well again it is live, and shows whom the relay knows.
            page.net = Net::Up;
            page.next_token = Ok("token");
            page.gives_snapshots = true;
            page.answers_beats = true;
            page.show();
            if matches!(page.session.state(), State::Stopped(_)) {
                page.leave(DOC);
                page.leave(OTHER);
            }
            page.join(DOC, 1);
            page.pass(120_000);
            prop_assert_eq!(page.session.state(), State::Live);
            let relay = page.relay_names(DOC);
            prop_assert_eq!(page.names(DOC), relay);
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(super) enum Step {
        Net(Net),
        Join(bool),
        Leave(bool),
        Update(bool, u8),
        Come(u8),
        ComeBack(u8),
        Change(u8),
        Gone(u8),
        Pulse(bool, u8, bool),
        Pulsed(u8, bool),
        TurnAway(bool),
        LoseADelta,
        Snapshots(bool),
        Answers(bool),
        Closed(u16),
        Garbage,
        Error(usize),
        Expire,
        Lifetime(u64),
        Renew,
        NextToken(&'static str),
        Restart,
        Wake,
        Hide,
        Show,
        Pass(u64),
        PassHidden(u64),
        Sleep(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let nets = [Net::Up, Net::Refuse, Net::Hang, Net::Deaf, Net::Expired];
        let codes = [1000_u16, 1001, 1006, 4000, 4401, 4408, 4409, 4419, 4429, 4999];
        prop_oneof![
            3 => proptest::sample::select(nets.to_vec()).prop_map(Step::Net),
            4 => any::<bool>().prop_map(Step::Join),
            1 => any::<bool>().prop_map(Step::Leave),
            3 => (any::<bool>(), any::<u8>()).prop_map(|(key, meta)| Step::Update(key, meta)),
            3 => (0..4_u8).prop_map(Step::Come),
            1 => (0..4_u8).prop_map(Step::ComeBack),
            2 => (0..4_u8).prop_map(Step::Change),
            2 => (0..4_u8).prop_map(Step::Gone),
            2 => (any::<bool>(), 0..5_u8, any::<bool>())
                .prop_map(|(is_doc, it, value)| Step::Pulse(is_doc, it, value)),
            2 => (0..4_u8, any::<bool>()).prop_map(|(it, value)| Step::Pulsed(it, value)),
            1 => any::<bool>().prop_map(Step::TurnAway),
            1 => Just(Step::LoseADelta),
            1 => any::<bool>().prop_map(Step::Snapshots),
            1 => any::<bool>().prop_map(Step::Answers),
            3 => proptest::sample::select(codes.to_vec()).prop_map(Step::Closed),
            1 => Just(Step::Garbage),
            1 => (0..ErrorCode::ALL.len()).prop_map(Step::Error),
            1 => Just(Step::Expire),
            1 => (1..200_000_u64).prop_map(Step::Lifetime),
            1 => Just(Step::Renew),
            2 => proptest::sample::select(vec!["token", "expired", "denied", ""])
                .prop_map(Step::NextToken),
            1 => Just(Step::Restart),
            1 => Just(Step::Wake),
            1 => Just(Step::Hide),
            1 => Just(Step::Show),
            3 => (0..400_u64).prop_map(Step::Pass),
            4 => (0..20_000_u64).prop_map(Step::Pass),
            1 => (0..200_000_u64).prop_map(Step::PassHidden),
            1 => (0..100_000_u64).prop_map(Step::Sleep),
        ]
    }
}

const NOTHING: [&str; 0] = [];
/// The page's own session at the relay.
const ME: u64 = 1_000;

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Net {
    /// The test says so itself, and also what the relay answers.
    Manual,
    /// It is opened, and the relay answers.
    Up,
    /// It fails at once.
    Refuse,
    /// It never opens.
    Hang,
    /// It is opened, but nobody answers.
    Deaf,
    /// The relay finds the token expired.
    Expired,
    /// The token is honoured and expires right after that.
    ExpiredOnceLive,
}

/// A page, its network and its relay.
struct Page {
    session: Session<u8>,
    now: Time,
    net: Net,
    told: Vec<String>,
    /// When it dialed.
    dialed: Vec<Time>,
    fetch: u32,
    dial: Dial,
    is_open: bool,
    answers_beats: bool,
    gives_snapshots: bool,
    hides_own_join: bool,
    all_events: bool,
    /// What the relay says in `welcome`.
    heartbeat: u64,
    expires_in: u64,
    /// False if it is older than the frame that brings a new token.
    renews: bool,
    renewals: u32,
    /// What the page's token function answers.
    next_token: Result<&'static str, ()>,
    epoch: u64,
    began: Time,
    welcomes: u32,
    /// Who is there, and the rev of each key.
    presences: Vec<(Key, Presence<u8>)>,
    revs: BTreeMap<String, u64>,
    next_session: u64,
    /// The first session of each name.
    sessions: BTreeMap<String, u64>,
    my_session: u64,
    /// Whose the token is, as the relay says.
    user: Option<&'static str>,
    /// The others in the first key, as far as joins and leaves have told.
    others: BTreeSet<String>,
    /// When the relay was heard last, and when that was if the page has been away since.
    heard: Time,
    away: Option<Time>,
    was_put_away: bool,
    /// Whether the page may learn of differences without being told of each.
    may_be_silent: bool,
}

impl Page {
    fn new(net: Net) -> Self {
        Self::seeded(1, net)
    }

    fn manual() -> Self {
        Self::new(Net::Manual)
    }

    /// A page that is live in a key, alone.
    fn live() -> Self {
        Self::live_with(&[])
    }

    fn live_with(names: &[&str]) -> Self {
        let mut page = Self::new(Net::Up);
        for name in names {
            page.add(DOC, name);
        }
        page.join(DOC, 1);
        assert_eq!(page.session.state(), State::Live);
        page
    }

    fn seeded(seed: u64, net: Net) -> Self {
        Self {
            session: Session::new(seed),
            now: Time::from_millis(1_000),
            net,
            told: Vec::new(),
            dialed: Vec::new(),
            fetch: 0,
            dial: Dial(0),
            is_open: false,
            answers_beats: true,
            gives_snapshots: true,
            hides_own_join: false,
            all_events: false,
            heartbeat: 10_000,
            expires_in: 3_600_000_000,
            renews: true,
            renewals: 0,
            next_token: Ok("token"),
            epoch: 1,
            began: Time::from_millis(0),
            welcomes: 0,
            presences: Vec::new(),
            revs: BTreeMap::new(),
            next_session: 1,
            sessions: BTreeMap::new(),
            my_session: ME,
            user: Some("me"),
            others: BTreeSet::new(),
            heard: Time::default(),
            away: None,
            may_be_silent: false,
            was_put_away: false,
        }
    }

    fn join(&mut self, key: &str, meta: u8) {
        self.session.join(self.now, parse(key), meta, Dedupe::User, Mode::Join);
        self.drain();
    }

    fn turn(&mut self, key: &str, mode: Mode) {
        self.turn_with(key, 1, mode);
    }

    fn turn_with(&mut self, key: &str, meta: u8, mode: Mode) {
        self.session.join(self.now, parse(key), meta, Dedupe::User, mode);
        self.drain();
    }

    fn update(&mut self, key: &str, meta: u8) {
        self.session.update(self.now, &parse(key), meta);
        self.drain();
    }

    fn leave(&mut self, key: &str) {
        self.session.leave(&parse(key));
        self.drain();
    }

    fn wake(&mut self) {
        self.session.wake(self.now);
        self.drain();
    }

    fn hide(&mut self) {
        self.session.page_hide();
        self.drain();
    }

    fn show(&mut self) {
        self.session.page_show(self.now);
        self.drain();
    }

    fn deny(&mut self) {
        self.closed(4401);
    }

    fn fetched(&mut self, result: Result<&str, ()>) {
        self.session.token(self.now, self.fetch, result.map(str::to_owned));
        self.drain();
    }

    fn opened(&mut self) {
        self.is_open = true;
        self.session.socket_open(self.now, self.dial);
        self.drain();
    }

    fn welcomed(&mut self) {
        let welcome = self.welcome();
        self.welcomes += 1;
        self.frame(ServerFrame::Welcome(welcome));
    }

    /// Whatever is asked from here on is answered, beginning with the token.
    fn answer_all(&mut self) {
        self.net = Net::Up;
        self.fetched(Ok("token"));
    }

    fn welcome(&self) -> Welcome {
        Welcome {
            session: SessionId::new(self.my_session),
            resume: format!("r{}", self.welcomes + 1),
            resumed: self.welcomes > 0,
            heartbeat_ms: self.heartbeat,
            grace_ms: 30_000,
            expires_in_ms: self.expires_in,
            user_id: self.user.and_then(UserId::parse),
            epoch: EpochInfo {
                id: Epoch::new(self.epoch),
                age_ms: self.now.as_millis() - self.began.as_millis(),
            },
        }
    }

    fn closed(&mut self, code: u16) {
        self.is_open = false;
        self.session.socket_closed(self.now, self.dial, code);
        self.drain();
    }

    fn frame(&mut self, frame: ServerFrame<u8>) {
        if self.is_open {
            self.heard = self.now;
            self.session.socket_frame(self.now, self.dial, frame);
            self.drain();
        }
    }

    fn error(&mut self, code: ErrorCode, key: Option<&str>) {
        let (message, key) = ("no".to_owned(), key.map(parse));
        self.frame(ServerFrame::Error { code, message, key });
    }

    fn beat_answered(&mut self) {
        let revs = vec![(parse(DOC), Rev(self.rev(DOC)))];
        self.frame(ServerFrame::Heartbeat { revs });
    }

    /// Somebody is in the key, but the page isn't told.
    fn add(&mut self, key: &str, name: &str) -> Presence<u8> {
        self.next_session += 1;
        self.sessions.entry(name.to_owned()).or_insert(self.next_session);
        let since = self.now.relative_to(self.began);
        self.put(key, name, self.next_session, since)
    }

    fn put(&mut self, key: &str, name: &str, session: u64, since: i64) -> Presence<u8> {
        let id = UserId::parse(name).unwrap();
        let user = Arc::new(User::new(id, name, Color([1, 2, 3])).unwrap());
        let (session, state) = (SessionId::new(session), PresenceState::Active);
        let presence = Presence { session, user, since, state, meta: 0 };
        let key = parse(key);
        self.presences.retain(|(it, known)| *it != key || known.session != session);
        self.presences.push((key, presence.clone()));
        presence
    }

    fn come(&mut self, key: &str, name: &str) {
        let presence = self.add(key, name);
        self.delta(key, |delta| delta.joined.push(presence));
    }

    fn come_as(&mut self, key: &str, name: &str, session: u64) {
        let since = self.now.relative_to(self.began);
        let presence = self.put(key, name, session, since);
        self.delta(key, |delta| delta.joined.push(presence));
    }

    /// Somebody resumes a session that is older than the relay's epoch.
    fn come_back(&mut self, key: &str, name: &str) {
        self.next_session += 1;
        let session = *self.sessions.entry(name.to_owned()).or_insert(self.next_session);
        let presence = self.put(key, name, session, -1);
        self.delta(key, |delta| delta.joined.push(presence));
    }

    fn change(&mut self, key: &str, name: &str, value: u8) {
        let mut here = self.presences.iter_mut().filter(|(it, _)| it.as_str() == key);
        let Some((_, known)) = here.find(|(_, it)| it.user.name() == name) else { return };
        known.meta = value;
        let (session, meta) = (known.session, Some(value));
        self.delta(key, |delta| delta.updated.push(Updated { session, state: None, meta }));
    }

    fn somebody_changes(&mut self, key: &str) {
        let meta = Some(1);
        let session = SessionId::new(self.my_session);
        self.delta(key, |delta| delta.updated.push(Updated { session, state: None, meta }));
    }

    fn nothing_changes(&mut self, key: &str) {
        self.delta(key, |_| {});
    }

    fn gone(&mut self, key: &str, name: &str) {
        let mut here = self.presences.iter().filter(|(it, _)| it.as_str() == key);
        let Some((_, known)) = here.find(|(_, it)| it.user.name() == name) else { return };
        let session = known.session.bits();
        self.gone_session(key, session);
    }

    fn gone_session(&mut self, key: &str, session: u64) {
        let session = SessionId::new(session);
        self.presences.retain(|(it, known)| it.as_str() != key || known.session != session);
        let left = Left { session, reason: LeaveReason::Left };
        self.delta(key, |delta| delta.left.push(left));
    }

    fn delta(&mut self, key: &str, fill: impl FnOnce(&mut Delta<u8>)) {
        let from = Rev(self.rev(key));
        let to = Rev(from.0 + 1);
        let (joined, left, updated, pulses) = (vec![], vec![], vec![], vec![]);
        let mut delta = Delta { key: parse(key), from, to, joined, left, updated, pulses };
        fill(&mut delta);
        self.revs.insert(key.to_owned(), to.0);
        self.frame(ServerFrame::Delta(delta));
    }

    /// Somebody says something for a moment, or no longer.
    fn pulsed(&mut self, key: &str, name: &str, pulse: &str, value: Option<&str>) {
        let mut here = self.presences.iter().filter(|(it, _)| it.as_str() == key);
        let Some((_, known)) = here.find(|(_, it)| it.user.name() == name) else { return };
        let (session, name) = (known.session, PulseName::parse(pulse).unwrap());
        let value = value.and_then(PulseValue::parse);
        self.delta(key, |delta| delta.pulses.push(Pulse { session, name, value }));
    }

    fn pulse(&mut self, key: &str, name: &str, value: Option<&str>) -> bool {
        let (name, value) = (PulseName::parse(name).unwrap(), value.and_then(PulseValue::parse));
        let fits = self.session.pulse(self.now, &parse(key), name, value);
        self.drain();
        fits
    }

    fn turn_away(&mut self, is_hidden: bool) {
        self.session.hidden(self.now, is_hidden);
        self.drain();
    }

    /// The key goes on, but the page isn't told.
    fn lose_a_delta(&mut self, key: &str) {
        let rev = self.rev(key);
        self.revs.insert(key.to_owned(), rev + 1);
    }

    fn rev(&self, key: &str) -> u64 {
        self.revs.get(key).copied().unwrap_or(1)
    }

    fn snapshot(&mut self, key: &str) {
        let (key, rev) = (parse(key), Rev(self.rev(key)));
        let is_shown = |it: &Presence<u8>| {
            !self.hides_own_join || it.session != SessionId::new(self.my_session)
        };
        let here = self.presences.iter().filter(|(it, known)| *it == key && is_shown(known));
        let presences = here.map(|(_, it)| it.clone()).collect();
        let is_doc = key.as_str() == DOC;
        let is_long = |at: Time| self.now.since(at) > Duration::from_secs(30);
        let snapshot = ServerFrame::Snapshot(Snapshot { key, rev, presences });
        if !is_doc || !self.is_open {
            return self.frame(snapshot);
        }
        self.may_be_silent = self.was_put_away || self.away.is_some_and(is_long);
        self.frame(snapshot);
        self.may_be_silent = false;
        self.away = None;
        self.was_put_away = false;
    }

    /// The relay is gone and comes back, knowing nobody.
    fn restart(&mut self) {
        self.epoch += 1;
        self.began = self.now;
        self.presences.clear();
        self.closed(1006);
    }

    /// Time passes, and the session's timer fires whenever it is due.
    fn pass(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(due) = self.session.poll_timeout().filter(|it| *it <= until) {
            self.now = self.now.max(due);
            self.fire();
        }
        self.now = until;
    }

    /// Time passes in a hidden tab, whose timers fire at full minutes only.
    fn pass_hidden(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(due) = self.session.poll_timeout() {
            let due = Time::from_millis(due.max(self.now).as_millis().next_multiple_of(60_000));
            if due > until {
                break;
            }
            self.now = due;
            self.fire();
        }
        self.now = until;
    }

    fn fire(&mut self) {
        // What comes of a timer may be due at once, but not for ever.
        for _ in 0..5 {
            self.session.handle_timeout(self.now);
            self.drain();
            if self.session.poll_timeout().is_none_or(|it| it > self.now) {
                return;
            }
        }
        panic!("a timer fires again and again");
    }

    /// The page says that its token function has another token.
    fn renew(&mut self) {
        self.session.renew_token(self.now);
        self.drain();
    }

    /// Does what the session asks for.
    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            let text = self.take_output(&output);
            self.told.extend(text);
            self.react(output);
        }
        let roster = self.session.roster(&parse(DOC)).filter(|it| it.is_ready());
        let Some(roster) = roster else { return };
        let members = roster.members().iter().filter(|it| !it.is_me);
        let others: BTreeSet<_> = members.map(|it| it.user.name().to_owned()).collect();
        if self.may_be_silent {
            self.others = others;
        } else {
            assert_eq!(self.others, others, "joins and leaves don't add up");
        }
    }

    fn react(&mut self, output: Output<u8>) {
        match output {
            Output::FetchToken { fetch } => {
                self.fetch = fetch;
                if self.net != Net::Manual {
                    self.fetched(self.next_token);
                }
            }
            Output::Dial { dial } => {
                assert_eq!(dial.0, self.dial.0 + 1);
                self.dial = dial;
                self.dialed.push(self.now);
                match self.net {
                    Net::Manual | Net::Hang => {}
                    Net::Refuse => self.closed(1006),
                    Net::Up | Net::Deaf | Net::Expired | Net::ExpiredOnceLive => self.opened(),
                }
            }
            Output::Send { frame, .. } => self.answer(frame),
            Output::Close { dial, .. } => {
                assert_eq!(dial, self.dial);
                self.is_open = false;
            }
            Output::Beacon { .. } | Output::Event(_) => {}
        }
    }

    /// What the relay does with a frame.
    fn answer(&mut self, frame: ClientFrame<u8>) {
        match (self.net, frame) {
            (Net::Manual, ClientFrame::Heartbeat) if self.answers_beats => self.beat_answered(),
            (Net::Manual | Net::Refuse | Net::Hang | Net::Deaf, _) => {}
            (Net::Expired, ClientFrame::Hello { .. }) => self.closed(4419),
            (Net::ExpiredOnceLive, ClientFrame::Hello { .. }) => {
                self.welcomed();
                self.closed(4419);
            }
            (_, ClientFrame::Hello { resume, .. }) => {
                if resume.is_none() && self.welcomes > 0 {
                    self.my_session += 1;
                }
                self.welcomed();
            }
            (_, ClientFrame::Join { key, .. }) => {
                let session = SessionId::new(self.my_session);
                let mine =
                    |(it, known): &(Key, Presence<u8>)| *it == key && known.session == session;
                if !self.presences.iter().any(mine) {
                    let since = self.now.relative_to(self.began);
                    self.put(key.as_str(), "me", self.my_session, since);
                }
                if self.gives_snapshots {
                    self.snapshot(key.as_str());
                }
            }
            (_, ClientFrame::Observe { key, .. }) => {
                let session = SessionId::new(self.my_session);
                self.presences.retain(|(it, known)| *it != key || known.session != session);
                if self.gives_snapshots {
                    self.snapshot(key.as_str());
                }
            }
            (_, ClientFrame::Resync { key }) if self.gives_snapshots => {
                self.snapshot(key.as_str());
            }
            (_, ClientFrame::Leave { key }) => {
                let session = SessionId::new(self.my_session);
                self.presences.retain(|(it, known)| *it != key || known.session != session);
            }
            (_, ClientFrame::Heartbeat) if self.answers_beats => self.beat_answered(),
            (
                _,
                ClientFrame::Update { .. }
                | ClientFrame::Resync { .. }
                | ClientFrame::Attention { .. }
                | ClientFrame::Pulse { .. }
                | ClientFrame::LastSeen { .. }
                | ClientFrame::Heartbeat,
            ) => {}
            (_, ClientFrame::Token { token }) => {
                let error = match token.as_str() {
                    _ if !self.renews => Some(ErrorCode::BadFrame),
                    "expired" => Some(ErrorCode::TokenExpired),
                    "denied" => Some(ErrorCode::TokenDenied),
                    _ => None,
                };
                if let Some(code) = error {
                    return self.error(code, None);
                }
                self.renewals += 1;
                let resume = format!("r{}.{}", self.welcomes, self.renewals);
                let (expires_in_ms, user_id) = (self.expires_in, self.user.and_then(UserId::parse));
                self.frame(ServerFrame::Token { resume, expires_in_ms, user_id });
            }
        }
    }

    /// An output in a few words, and whether it may come now.
    fn take_output(&mut self, output: &Output<u8>) -> Option<String> {
        Some(match output {
            Output::FetchToken { fetch } => format!("fetch {fetch}"),
            Output::Dial { dial } => {
                assert!(!self.is_open, "it dials while it has a socket");
                format!("dial {}", dial.0)
            }
            Output::Send { dial, frame } => {
                assert!(self.is_open && *dial == self.dial, "it speaks on a socket it hasn't got");
                format!("{}> {}", dial.0, words(frame))
            }
            Output::Close { code, .. } => format!("close {}", code.name()),
            Output::Beacon { resume, dial, keys } => {
                let keys: Vec<_> = keys.iter().map(Key::as_str).collect();
                format!("beacon {resume} dial {} {}", dial.0, keys.join(" "))
            }
            Output::Event(event) => return self.take_event(event),
        })
    }

    fn take_event(&mut self, event: &Event<u8>) -> Option<String> {
        match event {
            Event::State(State::Live) => {}
            Event::State(state) => {
                self.away.get_or_insert(self.heard);
                self.was_put_away |= *state != State::Reconnecting;
            }
            Event::Ready { key } if key.as_str() == DOC => {
                let members = self.session.roster(key).unwrap().members().iter();
                let others = members.filter(|it| !it.is_me);
                self.others = others.map(|it| it.user.name().to_owned()).collect();
            }
            Event::Joined { key, member, .. } if key.as_str() == DOC => {
                assert!(self.others.insert(member.user.name().to_owned()), "joined twice");
            }
            Event::Left { key, member, .. } if key.as_str() == DOC => {
                assert!(self.others.remove(member.user.name()), "left twice");
            }
            _ => {}
        }
        Some(match event {
            Event::State(State::Stopped(reason)) => format!("state stopped {}", reason.name()),
            Event::State(state) => format!("state {}", state.name()),
            Event::Ready { key } => format!("ready {key}"),
            Event::Joined { member, quiet, .. } => {
                assert!(!member.is_me, "told of oneself");
                parenthesized(*quiet, &format!("+{}", member.user.name()))
            }
            Event::Left { member, reason, quiet, .. } => {
                assert!(!member.is_me, "told of oneself");
                parenthesized(*quiet, &format!("-{} {}", member.user.name(), reason.name()))
            }
            Event::Updated { member, .. } => member.user.name().to_owned(),
            Event::Pulse { key, pulse: Pulse { session, name, value } } => {
                assert_ne!(session.bits(), self.my_session, "told of its own");
                let member = self.session.roster(key).unwrap().member_of(*session);
                let who = member.map_or("-", |it| it.user.name());
                let value = value.as_ref().map_or("ended", PulseValue::as_str);
                format!("{who} {name} {value}")
            }
            Event::Changed { key } if self.all_events => format!("changed {key}"),
            Event::Changed { .. } => return None,
            Event::Refused { key, code, .. } => format!("refused {} {key}", code.name()),
            Event::Complaint { key: Some(key), code, .. } => {
                format!("complaint {} {key}", code.name())
            }
            Event::Complaint { code, .. } => format!("complaint {}", code.name()),
        })
    }

    /// Everything that came out since the last look.
    fn told(&mut self) -> Vec<String> {
        core::mem::take(&mut self.told)
    }

    /// The same, without frames and dials.
    fn events(&mut self) -> Vec<String> {
        let is_event = |it: &String| {
            !["fetch", "dial", "close", "beacon"].iter().any(|word| it.starts_with(word))
                && !it.contains("> ")
        };
        self.told().into_iter().filter(is_event).collect()
    }

    fn dials(&self) -> u32 {
        self.dial.0
    }

    /// The times between dials.
    fn gaps(&self) -> Vec<u64> {
        let gap = |it: &[Time]| it[1].as_millis() - it[0].as_millis();
        self.dialed.windows(2).map(gap).collect()
    }

    fn count(&self, key: &str) -> usize {
        self.session.roster(&parse(key)).unwrap().count()
    }

    fn is_stale(&self, key: &str) -> bool {
        self.session.roster(&parse(key)).unwrap().is_stale()
    }

    /// Who is shown, in order of the alphabet.
    fn names(&self, key: &str) -> Vec<String> {
        let roster = self.session.roster(&parse(key)).unwrap();
        let mut names: Vec<_> =
            roster.members().iter().map(|it| it.user.name().to_owned()).collect();
        names.sort();
        names
    }

    /// Who is there, in order of the alphabet.
    fn relay_names(&self, key: &str) -> Vec<String> {
        let here = self.presences.iter().filter(|(it, _)| it.as_str() == key);
        let names: BTreeSet<_> = here.map(|(_, it)| it.user.name().to_owned()).collect();
        names.into_iter().collect()
    }

    fn take(&mut self, step: whatever_happens::Step) {
        use whatever_happens::Step;
        let key = |is_doc| if is_doc { DOC } else { OTHER };
        let name = |it: u8| format!("user{it}");
        match step {
            Step::Net(net) => self.net = net,
            Step::Join(is_doc) => self.join(key(is_doc), 1),
            Step::Leave(is_doc) => self.leave(key(is_doc)),
            Step::Update(is_doc, meta) => self.update(key(is_doc), meta),
            Step::Come(it) => self.come(DOC, &name(it)),
            Step::ComeBack(it) => self.come_back(DOC, &name(it)),
            Step::Change(it) => self.change(DOC, &name(it), it),
            Step::Gone(it) => self.gone(DOC, &name(it)),
            Step::Pulse(is_doc, it, value) => {
                self.pulse(key(is_doc), PULSES[usize::from(it)], value.then_some("1"));
            }
            Step::Pulsed(it, value) => {
                self.pulsed(DOC, &name(it), "cursor", value.then_some("1"));
            }
            Step::TurnAway(is_hidden) => self.turn_away(is_hidden),
            Step::LoseADelta => self.lose_a_delta(DOC),
            Step::Snapshots(it) => self.gives_snapshots = it,
            Step::Answers(it) => self.answers_beats = it,
            Step::Closed(code) => self.closed(code),
            Step::Garbage => {
                self.session.socket_garbage(self.now, self.dial);
                self.drain();
            }
            Step::Error(it) => self.error(ErrorCode::ALL[it], Some(DOC)),
            Step::Expire => self.closed(4419),
            Step::Lifetime(millis) => self.expires_in = millis,
            Step::Renew => self.renew(),
            Step::NextToken("") => self.next_token = Err(()),
            Step::NextToken(it) => self.next_token = Ok(it),
            Step::Restart => self.restart(),
            Step::Wake => self.wake(),
            Step::Hide => self.hide(),
            Step::Show => self.show(),
            Step::Pass(millis) => self.pass(millis),
            Step::PassHidden(millis) => self.pass_hidden(millis),
            Step::Sleep(millis) => self.now += Duration::from_millis(millis),
        }
    }
}

fn words(frame: &ClientFrame<u8>) -> String {
    match frame {
        ClientFrame::Hello { token, resume: None, .. } => format!("hello {token}"),
        ClientFrame::Hello { token, resume: Some(resume), .. } => {
            format!("hello {token}, resume {resume}")
        }
        ClientFrame::Join { key, meta, away: Some(true), .. } => format!("join {key} {meta} away"),
        ClientFrame::Join { key, meta, age: None, .. } => format!("join {key} {meta}"),
        ClientFrame::Join { key, meta, age: Some(age), .. } => {
            format!("join {key} {meta} age {age}")
        }
        ClientFrame::Observe { key, invisible: false, .. } => format!("observe {key}"),
        ClientFrame::Observe { key, .. } => format!("observe {key} invisible"),
        ClientFrame::Update { key, meta } => format!("update {key} {meta}"),
        ClientFrame::Pulse { key, name, value } => {
            format!("pulse {key} {name} {}", value.as_ref().map_or("ended", PulseValue::as_str))
        }
        ClientFrame::Leave { key } => format!("leave {key}"),
        ClientFrame::Resync { key } => format!("resync {key}"),
        ClientFrame::Attention { away } => format!("attention {away}"),
        ClientFrame::LastSeen { key } => format!("last_seen {key}"),
        ClientFrame::Token { token } => format!("token {token}"),
        ClientFrame::Heartbeat => "heartbeat".to_owned(),
    }
}

fn parenthesized(is_quiet: bool, text: &str) -> String {
    if is_quiet { format!("({text})") } else { text.to_owned() }
}

fn parse(key: &str) -> Key {
    Key::parse(key).unwrap()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}
