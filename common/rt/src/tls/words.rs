//! Why a handshake failed, and what to do.
//!
//! In: what rustls or the system said. Out: one line for the one who connects, one for the one who listens. Pure.
//! Tests: with the gate, between two ends; between processes in `tests/tests/t25_tls.rs`.

use super::settings::Settings;
use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// The other end was reached, and TLS with it did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub(super) String);

impl Refusal {
    /// The refusal below the layers that carried it.
    #[must_use]
    pub fn below(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
        let mut at = Some(error);
        while let Some(layer) = at {
            if let Some(refusal) = layer.downcast_ref::<Refusal>() {
                return Some(refusal.clone());
            }
            at = layer.source();
        }
        None
    }

    /// In the words of the one who connects to `host`.
    pub(super) fn of(error: &io::Error, host: &str, settings: &Settings) -> Refusal {
        let own = settings.certificate.display();
        Refusal(match rustls_error(error) {
            Some(Error::InvalidCertificate(why)) => match why {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                    "its certificate is not signed by an authority of {}",
                    settings.authority.display()
                ),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "its certificate has expired: put a new one there".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "its certificate is not valid yet: look at the clocks".to_owned()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                    "its certificate is not for `{host}`: use a name or address of its subjectAltName, or add this one"
                ),
                other => format!("its certificate is refused: {other}"),
            },
            Some(Error::AlertReceived(alert)) => match alert {
                AlertDescription::UnknownCA => {
                    format!("it refuses the certificate {own}: no authority that it knows has signed it")
                }
                AlertDescription::CertificateExpired => format!("it refuses the certificate {own}: expired"),
                AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnsupportedCertificate => format!(
                    "it refuses the certificate {own} ({alert:?}): it must be for clients and servers (extendedKeyUsage)"
                ),
                alert => format!("it ended the handshake: {alert:?}"),
            },
            Some(Error::InvalidMessage(_)) => {
                "it does not speak TLS, and certificates were given for it: a plaintext port?".to_owned()
            }
            Some(other) => format!("no handshake: {other}"),
            None if ended(error) => {
                "it ended the connection in the handshake, and certificates were given for it: a plaintext port?"
                    .to_owned()
            }
            None => format!("no handshake: {error}"),
        })
    }
}

/// In the words of the one who listens; none for what nobody needs to know.
pub(super) fn of_client(error: &io::Error, settings: &Settings) -> Option<String> {
    let authority = settings.authority.display();
    match rustls_error(error) {
        Some(Error::NoCertificatesPresented) => Some("the client shows no certificate".to_owned()),
        Some(Error::InvalidCertificate(why)) => Some(match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("the client's certificate is not signed by an authority of {authority}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the client's certificate has expired".to_owned()
            }
            other => format!("the client's certificate is refused: {other}"),
        }),
        Some(Error::AlertReceived(AlertDescription::UnknownCA)) => {
            Some("the client does not know the authority that signed this node's certificate".to_owned())
        }
        Some(Error::AlertReceived(alert)) => {
            Some(format!("the client refuses this node's certificate: {alert:?}"))
        }
        Some(other) => Some(other.to_string()),
        None if ended(error) => None,
        None => Some(error.to_string()),
    }
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}
