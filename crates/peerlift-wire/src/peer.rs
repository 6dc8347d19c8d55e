//! What two peers say to one another about one object.

use bytes::Bytes;
use peerlift_model::{GroupRange, GroupSet, Height, ObjectId, Rate};
use prost::Message;

use crate::error::{AGENT_BYTES_MAX, malformed, object, text};
use crate::proto::peer as proto;
use crate::ticket::TICKET_BYTES_MAX;
use crate::{WireError, runs};

/// The application protocol of a peer connection (RFC 7301).
pub const ALPN: &[u8] = b"peerlift/1";

/// A frame of the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// The first frame of each side.
    Hello(Hello),
    /// All that the sender can serve; replaces what it said before.
    HaveMap(GroupSet),
    /// What the sender can serve beside what it said before.
    HaveDelta(GroupSet),
    /// What the sender is fetching from an edge: it will have these groups soon.
    Pledge(GroupSet),
    /// What one of many equal clients gets of the crowded edge, as the sender has measured. Never 0.
    FairShare(Rate),
    /// The receiver's requests will be refused.
    Choke,
    /// The receiver's requests will be answered.
    Unchoke,
    /// The right to ask, when it comes after the hello.
    Ticket(Bytes),
    /// The sender goes, and why.
    Goodbye(Goodbye),
}

/// Who speaks, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The object.
    pub object: ObjectId,
    /// The right to ask, as the control node signed it.
    pub ticket: Option<Bytes>,
    /// Whether the sender serves at all.
    pub share: bool,
    /// Program and version.
    pub agent: String,
}

/// Why a peer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The user stops, or the download is over.
    Leaving,
    /// There are enough peers.
    EnoughPeers,
    /// The object is not offered here.
    NotShared,
    /// The receiver broke the protocol.
    Misbehaved,
    /// There is another connection between the two.
    Duplicate,
}

impl PeerMessage {
    /// The messages that tell a have-map of any size: the map, and deltas for what does not fit.
    #[must_use]
    pub fn have_map(groups: &GroupSet) -> Vec<Self> {
        let parts = runs::parts(groups).into_iter().enumerate();
        parts
            .map(|(at, part)| {
                if at == 0 {
                    Self::HaveMap(part)
                } else {
                    Self::HaveDelta(part)
                }
            })
            .collect()
    }

    /// The message as it goes into a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use proto::peer_message::Kind;
        let kind = match self {
            Self::Hello(hello) => Kind::Hello(proto::Hello {
                object: hello.object.as_bytes().to_vec().into(),
                ticket: hello.ticket.clone().unwrap_or_default(),
                share: hello.share,
                agent: hello.agent.clone(),
            }),
            Self::HaveMap(groups) => Kind::HaveMap(runs::to_proto(groups)),
            Self::HaveDelta(groups) => Kind::HaveDelta(runs::to_proto(groups)),
            Self::Pledge(groups) => Kind::Pledge(runs::to_proto(groups)),
            Self::FairShare(share) => Kind::FairShare(proto::FairShare {
                bytes_per_s: share.bytes_per_s(),
            }),
            Self::Choke => Kind::Choke(proto::Choke {}),
            Self::Unchoke => Kind::Unchoke(proto::Unchoke {}),
            Self::Ticket(ticket) => Kind::Ticket(proto::Ticket {
                ticket: ticket.clone(),
            }),
            Self::Goodbye(reason) => Kind::Goodbye(proto::Goodbye {
                reason: reason.to_proto().into(),
            }),
        };
        proto::PeerMessage { kind: Some(kind) }.encode_to_vec()
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is anything but a well-formed message.
    pub fn decode(frame: Bytes) -> Result<Self, WireError> {
        use proto::peer_message::Kind;
        match proto::PeerMessage::decode(frame)?
            .kind
            .ok_or(WireError::UnknownKind)?
        {
            Kind::Hello(hello) => Ok(Self::Hello(Hello {
                object: object(&hello.object)?,
                ticket: if hello.ticket.is_empty() {
                    None
                } else {
                    Some(ticket(hello.ticket)?)
                },
                share: hello.share,
                agent: text(&hello.agent, "agent", AGENT_BYTES_MAX)?,
            })),
            Kind::HaveMap(groups) => Ok(Self::HaveMap(runs::from_proto(&groups)?)),
            Kind::HaveDelta(groups) => Ok(Self::HaveDelta(runs::from_proto(&groups)?)),
            Kind::Pledge(groups) => Ok(Self::Pledge(runs::from_proto(&groups)?)),
            Kind::FairShare(proto::FairShare { bytes_per_s: 0 }) => Err(malformed("bytes_per_s")),
            Kind::FairShare(share) => {
                Ok(Self::FairShare(Rate::from_bytes_per_s(share.bytes_per_s)))
            }
            Kind::Choke(proto::Choke {}) => Ok(Self::Choke),
            Kind::Unchoke(proto::Unchoke {}) => Ok(Self::Unchoke),
            Kind::Ticket(message) => Ok(Self::Ticket(ticket(message.ticket)?)),
            Kind::Goodbye(goodbye) => Goodbye::from_proto(goodbye.reason).map(Self::Goodbye),
        }
    }
}

