//! Sizes, rates and durations as people type and read them.
//!
//! Typed (`parse`): what curl and aria2 take, so that a habit carries over: `5M` is 5 × 1024 × 1024.
//! Shown (`format`): three digits and powers of 1000, as the limits that users agree to are said.

mod format;
mod parse;

pub(crate) use format::{Bytes, Count, Percent, Seconds, Speed};
pub(crate) use parse::{parse_duration, parse_limit, parse_rate, parse_size};
