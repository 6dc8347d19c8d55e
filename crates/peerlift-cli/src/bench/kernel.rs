//! What the kernel keeps for sockets, of this machine as a whole.

use super::client::Trouble;

/// Bytes of the kernel's own structures: sockets are most of what changes while clients come.
pub(super) fn memory() -> Result<u64, Trouble> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = { text.lines() }
        .find_map(|line| line.strip_prefix("Slab:"))
        .ok_or("no Slab in /proc/meminfo")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}
