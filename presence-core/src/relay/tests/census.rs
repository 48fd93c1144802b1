//! Claims about what is told outside of the keys.

use super::*;

#[test]
fn rosters_come_in_chunks_of_whole_keys_and_none_is_left_out() {
    let mut shell = Shell::new();
    for key in ["document:1", "document:2", "document:3"] {
        for user in ["alice", "bob"] {
            shell.visit(user, key);
        }
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let rosters = shell.relay.rosters_after(after.as_ref(), 3);
        let Some((last, _)) = rosters.last() else { break };
        after = Some(last.clone());
        found.push(rosters.iter().map(|(_, it)| it.len()).collect::<Vec<_>>());
    }
    assert_eq!(found, [vec![2, 2], vec![2]]);
}

#[test]
fn a_roster_is_as_it_is_and_knows_ages() {
    let mut shell = Shell::new();
    shell.visit("alice", DOC);
    shell.pass(5_000);
    let roster = shell.relay.roster(&parse(DOC));
    assert_eq!(roster.len(), 1);
    let age = shell.relay.moment(shell.now).age(&roster[0]);
    assert!((5_000..5_100).contains(&age), "{age}");
    assert!(shell.relay.roster(&parse(OTHER)).is_empty());
    shell.visit("alice", DOC);
    shell.visit("bob", DOC);
    assert_eq!(shell.relay.count(&parse(DOC)), (2, 3));
    assert_eq!(shell.relay.count(&parse(OTHER)), (0, 0));
}
