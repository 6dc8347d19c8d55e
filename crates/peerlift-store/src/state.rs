//! The state file of a partial download: what of it is there, in a form that survives a crash.
//!
//! An append-only journal. The first record says whose parts these are, each further one what was
//! added since. Every record carries a checksum that covers the one before it, so that a torn
//! end, or a piece of an older journal behind it, is recognised and left out. The byte-for-byte
//! description is `docs/protocol/partial-files.md`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use peerlift_model::ObjectId;

use crate::boot::BootId;

/// Half-open ranges: of groups in the journal of an object, of bytes in that of a plain file.
pub(crate) type Runs = Vec<(u64, u64)>;

/// What the parts belong to, and which file they lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) subject: Subject,
    /// The start of the machine under which the journal was begun.
    pub(crate) boot: BootId,
    /// The inode of the `.part` file: a copied or replaced file is not trusted.
    pub(crate) inode: u64,
}

/// What is being downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A published object.
    Object { root: ObjectId, size: u64 },
    /// A version of a file, in the words of a server.
    Plain { validator: String, size: u64 },
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// These are there.
    Added(Runs),
    /// These are not: they turned out to be damaged.
    Removed(Runs),
    /// Everything above is on the disk, not only in memory.
    Durable,
}

/// A journal as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Journal {
    pub(crate) header: Header,
    pub(crate) records: Vec<Record>,
}

/// The bytes every journal begins with: name and format version.
const MAGIC: &[u8; 8] = b"PLPART\0\x01";

/// A journal this long was not written by us: a checkpoint every few MiB of 64 TiB at 24 bytes a
/// run stays below.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// Runs in one record; more are split. Bounds what a damaged length can make us skip.
const RUNS_MAX: usize = 4096;

const TAG_OBJECT: u32 = 1;
const TAG_PLAIN: u32 = 2;
const TAG_ADDED: u32 = 3;
const TAG_REMOVED: u32 = 4;
const TAG_DURABLE: u32 = 5;

impl Journal {
    /// Reads the journal at `path`. `None`: there is none, or nothing in it can be used.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(JOURNAL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes))
    }

    /// Parses a journal up to the first record that is not whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut frames = Frames {
            rest: bytes.strip_prefix(MAGIC)?,
            chain: [0; 8],
        };
        let (tag, body) = frames.next()?;
        let header = Header::parse(tag, body)?;
        let records = frames
            .map_while(|(tag, body)| Record::parse(tag, body))
            .collect();
        Some(Self { header, records })
    }
}

impl Header {
    fn tag(&self) -> u32 {
        match self.subject {
            Subject::Object { .. } => TAG_OBJECT,
            Subject::Plain { .. } => TAG_PLAIN,
        }
    }

    fn body(&self) -> Vec<u8> {
        let (size, name) = match &self.subject {
            Subject::Object { root, size } => (size, root.as_bytes().as_slice()),
            Subject::Plain { validator, size } => (size, validator.as_bytes()),
        };
        [
            &self.boot.0,
            &self.inode.to_le_bytes()[..],
            &size.to_le_bytes(),
            name,
        ]
        .concat()
    }

    fn parse(tag: u32, body: &[u8]) -> Option<Self> {
        let (boot, body) = body.split_first_chunk()?;
        let (inode, body) = body.split_first_chunk()?;
        let (size, name) = body.split_first_chunk()?;
        let size = u64::from_le_bytes(*size);
        let subject = match tag {
            TAG_OBJECT => Subject::Object {
                root: ObjectId::try_from(name).ok()?,
                size,
            },
            TAG_PLAIN => Subject::Plain {
                validator: String::from_utf8(name.to_vec()).ok()?,
                size,
            },
            _ => return None,
        };
        Some(Self {
            subject,
            boot: BootId(*boot),
            inode: u64::from_le_bytes(*inode),
        })
    }
}

impl Record {
    fn tag(&self) -> u32 {
        match self {
            Self::Added(_) => TAG_ADDED,
            Self::Removed(_) => TAG_REMOVED,
            Self::Durable => TAG_DURABLE,
        }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Added(runs) | Self::Removed(runs) => {
                runs.chunks(RUNS_MAX).map(runs_body).collect()
            }
            Self::Durable => vec![Vec::new()],
        }
    }

    fn parse(tag: u32, body: &[u8]) -> Option<Self> {
        match tag {
            TAG_ADDED => parse_runs(body).map(Self::Added),
            TAG_REMOVED => parse_runs(body).map(Self::Removed),
            TAG_DURABLE if body.is_empty() => Some(Self::Durable),
            _ => None,
        }
    }
}

