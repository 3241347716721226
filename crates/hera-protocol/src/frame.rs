//! Frames: `u32 length | u32 head length | head | attachment` (P-1 to P-5).
//!
//! The decoder never copies an attachment. Bytes are read into one buffer; a frame that fits is sliced out of it, and an attachment that
//! does not fit is taken in pieces as it arrives, each piece the buffer that the kernel wrote it to:
//!
//! ```text
//!   read ──> [ buffer ............ ]   next() ──> Frame { head, attachment: [piece] }
//!                     full, unfinished: the piece is kept, a new buffer begins
//! ```

use crate::error::Code;
use crate::limits::{
    ATTACHMENT_BYTES_MAX, HANDSHAKE_ATTACHMENT_BYTES_MAX, HANDSHAKE_HEAD_BYTES_MAX, HEAD_BYTES_MAX,
};
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use std::cell::RefCell;

/// Size of the buffer that a connection reads into.
pub const READ_BYTES: usize = 64 * 1024;
const LENGTHS: usize = 8;
const HEAD_BYTES_MIN: usize = 2;

/// Raw bytes of a body, in the pieces in which they arrived; never joined, so never copied.
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    pieces: SmallVec<[Bytes; 1]>,
    len: usize,
}

impl Attachment {
    /// No bytes.
    pub fn empty() -> Attachment {
        Attachment::default()
    }

    /// Adds `bytes` at the end; an empty piece is left out.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.pieces.push(bytes);
        }
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The pieces in order, owned.
    pub fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        self.pieces.into_iter()
    }

    /// All bytes in one: free when there is one piece, else a copy. For ends that need it whole, not for the broker's path.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut whole = BytesMut::with_capacity(self.len);
                many.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.freeze()
            }
        }
    }
}

impl From<Bytes> for Attachment {
    fn from(bytes: Bytes) -> Attachment {
        let mut attachment = Attachment::empty();
        attachment.push(bytes);
        attachment
    }
}

/// One frame: the head's text and the attachment.
#[derive(Clone, Debug)]
pub struct Frame {
    /// One JSON-RPC message, not yet read.
    pub head: Bytes,
    /// Raw bytes of a body.
    pub attachment: Attachment,
}

/// Why a stream of frames cannot be followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// P-4: lengths that contradict each other.
    #[error("frame of {length} bytes with a head of {head} bytes cannot be")]
    Bad {
        /// `length` as it was read.
        length: u32,
        /// `head length` as it was read.
        head: u32,
    },
    /// P-4: a head over its limit.
    #[error("head of {bytes} bytes exceeds the limit of {limit}")]
    HeadTooLarge {
        /// Bytes that were announced.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// P-4: an attachment over its limit.
    #[error("attachment of {bytes} bytes exceeds the limit of {limit}")]
    AttachmentTooLarge {
        /// Bytes that were announced.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl FrameError {
    /// The code that the other side is told.
    pub fn code(&self) -> Code {
        match self {
            FrameError::Bad { .. } => Code::BadFrame,
            _ => Code::FrameTooLarge,
        }
    }
}

#[derive(Debug)]
struct Unfinished {
    head: Bytes,
    attachment: Attachment,
    missing: usize,
}

/// Bytes in, frames out.
///
/// Read into [`Decoder::buffer`], then call [`Decoder::next`] until it gives `None`. Memory: one read buffer, one
/// head, and the attachment of one unfinished frame.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    unfinished: Option<Unfinished>,
    head_max: usize,
    attachment_max: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::for_handshake()
    }
}

impl Decoder {
    /// A decoder with the small limits that hold until the handshake is done.
    pub fn for_handshake() -> Decoder {
        Decoder {
            buffer: BytesMut::new(),
            unfinished: None,
            head_max: HANDSHAKE_HEAD_BYTES_MAX,
            attachment_max: HANDSHAKE_ATTACHMENT_BYTES_MAX,
        }
    }

    /// Lifts the limits: the handshake is done.
    pub fn open(&mut self) {
        self.head_max = HEAD_BYTES_MAX;
        self.attachment_max = ATTACHMENT_BYTES_MAX;
    }

    /// The buffer to read into, with room for at least a few KiB; append only.
    pub fn buffer(&mut self) -> &mut BytesMut {
        // An idle connection holds no buffer, and a full one is replaced rather than grown: growing would copy.
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 8 {
            self.buffer.reserve(READ_BYTES.max(self.needed()));
        }
        &mut self.buffer
    }

