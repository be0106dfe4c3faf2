//! The flags `--tls-…` of a node, one for each key of its table `tls`.
//!
//! In: the command line. Out: what a [`Loader`] reads over environment and file. Pure.
//! Tests: below.

use crate::config::Loader;
use crate::daemon;
use std::path::PathBuf;

/// The flags of a node that is spoken to over TLS.
// No group of its own: one of this name is the node's, which these are among.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Certificate of this node (PEM); with it, its key and the authority everything is over TLS.
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of that certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authorities that sign everybody's certificates (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_authority: Option<PathBuf>,
}

impl Args {
    /// Gives them to the loader of a node's configuration.
    #[must_use]
    pub fn give(&self, loader: Loader) -> Loader {
        let Args { tls_certificate, tls_key, tls_authority } = self;
        loader
            .flag("tls.certificate", "--tls-certificate", daemon::path(tls_certificate.as_deref()))
            .flag("tls.key", "--tls-key", daemon::path(tls_key.as_deref()))
            .flag("tls.authority", "--tls-authority", daemon::path(tls_authority.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::tls::Settings;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Node {
        tls: Settings,
    }

    #[test]
    fn each_flag_sets_its_key() {
        let path = |name: &str| Some(PathBuf::from(name));
        let args = Args { tls_certificate: path("c"), tls_key: path("k"), tls_authority: path("a") };
        let loaded = args.give(Loader::new("node")).load::<Node>().unwrap();
        assert_eq!(loaded.value.tls, Settings::new(path("c"), path("k"), path("a")));
        assert_eq!(loaded.origin("node.tls.key"), Origin::Flag("--tls-key".to_owned()));
    }
}
