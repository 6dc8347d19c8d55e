//! `peerlift inspect`: shows a manifest to people and programs.

use std::fmt::Write as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use peerlift_client::{Client, ClientConfig};
use peerlift_content::{Access, MANIFEST_SUFFIX, Sidecars, VerifiedManifest};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use crate::args::InspectArgs;
use crate::console::{print, print_json};
use crate::described::read_manifest;
use crate::failure::{Exit, Failure, printable};
use crate::get::header_map;
use crate::paths::Paths;
use crate::units::Bytes;

/// Shows what a publisher says about a file.
pub(crate) fn run(args: &InspectArgs, paths: &Paths) -> Result<Exit, Failure> {
    let signed = match args.target.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") => fetch(url, args, paths)?,
        Ok(_) | Err(_) => read(Path::new(&args.target))?,
    };
    if args.json {
        print_json(&json(&signed)?)?;
    } else {
        print(table(&signed))?;
    }
    Ok(Exit::Fine)
}

fn fetch(url: Url, args: &InspectArgs, paths: &Paths) -> Result<VerifiedManifest, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
    let client = Client::new(ClientConfig::new(paths.data().into(), paths.cache().into()));
    let headers = header_map(&args.headers);
    let urls = [url];
    match runtime.block_on(client.find_manifest(&urls, &headers, None))? {
        Some(found) => Ok(found.signed),
        None => Err(
            Failure::new(Exit::Other, format!("{}: there is no manifest", urls[0]))
                .hint("nobody has signed it; it can be downloaded all the same"),
        ),
    }
}

fn read(path: &Path) -> Result<VerifiedManifest, Failure> {
    let mut sidecars = Sidecars::beside(path);
    if path
        .as_os_str()
        .as_encoded_bytes()
        .ends_with(MANIFEST_SUFFIX.as_bytes())
    {
        sidecars.manifest = path.to_owned();
    }
    read_manifest(&sidecars, "cannot show it")
}

/// The signed JSON, and who signed it.
fn json(signed: &VerifiedManifest) -> Result<serde_json::Value, Failure> {
    let mut value: serde_json::Value = serde_json::from_slice(&signed.manifest.to_json())
        .map_err(|error| Failure::caused(Exit::Other, "cannot write JSON", &error))?;
    if let Some(members) = value.as_object_mut() {
        members.insert("publisher".to_owned(), signed.publisher.to_string().into());
    }
    Ok(value)
}

fn table(signed: &VerifiedManifest) -> String {
    let about = &signed.manifest;
    let layout = about.layout;
    let mut rows = vec![
        ("name", about.name.clone()),
        (
            "size",
            format!("{} ({} bytes)", Bytes(about.size()), about.size()),
        ),
        ("type", about.media_type.clone()),
        ("publisher", about.publisher_name.clone()),
        ("key", signed.publisher.to_string()),
        (
            "revision",
            format!("{}, signed {}", about.revision, utc(about.published)),
        ),
        ("root", about.root.to_string()),
        (
            "sha-256",
            about
                .sha256
                .map(|digest| HEXLOWER.encode(&digest))
                .unwrap_or_default(),
        ),
        (
            "pieces",
            format!(
                "{} of {}",
                layout.piece_count(),
                Bytes(layout.piece_bytes())
            ),
        ),
    ];
    rows.extend(about.edges.iter().map(|url| ("edge", url.clone())));
    rows.extend(about.control.iter().map(|url| ("control", url.clone())));
    rows.extend(about.relays.iter().map(|relay| {
        let quic = relay
            .quic_port
            .map(|port| format!(" (UDP port {port})"))
            .unwrap_or_default();
        ("relay", format!("{}{quic}", relay.url))
    }));
    rows.push(("policy", policy(signed)));
    let mut table = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:10} {}", printable(value));
    }
    table
}

fn policy(signed: &VerifiedManifest) -> String {
    let policy = &signed.manifest.policy;
    let mut parts = vec![
        match policy.access {
            Access::Public => "public".to_owned(),
            Access::Token => "with a token only".to_owned(),
        },
        if policy.peers {
            "downloaders may share it"
        } else {
            "downloaders may not share it"
        }
        .to_owned(),
    ];
    parts.extend(policy.goal.as_ref().map(|goal| format!("goal {goal}")));
    parts.extend(
        policy
            .upload_cap_bytes
            .map(|cap| format!("uploads up to {}", Bytes(cap))),
    );
    parts.extend(policy.expires.map(|at| format!("until {}", utc(at))));
    parts.join(", ")
}

fn utc(unix_seconds: u64) -> String {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| unix_seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_nonsense_stays_a_number() {
        assert_eq!(utc(1_795_424_400), "2026-11-23T09:00:00Z");
        assert_eq!(utc(u64::MAX), u64::MAX.to_string());
    }
}
