//! Names that people gave their servers become ids.

use portcullis_model::ServerId;

/// The longest id, in bytes.
const LONGEST: usize = 20;

/// The id closest to `name`: lower case, everything else `-`, cut to length. `taken` names the ids that are in
/// use; when the closest is among them, a short hash of the name takes the place of its end.
pub(crate) fn derive(name: &str, taken: impl Fn(&str) -> bool) -> ServerId {
    let plain = plain(name);
    let short = plain[..plain.len().min(LONGEST)].trim_end_matches('-').to_owned();
    if !taken(&short) {
        return id(&short);
    }
    let stem = short[..short.len().min(LONGEST - 5)].trim_end_matches('-');
    let candidates = (0..=u16::MAX).map(|salt| format!("{stem}-{:04x}", hash(name) ^ salt));
    let free = candidates.into_iter().find(|candidate| !taken(candidate));
    id(&free.expect("a file holds fewer values than there are suffixes"))
}

fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            plain.push(c);
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
    }
    let plain = plain.trim_end_matches('-');
    if plain.is_empty() { "server".to_owned() } else { plain.to_owned() }
}

fn id(text: &str) -> ServerId {
    ServerId::parse(text).expect("made of groups of lower-case letters and digits, cut to length")
}

/// FNV-1a, folded to 16 bits: stable across versions and machines, since ids end up in tool names.
fn hash(name: &str) -> u16 {
    let folded =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = folded.to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}
