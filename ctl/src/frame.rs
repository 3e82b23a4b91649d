//! Messages on a stream: a length of four bytes, most significant first, then that many bytes of JSON.
//!
//! Both ends hold the length against a bound before they make room for it, and nothing here panics on any bytes.

use std::io::{self, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of the length in front of each message.
pub const PREFIX: usize = 4;

/// The largest request, in bytes: a file of rules ([`crate::command::RULES_BYTES_MAX`]) with every character escaped once
/// and its name. Whoever may send one may load rules, so this is no gift to strangers.
pub const REQUEST_BYTES_MAX: usize = 2 * crate::command::RULES_BYTES_MAX + 64 * 1024;

/// The largest reply, in bytes. Lists come as a message for each row, so this bounds a row and not a list.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// What can go wrong with a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The message is larger than this side sends or takes. On the receiving side the stream is lost.
    #[error("message of {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The bytes are not the JSON of such a message. The next frame can still be read.
    #[error("not a message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The stream ended inside a frame, timed out or broke.
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// Appends `message` as a frame to `into`; on an error `into` is as before.
///
/// # Errors
/// [`FrameError::TooLarge`] if its JSON takes more than `bytes_max` bytes.
pub fn encode<T: Serialize + ?Sized>(
    message: &T,
    bytes_max: usize,
    into: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let before = into.len();
    into.extend_from_slice(&[0; PREFIX]);
    if let Err(error) = serde_json::to_writer(&mut *into, message) {
        into.truncate(before);
        return Err(error.into());
    }
    let bytes = into.len() - before - PREFIX;
    match u32::try_from(bytes) {
        Ok(length) if bytes <= bytes_max => {
            into[before..before + PREFIX].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        _ => {
            into.truncate(before);
            Err(FrameError::TooLarge { bytes, bytes_max })
        }
    }
}

/// The number of bytes that `prefix` announces.
///
/// # Errors
/// [`FrameError::TooLarge`] if they are more than `bytes_max`.
pub fn length(prefix: [u8; PREFIX], bytes_max: usize) -> Result<usize, FrameError> {
    let bytes = u32::from_be_bytes(prefix) as usize;
    if bytes > bytes_max { Err(FrameError::TooLarge { bytes, bytes_max }) } else { Ok(bytes) }
}

/// Reads the message in the bytes of a frame.
///
/// # Errors
/// [`FrameError::Malformed`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(bytes)?)
}

/// Reads a frame's bytes from `stream` into `buffer`, whose room is used again; `None` at the end of the stream.
///
/// # Errors
/// [`FrameError::TooLarge`], and [`FrameError::Stream`] for an end within a frame.
pub fn read<'buffer>(
    stream: &mut impl Read,
    bytes_max: usize,
    buffer: &'buffer mut Vec<u8>,
) -> Result<Option<&'buffer [u8]>, FrameError> {
    let mut prefix = [0; PREFIX];
    loop {
        match stream.read(&mut prefix[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    stream.read_exact(&mut prefix[1..])?;
    let bytes = length(prefix, bytes_max)?;
    buffer.resize(bytes, 0);
    stream.read_exact(buffer)?;
    Ok(Some(buffer))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Envelope, Reply};

    #[test]
    fn what_is_put_in_comes_out() {
        let mut bytes = Vec::new();
        encode(&["first"], REPLY_BYTES_MAX, &mut bytes).unwrap();
        encode(&["second"], REPLY_BYTES_MAX, &mut bytes).unwrap();
        assert_eq!(&bytes[..PREFIX], &[0, 0, 0, 9]);
        let (mut stream, mut buffer) = (bytes.as_slice(), Vec::new());
        for expected in ["first", "second"] {
            let frame = read(&mut stream, REPLY_BYTES_MAX, &mut buffer).unwrap().unwrap();
            assert_eq!(decode::<Vec<String>>(frame).unwrap(), [expected]);
        }
        assert!(read(&mut stream, REPLY_BYTES_MAX, &mut buffer).unwrap().is_none());
    }

    #[test]
    fn a_message_beyond_the_bound_is_neither_sent_nor_taken() {
        let mut bytes = b"kept".to_vec();
        let error = encode("12345678", 9, &mut bytes).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { bytes: 10, bytes_max: 9 }));
        assert_eq!(bytes, b"kept");
        let error = read(&mut [0, 0, 0, 10].as_slice(), 9, &mut bytes).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { bytes: 10, bytes_max: 9 }));
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_an_error() {
        for cut in 1..6 {
            let whole = [0, 0, 0, 2, b'{', b'}'];
            let error = read(&mut &whole[..cut], 9, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, FrameError::Stream(error) if error.kind() == io::ErrorKind::UnexpectedEof)
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_overrun(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = Vec::new();
            let mut stream = bytes.as_slice();
            while let Ok(Some(frame)) = read(&mut stream, 64, &mut buffer) {
                prop_assert!(frame.len() <= 64);
                drop(decode::<Envelope>(frame));
                drop(decode::<Reply>(frame));
            }
        }

        #[test]
        fn no_json_makes_a_message_panic(text in r#"[{}\[\]":,a-z_0-9.\-]{0,80}"#) {
            drop(decode::<Envelope>(text.as_bytes()));
            drop(decode::<Reply>(text.as_bytes()));
        }
    }
}
