use super::*;

/// A client's frame.
fn frame(opcode: u8, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x01, 0xff, 0x33];
    let mut bytes = vec![opcode | if is_final { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
