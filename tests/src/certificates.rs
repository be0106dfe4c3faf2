//! Authorities, and certificates that they sign: written where nodes read them, replaced while these run.
//!
//! In: names, days to live. Out: PEM files in folders of their own, one for each node.
//! Never: writes a file in place: each is renamed over the old one, as good tools do it.
//! Tests: `tests/tests/t25_tls.rs`.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use shanty_rt::tls::{Credentials, Settings};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);

/// Signs certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// An authority of this name, with a key of its own.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key for a node on loopback. `left` before its end; `None` for one that ended a day ago.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn issue(&self, name: &str, left: Option<Duration>) -> (String, String) {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        let now = SystemTime::now();
        params.not_before = (now - 30 * DAY).into();
        params.not_after = left.map_or(now - DAY, |left| now + left).into();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The certificates of all nodes of a cluster, below one folder.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Certificates that will be below `folder`.
    #[must_use]
    pub fn below(folder: &Path) -> Certificates {
        Certificates { folder: folder.to_owned() }
    }

    /// Writes authorities, certificate and key of a node, in this order: who uses the new certificate uses the new
    /// authorities as well. What was there is replaced.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, node: &str, (certificate, key): &(String, String), authorities: &str) {
        let Settings { certificate: certificate_file, key: key_file, authority: authority_file } =
            self.of(node);
        std::fs::create_dir_all(self.folder.join(node)).expect("a folder");
        for (file, text) in
            [(authority_file, authorities), (certificate_file, certificate.as_str()), (key_file, key)]
        {
            let beside = file.with_extension("new");
            std::fs::write(&beside, text).expect("a file");
            std::fs::rename(&beside, &file).expect("a file replaced");
        }
    }

    /// Where a node's files are.
    #[must_use]
    pub fn of(&self, node: &str) -> Settings {
        let file = |name: &str| Some(self.folder.join(node).join(name));
        Settings::new(file("certificate.pem"), file("key.pem"), file("authority.pem"))
    }

    /// The flags that name a node's files.
    #[must_use]
    pub fn flags(&self, node: &str) -> Vec<String> {
        let Settings { certificate, key, authority } = self.of(node);
        [("--tls-certificate", certificate), ("--tls-key", key), ("--tls-authority", authority)]
            .into_iter()
            .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
            .collect()
    }

    /// The certificates of a node as this process uses them.
    ///
    /// # Panics
    /// When they cannot be used.
    #[must_use]
    pub fn open(&self, node: &str) -> Credentials {
        Credentials::open(&self.of(node)).expect("they fit").expect("they are named")
    }
}
