//! Socket options for which no crate of ours has a safe wrapper.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Sets an option whose value is a number: see setsockopt(2).
#[expect(
    unsafe_code,
    reason = "no crate of ours has a safe wrapper for these options"
)]
pub(crate) fn set_number(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length =
        libc::socklen_t::try_from(size_of_val(&value)).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel reads `length` bytes
    // of `value`, which has that size and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
