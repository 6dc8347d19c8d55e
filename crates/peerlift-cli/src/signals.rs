//! Ctrl-C and its relatives: the first asks to end, the second insists.

use std::process;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};

/// The exit code of the signal that came; 0 while none has.
static ENDED_BY: AtomicU8 = AtomicU8::new(0);

/// A token that is cancelled by the first SIGINT, SIGTERM or SIGHUP. The second ends the process
/// at once, as losing nothing is the disk format's duty, not the shutdown's.
pub(crate) fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::caused(Exit::Other, "cannot catch signals", &error))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let token = stop.clone();
    // Lives as long as the process: it holds nothing but the token.
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = interrupt.recv() => 2,
                _ = terminate.recv() => 15,
                _ = hang_up.recv() => 1,
            };
            let code = 128 + number;
            if ENDED_BY.swap(code, Ordering::Relaxed) != 0 {
                process::exit(code.into());
            }
            token.cancel();
        }
    });
    Ok(stop)
}

/// The exit code of a process that a signal ended: 128 + its number, as shells have it.
pub(crate) fn exit_code() -> Option<u8> {
    Some(ENDED_BY.load(Ordering::Relaxed)).filter(|code| *code != 0)
}
