//! Stepping back behind everything else that runs on the machine.

use std::io;

/// The least priority there is for the processor: setpriority(2).
const NICEST: i32 = 19;

/// Lets this thread, and those that it starts from now on, have the processor and the disks only
/// when nobody else wants them.
///
/// What the system does not let us do is not done: a download that is a little rude is better than
/// none.
pub(crate) fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICEST) {
        tracing::debug!(%error, "cannot give way on the processor");
    }
    if let Err(error) = idle_disk_class() {
        tracing::debug!(%error, "cannot give way on disks");
    }
}

/// The idle class of ioprio_set(2), for the calling thread.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the C library has no function for this call")]
fn idle_disk_class() -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CALLING_THREAD: libc::c_int = 0;
    // SAFETY: takes three numbers and no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_ioprio_set,
            WHO_PROCESS,
            CALLING_THREAD,
            CLASS_IDLE << CLASS_SHIFT,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `IOPRIO_CLASS_IDLE` and `IOPRIO_CLASS_SHIFT` of linux/ioprio.h.
#[cfg(target_os = "linux")]
const CLASS_IDLE: libc::c_int = 3;
#[cfg(target_os = "linux")]
const CLASS_SHIFT: libc::c_int = 13;

/// There, disks follow the processor's priority or have none.
#[cfg(not(target_os = "linux"))]
fn idle_disk_class() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[expect(unsafe_code, reason = "as above")]
    fn disk_class() -> libc::c_long {
        // SAFETY: takes two numbers and no pointer.
        unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) >> CLASS_SHIFT }
    }

    /// Both are of a thread (NPTL), so the other tests keep theirs.
    #[test]
    fn a_thread_steps_back_and_its_threads_with_it() {
        std::thread::spawn(|| {
            step_back();
            std::thread::spawn(|| {
                assert_eq!(rustix::process::getpriority_process(None), Ok(NICEST));
                assert_eq!(disk_class(), libc::c_long::from(CLASS_IDLE));
            })
            .join()
            .unwrap();
        })
        .join()
        .unwrap();
    }
}