fn ticket(bytes: Bytes) -> Result<Bytes, WireError> {
    if bytes.len() > TICKET_BYTES_MAX {
        return Err(WireError::TooLong {
            field: "ticket",
            max: TICKET_BYTES_MAX,
        });
    }
    Ok(bytes)
}

impl Goodbye {
    fn to_proto(self) -> proto::goodbye::Reason {
        use proto::goodbye::Reason;
        match self {
            Self::Leaving => Reason::Leaving,
            Self::EnoughPeers => Reason::EnoughPeers,
            Self::NotShared => Reason::NotShared,
            Self::Misbehaved => Reason::Misbehaved,
            Self::Duplicate => Reason::Duplicate,
        }
    }

    fn from_proto(reason: i32) -> Result<Self, WireError> {
        use proto::goodbye::Reason;
        match Reason::try_from(reason).map_err(|_| malformed("reason"))? {
            Reason::Leaving => Ok(Self::Leaving),
            Reason::EnoughPeers => Ok(Self::EnoughPeers),
            Reason::NotShared => Ok(Self::NotShared),
            Reason::Misbehaved => Ok(Self::Misbehaved),
            Reason::Duplicate => Ok(Self::Duplicate),
        }
    }
}

/// The first frame of a request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// What is asked for. Never empty.
    pub groups: GroupRange,
    /// Where the proof may begin: parents above are known to the asker. [`Height::MAX`]: none is.
    pub from_height: Height,
}

impl RangeRequest {
    /// Asks for `groups` with all of their proof.
    #[must_use]
    pub fn whole(groups: GroupRange) -> Self {
        Self {
            groups,
            from_height: Height::MAX,
        }
    }

    /// How an answer begins that leaves out what the asker says it knows.
    #[must_use]
    pub fn granted(self) -> RangeStatus {
        if self.from_height == Height::MAX {
            RangeStatus::Ok
        } else {
            RangeStatus::OkFromHeight
        }
    }

    /// The message as it goes into a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (start, end) = (self.groups.start(), self.groups.end());
        let from_height = (self.from_height < Height::MAX).then(|| self.from_height.number());
        proto::RangeRequest {
            start,
            end,
            from_height,
        }
        .encode_to_vec()
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is anything but a well-formed request for something.
    pub fn decode(frame: Bytes) -> Result<Self, WireError> {
        let request = proto::RangeRequest::decode(frame)?;
        if request.start >= request.end {
            return Err(malformed("range"));
        }
        // The greatest height has one form only, which is none.
        let from_height = match request.from_height.map(Height::new) {
            None => Height::MAX,
            Some(Some(height)) if height < Height::MAX => height,
            Some(_) => return Err(malformed("from_height")),
        };
        Ok(Self {
            groups: GroupRange::new(request.start, request.end),
            from_height,
        })
    }
}

/// The first byte of the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeStatus {
    /// The encoded range follows with all of its proof, then the end of the stream.
    Ok,
    /// Not all of it is here. Nothing follows.
    NotHere,
    /// The asker is choked, or shows no valid ticket. Nothing follows.
    Refused,
    /// Too many requests of the asker are waiting. Nothing follows.
    Busy,
    /// The encoded range follows without the parents above the height that was asked for, then the
    /// end of the stream.
    OkFromHeight,
}

impl RangeStatus {
    /// The byte on the wire.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NotHere => 1,
            Self::Refused => 2,
            Self::Busy => 3,
            Self::OkFromHeight => 4,
        }
    }

    /// Reads the byte.
    ///
    /// # Errors
    ///
    /// [`WireError`] for a byte without meaning.
    pub fn from_byte(byte: u8) -> Result<Self, WireError> {
        match byte {
            0 => Ok(Self::Ok),
            1 => Ok(Self::NotHere),
            2 => Ok(Self::Refused),
            3 => Ok(Self::Busy),
            4 => Ok(Self::OkFromHeight),
            _ => Err(malformed("status")),
        }
    }
}

