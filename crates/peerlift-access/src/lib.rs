//! Who may fetch what: publisher tokens, proofs that a token's holder shows it, and block lists.
//!
//! ```text
//! publisher ── Claims::sign ──► token ──────────────┐
//! holder    ── Proof::sign ───► proof of possession ┼─► edge, control node: Gate::check
//! operator  ── BlockList::sign ► block list ────────┘
//! ```
//!
//! All three are compact JSON Web Signatures (RFC 7515 §7.1) with Ed25519 (RFC 8037) and nothing
//! else: a text that names another algorithm, its own key where none belongs, or an extension that
//! must be understood, is refused by name. Each kind has a `typ` of its own and is never taken
//! for another (RFC 8725 §3.11).
//!
//! * [`Claims`] is what a token says, [`KeySet`] which keys may say it;
//! * [`Proof`] binds one request to the holder's key (DPoP, RFC 9449), [`ReplayGuard`] remembers
//!   which were used;
//! * [`BlockList`] is what an operator has blocked, signed by a control node.
//!
//! Nothing here reads a clock, a file or the network; the page of the formats is
//! `docs/protocol/tokens.md`.

mod blocks;
mod gate;
mod jws;
mod keys;
mod proof;
mod replay;
mod secret;
mod token;

pub use blocks::{BLOCK_LIST_BYTES_MAX, BLOCKED_MAX, BlockList, Blocked, fuzz_block_list};
pub use gate::{Credential, Gate, Grant, Refusal};
pub use jws::JwsError;
pub use keys::{AccessKey, KeySet, KeySetError, Thumbprint, fuzz_key_set};
pub use proof::{Asked, PROOF_BYTES_MAX, Proof, ProofError, VerifiedProof, fuzz_proof};
pub use replay::{Replay, ReplayGuard};
pub use secret::SecretToken;
pub use token::{
    Audience, CLOCK_SKEW_S, Claims, TOKEN_BYTES_MAX, TOKEN_LIFE_MAX_S, TOKEN_OBJECTS_MAX,
    TokenError, fuzz_token,
};
