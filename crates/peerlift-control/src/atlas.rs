//! What databases in the MMDB format know of addresses: autonomous system and country.
//!
//! The operator supplies the files, as those of MaxMind, DB-IP or IPinfo. Without them nodes still
//! know sites and prefixes. A damaged file is refused when it is read: what passes can be asked.

mod tree;

use std::net::IpAddr;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use maxminddb::Reader;
use peerlift_rendezvous::Network;
use serde::Deserialize;
use thiserror::Error;

/// The databases in use. Cheap to clone.
#[derive(Clone, Default)]
pub struct Atlas {
    asn: Option<Arc<Reader<Vec<u8>>>>,
    country: Option<Arc<Reader<Vec<u8>>>>,
}

impl fmt::Debug for Atlas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atlas")
            .field("asn", &self.asn.is_some())
            .field("country", &self.country.is_some())
            .finish()
    }
}

/// A database cannot be used.
#[derive(Debug, Error)]
#[error("{path} is no MMDB database: {fault}")]
pub struct AtlasError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: String,
}

/// What a database of autonomous systems says of an address.
#[derive(Deserialize)]
struct AsRecord {
    autonomous_system_number: Option<u32>,
}

/// What a database of countries or cities says of an address.
#[derive(Deserialize)]
struct CountryRecord<'a> {
    #[serde(borrow)]
    country: Option<Country<'a>>,
}

#[derive(Deserialize)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

impl Atlas {
    /// Reads a database of autonomous systems into memory.
    ///
    /// # Errors
    ///
    /// [`AtlasError`]; the one in use stays in use.
    pub fn read_asn(&mut self, path: &Path) -> Result<(), AtlasError> {
        self.asn = Some(open(path)?);
        Ok(())
    }

    /// Reads a database of countries, or of cities, into memory.
    ///
    /// # Errors
    ///
    /// [`AtlasError`]; the one in use stays in use.
    pub fn read_country(&mut self, path: &Path) -> Result<(), AtlasError> {
        self.country = Some(open(path)?);
        Ok(())
    }

    /// What is known of an address.
    #[must_use]
    pub fn network(&self, address: Option<IpAddr>) -> Network {
        let mut network = Network::default();
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return network;
        };
        if let Some(record) = find::<AsRecord>(self.asn.as_deref(), address) {
            network.asn = record.autonomous_system_number.unwrap_or(0);
        }
        if let Some(record) = find::<CountryRecord>(self.country.as_deref(), address) {
            let code = record.country.and_then(|country| country.iso_code);
            let letters = code.and_then(|code| <[u8; 2]>::try_from(code.as_bytes()).ok());
            network.country = letters.unwrap_or_default();
        }
        network
    }
}

fn open(path: &Path) -> Result<Arc<Reader<Vec<u8>>>, AtlasError> {
    let bytes = fs::read(path).map_err(|error| error.to_string());
    let reader = bytes.and_then(|bytes| {
        // The decoder adds what the file says without a check.
        let read = catch_unwind(|| check(bytes));
        read.unwrap_or_else(|_| Err("its data makes no sense".to_owned()))
    });
    let wrong = |fault| AtlasError {
        path: path.to_owned(),
        fault,
    };
    reader.map(Arc::new).map_err(wrong)
}

fn check(bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, String> {
    let reader = Reader::from_source(bytes.as_slice()).map_err(|error| error.to_string())?;
    let about = &reader.metadata;
    tree::check(&bytes, about.record_size, about.node_count as usize)?;
    reader.verify().map_err(|error| error.to_string())?;
    drop(reader);
    Reader::from_source(bytes).map_err(|error| error.to_string())
}

fn find<'a, T: Deserialize<'a>>(reader: Option<&'a Reader<Vec<u8>>>, address: IpAddr) -> Option<T> {
    reader?.lookup(address).ok()?.decode().ok()?
}
