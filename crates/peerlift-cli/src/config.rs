//! The configuration file: every setting with its default, and the reference generated from them.
//!
//! The reference file `docs/config-reference.toml` is made from the doc comments below; a test
//! compares it, and another reads it back and finds the defaults.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerlift_daemon::limits::Limits;
use peerlift_daemon::machine::{DiskRules, Hours, PauseRules};
use peerlift_daemon::steward::ShareRules;
use serde::Deserialize;

use crate::args::{self, AccessWord, GoalSetting, Limit, ShareWord, Size};
use crate::failure::{Exit, Failure, printable};

/// The longest configuration file that is read; all settings with comments need 4 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) get: GetConfig,
    pub(crate) publish: PublishConfig,
    pub(crate) serve: ServeConfig,
    pub(crate) share: ShareConfig,
    pub(crate) control: ControlSection,
}

/// What the reference says of one setting.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "read by the generator of the reference")
)]
struct Setting {
    key: &'static str,
    about: &'static str,
    default: &'static str,
}

/// Defines a section: its fields, their defaults as values, and the same as TOML text.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident { $(
        $(#[doc = $doc:literal])+
        $(#[serde($($serde:tt)*)])?
        $field:ident: $type:ty = $default:expr, $text:literal;
    )+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct $name { $(
            $(#[doc = $doc])+
            $(#[serde($($serde)*)])?
            pub(crate) $field: $type,
        )+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl $name {
            #[cfg_attr(not(test), expect(dead_code, reason = "read by the generator"))]
            const REFERENCE: &'static [Setting] = &[$(Setting {
                key: stringify!($field),
                about: concat!($($doc, "\n"),+),
                default: $text,
            }),+];
        }
    };
}

section! {
    /// `peerlift get`.
    GetConfig {
        /// Whether others may fetch from this machine what it downloads:
        /// "off", "while-downloading", "for=DURATION" (and for so long after),
        /// or "ask": once for each publisher, in a terminal. Without a terminal, "ask" means no.
        #[serde(deserialize_with = "args::from_text")]
        share: ShareWord = ShareWord::Ask, "\"ask\"";
        /// What matters most. "publisher": what the publisher recommends, else "thrifty". "thrifty": as fast as the publisher's server alone, and as cheap for
        /// the publisher as possible. "fastest": whatever it costs the publisher. "floor=RATE" and
        /// "deadline=DURATION": as cheap as that allows. "in-order": for whoever reads along.
        #[serde(deserialize_with = "args::from_text")]
        goal: GoalSetting = GoalSetting::default(), "\"publisher\"";
        /// Whether to look for other downloaders at all.
        peers: bool = true, "true";
        /// Cap on everything that comes in, such as "5M" or "40Mbit".
        #[serde(deserialize_with = "args::from_text")]
        limit_down: Limit = Limit(None), "\"unlimited\"";
        /// Whether what goes out to other downloaders gives way to everything else on the line.
        polite: bool = false, "false";
        /// Cap on everything that goes out to other downloaders.
        #[serde(deserialize_with = "args::from_text")]
        limit_up: Limit = Limit(None), "\"unlimited\"";
        /// Connections to one server, 1 to 16. More help on long paths and annoy small servers.
        connections: u8 = 4, "4";
        /// Files downloaded at the same time, 1 to 16.
        jobs: u8 = 3, "3";
        /// The hours in which the background service downloads, by the machine's clock:
        /// "always", or such as "22:00-06:00".
        background_hours: Hours = Hours::Always, "\"always\"";
        /// The file of the publisher's token that is shown to servers; "" is none.
        token: PathBuf = PathBuf::new(), "\"\"";
        /// How long nothing may arrive before a download gives up.
        #[serde(deserialize_with = "args::duration")]
        timeout: Duration = Duration::from_secs(60), "\"60s\"";
        /// Whether files that exist may be replaced.
        overwrite: bool = false, "false";
    }
}

section! {
    /// `peerlift publish`, and what `peerlift serve` signs.
    PublishConfig {
        /// The publisher's name, shown to people. Only the key proves who it is.
        name: String = String::new(), "\"\"";
        /// The file of the key that signs; "" is publisher.key in the data folder.
        key: PathBuf = PathBuf::new(), "\"\"";
        /// URLs under which files can be downloaded, besides wherever the manifest is found.
        edges: Vec<String> = Vec::new(), "[]";
        /// URLs of control nodes. `serve` adds its own.
        control: Vec<String> = Vec::new(), "[]";
        /// URLs of relays; "URL,quic=PORT" names the UDP port. `serve` adds its own.
        relays: Vec<String> = Vec::new(), "[]";
        /// Who may fetch: "public", or "token": whoever shows a token of the publisher's.
        #[serde(deserialize_with = "args::from_text")]
        access: AccessWord = AccessWord::Public, "\"public\"";
        /// Whether tokens are taken that are bound to no key.
        allow_unbound_tokens: bool = false, "false";
        /// Whether to compute the SHA-256, which is there for people only.
        sha256: bool = true, "true";
    }
}

