//! The search tree of a database, <https://maxmind.github.io/MaxMind-DB/>.
//!
//! The library follows it without noticing that it comes back to where it was: one wrong byte, and
//! its check of the file runs until there is no memory left.

/// Walks the whole tree, each node once.
///
/// # Errors
///
/// What is wrong, when a node leads back to one above it, or lies beyond the file.
pub(super) fn check(file: &[u8], record_bits: u16, count: usize) -> Result<(), String> {
    if count == 0 {
        return Err("its tree is empty".to_owned());
    }
    let mut seen = vec![Seen::Not; count];
    let mut path = vec![(0, 0)];
    while let Some((number, turn)) = path.last_mut() {
        let here = *number;
        seen[here] = Seen::Above;
        let Some(next) = children(file, record_bits, here)?.get(*turn).copied() else {
            seen[here] = Seen::Done;
            path.pop();
            continue;
        };
        *turn += 1;
        // Numbers from the count on are data, or nothing.
        match seen.get(next) {
            Some(Seen::Not) => path.push((next, 0)),
            Some(Seen::Above) => return Err(format!("its tree leads back to node {next}")),
            Some(Seen::Done) | None => {}
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Seen {
    Not,
    /// On the way to the node that is looked at.
    Above,
    Done,
}

/// Where 0 and 1 lead from a node: two records of 24, 28 or 32 bits.
fn children(file: &[u8], record_bits: u16, number: usize) -> Result<[usize; 2], String> {
    let size = usize::from(record_bits) / 4;
    let node = { file.get(number * size..) }.and_then(|rest| rest.get(..size));
    let node = node.ok_or("its tree ends beyond the file")?;
    let whole = |bytes: &[u8]| { bytes.iter() }.fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Ok(match node {
        // The byte in the middle has the highest four bits of both.
        [a, b, c, high, d, e, f] => [
            whole(&[high >> 4, *a, *b, *c]),
            whole(&[high & 15, *d, *e, *f]),
        ],
        _ => [whole(&node[..size / 2]), whole(&node[size / 2..])],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_size_are_read() {
        let read = |bits, bytes: &[u8]| children(bytes, bits, 1).unwrap();
        let of = |bytes: &[u8]| [&vec![9; bytes.len()], bytes].concat();
        assert_eq!(read(24, &of(&[1, 2, 3, 4, 5, 6])), [0x01_0203, 0x04_0506]);
        let middle = of(&[1, 2, 3, 0xab, 4, 5, 6]);
        assert_eq!(read(28, &middle), [0x0a01_0203, 0x0b04_0506]);
        let wide = of(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(read(32, &wide), [0x0102_0304, 0x0506_0708]);
        assert!(children(&wide, 32, 2).is_err());
    }

    #[test]
    fn a_branch_that_two_share_is_no_way_back() {
        // The IPv4 addresses are found at several places of an IPv6 tree.
        let of = |nodes: [[u8; 2]; 3]| -> Vec<u8> {
            { nodes.iter().flatten() }
                .flat_map(|to| [0, 0, *to])
                .collect()
        };
        assert_eq!(check(&of([[1, 2], [2, 3], [3, 3]]), 24, 3), Ok(()));
        let back = check(&of([[1, 2], [2, 3], [1, 3]]), 24, 3);
        assert!(back.unwrap_err().contains("back to node 1"));
        assert!(check(&of([[0, 3], [3, 3], [3, 3]]), 24, 3).is_err());
        assert!(check(&of([[1, 2], [2, 3], [3, 3]]), 24, 0).is_err());
        assert!(check(&of([[1, 3], [3, 3], [3, 3]])[..6], 24, 3).is_err());
    }
}
