//! Why a request was made: what a person is told who asks where a file came from.

/// Why one source was asked for one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// An edge, because nobody else is there to ask.
    Alone,
    /// An edge, because no peer has it: it brings the range into the swarm.
    Injected,
    /// An edge, for a range that peers have, because peers alone are not fast enough for the goal.
    Filled,
    /// An edge or a peer, because a stream needs it soon.
    InOrder,
    /// A peer, because it has what fewest others have.
    Peer,
    /// A peer that misbehaved before, with a small range that others are asked for as well.
    OnParole,
    /// A second source, because the first was slow to bring it.
    Rescued,
}
