//! What waits to be written to one worker.
//!
//! Two lines: `front` holds everything but chunks, in order; `bulk` holds chunks and the ends of bodies. Bulk moves to the front
//! a little at a time, when the front is empty, so that pings, cancels and calls never wait behind a body (P-42).

use crate::spare::COPIED_BYTES_MAX;
use bytes::{Buf, Bytes, BytesMut};
use hera_protocol::Attachment;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Bulk bytes that are handed to the front in one go.
const BULK_BYTES: usize = 64 * 1024;
/// Room that is made for the small frames of a turn, again and again: one buffer that grew would be copied each time that it does.
const TAIL_BYTES: usize = 16 * 1024;
/// A buffer with less room left is full: nearly every frame fits.
const FRAME_ROOM: usize = 2 * 1024;
/// Slices of one vectored write.
pub const SLICES_MAX: usize = 64;

/// Frames to write, in the order of their bytes. Large attachments are kept as they came and written from where they are; small ones are copied in.
#[derive(Debug, Default)]
pub struct Outbox {
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    bulk: VecDeque<Bulk>,
    bulk_bytes: usize,
    queued: u64,
    written: u64,
}

/// Which body a chunk belongs to; the ids of the two are unrelated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkOf {
    /// The body of a call to this worker.
    Call(u64),
    /// The body of the answer to a call that this worker made.
    RemoteReply(u64),
}

#[derive(Debug)]
struct Bulk {
    of: BulkOf,
    head: BytesMut,
    bytes: Bytes,
}

impl Outbox {
    /// Appends a small frame, or the head of one whose attachment is added next; `write` encodes into the given buffer.
    ///
    /// Gives what `write` gives, and the position of the frame's last byte once `attachment` is counted.
    pub fn push<T>(
        &mut self,
        attachment: Attachment,
        write: impl FnOnce(&mut BytesMut) -> Option<T>,
    ) -> Option<(T, u64)> {
        if self.tail.capacity() - self.tail.len() < FRAME_ROOM {
            if !self.tail.is_empty() {
                self.segments.push_back(self.tail.split().freeze());
            }
            self.tail = BytesMut::with_capacity(TAIL_BYTES);
        }
        let before = self.tail.len();
        let given = write(&mut self.tail)?;
        self.queued += (self.tail.len() - before + attachment.len()) as u64;
        if attachment.len() <= COPIED_BYTES_MAX {
            attachment.pieces().iter().for_each(|piece| self.tail.extend_from_slice(piece));
        } else {
            self.segments.push_back(self.tail.split().freeze());
            self.segments.extend(attachment.into_pieces());
        }
        Some((given, self.queued))
    }

    /// Appends a chunk of a body, or with no bytes its end.
    pub fn push_bulk(&mut self, of: BulkOf, head: BytesMut, bytes: Bytes) {
        self.bulk_bytes += head.len() + bytes.len();
        self.bulk.push_back(Bulk { of, head, bytes });
    }

    /// Drops what waits of a body: it was cut.
    pub fn drop_bulk(&mut self, of: BulkOf) {
        let mut dropped = 0;
        self.bulk.retain(|waiting| {
            let keep = waiting.of != of;
            dropped += if keep { 0 } else { waiting.head.len() + waiting.bytes.len() };
            keep
        });
        self.bulk_bytes -= dropped;
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> u64 {
        self.queued - self.written + self.bulk_bytes as u64
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.tail.is_empty() && self.bulk.is_empty()
    }

    /// Position behind the last byte that the kernel took.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Moves bulk up when nothing else waits.
    pub fn refill(&mut self) {
        if !self.segments.is_empty() || !self.tail.is_empty() {
            return;
        }
        let mut moved = 0;
        while moved < BULK_BYTES {
            let Some(next) = self.bulk.pop_front() else { return };
            let bytes = next.head.len() + next.bytes.len();
            self.bulk_bytes -= bytes;
            self.queued += bytes as u64;
            moved += bytes;
            self.segments.push_back(next.head.freeze());
            if !next.bytes.is_empty() {
                self.segments.push_back(next.bytes);
            }
        }
    }

    /// The next bytes to write.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut used = 0;
        for segment in self.segments.iter().take(SLICES_MAX) {
            slices[used] = IoSlice::new(segment);
            used += 1;
        }
        if used < SLICES_MAX && !self.tail.is_empty() {
            slices[used] = IoSlice::new(&self.tail);
            used += 1;
        }
        used
    }

    /// Notes that `bytes` were written.
    pub fn advance(&mut self, mut bytes: usize) {
        self.written += bytes as u64;
        while bytes > 0 {
            let Some(first) = self.segments.front_mut() else {
                self.tail.advance(bytes);
                break;
            };
            if bytes < first.len() {
                first.advance(bytes);
                break;
            }
            bytes -= first.len();
            self.segments.pop_front();
        }
        if self.tail.is_empty() && self.segments.is_empty() {
            // An idle session holds no buffer.
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(outbox: &mut Outbox, text: &str, attachment: &'static [u8]) -> u64 {
        let push = outbox.push(Bytes::from_static(attachment).into(), |out| {
            out.extend_from_slice(text.as_bytes());
            Some(())
        });
        push.unwrap().1
    }

    fn write_all(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            outbox.refill();
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).take(step).collect();
            if bytes.is_empty() {
                return all;
            }
            outbox.advance(bytes.len());
            all.extend(bytes);
        }
    }

    #[test]
    fn large_attachments_are_not_copied_and_keep_their_place() {
        let large = vec![b'L'; COPIED_BYTES_MAX + 1].leak();
        let mut outbox = Outbox::default();
        small(&mut outbox, "a", b"small");
        small(&mut outbox, "b", large);
        small(&mut outbox, "c", b"");
        assert_eq!(outbox.segments.len(), 2);
        assert_eq!(write_all(&mut outbox, 1 << 20), [b"asmallb", &*large, b"c"].concat());
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_kernel_takes() {
        for step in 1..12 {
            let mut outbox = Outbox::default();
            small(&mut outbox, "a", b"");
            small(&mut outbox, "b", b"BODY");
            let end = small(&mut outbox, "c", b"");
            assert_eq!(write_all(&mut outbox, step), b"abBODYc");
            assert_eq!((outbox.written(), outbox.waiting()), (end, 0));
        }
    }

    #[test]
    fn many_small_frames_leave_in_order_from_more_than_one_buffer() {
        let mut outbox = Outbox::default();
        let frames: Vec<String> = (0..200).map(|at| format!("{at:0>400}")).collect();
        for frame in &frames {
            small(&mut outbox, frame, b"");
        }
        assert!(outbox.segments.len() > 3);
        assert_eq!(write_all(&mut outbox, 10_000), frames.concat().as_bytes());
    }

    #[test]
    fn small_frames_overtake_chunks_and_a_cut_body_is_dropped() {
        let mut outbox = Outbox::default();
        outbox.push_bulk(BulkOf::Call(1), BytesMut::from("chunk"), Bytes::from_static(b"111"));
        outbox.push_bulk(BulkOf::RemoteReply(1), BytesMut::from("chunk"), Bytes::from_static(b"222"));
        small(&mut outbox, "ping", b"");
        outbox.drop_bulk(BulkOf::RemoteReply(1));

        assert_eq!(write_all(&mut outbox, 100), b"pingchunk111");
        assert!(outbox.is_empty());
    }
}
