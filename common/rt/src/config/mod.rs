//! Configuration: defaults < file < environment < flags, with the origin of each value.
//!
//! ```text
//!  T::default() ──┐
//!  [worker] of a TOML file ──┤  one key after the other, each checked  ──► Loaded<T> { value, origins }
//!  SHANTY_WORKER__LOAD__THREADS ──┤  against T as it is laid on
//!  --slots 4 ─────┘
//! ```
//! In: any `T: Serialize + DeserializeOwned + Default`. Its default, serialized, is the list of known keys:
//! an empty map there (`labels`) takes any key, a struct takes its own fields and nothing else.
//! Out: [`Loaded`], or an [`Error`] that names file, line and key and says what is allowed.
//! Never: expands `${ENV}` by itself (see [`expand`]), logs, or keeps secrets in what it prints.
//! Tests: beside the code.
//!
//! | file | holds |
//! |---|---|
//! | `loader` | the layers and their order |
//! | `layer` | a file, an environment, a flag, each as a tree of texts and values with origins |
//! | `loaded` | the result and how it prints |
//! | `duration` | durations as people write them |
//! | `expand` | `${NAME}` placeholders |
//! | `listen` | which addresses may be listened on |

pub mod duration;
mod expand;
mod layer;
mod listen;
mod loaded;
mod loader;

pub use expand::{MissingVariable, expand, expand_with};
pub use layer::Origin;
pub use listen::{NotLoopback, guard};
pub use loaded::Loaded;
pub use loader::{Loader, SECTIONS};

use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}; name another one with --config, or leave it out", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A key that nobody reads.
    #[error("{origin}: unknown key `{key}`; {hint}")]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key with its tables, `worker.load.thread`.
        key: String,
        /// The nearest known names, or all of them.
        hint: String,
    },
    /// A value that its key cannot take.
    #[error("{origin}: `{key}` cannot be {value}: {message}")]
    BadValue {
        /// Where it stands.
        origin: Origin,
        /// The key with its tables.
        key: String,
        /// The value as it was written; secrets are hidden.
        value: String,
        /// What is allowed.
        message: String,
    },
    /// The defaults themselves cannot be printed: a mistake in the program.
    #[error("the built-in defaults of [{section}] are unusable: {message}; this is a bug, please report it")]
    Defaults {
        /// The section.
        section: &'static str,
        /// What serde said.
        message: String,
    },
}
