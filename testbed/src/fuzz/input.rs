//! How a target reads its input, and how seeds are written for it. Every sequence of bytes is an input.

/// What is left of an input. What is missing reads as zero, so that each cut of an input is one too.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The whole of it.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes, the high one first.
    pub fn word(&mut self) -> u16 {
        let (high, low) = (self.byte(), self.byte());
        u16::from_be_bytes([high, low])
    }

    /// The next bytes, their number in front of them as a word.
    pub fn chunk(&mut self) -> &'a [u8] {
        let len = self.word();
        self.take(len.into())
    }

    /// At most this many bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An input in the making: what [`Input`] is to read.
#[derive(Clone, Debug, Default)]
pub struct Recipe(Vec<u8>);

impl Recipe {
    /// Adds these bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a word.
    pub fn word(self, word: u16) -> Self {
        self.bytes(&word.to_be_bytes())
    }

    /// Adds bytes with their number in front.
    ///
    /// # Panics
    /// If there are more than a word can count.
    pub fn chunk(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).expect("no packet is longer than 65,535 bytes");
        self.word(len).bytes(bytes)
    }

    /// The input.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, Recipe};

    #[test]
    fn what_was_written_is_read() {
        let bytes = Recipe::default().bytes(&[7]).word(0x1234).chunk(b"abc").bytes(b"rest").done();
        let mut input = Input::new(&bytes);
        assert_eq!((input.byte(), input.word(), input.chunk()), (7, 0x1234, &b"abc"[..]));
        assert_eq!((input.take(99), input.is_empty()), (&b"rest"[..], true));
    }

    #[test]
    fn what_is_missing_is_zero() {
        let mut input = Input::new(&[0xff]);
        assert_eq!((input.word(), input.chunk(), input.byte()), (0xff00, &[][..], 0));
        assert_eq!(Input::new(&[0, 9, 1]).chunk(), [1]);
    }
}
