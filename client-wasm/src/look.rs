//! A person's color.

use crate::text::{concat, digits};
use presence_protocol::Color;

/// `#rrggbb`.
pub(crate) fn hex_color(Color([red, green, blue]): Color) -> String {
    let number = u32::from_be_bytes([0, red, green, blue]);
    concat(&["#", &digits(number.into(), 16, 6)])
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
    fn a_color_is_written_as_it_is_read() {
        let color = Color([0, 0x0f, 0xff]);
        assert_eq!(hex_color(color), color.to_string());
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
