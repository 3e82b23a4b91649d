//! A stream of frames, taken for requests and for replies: each is read, printed, and written again.

use ctl::command;
use ctl::frame::{self, REPLY_BYTES_MAX, REQUEST_BYTES_MAX};
use ctl::message::{Envelope, Head, Reply};
use ctl::render::{Form, Printer};

use super::command::LINES;
use crate::fuzz::seeds;

/// The stream.
pub fn run(bytes: &[u8]) {
    let mut buffer = Vec::new();
    let mut stream = bytes;
    while let Ok(Some(message)) = frame::read(&mut stream, REQUEST_BYTES_MAX, &mut buffer) {
        assert!(message.len() <= REQUEST_BYTES_MAX);
        if let Ok(envelope) = frame::decode::<Envelope>(message) {
            let head: Head = frame::decode(message).expect("every envelope has a head");
            assert_eq!(head.version, envelope.version);
            check_that_it_is_written_again(&envelope);
        }
    }
    let mut replies = Vec::new();
    let mut stream = bytes;
    while let Ok(Some(message)) = frame::read(&mut stream, REPLY_BYTES_MAX, &mut buffer) {
        if let Ok(reply) = frame::decode::<Reply>(message) {
            check_that_it_is_written_again(&reply);
            replies.push(reply);
        }
    }
    for form in [Form::Text, Form::JsonArray, Form::JsonLines] {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, form);
        replies
            .iter()
            .for_each(|reply| printer.reply(reply.clone()).expect("memory takes all that is written"));
        printer.finish().expect("memory takes all that is written");
        assert!(std::str::from_utf8(&out).is_ok());
    }
}

/// What was read can be written, and reads the same.
fn check_that_it_is_written_again<T>(message: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut bytes = Vec::new();
    frame::encode(message, usize::MAX, &mut bytes).expect("memory takes all that is written");
    assert_eq!(&frame::decode::<T>(&bytes[frame::PREFIX..]).expect("it was written by us"), message);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let framed = |json: &[u8]| [&(json.len() as u32).to_be_bytes()[..], json].concat();
    let mut seeds: Vec<_> = seeds::replies().map(|json| framed(json.as_bytes())).collect();
    seeds.push(seeds::replies().flat_map(|json| framed(json.as_bytes())).collect());
    for line in LINES {
        let words = ["routerctl"].into_iter().chain(line.split(' '));
        let task = command::parse(words).expect("the lines are right").task;
        let command::Task::Send(request) = task else { unreachable!("the lines are requests") };
        let mut bytes = Vec::new();
        frame::encode(&Envelope::new(request), REQUEST_BYTES_MAX, &mut bytes).expect("requests are small");
        seeds.push(bytes);
    }
    seeds
}
