//! PostgreSQL's hash of a record, made here of a raw row: a server hashes its rows where they are, and what a copy read is
//! compared with that without a second reading.
//!
//! In: rows in COPY's binary form. Out: what `hash::record` answers for them. Never: a guess at a server that hashes in
//! another way (a big-endian one): its numbers are unlike, and both ends are compared then.
//! Tests: below, with answers of a server; against a server in `worker/sync/tests/databases/postgres.rs`.
//!
//! A field's hash is Bob Jenkins's lookup3 of 2006, as PostgreSQL's `hashfn.c` has it
//! (`hash_bytes_extended` with the seed 0); a record's is that of its fields, each time 31 times the one before and the
//! next, 0 for NULL (`hash_record_extended` in `rowtypes.c`, 14 and newer).

use super::raw::fields;

/// What remains of a hash: 2⁶⁰−1, so that sums of it are made by all engines.
pub(super) const KEPT: u64 = (1 << 60) - 1;

/// The hash of a raw row.
pub(super) fn hash(row: &[u8]) -> u64 {
    let mut hash = 0_u64;
    for field in fields(row) {
        hash = hash.wrapping_mul(31).wrapping_add(field.map_or(0, hash_bytes));
    }
    hash & KEPT
}

/// lookup3 with two results: the second one in the upper half, the third one in the lower.
fn hash_bytes(bytes: &[u8]) -> u64 {
    // As in C, only the lowest 32 bits of the length count.
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(0);
    let start = 0x9e37_79b9_u32.wrapping_add(length).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start, start, start);
    let (blocks, rest) = bytes.as_chunks::<12>();
    for block in blocks {
        let [x, y, z] = words(block);
        (a, b, c) = mix(a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z));
    }
    // The lowest byte of the last word is left to the length, which is in there already.
    let mut last = [0; 12];
    for (at, byte) in rest.iter().enumerate() {
        let place = if at < 8 { at } else { at + 1 };
        if let Some(slot) = last.get_mut(place) {
            *slot = *byte;
        }
    }
    let [x, y, z] = words(&last);
    let (b, c) = finish(a.wrapping_add(x), b.wrapping_add(y), c.wrapping_add(z));
    u64::from(b) << 32 | u64::from(c)
}

fn words(block: &[u8; 12]) -> [u32; 3] {
    let (words, _) = block.as_chunks::<4>();
    [0, 1, 2].map(|at| words.get(at).map_or(0, |word| u32::from_le_bytes(*word)))
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    (a, b, c)
}

fn finish(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (b, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_servers_hash() {
        // SELECT hashtextextended(left('abcdefghijklmnopqrstuvwxyz0123456789', n), 0), of PostgreSQL 15.
        let text = b"abcdefghijklmnopqrstuvwxyz0123456789";
        for (n, hash) in [
            (0, -6_939_563_903_564_495_251_i64),
            (1, 3_591_986_179_850_072_241),
            (4, -1_038_429_303_365_892_052),
            (7, -6_158_032_784_613_548_338),
            (8, -8_882_191_227_074_733_005),
            (9, -3_278_210_106_038_014_113),
            (11, 3_112_909_444_737_856_467),
            (12, -7_556_637_188_122_330_412),
            (13, 8_871_624_171_452_417_744),
            (20, 772_495_730_612_720_881),
            (23, -1_198_571_854_151_947_912),
            (24, -1_933_194_731_779_935_345),
            (25, 5_649_064_133_428_767_341),
            (36, -9_049_552_497_159_076_100),
        ] {
            assert_eq!(hash_bytes(&text[..n]), hash.cast_unsigned(), "{n}");
        }
    }

    #[test]
    fn a_row_has_the_servers_hash() {
        // SELECT hash_record_extended(ROW(int8send(7), 'a'::text, null::text, int4send(-1)), 0) & 1152921504606846975
        let mut row = 4_i16.to_be_bytes().to_vec();
        for field in [Some(7_i64.to_be_bytes().as_slice()), Some(b"a"), None, Some(&[0xff; 4])] {
            row.extend(field.map_or(-1, |field| i32::try_from(field.len()).unwrap()).to_be_bytes());
            row.extend(field.unwrap_or_default());
        }
        assert_eq!(hash(&row), 337_573_675_444_217_215);
    }
}