/// Feeds arbitrary bytes to every decoder of this module.
///
/// # Panics
///
/// When a message that decodes does not encode to the same message.
pub fn fuzz_peer(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = PeerMessage::decode(bytes.clone()) {
        let again = PeerMessage::decode(message.encode().into());
        assert_eq!(
            again.as_ref(),
            Ok(&message),
            "what decodes encodes to the same"
        );
    }
    if let Ok(request) = RangeRequest::decode(bytes) {
        let again = RangeRequest::decode(request.encode().into());
        assert_eq!(again, Ok(request), "what decodes encodes to the same");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn groups() -> impl Strategy<Value = GroupSet> {
        proptest::collection::vec((0u32..1000, 1u32..50), 0..40).prop_map(|pairs| {
            pairs
                .into_iter()
                .map(|(start, len)| GroupRange::new(start, start + len))
                .collect()
        })
    }

    fn message() -> impl Strategy<Value = PeerMessage> {
        let hello = (any::<[u8; 32]>(), any::<Option<[u8; 9]>>(), any::<bool>()).prop_map(
            |(object, ticket, share)| {
                PeerMessage::Hello(Hello {
                    object: ObjectId::new(object),
                    ticket: ticket.map(|bytes| Bytes::copy_from_slice(&bytes)),
                    share,
                    agent: "peerlift/0.1".to_owned(),
                })
            },
        );
        prop_oneof![
            hello,
            groups().prop_map(PeerMessage::HaveMap),
            groups().prop_map(PeerMessage::HaveDelta),
            groups().prop_map(PeerMessage::Pledge),
            (1..u64::MAX).prop_map(|rate| PeerMessage::FairShare(Rate::from_bytes_per_s(rate))),
            Just(PeerMessage::Choke),
            Just(PeerMessage::Unchoke),
            Just(PeerMessage::Ticket(Bytes::from_static(b"t"))),
            Just(PeerMessage::Goodbye(Goodbye::Duplicate)),
        ]
    }

    proptest! {
        #[test]
        fn messages_round_trip(message in message()) {
            prop_assert_eq!(PeerMessage::decode(message.encode().into()), Ok(message));
        }

        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_peer(&data);
        }
    }

    fn map_of(gaps_and_lengths: &[u32]) -> Result<PeerMessage, WireError> {
        let runs = proto::Runs {
            gaps_and_lengths: gaps_and_lengths.to_vec(),
        };
        let kind = Some(proto::peer_message::Kind::HaveMap(runs));
        PeerMessage::decode(proto::PeerMessage { kind }.encode_to_vec().into())
    }

    #[test]
    fn runs_have_one_form_only() {
        assert!(map_of(&[]).is_ok());
        assert!(map_of(&[0, 1, 1, 1]).is_ok());
        for wrong in [
            &[1][..],
            &[0, 0],
            &[0, 1, 0, 1],
            &[u32::MAX, 1],
            &[1, u32::MAX],
        ] {
            assert_eq!(map_of(wrong), Err(malformed("runs")), "{wrong:?}");
        }
        let many = [1].repeat(2 * (runs::RUNS_MAX + 1));
        assert!(matches!(map_of(&many), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn the_largest_map_fits_its_frames() {
        let groups: GroupSet = (0..2 * u32::try_from(runs::RUNS_MAX).unwrap())
            .map(|i| GroupRange::new(i * 300, i * 300 + 1))
            .collect();
        let messages = PeerMessage::have_map(&groups);
        assert_eq!(messages.len(), 2);
        for message in &messages {
            assert!(crate::frame::encode_frame(&message.encode()).is_ok());
        }
        assert_eq!(
            PeerMessage::have_map(&GroupSet::new()).len(),
            1,
            "an empty map is said too"
        );
    }

    #[test]
    fn the_message_of_the_protocol_page() {
        let groups: GroupSet = [GroupRange::new(0, 4), GroupRange::new(6, 7)]
            .into_iter()
            .collect();
        let bytes = PeerMessage::HaveDelta(groups).encode();
        assert_eq!(bytes, [0x1a, 0x06, 0x0a, 0x04, 0x00, 0x04, 0x02, 0x01]);
        let mut request = RangeRequest::whole(GroupRange::new(64, 128));
        assert_eq!(request.encode(), [0x08, 0x40, 0x10, 0x80, 0x01]);
        request.from_height = Height::of(64);
        assert_eq!(request.encode(), [0x08, 0x40, 0x10, 0x80, 0x01, 0x18, 0x06]);
    }

    #[test]
    fn heights_that_no_tree_leaves_out_are_refused() {
        let decode = |from_height| {
            let request = proto::RangeRequest {
                start: 0,
                end: 1,
                from_height,
            };
            RangeRequest::decode(request.encode_to_vec().into())
        };
        for (said, meant) in [(None, 32), (Some(0), 0), (Some(31), 31)] {
            let request = decode(said).unwrap();
            assert_eq!(request.from_height.number(), meant);
            assert_eq!(RangeRequest::decode(request.encode().into()), Ok(request));
        }
        for wrong in [32, 33, 256, u32::MAX] {
            assert_eq!(decode(Some(wrong)), Err(malformed("from_height")));
        }
    }

    #[test]
    fn empty_and_backward_requests_are_refused() {
        for (start, end) in [(0, 0), (5, 5), (6, 5)] {
            let from_height = None;
            let bytes = proto::RangeRequest {
                start,
                end,
                from_height,
            }
            .encode_to_vec();
            assert_eq!(RangeRequest::decode(bytes.into()), Err(malformed("range")));
        }
    }
}
