//! What came over a link and waits for whoever it is meant for.
//!
//! A link reads on only when everything that it has read is in the hands of its readers, and a whole
//! answer has room there: who sends more than he was asked for, or in crumbs, holds up his own link,
//! by TCP's window, and nobody else's.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use peerlift_wire::parcel::RequestNumber;
use peerlift_wire::peer::PeerMessage;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Messages of the control stream that wait for their reader.
const MESSAGES_MAX: usize = 64;

/// Parts of one answer that wait for their reader, beyond one for each group that was asked for: a
/// whole answer with its proofs has a place, as answers usually are cut, so that a reader who takes
/// his time never keeps the link from bringing what the peer says and asks.
pub(super) const PARTS_SPARE: usize = 4;

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Part {
    /// Its next bytes.
    Data(Bytes),
    /// It is whole.
    End,
}

/// Something for a reader.
#[derive(Debug)]
enum Letter {
    Message(PeerMessage),
    Part(RequestNumber, Part),
}

/// All readers of a link, and what waits for them.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: mpsc::Sender<PeerMessage>,
    answers: BTreeMap<RequestNumber, mpsc::Sender<Part>>,
    /// In order of arrival: as much as one read of the socket brings.
    waiting: VecDeque<Letter>,
    /// Answers that nobody reads any longer, and the peer does not know.
    unread: Vec<RequestNumber>,
}

impl Inbox {
    pub(super) fn new() -> (Self, mpsc::Receiver<PeerMessage>) {
        let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
        let inbox = Self {
            messages,
            answers: BTreeMap::new(),
            waiting: VecDeque::new(),
            unread: Vec::new(),
        };
        (inbox, receiver)
    }

    /// Expects an answer.
    pub(super) fn expect(&mut self, number: RequestNumber, reader: mpsc::Sender<Part>) {
        self.answers.insert(number, reader);
    }

    /// No longer expects it. Whether it did.
    pub(super) fn forget(&mut self, number: RequestNumber) -> bool {
        self.answers.remove(&number).is_some()
    }

    /// Takes a message of the control stream.
    pub(super) fn message(&mut self, message: PeerMessage) {
        self.take(Letter::Message(message));
    }

    /// Takes a part of an answer. Whether anybody expects it.
    pub(super) fn part(&mut self, number: RequestNumber, part: Part) -> bool {
        let expected = self.answers.contains_key(&number);
        if expected {
            self.take(Letter::Part(number, part));
        }
        expected
    }

    /// Whether everything is in its reader's hands.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next answer of which the peer should send no more.
    pub(super) fn next_unread(&mut self) -> Option<RequestNumber> {
        self.unread.pop()
    }

    /// Waits until [`Self::deliver`] will get further. Cancel-safe.
    pub(super) async fn place(&self) {
        // A reader that is gone is no obstacle.
        match self.waiting.front() {
            Some(Letter::Message(_)) => drop(self.messages.reserve().await),
            Some(Letter::Part(number, _)) => {
                if let Some(reader) = self.answers.get(number) {
                    drop(reader.reserve().await);
                }
            }
            None => {}
        }
    }

    /// Hands over what readers have a place for, in order.
    pub(super) fn deliver(&mut self) {
        while let Some(letter) = self.waiting.pop_front() {
            if let Some(letter) = self.hand_over(letter) {
                self.waiting.push_front(letter);
                return;
            }
        }
    }

    fn take(&mut self, letter: Letter) {
        let letter = if self.waiting.is_empty() {
            self.hand_over(letter)
        } else {
            Some(letter)
        };
        self.waiting.extend(letter);
    }

    /// Gives the letter back when its reader has no place for it.
    fn hand_over(&mut self, letter: Letter) -> Option<Letter> {
        match letter {
            Letter::Message(message) => match self.messages.try_send(message) {
                Err(TrySendError::Full(message)) => Some(Letter::Message(message)),
                Ok(()) | Err(TrySendError::Closed(_)) => None,
            },
            Letter::Part(number, part) => {
                let reader = self.answers.get(&number)?;
                let ends = matches!(part, Part::End);
                match reader.try_send(part) {
                    Err(TrySendError::Full(part)) => return Some(Letter::Part(number, part)),
                    Ok(()) if ends => {
                        self.answers.remove(&number);
                    }
                    Ok(()) => {}
                    Err(TrySendError::Closed(_)) => {
                        self.answers.remove(&number);
                        self.unread.extend((!ends).then_some(number));
                    }
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(byte: u8) -> Part {
        Part::Data(Bytes::copy_from_slice(&[byte]))
    }

    #[test]
    fn a_full_reader_holds_up_what_came_later() {
        let (mut inbox, mut messages) = Inbox::new();
        let (sender, mut parts) = mpsc::channel(PARTS_SPARE);
        inbox.expect(1, sender);
        for byte in 0..=4 {
            assert!(inbox.part(1, data(byte)));
        }
        inbox.message(PeerMessage::Choke);
        assert!(!inbox.is_empty() && messages.try_recv().is_err());
        parts.try_recv().unwrap();
        inbox.deliver();
        assert!(inbox.is_empty());
        assert_eq!(messages.try_recv(), Ok(PeerMessage::Choke));
        for byte in 1..=4 {
            assert!(matches!(parts.try_recv(), Ok(Part::Data(bytes)) if bytes[..] == [byte]));
        }
    }

    #[test]
    fn an_answer_without_a_reader_is_stopped_once() {
        let (mut inbox, _messages) = Inbox::new();
        let (sender, parts) = mpsc::channel(PARTS_SPARE);
        inbox.expect(1, sender);
        drop(parts);
        assert!(inbox.part(1, data(0)) && !inbox.part(1, data(1)));
        assert_eq!((inbox.next_unread(), inbox.next_unread()), (Some(1), None));
    }

    #[test]
    fn after_its_end_an_answer_is_forgotten() {
        let (mut inbox, _messages) = Inbox::new();
        let (sender, mut parts) = mpsc::channel(PARTS_SPARE);
        inbox.expect(1, sender);
        assert!(inbox.part(1, Part::End) && !inbox.forget(1));
        assert!(matches!(parts.try_recv(), Ok(Part::End)));
        assert!(!inbox.part(1, Part::End));
    }

    #[test]
    fn a_reader_that_goes_lets_the_others_through() {
        let (mut inbox, mut messages) = Inbox::new();
        let (sender, parts) = mpsc::channel(PARTS_SPARE);
        inbox.expect(1, sender);
        for byte in 0..=4 {
            inbox.part(1, data(byte));
        }
        inbox.message(PeerMessage::Choke);
        drop(parts);
        inbox.deliver();
        assert!(inbox.is_empty());
        assert_eq!(messages.try_recv(), Ok(PeerMessage::Choke));
        assert_eq!(inbox.next_unread(), Some(1));
    }
}
