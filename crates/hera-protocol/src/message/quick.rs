//! Reading a head in the one form in which nearly all of its kind are written: members in their order, no white space, no escape.
//!
//! It judges nothing: what has another form is left to [`super::read`], which alone decides what a head is.

/// What is left to read of a head.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// An integer of at most 16 digits without a leading zero.
    pub(super) fn number(&mut self) -> Option<u64> {
        let (mut number, mut digits) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = self.0.get(digits) {
            number = number * 10 + u64::from(digit - b'0');
            digits += 1;
            if digits > 16 {
                return None;
            }
        }
        if digits == 0 || self.0[0] == b'0' {
            return None;
        }
        self.0 = &self.0[digits..];
        Some(number)
    }

    /// A string without an escape, of bytes that `fits` takes; without its quotes.
    pub(super) fn text(&mut self, fits: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
        let inside = self.0.strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| matches!(byte, b'"' | b'\\') || !fits(*byte))?;
        self.0 = inside[end..].strip_prefix(b"\"")?;
        Some(&inside[..end])
    }
}
