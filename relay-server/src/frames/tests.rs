use super::*;
use proptest::prelude::*;

const FINAL: bool = true;
const MORE: bool = false;
const CONTINUE: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[test]
fn a_message_in_pieces_is_whole_with_pings_in_between() {
    let bytes = [
        frame(TEXT, MORE, b"{\"a"),
        frame(PING, FINAL, b"x"),
        frame(CONTINUE, MORE, b"\":"),
        frame(CONTINUE, FINAL, b"1}"),
        frame(CLOSE, FINAL, &1001_u16.to_be_bytes()),
    ];
    assert_eq!(
        read_all(&[&bytes.concat()]).unwrap(),
        ["fragment", "ping x", "fragment", "text {\"a\":1}", "close 1001"]
    );
}

#[test]
fn a_reader_keeps_no_memory_between_messages() {
    let mut reader = FrameReader::default();
    for mut bytes in [
        frame(TEXT, FINAL, &[b'a'; 1000]),
        [frame(TEXT, MORE, &[b'a'; 1000]), frame(CONTINUE, FINAL, b"")].concat(),
    ] {
        let (first, second) = bytes.split_at_mut(500);
        reader.read(first, |_| ControlFlow::Continue(())).unwrap();
        reader.read(second, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(reader.held.capacity(), 0);
        assert!(reader.partial.is_none());
    }
}

#[test]
fn however_a_message_is_split_no_more_is_kept_than_one_may_have() {
    let mut reader = FrameReader::default();
    let mut read = |mut bytes: Vec<u8>| {
        reader.read(&mut bytes, |_| ControlFlow::Continue(())).unwrap();
        let partial = reader.partial.as_ref().map_or(0, |it| it.capacity());
        (reader.held.capacity(), partial)
    };
    // All but its last byte, and that in a frame which isn't whole.
    let most = MAX_CLIENT_FRAME_BYTES - 1;
    assert_eq!(read(frame(TEXT, MORE, &vec![b'a'; most])), (0, most));
    assert_eq!(read(frame(CONTINUE, MORE, b"a")), (0, MAX_CLIENT_FRAME_BYTES));
    // A frame whose end comes a byte at a time, with others behind it.
    let large = frame(CONTINUE, FINAL, &vec![b'a'; MAX_CLIENT_FRAME_BYTES]);
    assert_eq!(read(large[..most].to_vec()), (most, MAX_CLIENT_FRAME_BYTES));
    for (n, byte) in (most + 1..).zip(&large[most..large.len() - 1]) {
        assert_eq!(read(vec![*byte]), (n, MAX_CLIENT_FRAME_BYTES));
    }
}

#[test]
fn the_beginning_of_the_next_frame_keeps_no_memory_of_the_last() {
    let mut reader = FrameReader::default();
    let mut bytes = frame(TEXT, FINAL, &vec![b'a'; MAX_CLIENT_FRAME_BYTES]);
    bytes.push(0x81);
    let (first, second) = bytes.split_at_mut(MAX_CLIENT_FRAME_BYTES);
    reader.read(first, |_| ControlFlow::Continue(())).unwrap();
    reader.read(second, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((reader.held.len(), reader.held.capacity()), (1, 1));
}

#[test]
fn a_message_in_the_smallest_pieces_is_moved_a_few_times_only() {
    let mut reader = FrameReader::default();
    let mut sizes = std::collections::BTreeSet::new();
    reader.read(&mut frame(TEXT, MORE, b"a"), |_| ControlFlow::Continue(())).unwrap();
    for _ in 1..MAX_CLIENT_FRAME_BYTES {
        reader.read(&mut frame(CONTINUE, MORE, b"a"), |_| ControlFlow::Continue(())).unwrap();
        sizes.insert(reader.partial.as_ref().unwrap().capacity());
    }
    assert!(sizes.len() < 20, "{sizes:?}");
    assert_eq!(sizes.last(), Some(&MAX_CLIENT_FRAME_BYTES));
}

#[test]
fn an_interrupted_reader_goes_on_where_it_was() {
    let mut bytes =
        [frame(TEXT, FINAL, b"1"), frame(TEXT, FINAL, b"2"), frame(TEXT, FINAL, b"3")].concat();
    let mut reader = FrameReader::default();
    let mut seen = Vec::new();
    let mut read = |reader: &mut FrameReader, bytes: &mut [u8]| {
        let result = reader.read(bytes, |message| {
            seen.push(describe(&message));
            ControlFlow::Break(())
        });
        result.unwrap();
        seen.len()
    };
    assert_eq!(read(&mut reader, &mut bytes), 1);
    assert!(reader.is_interrupted());
    assert_eq!(read(&mut reader, &mut []), 2);
    assert!(reader.is_interrupted());
    assert_eq!(read(&mut reader, &mut []), 3);
    assert!(!reader.is_interrupted(), "there is nothing left");
    assert_eq!(seen, ["text 1", "text 2", "text 3"]);
}

#[test]
fn the_largest_message_passes_and_a_larger_one_is_refused_before_it_is_here() {
    let largest = vec![b'a'; MAX_CLIENT_FRAME_BYTES];
    assert!(read_all(&[&frame(TEXT, FINAL, &largest)]).is_ok());
    let larger = frame(TEXT, FINAL, &vec![b'a'; MAX_CLIENT_FRAME_BYTES + 1]);
    assert_eq!(read_all(&[&larger[..8]]), Err(Violation::TooLarge));
    let in_pieces = [frame(TEXT, MORE, &largest), frame(CONTINUE, FINAL, b"a")].concat();
    assert_eq!(read_all(&[&in_pieces]), Err(Violation::TooLarge));
    let huge = [&[0x81, 0xff], u64::MAX.to_be_bytes().as_slice(), &[0; 4]].concat();
    assert_eq!(read_all(&[&huge]), Err(Violation::TooLarge));
}

#[test]
fn what_no_client_may_send_is_refused() {
    #[track_caller]
    fn check(bytes: &[u8]) {
        let result = read_all(&[bytes]);
        assert!(matches!(result, Err(Violation::Malformed(_))), "{result:?}");
    }
    check(&[0x81, 0x01, b'a']); // not masked
    for reserved_bit in [0x40, 0x20, 0x10] {
        let mut bytes = frame(TEXT, FINAL, b"a");
        bytes[0] |= reserved_bit;
        check(&bytes);
    }
    for reserved_opcode in [3, 7, 11, 15] {
        check(&frame(reserved_opcode, FINAL, b""));
    }
    check(&frame(BINARY, FINAL, b"{}"));
    check(&frame(PING, MORE, b""));
    check(&frame(PING, FINAL, &[0; 126]));
    check(&frame(CLOSE, FINAL, &[3]));
    check(&frame(CONTINUE, FINAL, b"a"));
    check(&[frame(TEXT, MORE, b"a"), frame(TEXT, FINAL, b"b")].concat());
    check(&frame(TEXT, FINAL, b"\xff"));
    // A character that is cut in half at the message's end, though not at a fragment's.
    let euro = "€".as_bytes();
    check(&[frame(TEXT, MORE, &euro[..2]), frame(CONTINUE, FINAL, b"")].concat());
    let whole = [frame(TEXT, MORE, &euro[..2]), frame(CONTINUE, FINAL, &euro[2..])].concat();
    assert_eq!(read_all(&[&whole]).unwrap(), ["fragment", "text €"]);
}

#[test]
fn frames_are_written_as_the_standard_says() {
    let mut buffer = vec![1, 2, 3];
    let mut written = |n_bytes: usize| {
        let bytes = text(&mut buffer, |out| out.extend(std::iter::repeat_n(b'a', n_bytes)));
        let header = bytes.len() - n_bytes;
        assert!(bytes[header..].iter().all(|it| *it == b'a'));
        bytes[..header].to_vec()
    };
    assert_eq!(written(0), [0x81, 0]);
    assert_eq!(written(125), [0x81, 125]);
    assert_eq!(written(126), [0x81, 126, 0, 126]);
    assert_eq!(written(0xffff), [0x81, 126, 0xff, 0xff]);
    assert_eq!(written(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(*pong(b"x"), [0x8a, 1, b'x']);
    assert_eq!(*close_echo(None), [0x88, 0]);
    assert_eq!(*close_echo(Some(1000)), [0x88, 2, 3, 0xe8]);
    assert_eq!(*close(CloseCode::Denied), *b"\x88\x08\x11\x31denied");
    assert_eq!(*super::PING, [0x89, 0]);
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_says_the_same(
        frames in proptest::collection::vec(any_frame(), 1..12),
        cuts in proptest::collection::vec(0..400_usize, 0..12),
    ) {
        let bytes = frames.concat();
        let mut cuts = cuts;
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut start = 0;
        let mut pieces = Vec::new();
        for cut in cuts {
            let end = cut.min(bytes.len());
            pieces.push(&bytes[start..end]);
            start = end;
        }
        let one_by_one: Vec<_> = bytes.chunks(1).collect();
        let expected = read_all(&[&bytes]);
        prop_assert_eq!(&read_all(&pieces), &expected);
        prop_assert_eq!(&read_all(&one_by_one), &expected);
    }

    #[test]
    fn no_bytes_upset_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&[&bytes]);
    }
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..30),
        "[a-zäß€😀]{0,60}".prop_map(String::into_bytes),
    ];
    prop_oneof![
        9 => (prop_oneof![Just(TEXT), Just(CONTINUE), Just(PING), Just(PONG)],
              prop::bool::weighted(0.7), payload)
            .prop_map(|(opcode, is_final, payload)| frame(opcode, is_final, &payload)),
        1 => proptest::collection::vec(any::<u8>(), 1..20),
    ]
}

/// Everything that a stream says, or why it was refused. What was said before that is of no interest:
/// the violation may be noticed sooner or later in the stream, but it is noticed.
fn read_all(pieces: &[&[u8]]) -> Result<Vec<String>, Violation> {
    let mut reader = FrameReader::default();
    let mut seen = Vec::new();
    for piece in pieces {
        reader.read(&mut piece.to_vec(), |message| {
            seen.push(describe(&message));
            ControlFlow::Continue(())
        })?;
    }
    Ok(seen)
}

fn describe(message: &Message<'_>) -> String {
    match message {
        Message::Text(text) => format!("text {text}"),
        Message::Fragment => "fragment".into(),
        Message::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
        Message::Pong => "pong".into(),
        Message::Close(code) => format!("close {}", code.unwrap_or(1005)),
    }
}

/// A client's frame.
fn frame(opcode: u8, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x01, 0xff, 0x33];
    let mut bytes = vec![opcode | if is_final { 0x80 } else { 0 }];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => bytes.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
