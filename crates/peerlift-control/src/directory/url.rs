//! Where the directory is: the text an operator writes.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The address of a directory that several nodes share.
///
/// | | |
/// |---|---|
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DB]` | one server |
/// | `redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],…` | a cluster; a few of its nodes are enough |
/// | `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/NAME` | the master that the sentinels call NAME |
///
/// `rediss` instead of `redis`: over TLS, with a certificate that the system believes, or one of
/// [`Self::with_ca`]. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectoryUrl {
    pub(super) kind: Kind,
    /// What the `redis` crate understands, one for each host.
    pub(super) hosts: Vec<String>,
    pub(super) tls: bool,
    /// With the colon and the at sign; empty: none.
    pub(super) login: String,
    /// Who vouches for the servers, in PEM, instead of those whom the system believes.
    pub(super) ca: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Cluster,
    Sentinel(String),
}

/// Why a text is no [`DirectoryUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryUrlError {
    /// It begins otherwise.
    #[error("a directory is redis://…, redis+cluster://… or redis+sentinel://…, or rediss for TLS")]
    Scheme,
    /// No host, or more than one where one is meant.
    #[error("name one host, or several of a cluster or of sentinels")]
    Hosts,
    /// Sentinels watch masters by name.
    #[error("name the master: redis+sentinel://HOST,HOST/NAME")]
    NoMaster,
    /// Certificates for a connection without TLS.
    #[error("a directory over TLS begins with rediss")]
    NoTls,
    /// Not what certificates are kept in.
    #[error("no certificates in PEM")]
    NoCertificates,
}

impl DirectoryUrl {
    /// Believes only servers for which these certificates (PEM) vouch.
    ///
    /// # Errors
    ///
    /// [`DirectoryUrlError::NoTls`], [`DirectoryUrlError::NoCertificates`].
    pub fn with_ca(mut self, pem: Vec<u8>) -> Result<Self, DirectoryUrlError> {
        if !self.tls {
            return Err(DirectoryUrlError::NoTls);
        }
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        if !certificates.is_ok_and(|found| !found.is_empty()) {
            return Err(DirectoryUrlError::NoCertificates);
        }
        self.ca = Some(pem);
        Ok(self)
    }
}

impl DirectoryUrl {
    /// Whether what is kept there is spread over several servers.
    pub(super) fn is_cluster(&self) -> bool {
        self.kind == Kind::Cluster
    }
}

impl FromStr for DirectoryUrl {
    type Err = DirectoryUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(DirectoryUrlError::Scheme)?;
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(base, "redis" | "rediss") {
            return Err(DirectoryUrlError::Scheme);
        }
        let (login, rest) = match rest.rfind('@') {
            Some(at) => rest.split_at(at + 1),
            None => ("", rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let kind = match (kind, path) {
            ("", _) => Kind::Single,
            ("cluster", _) => Kind::Cluster,
            ("sentinel", "") => return Err(DirectoryUrlError::NoMaster),
            ("sentinel", name) => Kind::Sentinel(name.to_owned()),
            _ => return Err(DirectoryUrlError::Scheme),
        };
        let (of_hosts, database) = match kind {
            Kind::Single => (login, path),
            Kind::Cluster => (login, ""),
            // Sentinels have logins of their own; the master is asked with this one.
            Kind::Sentinel(_) => ("", ""),
        };
        let url = |host: &str| format!("{base}://{of_hosts}{host}/{database}");
        let parts = hosts.split(',').filter(|host| !host.is_empty());
        let hosts: Vec<String> = parts.map(url).collect();
        if hosts.is_empty() || (kind == Kind::Single && hosts.len() > 1) {
            return Err(DirectoryUrlError::Hosts);
        }
        let (tls, login) = (base == "rediss", login.to_owned());
        Ok(Self {
            kind,
            hosts,
            tls,
            login,
            ca: None,
        })
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Single => "",
            Kind::Cluster => "+cluster",
            Kind::Sentinel(_) => "+sentinel",
        };
        let bare = self.hosts.iter().map(|host| {
            let after = host
                .rsplit_once('@')
                .map_or(host.as_str(), |(_, host)| host);
            let after = after.rsplit_once("://").map_or(after, |(_, host)| host);
            after.trim_end_matches('/')
        });
        let hosts: Vec<&str> = bare.collect();
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}{kind}://{}", hosts.join(","))?;
        match &self.kind {
            Kind::Sentinel(name) => write!(f, "/{name}"),
            Kind::Single | Kind::Cluster => Ok(()),
        }
    }
}

impl fmt::Debug for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_understood_and_no_password_shown() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost"),
            ("rediss://u:secret@db:7/3", "rediss://db:7/3"),
            (
                "redis+cluster://u:secret@a:1,b:2",
                "redis+cluster://a:1,b:2",
            ),
            (
                "redis+sentinel://:secret@a:1,b:2/main",
                "redis+sentinel://a:1,b:2/main",
            ),
        ] {
            let url: DirectoryUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
        }
    }

    #[test]
    fn certificates_are_for_tls_and_are_certificates() {
        let with = |url: &str, pem: &[u8]| {
            let url: DirectoryUrl = url.parse().unwrap();
            url.with_ca(pem.to_vec()).err()
        };
        let own = rcgen::generate_simple_self_signed(["db".to_owned()]).unwrap();
        let pem = own.cert.pem();
        assert_eq!(with("rediss://db", pem.as_bytes()), None);
        let no_tls = Some(DirectoryUrlError::NoTls);
        assert_eq!(with("redis://db", pem.as_bytes()), no_tls);
        let none = Some(DirectoryUrlError::NoCertificates);
        assert_eq!(with("rediss://db", b"certificate"), none);
        assert_eq!(with("rediss://db", b""), none);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, want) in [
            ("localhost:6379", DirectoryUrlError::Scheme),
            ("http://localhost", DirectoryUrlError::Scheme),
            ("redis+ring://localhost", DirectoryUrlError::Scheme),
            ("redis://", DirectoryUrlError::Hosts),
            ("redis://a,b", DirectoryUrlError::Hosts),
            ("redis+sentinel://a,b", DirectoryUrlError::NoMaster),
        ] {
            assert_eq!(text.parse::<DirectoryUrl>(), Err(want), "{text}");
        }
    }
}