section! {
    /// `peerlift serve`.
    ServeConfig {
        /// Where to listen.
        listen: Vec<SocketAddr> = vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            "[\"0.0.0.0:8080\"]";
        /// Where the access log goes: a file, "-" for standard output, "off" for nowhere.
        access_log: PathBuf = "-".into(), "\"-\"";
        /// Whether to sign what is new or changed in the folder.
        publish: bool = true, "true";
        /// Whether to introduce downloaders to each other.
        control: bool = true, "true";
        /// Whether to run a relay.
        relay: bool = true, "true";
        /// The UDP port where the relay tells clients their address, with TLS; 0 for none.
        relay_quic_port: u16 = 7842, "7842";
    }
}

section! {
    /// Sharing with other downloaders: how much, and when to rest. The machine's administrator may
    /// be stricter (/etc/peerlift/policy.toml).
    ShareConfig {
        /// Bytes sent for each byte received, over the life of this installation.
        ratio: f64 = 1.0, "1.0";
        /// Bytes sent in a calendar month.
        #[serde(deserialize_with = "args::from_text")]
        month: Size = Size(20_000_000_000), "\"20000000000\"";
        /// Bytes sent of one file.
        #[serde(deserialize_with = "args::from_text")]
        file: Size = Size(10_000_000_000), "\"10000000000\"";
        /// The part of the measured uplink that may be used, in percent, 1 to 100.
        uplink_percent: u8 = 50, "50";
        /// Whether uploads rest on a metered network, as NetworkManager tells.
        pause_on_metered: bool = true, "true";
        /// Whether uploads rest on battery.
        pause_on_battery: bool = true, "true";
        /// Whether uploads rest while everything goes through a VPN.
        pause_on_vpn: bool = true, "true";
        /// The hours in which uploads may go, by the machine's clock: "always", or such as
        /// "22:00-06:00".
        hours: Hours = Hours::Always, "\"always\"";
        /// The room that is taken to share files again after a restart: 0.4 % of each. The file that was
        /// not asked for longest makes room.
        #[serde(deserialize_with = "args::from_text")]
        cache: Size = Size(500_000_000), "\"500000000\"";
        /// The room that stays free on a disk: with less, downloads of the background service wait, and
        /// uploads rest when it has Peerlift's records.
        #[serde(deserialize_with = "args::from_text")]
        disk_free: Size = Size(250_000_000), "\"250000000\"";
    }
}

impl ShareConfig {
    /// As the keeper of uploads wants it.
    pub(crate) fn rules(&self) -> ShareRules {
        ShareRules {
            limits: Limits {
                ratio: self.ratio,
                month_bytes: self.month.0,
                object_bytes: self.file.0,
            },
            uplink_percent: self.uplink_percent,
            pause: PauseRules {
                metered: self.pause_on_metered,
                battery: self.pause_on_battery,
                vpn: self.pause_on_vpn,
            },
            hours: self.hours,
            disk: DiskRules {
                cache_bytes: self.cache.0,
                free_bytes: self.disk_free.0,
            },
        }
    }
}

section! {
    /// `peerlift control`.
    ControlSection {
        /// Where to listen.
        listen: Vec<SocketAddr> = vec![SocketAddr::from(([0, 0, 0, 0], 8443))],
            "[\"0.0.0.0:8443\"]";
        /// The file of the certificates (PEM, leaf first); "" for no TLS, behind a proxy that has some.
        tls_cert: PathBuf = PathBuf::new(), "\"\"";
        /// The key of the certificate.
        tls_key: PathBuf = PathBuf::new(), "\"\"";
        /// Where operators ask: metrics and commands. Whoever reaches it is the operator.
        admin: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7844)), "\"127.0.0.1:7844\"";
        /// The policy file; "" is the default policy.
        policy: PathBuf = PathBuf::new(), "\"\"";
        /// An MMDB file that knows autonomous systems; "" for none.
        as_database: PathBuf = PathBuf::new(), "\"\"";
        /// The same of countries or cities.
        country_database: PathBuf = PathBuf::new(), "\"\"";
        /// Sessions at once. Each takes memory: docs/operating.md says how much.
        sessions: usize = 100_000, "100000";
        /// Logins a second. Others are told when to come back.
        logins_per_s: u32 = 1_000, "1000";
        /// How often an idle client shows that it is there. Longer saves traffic; the kernel notices
        /// most of those that vanish before.
        #[serde(deserialize_with = "args::duration")]
        keep_alive: Duration = Duration::from_secs(600), "\"10min\"";
        /// Entries a second that are asked for again when the directory is lost.
        recall_entries_per_s: u64 = 50_000, "50000";
        /// A Redis or Valkey where this node and others share their directory: "redis://…",
        /// "redis+cluster://…", "redis+sentinel://…", with rediss over TLS; "" for none.
        directory: String = String::new(), "\"\"";
        /// The certificates in this file (PEM) vouch for that server; "": those that the system
        /// believes do.
        directory_ca: PathBuf = PathBuf::new(), "\"\"";
        /// How long clients are sent elsewhere, one after another, before the node ends.
        #[serde(deserialize_with = "args::duration")]
        drain: Duration = Duration::from_secs(10), "\"10s\"";
    }
}

