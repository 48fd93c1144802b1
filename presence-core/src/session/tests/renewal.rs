//! Claims about the token that follows on a live connection.

use super::*;

const HOUR: u64 = 3_600_000;

#[test]
fn the_next_token_is_brought_two_minutes_before_and_nobody_notices() {
    let mut page = page(HOUR);
    let mut last = page.now;
    while page.renewals < 4 {
        let n_before = page.renewals;
        page.pass(1_000);
        let told = page.told();
        assert!(!told.iter().any(|it| it.starts_with("state")), "{told:?}");
        if page.renewals > n_before {
            assert_eq!(renewals(&told), [&format!("fetch {}", n_before + 2), "1> token token"]);
            let after = page.now.since(last).as_millis();
            let expected = u128::from(HOUR - 150_000)..=u128::from(HOUR - 119_000);
            assert!(expected.contains(&after), "{after}");
            last = page.now;
        }
    }
    assert_eq!(page.dials(), 1);
}

#[test]
fn a_token_that_lives_for_a_minute_is_renewed_in_its_last_third() {
    let mut page = page(60_000);
    page.pass(34_999);
    assert_eq!(renewals(&page.told()), NOTHING);
    page.pass(5_001);
    assert_eq!(renewals(&page.told()), ["fetch 2", "1> token token"]);
}

#[test]
fn pages_whose_tokens_were_made_at_once_do_not_come_at_once() {
    let moments: BTreeSet<_> = (0..40)
        .map(|seed| {
            let mut page = Page::seeded(seed, Net::Up);
            page.expires_in = HOUR;
            page.join(DOC, 1);
            while page.renewals == 0 {
                page.pass(1_000);
            }
            page.now
        })
        .collect();
    assert!(moments.len() > 15, "{moments:?}");
}

#[test]
fn a_page_comes_back_with_the_newest_token_and_the_newest_claim_to_its_session() {
    let mut page = page(HOUR);
    page.next_token = Ok("second");
    page.pass(HOUR - 100_000);
    page.told();
    page.net = Net::Manual;
    page.closed(1006);
    page.pass(1_000);
    page.opened();
    let told = page.told();
    assert!(told.contains(&"2> hello second, resume r1.1".to_owned()), "{told:?}");
}

#[test]
fn a_token_function_that_fails_is_asked_again_ever_more_slowly() {
    let mut page = page(HOUR);
    page.next_token = Err(());
    page.pass(HOUR - 100_000);
    page.told();
    page.pass(90_000);
    let told = page.told();
    let n_fetches = told.iter().filter(|it| it.starts_with("fetch")).count();
    assert!((2..8).contains(&n_fetches), "{told:?}");
    page.next_token = Ok("token");
    page.pass(60_000);
    assert_eq!(page.renewals, 1);
    assert_eq!((page.dials(), page.events()), (1, list(&NOTHING)));
}

#[test]
fn a_token_function_that_never_answers_is_asked_again() {
    let mut page = page(HOUR);
    page.net = Net::Manual;
    page.pass(HOUR - 120_000);
    page.told();
    page.pass(11_000);
    assert!(page.told().iter().any(|it| it.starts_with("fetch")));
    assert_eq!(page.session.state(), State::Live);
}

#[test]
fn a_token_that_expired_on_its_way_is_followed_by_another() {
    let mut page = page(HOUR);
    page.next_token = Ok("expired");
    page.pass(HOUR - 119_000);
    assert!(!page.told().iter().any(|it| it.starts_with("complaint")));
    page.next_token = Ok("token");
    page.pass(60_000);
    assert_eq!(renewals(&page.told()).last(), Some(&"1> token token"));
    assert_eq!((page.renewals, page.events()), (1, list(&NOTHING)));
}