fn runs_body(runs: &[(u64, u64)]) -> Vec<u8> {
    runs.iter()
        .flat_map(|(start, end)| [start.to_le_bytes(), end.to_le_bytes()])
        .flatten()
        .collect()
}

fn parse_runs(body: &[u8]) -> Option<Runs> {
    let (pairs, rest) = body.as_chunks::<16>();
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    let run = |pair: &[u8; 16]| {
        let run = (number(&pair[..8])?, number(&pair[8..])?);
        (run.0 < run.1).then_some(run)
    };
    if rest.is_empty() {
        pairs.iter().map(run).collect()
    } else {
        None
    }
}

/// The whole frames at the start of some bytes: tag, length, body, checksum.
struct Frames<'a> {
    rest: &'a [u8],
    chain: [u8; 8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (tag, len) = (u32::from_le_bytes(*tag), u32::from_le_bytes(*len));
        let (body, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        let (sum, rest) = rest.split_first_chunk()?;
        let chain = checksum(self.chain, tag, body);
        if *sum != chain {
            return None;
        }
        (self.rest, self.chain) = (rest, chain);
        Some((tag, body))
    }
}

/// Appends one frame to `out` and moves the chain on.
fn put_frame(out: &mut Vec<u8>, chain: &mut [u8; 8], tag: u32, body: &[u8]) {
    *chain = checksum(*chain, tag, body);
    let len = u32::try_from(body.len()).expect("records are split long before 4 GiB");
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(chain);
}

/// The first 8 bytes of the BLAKE3 of: the checksum before, tag, length, body.
fn checksum(before: [u8; 8], tag: u32, body: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before).update(&tag.to_le_bytes());
    hasher
        .update(&(body.len() as u64).to_le_bytes())
        .update(body);
    let mut sum = [0; 8];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    file: File,
    len: u64,
    chain: [u8; 8],
}

impl JournalWriter {
    /// Begins a journal at `path` with what is there already, replacing the former one in one
    /// step.
    pub(crate) fn begin(path: &Path, header: &Header, records: &[Record]) -> io::Result<Self> {
        let (mut bytes, mut chain) = (MAGIC.to_vec(), [0; 8]);
        put_frame(&mut bytes, &mut chain, header.tag(), &header.body());
        put_records(&mut bytes, &mut chain, records);
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        // The lock on the `.part` file keeps others from this name.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)?;
        file.write_all_at(&bytes, 0)?;
        // A journal that a power failure left empty would make an orphan of the `.part` file.
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        Ok(Self {
            file,

            len: bytes.len() as u64,
            chain,
        })
    }

