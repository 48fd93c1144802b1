//! How a person is drawn: the letter in the dot, and its color.

use presence_protocol::Color;

/// What the eye takes for one character at the start of a name, for the inside of a dot.
///
/// Not all of Unicode's rules, whose tables are larger than this whole module: a character, the
/// marks on it, and what is joined to it in an emoji.
pub(crate) fn initial(name: &str) -> &str {
    let name = name.trim_start_matches(' ');
    let mut chars = name.char_indices().peekable();
    let Some((_, first)) = chars.next() else { return "" };
    let is_flag = |it: char| matches!(it, '\u{1f1e6}'..='\u{1f1ff}');
    let mut joined = is_flag(first) && chars.peek().is_some_and(|(_, it)| is_flag(*it));
    for (at, char) in chars {
        let is_joiner = char == '\u{200d}';
        if !(joined || is_joiner || is_mark(char)) {
            return name.get(..at).unwrap_or(name);
        }
        joined = is_joiner;
    }
    name
}

/// Combining marks of the scripts that use them most, variation selectors, skin tones, and tags.
const fn is_mark(char: char) -> bool {
    matches!(
        char,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{591}'..='\u{5c7}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{900}'..='\u{903}'
            | '\u{93a}'..='\u{94f}'
            | '\u{e31}'
            | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{3099}'..='\u{309a}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{e0020}'..='\u{e007f}'
    )
}

/// Black or white, whichever can be read on a color.
///
/// One of them always has a contrast of at least 4.5 : 1, as WCAG 2 asks of small text.
pub(crate) fn ink(Color([red, green, blue]): Color) -> &'static str {
    let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    // Both have 4.58 : 1 here.
    if luminance > 0.179 { "#000000" } else { "#ffffff" }
}

/// An sRGB channel in linear light.
///
/// A polynomial that strays at most 0.002 from the real curve, which would need a `pow` that the
/// rest of the module does without.
fn linear(channel: u8) -> f32 {
    let it = f32::from(channel) / 255.0;
    it * (it * (it * 0.305_306 + 0.682_171_1) + 0.012_522_9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_is_one_character_as_the_eye_sees_it() {
        for (name, expected) in [
            ("alice", "a"),
            ("  bob", "b"),
            ("", ""),
            (" ", ""),
            ("<img onerror>", "<"),
            ("e\u{301}mile", "e\u{301}"),
            ("Бо́б", "Б"),
            ("李小龍", "李"),
            ("👩‍👩‍👧 family", "👩‍👩‍👧"),
            ("👋🏽 hi", "👋🏽"),
            ("🇳🇱🇧🇪", "🇳🇱"),
            ("🇳x", "🇳"),
            ("❤️!", "❤️"),
            ("a\u{200d}", "a\u{200d}"),
        ] {
            assert_eq!(initial(name), expected, "{name:?}");
        }
    }

    #[test]
    fn the_ink_can_be_read_on_every_color() {
        let exact = |channel: u8| {
            let it = f64::from(channel) / 255.0;
            if it <= 0.040_45 { it / 12.92 } else { ((it + 0.055) / 1.055).powf(2.4) }
        };
        let exact: Vec<f64> = (0..=255).map(exact).collect();
        // Every third step of each channel, and its ends.
        for red in (0..=255_u8).step_by(3) {
            for green in (0..=255_u8).step_by(3) {
                for blue in (0..=255_u8).step_by(3) {
                    let luminance = 0.2126 * exact[usize::from(red)]
                        + 0.7152 * exact[usize::from(green)]
                        + 0.0722 * exact[usize::from(blue)];
                    let color = Color([red, green, blue]);
                    let contrast = match ink(color) {
                        "#000000" => (luminance + 0.05) / 0.05,
                        _ => 1.05 / (luminance + 0.05),
                    };
                    assert!(contrast >= 4.5, "{color}: {contrast}");
                }
            }
        }
    }
}
