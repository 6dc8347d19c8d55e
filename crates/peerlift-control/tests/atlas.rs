//! Databases of networks and countries: what a node makes of them.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::net::Ipv4Addr;

use common::Served;
use peerlift_control::{Atlas, ControlConfig};
use peerlift_rendezvous::Network;
use peerlift_wire::control::ClientMessage;

/// A value of the format's data section, <https://maxmind.github.io/MaxMind-DB/>.
enum Value<'a> {
    Text(&'a str),
    Number(u32),
    Small(u16),
    Time(u64),
    Map(&'a [(&'a str, Self)]),
    List(&'a [Self]),
}

fn put(value: &Value<'_>, out: &mut Vec<u8>) {
    let short = |length: usize| u8::try_from(length).ok().filter(|it| *it < 29).unwrap();
    match value {
        Value::Text(text) => {
            out.push(2 << 5 | short(text.len()));
            out.extend(text.as_bytes());
        }
        Value::Number(number) => {
            out.push(6 << 5 | 4);
            out.extend(number.to_be_bytes());
        }
        Value::Small(number) => {
            out.push(5 << 5 | 2);
            out.extend(number.to_be_bytes());
        }
        // Types above 7 have theirs in the next byte, less seven.
        Value::Time(number) => {
            out.extend([8, 9 - 7]);
            out.extend(number.to_be_bytes());
        }
        Value::Map(pairs) => {
            out.push(7 << 5 | short(pairs.len()));
            for (key, value) in *pairs {
                put(&Value::Text(key), out);
                put(value, out);
            }
        }
        Value::List(values) => {
            out.extend([short(values.len()), 11 - 7]);
            values.iter().for_each(|value| put(value, out));
        }
    }
}

