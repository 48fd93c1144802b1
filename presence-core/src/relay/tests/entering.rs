//! Claims about how often a connection is told a key's snapshot because it enters it.

use super::*;
use presence_protocol::limits::MAX_KEYS_PER_CONNECTION;

/// How many snapshots a page has read since the last look.
fn snapshots(shell: &mut Shell<MemoryBackplane>, page: &Page) -> usize {
    shell.sees(page).iter().filter(|it| it.starts_with("= ")).count()
}

/// Enters a key and leaves it again a hundred times a second.
fn flutter(shell: &mut Shell<MemoryBackplane>, page: &Page, times: usize, command: &Command) {
    for _ in 0..times {
        shell.frame(page.conn, command.clone());
        shell.leave(page, DOC);
        shell.pass(10);
        shell.relay.heard(shell.now, page.conn);
    }
}

/// A page that must wait for the next snapshot.
fn entered_too_often(shell: &mut Shell<MemoryBackplane>) -> Page {
    let page = shell.page("carol");
    // Not just when a second begins.
    flutter(shell, &page, 205, &observe());
    shell.sees(&page);
    page
}

fn observe() -> Command {
    Command::Observe { key: parse(DOC), grant: None, invisible: false }
}

#[test]
fn who_leaves_and_enters_gets_no_more_snapshots_than_who_asks_for_them() {
    for command in [observe(), join(DOC)] {
        let (mut shell, _alice, _bob) = two_in(DOC);
        let carol = shell.page("carol");
        flutter(&mut shell, &carol, 500, &command);
        let told = snapshots(&mut shell, &carol);
        assert!(told <= MAX_KEYS_PER_CONNECTION + 5, "{told} in 5 s");
    }
}

#[test]
fn a_page_that_starts_with_as_many_keys_as_it_may_has_them_at_once() {
    let (mut shell, _alice, _bob) = two_in(DOC);
    let carol = shell.page("carol");
    for key in 0..MAX_KEYS_PER_CONNECTION {
        shell.join(&carol, &format!("document:{key}"));
    }
    assert_eq!(snapshots(&mut shell, &carol), MAX_KEYS_PER_CONNECTION);
    shell.pass(1_000);
    for key in 0..MAX_KEYS_PER_CONNECTION {
        shell.leave(&carol, &format!("document:{key}"));
    }
    for key in 0..MAX_KEYS_PER_CONNECTION {
        shell.join(&carol, &format!("document:other:{key}"));
    }
    assert_eq!(snapshots(&mut shell, &carol), MAX_KEYS_PER_CONNECTION, "and others a second later");
}

#[test]
fn whose_snapshot_comes_later_has_it_a_second_later_and_then_everything() {
    let (mut shell, alice, _bob) = two_in(DOC);
    let carol = entered_too_often(&mut shell);
    shell.frame(carol.conn, observe());
    shell.update(&alice, DOC, r#"{"a":1}"#);
    shell.beat(&carol);
    assert_eq!(shell.sees(&carol), ["heartbeat"], "its snapshot is still to come");
    shell.pass(1_000);
    assert_eq!(shell.sees(&carol), ["= alice bob"]);
    shell.update(&alice, DOC, r#"{"a":2}"#);
    assert_eq!(shell.sees(&carol), [r#"alice {"a":2}"#]);
}

#[test]
fn all_that_wait_have_theirs_in_the_end_each_once() {
    let (mut shell, _alice, _bob) = two_in(DOC);
    let carol = entered_too_often(&mut shell);
    for key in 0..5 {
        shell.join(&carol, &format!("document:{key}"));
    }
    shell.pass(10_000);
    assert_eq!(snapshots(&mut shell, &carol), 5);
}

#[test]
fn who_asks_for_a_snapshot_that_waits_has_it() {
    let (mut shell, _alice, _bob) = two_in(DOC);
    let carol = entered_too_often(&mut shell);
    shell.frame(carol.conn, observe());
    shell.resync(&carol, DOC);
    assert_eq!(shell.sees(&carol), ["= alice bob"]);
    shell.pass(5_000);
    assert_eq!(shell.sees(&carol), NOTHING, "and not a second time");
}

#[test]
fn who_leaves_while_a_snapshot_waits_is_told_nothing() {
    let (mut shell, _alice, _bob) = two_in(DOC);
    let carol = entered_too_often(&mut shell);
    shell.frame(carol.conn, observe());
    shell.leave(&carol, DOC);
    shell.pass(5_000);
    assert_eq!(shell.sees(&carol), NOTHING);
}
