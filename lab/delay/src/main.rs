//! Distance for the lab: a packet that goes into the TUN device comes out of it again later.
//!
//! The lab's internet routes every packet between two hosts through one TUN device, whose other
//! end is this program's standard input. It holds each packet for as long as the path between
//! the two addresses takes (see [`paths`]) and writes it back. Packets are opaque but for their
//! IPv4 addresses; they keep the virtio header, so that what the kernel has not yet cut into
//! wire-sized packets or given a checksum passes untouched.
//!
//! Under traffic it looks at the device every [`STEP`] instead of waking up for each packet: a
//! wake-up a packet would cost more than all the programs under test.
//!
//! usage: `lab-delay DEFAULT_US [ADDRESS=US]...` with the TUN device, non-blocking, as input.
//! It prints `ready` once it listens. It ends when it is told to, or when the device goes.

mod line;
mod paths;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::line::Lines;
use crate::paths::Paths;

/// How often the device is looked at while packets are held. 500 µs is one part in ten of the
/// shortest path the lab has, and 2,000 wake-ups a second are cheap.
const STEP: Duration = Duration::from_micros(500);

/// The largest packet the device can hand over: 64 KiB of IPv4, and its virtio header.
const PACKET_BYTES_MAX: usize = 65_536 + paths::VIRTIO_HEADER_BYTES;

fn main() -> ExitCode {
    let paths = match Paths::parse(std::env::args().skip(1)) {
        Ok(paths) => paths,
        Err(problem) => return complain(&problem),
    };
    match hold_packets(&paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "lab-delay: {problem}");
    ExitCode::FAILURE
}

fn hold_packets(paths: &Paths) -> io::Result<()> {
    let mut device = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    writeln!(io::stdout(), "ready")?;
    let mut lines = Lines::default();
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        take_in(&mut device, &mut buffer, paths, &mut lines)?;
        let now = Instant::now();
        while let Some(packet) = lines.release(now) {
            // A packet that the network refuses is lost, as on any network.
            let _ = device.write(&packet);
        }
        if lines.is_empty() {
            poll(&mut [PollFd::new(&device, PollFlags::IN)], None)?;
        } else {
            std::thread::sleep(STEP);
        }
    }
}

/// Takes in all that waits at the device.
fn take_in(
    device: &mut File,
    buffer: &mut [u8],
    paths: &Paths,
    lines: &mut Lines,
) -> io::Result<()> {
    loop {
        match device.read(buffer) {
            Ok(length) => {
                let packet = &buffer[..length];
                // It has waited for half a step on average already.
                let due = Instant::now() + paths.delay_of(packet).saturating_sub(STEP / 2);
                lines.hold(packet, paths.delay_of(packet), due);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
