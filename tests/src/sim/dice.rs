//! Numbers that follow from a seed.
//!
//! In: a seed. Out: always the same numbers (xorshift64*; Vigna, 2016). Tests: with the simulation.

/// A die.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The die of a seed and of a name within it.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Dice {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for byte in name.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
        }
        let mut dice = Dice(state | 1);
        for _ in 0..4 {
            dice.roll();
        }
        dice
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to `bound` - 1; 0 for no bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { (self.roll() >> 20) % bound }
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// An index into `length` things.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Whether one chance in `n` came true.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