    /// Gives an unused buffer back: nothing waits to be read, and an idle connection is to cost little.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Bytes still missing of a head that has begun; heads are contiguous, so the buffer must hold all of it.
    fn needed(&self) -> usize {
        match (self.unfinished.is_some(), self.buffer.get(4..LENGTHS)) {
            (false, Some(raw)) => {
                let head = u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]) as usize;
                (LENGTHS + head.min(self.head_max)).saturating_sub(self.buffer.len())
            }
            _ => 0,
        }
    }

    /// The next whole frame, `Ok(None)` when more bytes are needed.
    #[allow(clippy::should_implement_trait, reason = "an iterator would hide that more bytes may come")]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.unfinished.is_none() {
            let Some(begun) = self.begin()? else { return Ok(None) };
            self.unfinished = Some(begun);
        }
        let Some(unfinished) = self.unfinished.as_mut() else { return Ok(None) };

        let there = unfinished.missing.min(self.buffer.len());
        let finished = there == unfinished.missing;
        let full = self.buffer.capacity() - self.buffer.len() < READ_BYTES / 8;
        if there > 0 && (finished || full) {
            unfinished.attachment.push(self.buffer.split_to(there).freeze());
            unfinished.missing -= there;
        }
        if !finished {
            return Ok(None);
        }
        if self.buffer.is_empty() {
            // Lets the allocation go back once the frame is gone: an idle connection costs no buffer.
            self.buffer = BytesMut::new();
        }
        Ok(self.unfinished.take().map(|done| Frame { head: done.head, attachment: done.attachment }))
    }

    fn begin(&mut self) -> Result<Option<Unfinished>, FrameError> {
        let Some(raw) = self.buffer.get(..LENGTHS) else { return Ok(None) };
        let length = u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]);
        let head = u32::from_be_bytes([raw[4], raw[5], raw[6], raw[7]]);
        let bad = FrameError::Bad { length, head };

        let attachment = (length as usize).checked_sub(4 + head as usize).ok_or(bad)?;
        let head = head as usize;
        if head < HEAD_BYTES_MIN {
            return Err(bad);
        }
        if head > self.head_max {
            return Err(FrameError::HeadTooLarge { bytes: head, limit: self.head_max });
        }
        if attachment > self.attachment_max {
            return Err(FrameError::AttachmentTooLarge { bytes: attachment, limit: self.attachment_max });
        }
        if self.buffer.len() < LENGTHS + head {
            return Ok(None);
        }

        let head = self.buffer.split_to(LENGTHS + head).freeze().slice(LENGTHS..);
        Ok(Some(Unfinished { head, attachment: Attachment::empty(), missing: attachment }))
    }
}

thread_local! {
    /// JSON is written in dozens of small steps. A `Vec` takes each for the price of a store, where a `BytesMut` looks at its sharing first; one copy then
    /// carries the head over. It keeps the size of the largest head, 256 KiB at most.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Appends the lengths and the head of a frame to `out`; the attachment's bytes follow by whoever writes them.
///
/// `write` writes the head's JSON, and must not write another head meanwhile. Gives the bytes of the head, or `None` (and leaves `out` as it was) when
/// it is over `head_max`.
pub fn put_head(
    out: &mut BytesMut,
    head_max: usize,
    attachment: usize,
    write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
) -> Option<usize> {
    SCRATCH.with_borrow_mut(|head| {
        head.clear();
        write(head).ok()?;
        if head.len() > head_max {
            return None;
        }
        let length = 4 + head.len() + attachment;
        out.reserve(LENGTHS + head.len());
        out.put_u32(length as u32);
        out.put_u32(head.len() as u32);
        out.extend_from_slice(head);
        Some(head.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(head: &str, attachment: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&((4 + head.len() + attachment.len()) as u32).to_be_bytes());
        bytes.extend_from_slice(&(head.len() as u32).to_be_bytes());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(attachment);
        bytes
    }

    #[test]
    fn frames_come_out_of_any_split() {
        let mut bytes = frame("{}", b"abc");
        bytes.extend(frame("[1]", b""));

        for split in 1..bytes.len() {
            let mut decoder = Decoder::for_handshake();
            let mut frames = Vec::new();
            for part in bytes.chunks(split) {
                decoder.buffer().extend_from_slice(part);
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push((frame.head, frame.attachment.to_bytes()));
                }
            }
            assert_eq!(frames.len(), 2, "split {split}");
            assert_eq!(&frames[0].1[..], b"abc");
            assert_eq!(&frames[1].0[..], b"[1]");
        }
    }

    #[test]
    fn large_attachment_is_taken_in_pieces_and_never_grown() {
        let body: Vec<u8> = (0..ATTACHMENT_BYTES_MAX).map(|i| i as u8).collect();
        let bytes = frame("{}", &body);
        let mut decoder = Decoder::for_handshake();
        decoder.open();

        let mut given = None;
        let mut at = 0;
        while at < bytes.len() {
            let buffer = decoder.buffer();
            let room = (buffer.capacity() - buffer.len()).min(bytes.len() - at);
            assert!(room <= READ_BYTES * 2);
            buffer.extend_from_slice(&bytes[at..at + room]);
            at += room;
            given = decoder.next().unwrap();
        }

        let attachment = given.unwrap().attachment;
        assert!(attachment.pieces().len() > 1);
        assert_eq!(&attachment.to_bytes()[..], &body[..]);
    }

    #[test]
    fn lengths_are_judged_before_memory_is_reserved() {
        let cases: [(u32, u32, Code); 6] = [
            (0, 0, Code::BadFrame),
            (3, 0, Code::BadFrame),
            (6, 3, Code::BadFrame),
            (5, 1, Code::BadFrame),
            (u32::MAX, u32::MAX - 4, Code::FrameTooLarge),
            (u32::MAX, 2, Code::FrameTooLarge),
        ];
        for (length, head, code) in cases {
            let mut decoder = Decoder::for_handshake();
            decoder.open();
            decoder.buffer().put_u32(length);
            decoder.buffer().put_u32(head);
            assert_eq!(decoder.next().unwrap_err().code(), code);
            assert!(decoder.buffer.capacity() <= READ_BYTES * 2);
        }
    }

    #[test]
    fn idle_decoder_holds_no_buffer() {
        let mut decoder = Decoder::for_handshake();
        decoder.buffer().extend_from_slice(&frame("{}", b""));
        drop(decoder.next().unwrap());
        assert_eq!(decoder.buffer.capacity(), 0);
    }

    #[test]
    fn head_over_the_limit_leaves_the_buffer_as_it_was() {
        let mut out = BytesMut::from(&b"before"[..]);
        let text = "x".repeat(100);
        assert!(put_head(&mut out, 50, 0, |w| serde_json::to_writer(w, &text)).is_none());
        assert_eq!(&out[..], b"before");
        assert_eq!(put_head(&mut out, 500, 7, |w| serde_json::to_writer(w, &text)), Some(102));
        assert_eq!(&out[6..14], [0, 0, 0, 113, 0, 0, 0, 102]);
    }
}