/// A database that knows something of these /24s.
fn database(networks: &[([u8; 3], Value<'_>)]) -> Vec<u8> {
    // Of each node, where 0 and 1 lead: nowhere, to a node, or to data at an offset.
    #[derive(Clone, Copy)]
    enum To {
        Nothing,
        Node(usize),
        Data(usize),
    }
    let (mut nodes, mut data) = (vec![[To::Nothing; 2]], Vec::new());
    for ([a, b, c], value) in networks {
        let bits = u32::from(Ipv4Addr::new(*a, *b, *c, 0));
        let mut at = 0;
        for depth in 0..24 {
            let bit = (bits >> (31 - depth) & 1) as usize;
            if depth == 23 {
                nodes[at][bit] = To::Data(data.len());
            } else if let To::Node(next) = nodes[at][bit] {
                at = next;
            } else {
                nodes.push([To::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[at][bit] = To::Node(next);
                at = next;
            }
        }
        put(value, &mut data);
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for to in nodes.into_iter().flatten() {
        let record = match to {
            To::Nothing => count,
            To::Node(number) => number,
            To::Data(offset) => count + 16 + offset,
        };
        file.extend(&u32::try_from(record).unwrap().to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let small = Value::Small;
    let metadata = [
        ("node_count", Value::Number(u32::try_from(count).unwrap())),
        ("record_size", small(24)),
        ("ip_version", small(4)),
        ("database_type", Value::Text("Test")),
        ("languages", Value::List(&[Value::Text("en")])),
        ("binary_format_major_version", small(2)),
        ("binary_format_minor_version", small(0)),
        ("build_epoch", Value::Time(1_700_000_000)),
        ("description", Value::Map(&[("en", Value::Text("a test"))])),
    ];
    put(&Value::Map(&metadata), &mut file);
    file
}

const ASN: &str = "autonomous_system_number";

/// Two networks at loopback addresses, in one country.
fn atlas() -> Atlas {
    let of = |number| [(ASN, Value::Number(number))];
    let (one, other) = (of(64_500), of(64_501));
    let networks = database(&[
        ([127, 0, 11], Value::Map(&one)),
        ([127, 0, 12], Value::Map(&one)),
        ([127, 0, 13], Value::Map(&other)),
        ([127, 0, 14], Value::Map(&other)),
    ]);
    let code = [("iso_code", Value::Text("DE"))];
    let country = [("country", Value::Map(&code))];
    let countries = database(&[
        ([127, 0, 11], Value::Map(&country)),
        ([127, 0, 12], Value::Map(&country)),
        ([127, 0, 13], Value::Map(&country)),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let (asn, country) = (folder.path().join("as.mmdb"), folder.path().join("c.mmdb"));
    fs::write(&asn, networks).unwrap();
    fs::write(&country, countries).unwrap();
    let mut atlas = Atlas::default();
    atlas.read_asn(&asn).unwrap();
    atlas.read_country(&country).unwrap();
    atlas
}

#[test]
fn addresses_have_the_network_and_country_of_the_databases() {
    let atlas = atlas();
    let network = |address: &str| atlas.network(Some(address.parse().unwrap()));
    let known = |asn, country| Network { asn, country };
    assert_eq!(network("127.0.11.9"), known(64_500, *b"DE"));
    assert_eq!(network("::ffff:127.0.13.9"), known(64_501, *b"DE"));
    assert_eq!(network("127.0.14.9"), known(64_501, [0; 2]));
    assert_eq!(network("192.0.2.1"), Network::default());
    assert_eq!(network("2001:db8::1"), Network::default());
}

#[tokio::test]
async fn who_is_in_the_same_network_or_country_is_known_to_be_near() {
    let config = ControlConfig {
        atlas: atlas(),
        ..ControlConfig::new([9; 32])
    };
    let served = Served::start_with(config).await;
    let (complete, object) = (true, common::OBJECT);
    let mut seeds = Vec::new();
    for (seed, third) in [(1, 12), (2, 13)] {
        let mut stranger = served.stranger_from([127, 0, third, 1]).await;
        stranger.log_in(seed).await;
        let announce = ClientMessage::Announce { object, complete };
        stranger.send(announce.encode()).await.unwrap();
        seeds.push(stranger);
    }
    served.until("peerlift_control_directory_entries 2").await;
    let mut asker = served.stranger_from([127, 0, 11, 1]).await;
    asker.log_in(3).await;
    assert_eq!(asker.ask().await.peers.len(), 2);
    for level in ["as", "country"] {
        let line = format!("peerlift_control_named_peers{{level=\"{level}\"}} 1");
        served.until(&line).await;
    }
}

#[test]
fn a_database_that_was_cut_short_is_an_error_that_names_the_file() {
    let of = [(ASN, Value::Number(64_500))];
    let whole = database(&[([127, 0, 11], Value::Map(&of))]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asn.mmdb");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut atlas = Atlas::default();
        let error = atlas.read_asn(&path).unwrap_err();
        assert!(error.to_string().contains("asn.mmdb"), "{error}");
        let here = Some([127, 0, 11, 1].into());
        assert_eq!(atlas.network(here), Network::default());
    }
}

#[test]
fn a_database_with_a_wrong_bit_is_refused_or_answers() {
    let of = [(ASN, Value::Number(64_500)), ("name", Value::Text("AS"))];
    let whole = database(&[
        ([127, 0, 11], Value::Map(&of)),
        ([127, 0, 12], Value::Map(&of)),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asn.mmdb");
    let (mut faults, mut good) = (String::new(), 0);
    // Of every byte one bit or two, of each its own.
    for bit in (0..8 * whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        let mut atlas = Atlas::default();
        match atlas.read_asn(&path) {
            Ok(()) => good += 1,
            Err(error) => {
                assert!(error.to_string().contains("asn.mmdb"), "{error}");
                faults += &error.fault;
            }
        }
        for third in [11, 12, 13, 211] {
            // Whatever it answers: it does not panic.
            let _ = atlas.network(Some([127, 0, third, 1].into()));
        }
    }
    assert!(good > 0 && faults.contains("leads back"), "{faults}");
}