    /// Appends records. When that fails half-way, the next attempt writes over the torn end.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let (mut bytes, mut chain) = (Vec::new(), self.chain);
        put_records(&mut bytes, &mut chain, records);
        self.file.write_all_at(&bytes, self.len)?;
        (self.len, self.chain) = (self.len + bytes.len() as u64, chain);
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn put_records(bytes: &mut Vec<u8>, chain: &mut [u8; 8], records: &[Record]) {
    for record in records {
        for body in record.bodies() {
            put_frame(bytes, chain, record.tag(), &body);
        }
    }
}

/// Parses any bytes as a journal, and as the body of each kind of record (which no fuzzer finds a
/// checksum for): the entry of the fuzz target, and of the test that replays its corpus.
///
/// # Panics
///
/// When something that was parsed is not the same after it was written.
pub fn fuzz_state(data: &[u8]) {
    if let Some(journal) = Journal::parse(data) {
        let (mut bytes, mut chain) = (MAGIC.to_vec(), [0; 8]);
        put_frame(
            &mut bytes,
            &mut chain,
            journal.header.tag(),
            &journal.header.body(),
        );
        put_records(&mut bytes, &mut chain, &journal.records);
        let again = Journal::parse(&bytes).expect("what was written can be read");
        assert_eq!(again.header, journal.header);
    }
    for tag in 0..=TAG_DURABLE {
        if let Some(header) = Header::parse(tag, data) {
            assert_eq!(Header::parse(header.tag(), &header.body()), Some(header));
        }
        if let Some(record) = Record::parse(tag, data) {
            assert_eq!(record.bodies().concat(), data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            subject: Subject::Plain {
                validator: "\"v1\"".to_owned(),
                size: 5,
            },
            boot: BootId([3; 16]),
            inode: 77,
        }
    }

    #[test]
    fn journals_are_as_their_page_says() {
        let boot = BootId([1; 16]);
        let object = Header {
            subject: Subject::Object {
                root: ObjectId::new([0x33; 32]),
                size: 100_000,
            },
            boot,
            inode: 77,
        };
        let plain = Header {
            subject: Subject::Plain {
                validator: "\"v1\"".to_owned(),
                size: u64::MAX,
            },
            boot,
            inode: 77,
        };
        let parts = vec![
            Record::Added(vec![(0, 3), (5, 6)]),
            Record::Removed(vec![(1, 2)]),
        ];
        let bytes = vec![Record::Added(vec![(0, 10)]), Record::Durable];
        let page = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/protocol/partial-files.md"
        );
        let page = fs::read_to_string(page).unwrap();
        for (name, header, records) in [
            ("journal-object", object, parts),
            ("journal-plain", plain, bytes),
        ] {
            let (mut journal, mut chain) = (MAGIC.to_vec(), [0; 8]);
            put_frame(&mut journal, &mut chain, header.tag(), &header.body());
            put_records(&mut journal, &mut chain, &records);
            let hex: String = journal.iter().map(|byte| format!("{byte:02x}")).collect();
            let (_, vector) = page.split_once(&format!("```hex {name}\n")).unwrap();
            let vector = vector.split_once("```").unwrap().0.replace('\n', "");
            assert_eq!(vector, hex, "{name}");
            assert_eq!(Journal::parse(&journal), Some(Journal { header, records }));
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(Journal::read(&path).unwrap(), None);
        let first = Record::Added(vec![(0, 3), (9, u64::MAX)]);
        let mut writer =
            JournalWriter::begin(&path, &header(), std::slice::from_ref(&first)).unwrap();
        let more = [Record::Removed(vec![(1, 2)]), Record::Durable];
        writer.append(&more).unwrap();
        let [removed, durable] = more;
        let expected = Journal {
            header: header(),
            records: vec![first, removed, durable],
        };
        assert_eq!(Journal::read(&path).unwrap(), Some(expected));
    }

    #[test]
    fn long_lists_are_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let runs: Runs = (0..10_000).map(|at| (at * 2, at * 2 + 1)).collect();
        JournalWriter::begin(&path, &header(), &[Record::Added(runs.clone())]).unwrap();
        let records = Journal::read(&path).unwrap().unwrap().records;
        assert_eq!(records.len(), 3);
        let read = records.into_iter().flat_map(|record| match record {
            Record::Added(runs) => runs,
            Record::Removed(_) | Record::Durable => panic!("only additions were written"),
        });
        assert!(read.eq(runs));
    }

    #[test]
    fn a_later_journal_does_not_continue_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (one, two) = (Record::Added(vec![(0, 1)]), Record::Added(vec![(1, 2)]));
        JournalWriter::begin(&path, &header(), &[one, two.clone()]).unwrap();
        let long = fs::read(&path).unwrap();
        let other = Header {
            inode: 78,
            ..header()
        };
        JournalWriter::begin(&path, &other, std::slice::from_ref(&two)).unwrap();
        let mut short = fs::read(&path).unwrap();
        short.extend_from_slice(&long[short.len()..]);
        assert_eq!(Journal::parse(&short).unwrap().records, [two]);
    }

    #[test]
    fn runs_that_are_none_end_the_journal() {
        for run in [(5, 5), (6, 5)] {
            let (mut bytes, mut chain) = (MAGIC.to_vec(), [0; 8]);
            put_frame(&mut bytes, &mut chain, TAG_PLAIN, &header().body());
            put_frame(&mut bytes, &mut chain, TAG_ADDED, &runs_body(&[run]));
            assert_eq!(Journal::parse(&bytes).unwrap().records, []);
        }
    }
}
