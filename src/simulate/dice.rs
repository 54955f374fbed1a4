//! Draws that depend on their arguments alone, so that the same seed tells the same story in whatever order it is read.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A number for a text, different for each seed.
pub(super) fn of_text(seed: u64, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), seed)
}

/// A number for two numbers (the finalizer of splitmix64: every input bit reaches every output bit).
pub(super) fn mix(left: u64, right: u64) -> u64 {
    let mut bits = left ^ right.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number in `0..below`, from the high bits of `bits`.
pub(super) fn below(bits: u64, below: u64) -> u64 {
    ((u128::from(bits) * u128::from(below)) >> 64) as u64
}

/// Whether a draw falls within `share` of all draws.
pub(super) fn hits(bits: u64, share: f64) -> bool {
    (below(bits, 1_000_000) as f64) < share * 1_000_000.0
}
