//! What the three files hold, checked before anybody uses it: readable, PEM, key and certificate one pair, in its time.
//!
//! In: paths. Out: [`Material`], or one [`Error`] that names the file and what to do.
//! Never: uses a certificate that has expired; keeps a session for later, which would let a certificate live longer than
//! it says.
//! Tests: below.

use super::expiry::{date, span};
use super::settings::{Incomplete, Settings};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// HTTP/2 is all that is spoken.
const ALPN: &[u8] = b"h2";

/// One of the three files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The node's own certificate.
    Certificate,
    /// Its private key.
    Key,
    /// Who signs everybody's.
    Authority,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            File::Certificate => "certificate",
            File::Key => "key",
            File::Authority => "authority",
        })
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path is missing.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// A file cannot be read.
    #[error("`{file}` cannot be read: {}: {source}", path.display())]
    Unreadable {
        /// Which one.
        file: File,
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("`{file}` cannot be used: {}: {why}", path.display())]
    Unusable {
        /// Which one.
        file: File,
        /// Where it is.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Key and certificate are not a pair.
    #[error(
        "`key` does not fit `certificate`: {} is not the key of {}; name the two that were made together",
        key.display(), certificate.display()
    )]
    NoPair {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// The certificate's time is over.
    #[error("`certificate` has expired: {} was valid until {until}, {ago} ago; put a new one there", path.display())]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// Its end.
        until: String,
        /// How long ago that was.
        ago: String,
    },
    /// The certificate's time has not begun.
    #[error("`certificate` is not valid yet: {} begins at {from}; look at this machine's clock", path.display())]
    TooEarly {
        /// The certificate.
        path: PathBuf,
        /// Its beginning.
        from: String,
    },
    /// The reading itself failed.
    #[error("cannot read certificates: {0}")]
    Panicked(#[from] crate::task::Panicked),
}

/// The bytes of the three files.
#[derive(PartialEq, Eq)]
pub(super) struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

impl Bytes {
    pub(super) fn read(settings: &Settings) -> Result<Bytes, Error> {
        let read = |file, path: &Path| {
            std::fs::read(path).map_err(|source| Error::Unreadable { file, path: path.to_owned(), source })
        };
        Ok(Bytes {
            certificate: read(File::Certificate, &settings.certificate)?,
            key: read(File::Key, &settings.key)?,
            authority: read(File::Authority, &settings.authority)?,
        })
    }
}

/// What both ends of connections are made from.
pub(super) struct Material {
    pub(super) bytes: Bytes,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// Last second of the certificate, Unix time.
    pub(super) not_after: i64,
}

impl Material {
    /// From the files' bytes, at this time (Unix seconds).
    pub(super) fn new(settings: &Settings, bytes: Bytes, now: i64) -> Result<Material, Error> {
        let unusable = |file, path: &Path, why: String| Error::Unusable { file, path: path.to_owned(), why };
        let chain = certificates(&bytes.certificate)
            .map_err(|why| unusable(File::Certificate, &settings.certificate, why))?;
        let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|error| {
            let why =
                format!("it holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1, no password): {error}");
            unusable(File::Key, &settings.key, why)
        })?;
        let authorities = certificates(&bytes.authority)
            .map_err(|why| unusable(File::Authority, &settings.authority, why))?;

        let path = || settings.certificate.clone();
        let own = chain.first().and_then(|own| validity(own));
        let (not_before, not_after) = own.ok_or_else(|| {
            unusable(
                File::Certificate,
                &settings.certificate,
                "its first certificate cannot be read".to_owned(),
            )
        })?;
        if now > not_after {
            return Err(Error::Expired { path: path(), until: date(not_after), ago: span(now - not_after) });
        }
        if now < not_before {
            return Err(Error::TooEarly { path: path(), from: date(not_before) });
        }

        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| {
                unusable(File::Authority, &settings.authority, format!("it holds no authority: {error}"))
            })?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refused = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                Error::NoPair { key: settings.key.clone(), certificate: path() }
            }
            error => unusable(File::Key, &settings.key, error.to_string()),
        };
        let server = server(&provider, &roots, chain.clone(), key.clone_key());
        let client = client(provider, roots, chain, key);
        Ok(Material {
            bytes,
            server: Arc::new(server.map_err(refused)?),
            client: Arc::new(client.map_err(refused)?),
            not_after,
        })
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The certificates of a PEM text, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| format!("it is not PEM: {error}"))?;
    if all.is_empty() {
        return Err("it holds no certificate in PEM (BEGIN CERTIFICATE)".to_owned());
    }
    Ok(all)
}

/// First and last second of a certificate, Unix time.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let read = Certificate::from_der(certificate).ok()?;
    let validity = read.tbs_certificate().validity();
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Some((seconds(validity.not_before.to_unix_duration()), seconds(validity.not_after.to_unix_duration())))
}

#[cfg(test)]
mod tests {
    use super::super::authority_test::{Authority, Files, now};
    use super::*;

    fn material(files: &Files) -> Result<Material, Error> {
        Material::new(&files.settings, Bytes::read(&files.settings)?, now())
    }

    #[test]
    fn what_fits_is_used_and_knows_its_end() {
        let files = Files::new(&Authority::new("a").issue(30));
        let found = material(&files).unwrap();
        assert!((29 * 86_400..=30 * 86_400).contains(&(found.not_after - now())), "{}", found.not_after);
    }

    #[test]
    fn each_bad_file_is_named_with_the_remedy() {
        let good = Authority::new("a").issue(30);
        let other = Authority::new("a").issue(30);
        let cases = [
            (good.clone().with(|pems| pems.key = other.key.clone()), "`key` does not fit `certificate`"),
            (good.clone().with(|pems| pems.key = "hello".into()), "`key` cannot be used"),
            (good.clone().with(|pems| pems.certificate = "hello".into()), "`certificate` cannot be used"),
            (good.clone().with(|pems| pems.certificate = String::new()), "BEGIN CERTIFICATE"),
            (good.clone().with(|pems| pems.authority = pems.key.clone()), "`authority` cannot be used"),
            (Authority::new("a").issue(-2), "`certificate` has expired"),
        ];
        for (pems, part) in cases {
            let files = Files::new(&pems);
            let error = material(&files).err().expect(part).to_string();
            assert!(error.contains(part) && error.contains(".pem"), "{part}: {error}");
            assert!(!error.contains("PRIVATE KEY-----"), "{error}");
        }
        let files = Files::new(&good);
        std::fs::remove_file(&files.settings.authority).unwrap();
        let error = material(&files).err().unwrap().to_string();
        assert!(error.contains("`authority` cannot be read") && error.contains("authority.pem"), "{error}");
    }
}
