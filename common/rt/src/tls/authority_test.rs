//! Authorities and certificates for this room's tests.

use super::settings::Settings;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::time::Duration;

/// The time, Unix seconds.
pub(super) fn now() -> i64 {
    crate::clock::unix_ms() / 1000
}

/// Three PEM texts.
#[derive(Debug, Clone)]
pub(super) struct Pems {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) authority: String,
}

impl Pems {
    pub(super) fn with(mut self, change: impl FnOnce(&mut Pems)) -> Pems {
        change(&mut self);
        self
    }
}

/// Signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for localhost that ends in so many days.
    pub(super) fn issue(&self, days: i32) -> Pems {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let end = std::time::SystemTime::now();
        let span = Duration::from_secs(u64::from(days.unsigned_abs()) * 86_400);
        let end = if days < 0 { end - span } else { end + span };
        params.not_before = (end - span - Duration::from_secs(30 * 86_400)).into();
        params.not_after = end.into();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Pems { certificate, key: key.serialize_pem(), authority: self.0.pem() }
    }
}

/// The texts in a folder of their own.
pub(super) struct Files {
    pub(super) settings: Settings,
    _folder: tempfile::TempDir,
}

impl Files {
    pub(super) fn new(pems: &Pems) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(format!("{name}.pem")));
        let settings = Settings::new(path("certificate"), path("key"), path("authority"));
        let files = Files { settings, _folder: folder };
        files.write(pems);
        files
    }

    pub(super) fn write(&self, pems: &Pems) {
        std::fs::write(&self.settings.certificate, &pems.certificate).unwrap();
        std::fs::write(&self.settings.key, &pems.key).unwrap();
        std::fs::write(&self.settings.authority, &pems.authority).unwrap();
    }
}
