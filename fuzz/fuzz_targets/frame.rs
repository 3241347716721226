//! The frame decoder: any split of the bytes gives the frames that a plain reading of P-1 to P-5 gives.

#![no_main]

use bytes::BytesMut;
use hera_protocol::frame::{READ_BYTES, put_head};
use hera_protocol::limits::{
    ATTACHMENT_BYTES_MAX, HANDSHAKE_ATTACHMENT_BYTES_MAX, HANDSHAKE_HEAD_BYTES_MAX, HEAD_BYTES_MAX,
};
use hera_protocol::{Code, Decoder};
use libfuzzer_sys::fuzz_target;
use std::io::Write;

type Frames = (Vec<(Vec<u8>, Vec<u8>)>, Option<Code>);

// The first byte chooses the limits and one more step; the rest is what a peer sends.
fuzz_target!(|data: &[u8]| {
    let Some((&choice, sent)) = data.split_first() else { return };
    let open = choice & 1 == 1;
    let expected = plainly(sent, open);

    for step in [sent.len().max(1), 1, usize::from(choice >> 1) + 1] {
        assert_eq!(decode(sent.chunks(step), open), expected, "step {step}");
    }
    if sent.len() <= 300 {
        for at in 1..sent.len() {
            assert_eq!(decode([&sent[..at], &sent[at..]].into_iter(), open), expected, "split at {at}");
        }
    }

    let mut again = BytesMut::new();
    for (head, attachment) in &expected.0 {
        let written = put_head(&mut again, HEAD_BYTES_MAX, attachment.len(), |out| {
            out.write_all(head).map_err(serde_json::Error::io)
        });
        assert_eq!(written, Some(head.len()));
        again.extend_from_slice(attachment);
    }
    assert!(sent.starts_with(&again), "frames are not written as they were read");
});

fn decode<'a>(parts: impl Iterator<Item = &'a [u8]>, open: bool) -> Frames {
    let mut decoder = Decoder::for_handshake();
    if open {
        decoder.open();
    }
    let mut frames = Vec::new();
    for part in parts {
        decoder.buffer().extend_from_slice(part);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push((frame.head.to_vec(), frame.attachment.to_bytes().to_vec())),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.code())),
            }
        }
        // Lengths that a peer only announces must not cost memory.
        assert!(decoder.buffer().capacity() <= 2 * (READ_BYTES + HEAD_BYTES_MAX) + part.len());
        decoder.release();
    }
    (frames, None)
}

fn plainly(mut sent: &[u8], open: bool) -> Frames {
    let (head_max, attachment_max) = if open {
        (HEAD_BYTES_MAX, ATTACHMENT_BYTES_MAX)
    } else {
        (HANDSHAKE_HEAD_BYTES_MAX, HANDSHAKE_ATTACHMENT_BYTES_MAX)
    };
    let mut frames = Vec::new();
    loop {
        let number = |at: usize| Some(u32::from_be_bytes(sent.get(at..at + 4)?.try_into().ok()?) as usize);
        let (Some(length), Some(head)) = (number(0), number(4)) else { return (frames, None) };
        if head < 2 || length < 4 + head {
            return (frames, Some(Code::BadFrame));
        }
        let attachment = length - 4 - head;
        if head > head_max || attachment > attachment_max {
            return (frames, Some(Code::FrameTooLarge));
        }
        let Some(frame) = sent.get(8..8 + head + attachment) else { return (frames, None) };
        frames.push((frame[..head].to_vec(), frame[head..].to_vec()));
        sent = &sent[4 + length..];
    }
}
