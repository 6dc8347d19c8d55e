//! Sizes, rates and durations as people type and read them.
//!
//! Typed (`parse`): what curl and aria2 take, so that a habit carries over: `5M` is 5 × 1024 × 1024.
//! Shown (`format`): three digits and a binary unit, as download tools do.

mod format;
mod parse;

pub(crate) use format::{Bytes, Percent, Seconds, Speed};
pub(crate) use parse::{parse_duration, parse_limit, parse_rate, parse_size};