impl Config {
    /// Reads the file that was named, or the usual one if there is one.
    pub(crate) fn load(named: Option<&Path>, usual: &Path) -> Result<Self, Failure> {
        let path = named.unwrap_or(usual);
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Failure::caused(Exit::Usage, path.display(), &error));
            }
        };
        Self::parse(&text).map_err(|wrong| {
            Failure::new(Exit::Usage, format!("{}: {wrong}", path.display()))
                .hint("docs/config-reference.toml shows every setting")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map(|span| text[..span.start].matches('\n').count() + 1);
            let place = line
                .map(|line| format!("line {line}: "))
                .unwrap_or_default();
            format!("{place}{}", printable(error.message()))
        })?;
        for (name, value) in [
            ("connections", config.get.connections),
            ("jobs", config.get.jobs),
        ] {
            if !(1..=16).contains(&value) {
                return Err(format!("{name} = {value} is not between 1 and 16"));
            }
        }
        let share = &config.share;
        if !(1..=100).contains(&share.uplink_percent) {
            let percent = share.uplink_percent;
            return Err(format!(
                "uplink-percent = {percent} is not between 1 and 100"
            ));
        }
        if !(0.0..=f64::MAX).contains(&share.ratio) {
            return Err(format!("ratio = {} is not 0 or more", share.ratio));
        }
        Ok(config)
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(
            "the file is too large for a configuration file",
        ));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/config-reference.toml"
    );

    /// The reference as the settings above define it.
    fn reference() -> String {
        let mut text = String::from(
            "# Every setting of peerlift with its default. Generated: see CONTRIBUTING.md.\n\
             # Copy what you change to $XDG_CONFIG_HOME/peerlift/config.toml (~/.config/…).\n\
             # Options of the command line override it.\n",
        );
        for (name, settings) in [
            ("get", GetConfig::REFERENCE),
            ("publish", PublishConfig::REFERENCE),
            ("serve", ServeConfig::REFERENCE),
            ("share", ShareConfig::REFERENCE),
            ("control", ControlSection::REFERENCE),
        ] {
            text.push_str(&format!("\n[{name}]\n"));
            for setting in settings {
                text.push('\n');
                for line in setting.about.lines() {
                    text.push_str(&format!("#{line}\n"));
                }
                text.push_str(&format!(
                    "{} = {}\n",
                    setting.key.replace('_', "-"),
                    setting.default
                ));
            }
        }
        text
    }

    #[test]
    fn the_reference_is_up_to_date() {
        if std::env::var_os("PEERLIFT_UPDATE_REFERENCE").is_some() {
            fs::write(REFERENCE, reference()).unwrap();
        }
        let committed = fs::read_to_string(REFERENCE).unwrap_or_default();
        assert_eq!(
            committed,
            reference(),
            "run it with PEERLIFT_UPDATE_REFERENCE=1 and commit"
        );
    }

    #[test]
    fn the_reference_holds_the_defaults() {
        assert_eq!(Config::parse(&reference()), Ok(Config::default()));
    }

    #[test]
    fn settings_override_defaults_one_by_one() {
        let config = Config::parse(
            "[get]\nshare = \"for=2h\"\nlimit-up = \"500k\"\n[serve]\nlisten = [\"[::]:80\"]\n",
        )
        .unwrap();
        assert_eq!(Ok(config.get.limit_up), "500k".parse());
        assert_eq!(config.get.connections, 4);
        assert_eq!(config.serve.listen[0].port(), 80);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, want) in [
            ("[get]\nshaer = \"off\"\n", "line 2: unknown field `shaer`"),
            (
                "[get]\nshare = \"on\"\n",
                "line 2: \"on\" is no way to share",
            ),
            ("[get]\n\nlimit-up = 5\n", "line 3: invalid type"),
            ("[get]\njobs = 17\n", "jobs = 17 is not between 1 and 16"),
            ("[gte]\n", "line 1: unknown field `gte`"),
            ("[get", "line 1:"),
        ] {
            let wrong = Config::parse(text).unwrap_err();
            assert!(wrong.contains(want), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn a_named_file_must_exist_and_the_usual_one_need_not() {
        let nowhere = Path::new("/nonexistent/config.toml");
        assert_eq!(Config::load(None, nowhere), Ok(Config::default()));
        assert_eq!(
            Config::load(Some(nowhere), nowhere).unwrap_err().exit,
            Exit::Usage
        );
    }
}