#[test]
fn a_token_that_is_denied_is_said_once_and_the_connection_goes_on_until_it_ends() {
    let mut page = page(HOUR);
    page.next_token = Ok("denied");
    page.pass(HOUR);
    let told = page.told();
    let complaints = told.iter().filter(|it| it.starts_with("complaint"));
    assert_eq!(complaints.collect::<Vec<_>>(), ["complaint token_denied"]);
    assert_eq!(renewals(&told), ["fetch 2", "1> token denied"]);
    assert_eq!(page.session.state(), State::Live);
}

#[test]
fn with_an_older_relay_everything_is_as_it_was() {
    let mut page = page(HOUR);
    page.renews = false;
    page.pass(HOUR);
    assert_eq!(renewals(&page.told()), ["fetch 2", "1> token token"]);
    page.closed(4419);
    let told = page.told();
    assert_eq!(renewals(&told), ["fetch 3"]);
    assert!(!told.iter().any(|it| it.starts_with("complaint")), "{told:?}");
    page.pass(1_000);
    assert_eq!((page.dials(), page.session.state()), (2, State::Live));
    // It may be another relay by now.
    page.renews = true;
    page.pass(HOUR - 100_000);
    assert_eq!(page.renewals, 1);
}

#[test]
fn a_token_function_that_always_gives_the_same_token_is_not_asked_in_a_hurry() {
    let mut page = page(HOUR);
    let began = page.now;
    while page.now.since(began) < Duration::from_millis(HOUR) {
        page.expires_in = HOUR - u64::try_from(page.now.since(began).as_millis()).unwrap();
        page.pass(100);
    }
    let n_fetches = page.session.fetches;
    assert!((2..=20).contains(&n_fetches), "{n_fetches}");
}

#[test]
fn a_page_that_is_somebody_else_now_says_so_at_once() {
    let mut page = page(HOUR);
    page.pass(1_000);
    page.told();
    page.next_token = Ok("bob's");
    page.renew();
    assert_eq!(page.told(), ["fetch 2", "1> token bob's"]);
    // Also while a token is being fetched that may be the former one.
    page.net = Net::Manual;
    page.renew();
    let former = page.fetch;
    page.renew();
    page.session.token(page.now, former, Ok("alice's".to_owned()));
    page.fetched(Ok("bob's"));
    assert_eq!(renewals(&page.told()), ["fetch 3", "fetch 4", "1> token bob's"]);
}

#[test]
fn a_page_that_is_somebody_else_while_it_dials_says_so_as_soon_as_it_can() {
    let mut page = Page::manual();
    page.expires_in = HOUR;
    page.join(DOC, 1);
    page.fetched(Ok("alice's"));
    page.renew();
    page.opened();
    page.welcomed();
    page.pass(0);
    assert_eq!(renewals(&page.told()), ["fetch 1", "fetch 2"]);

    // Between two dials the former token is not used again.
    let mut page = page_of_hours();
    page.net = Net::Manual;
    page.closed(1006);
    page.told();
    page.renew();
    page.pass(1_000);
    assert_eq!(page.told(), ["fetch 2"]);
}

#[test]
fn a_page_that_is_somebody_else_leaves_a_relay_that_can_not_be_told() {
    let mut page = page(HOUR);
    page.renews = false;
    page.renew();
    page.told();
    page.next_token = Ok("bob's");
    page.renew();
    let told = page.told();
    assert!(told.iter().any(|it| it.starts_with("2> hello bob's")), "{told:?}");
}

fn page_of_hours() -> Page {
    page(HOUR)
}

/// A page that is live, and whose token lives for so many milliseconds.
fn page(expires_in: u64) -> Page {
    let mut page = Page::new(Net::Up);
    page.expires_in = expires_in;
    page.join(DOC, 1);
    page.told();
    page
}

/// What is about tokens.
fn renewals(told: &[String]) -> Vec<&str> {
    let is_it = |it: &&str| it.starts_with("fetch") || it.contains("> token");
    told.iter().map(String::as_str).filter(is_it).collect()
}
