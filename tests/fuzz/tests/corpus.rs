//! What the fuzzers have found worth keeping, again, and the golden texts of the protocol.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use fuzz::TARGETS;
use relay_server::fuzzing::takes_token;
use std::fs;
use std::path::Path;

#[test]
fn the_corpus_is_read_without_a_complaint() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let files = fs::read_dir(corpus.join(name)).unwrap();
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}

#[test]
fn the_corpus_has_a_token_of_each_algorithm_that_is_taken() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/token");
    for (algorithm, another) in relay_server::fuzzing::signed_tokens() {
        let path = corpus.join(format!("signed-{}", algorithm.to_lowercase()));
        let token = fs::read_to_string(&path).unwrap_or_default();
        assert!(takes_token(&token), "{} should be like {another}", path.display());
    }
}

#[test]
fn the_protocols_fixtures_are_read_without_a_complaint() {
    let (_, frames) = TARGETS.into_iter().find(|(name, _)| *name == "frames").unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../presence-protocol/fixtures");
    let mut count = 0;
    for folder in fs::read_dir(fixtures).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            let text = fs::read_to_string(&path).unwrap();
            for text in texts_in(&text) {
                println!("{text:?}");
                for piece in [1, 7, 255] {
                    frames(&[&[piece], text.as_bytes()].concat());
                    frames(&[&[piece][..], &message(text.as_bytes())].concat());
                }
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} texts were found");
}

/// The frame that a file is, or all texts of its list.
fn texts_in(file: &str) -> Vec<String> {
    if !file.starts_with('[') {
        return vec![file.trim_end().to_owned()];
    }
    let rows: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
    let texts = rows.iter().flat_map(|it| [it.get("text"), it.get("same_as")]);
    texts.flatten().filter_map(|it| it.as_str()).map(str::to_owned).collect()
}

/// A message of a client, masked with zeros.
fn message(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut message = vec![0x81, 0x80 | 126];
    message.extend(length);
    message.extend([0; 4]);
    message.extend(payload);
    message
}
