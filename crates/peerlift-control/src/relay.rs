//! The relay: being written.
