//! Where a server is and how to get in, from an endpoint's URL.
//!
//! Options: `ssl-mode` (DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY; PREFERRED without one),
//! `ssl-ca` (a PEM file), `socket` (a Unix socket's path), `local-infile` (`off` loads by INSERT whatever the
//! server allows).
//! In: an [`Endpoint`]. Out: the driver's options. Never: a password in an error.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use crate::db::Endpoint;
use mysql_async::{Opts, OptsBuilder, SslOpts};
use std::path::PathBuf;
use std::time::Duration;

/// After this long without a sign of life the system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What TLS must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// No TLS.
    Disabled,
    /// TLS where the server has it, unchecked.
    Preferred,
    /// TLS, unchecked.
    Required,
    /// TLS with a certificate that a known authority signed. The driver's way to leave out the host's name knows
    /// an older TLS library's words only, so that the name is checked too.
    VerifyCa,
    /// The same, for the host's name.
    VerifyIdentity,
}

/// Where a server is and how to get in.
#[derive(Clone)]
pub(super) struct Place {
    opts: Opts,
    pub(super) tls: Tls,
    ca: Option<PathBuf>,
    /// Whether LOAD DATA LOCAL may be used where the server allows it.
    pub(super) infile: bool,
    /// Host, port and database, for errors.
    pub(super) shown: String,
}

impl Place {
    /// A place from an endpoint.
    ///
    /// # Errors
    /// In words, naming the option.
    pub(super) fn of(endpoint: &Endpoint) -> Result<Place, String> {
        let shown = endpoint.shown();
        let url = endpoint.url().replacen("mariadb:", "mysql:", 1);
        let (plain, options) = url.split_once('?').unwrap_or((&url, ""));
        let parsed =
            Opts::from_url(plain).map_err(|_| format!("{shown}: its url cannot be read; see mysql://"))?;
        let mut place = Place { opts: parsed, tls: Tls::Preferred, ca: None, infile: true, shown };
        let mut socket = None;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = unescaped(value);
            match name {
                "ssl-mode" | "sslmode" => place.tls = place.tls_mode(&value)?,
                "ssl-ca" => place.ca = Some(PathBuf::from(value)),
                "socket" => socket = Some(value),
                "local-infile" => place.infile = !matches!(value.as_str(), "off" | "0" | "false"),
                other => {
                    return Err(format!(
                        "{}: its option `{other}` is not known; known are ssl-mode, ssl-ca, socket, local-infile",
                        place.shown
                    ));
                }
            }
        }
        if place.ca.is_none() && matches!(place.tls, Tls::VerifyCa | Tls::VerifyIdentity) {
            tracing::debug!(server = place.shown, "no ssl-ca: the public authorities are trusted");
        }
        let opts = OptsBuilder::from_opts(place.opts.clone())
            .prefer_socket(false)
            .socket(socket)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .client_found_rows(true)
            .stmt_cache_size(0);
        place.opts = opts.into();
        Ok(place)
    }

    fn tls_mode(&self, value: &str) -> Result<Tls, String> {
        Ok(match value.to_ascii_uppercase().replace('-', "_").as_str() {
            "DISABLED" => Tls::Disabled,
            "PREFERRED" => Tls::Preferred,
            "REQUIRED" => Tls::Required,
            "VERIFY_CA" => Tls::VerifyCa,
            "VERIFY_IDENTITY" => Tls::VerifyIdentity,
            _ => {
                return Err(format!(
                    "{}: its ssl-mode is `{value}`; allowed are DISABLED, PREFERRED, REQUIRED, VERIFY_CA, \
                     VERIFY_IDENTITY",
                    self.shown
                ));
            }
        })
    }

    /// The driver's options, with TLS or without.
    pub(super) fn opts(&self, with_tls: bool) -> Opts {
        let mut ssl = SslOpts::default();
        if let Some(ca) = &self.ca {
            ssl = ssl.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
        }
        ssl = match self.tls {
            Tls::Disabled | Tls::Preferred | Tls::Required => ssl.with_danger_accept_invalid_certs(true),
            Tls::VerifyCa => ssl.with_danger_skip_domain_validation(true),
            Tls::VerifyIdentity => ssl,
        };
        OptsBuilder::from_opts(self.opts.clone()).ssl_opts(with_tls.then_some(ssl)).into()
    }
}

/// Text with `%41` and the like replaced; bytes that are no UTF-8 are lost.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, String> {
        Place::of(&Endpoint::parse(url).unwrap())
    }

    #[test]
    fn options_are_read_and_unknown_ones_are_named_without_secrets() {
        let read = place("mariadb://u:p%40x@h:3307/shop?ssl-mode=verify_ca&ssl-ca=%2Fa%20b.pem").unwrap();
        assert_eq!(read.tls, Tls::VerifyCa);
        assert_eq!(read.ca, Some(PathBuf::from("/a b.pem")));
        assert_eq!(read.opts(false).db_name(), Some("shop"));
        assert_eq!(read.opts(false).pass(), Some("p@x"));
        assert_eq!(read.opts(false).tcp_port(), 3307);
        assert!(read.infile && !place("mysql://h/d?local-infile=off").unwrap().infile);
        for (url, word) in
            [("mysql://u:s3cret@h/d?tls=1", "`tls`"), ("mysql://u:s3cret@h/d?ssl-mode=x", "`x`")]
        {
            let error = place(url).err().unwrap();
            assert!(error.contains(word) && !error.contains("s3cret"), "{error}");
        }
    }
}
