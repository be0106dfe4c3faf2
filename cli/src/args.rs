//! The command line: nouns, then verbs.
//!
//! In: words. Out: [`Cli`]. The flags of each noun live in its own file.
//! Tests: below.

use crate::screen::Output;
use crate::{call, cluster, connection, context, demo, dev, import, job, node, quantity, run};
use clap::{Args, Parser, Subcommand};
use shanty_rt::tls;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  shanty demo                                    see it work, in 15 seconds
  shanty demo --kind failover                    the same while its leader is killed; needs etcd
  shanty dev --workers 3                         a whole cluster on this machine
  shanty run start --url http://127.0.0.1:8080/ --rate 2000 --duration 10s --threshold 'p99_ms<50'
  shanty run start -f spec.json --detach         start, and come back later
  shanty run start sync --source shop:orders --target dw --verify checksum
  shanty run watch adhoc.1                       follow it
  shanty run change adhoc.1 --rate 5k            change its rate while it runs
  shanty call RunService/GetRun -d '{\"name\":\"adhoc.1\"}'

Exit codes: 0 done · 1 failed here · 2 usage · 3 run failed · 4 wait timed out · 5 run cancelled
  6 no capacity · 64+N gRPC status N · 99 a threshold does not hold, or tables differ · 130 interrupted";

/// Distributed load tests and database copies, and a cluster to run them on.
#[derive(Debug, Parser)]
#[command(name = "shanty", version, about, after_help = EXAMPLES, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Address of any master; several, joined by commas, are tried in turn
    #[arg(long, global = true, env = "SHANTY_ADDR", default_value = context::DEFAULT_ADDR, value_name = "HOST:PORT")]
    pub(crate) addr: String,
    /// Certificate of this client (PEM), for masters over TLS [env: SHANTY_TLS_CERTIFICATE=]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Private key of that certificate (PEM) [env: SHANTY_TLS_KEY=]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Authorities that sign the masters' certificates (PEM) [env: SHANTY_TLS_AUTHORITY=]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_authority: Option<PathBuf>,
    /// How answers are printed: table, or json (canonical proto JSON, a line a message for streams)
    #[arg(short, long, global = true, env = "SHANTY_OUTPUT", value_enum, default_value = "table")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: Output,
    /// No colours (NO_COLOR=1 does the same)
    #[arg(long, global = true, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) no_color: bool,
    /// How long to wait for an answer [default: 15s; `run wait` waits for ever]
    #[arg(long, global = true, value_parser = quantity::duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
}

impl Global {
    /// The certificates of this client. The environment is read here and not by the flags, which a node of this program
    /// takes as its own: it has an environment of its own, `SHANTY_MASTER__TLS__KEY`.
    pub(crate) fn tls(&self, environment: impl Fn(&str) -> Option<OsString>) -> tls::Settings {
        let or =
            |given: &Option<PathBuf>, name| given.clone().or_else(|| environment(name).map(PathBuf::from));
        tls::Settings::new(
            or(&self.tls_certificate, "SHANTY_TLS_CERTIFICATE"),
            or(&self.tls_key, "SHANTY_TLS_KEY"),
            or(&self.tls_authority, "SHANTY_TLS_AUTHORITY"),
        )
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start, follow, change and end runs
    #[command(subcommand)]
    Run(run::Verb),
    /// Keep definitions of runs
    #[command(subcommand)]
    Job(job::Verb),
    /// Show the databases that workers can reach, and try them
    #[command(subcommand)]
    Connection(connection::Verb),
    /// Make jobs of other programs' definitions
    #[command(subcommand)]
    Import(import::Verb),
    /// Show nodes, take workers out of service and back
    #[command(subcommand)]
    Node(node::Verb),
    /// Show and steer the cluster as a whole
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// Call any method of any gRPC server with reflection, as grpcurl does
    Call(call::Args),
    /// Show what can be called
    #[command(subcommand)]
    Api(call::api::Verb),
    /// See it work: a cluster, a load test or a copy, a killed worker or leader, a report; nothing stays behind
    Demo(demo::Args),
    /// Run a whole cluster in this process, kept in a folder
    Dev(dev::Args),
    /// Run a master, as shanty-master does; with --embedded-worker a worker as well
    Master(Box<shanty_master::Args>),
    /// Run a worker, as shanty-worker does; with --eligible a master that stands by as well
    Worker(Box<shanty_worker::Args>),
    /// Run a sentinel, as shanty-sentinel does
    Sentinel(Box<shanty_sentinel::Args>),
    /// A small HTTP server to aim at
    Target(demo::target::Args),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_follow_the_verb() {
        let cli = Cli::try_parse_from(["shanty", "run", "list", "--addr", "h:1", "-o", "json"]).unwrap();
        assert_eq!((cli.global.addr.as_str(), cli.global.output), ("h:1", Output::Json));
    }

    #[test]
    fn certificates_of_a_node_are_given_by_the_same_flags_and_not_by_the_clients_environment() {
        let files = ["--tls-certificate", "c", "--tls-key", "k", "--tls-authority", "a"];
        for role in ["master", "worker", "sentinel"] {
            let cli = Cli::try_parse_from(["shanty", role].into_iter().chain(files)).unwrap();
            let flags = match cli.command {
                Command::Master(args) => args.tls,
                Command::Worker(args) => args.tls,
                Command::Sentinel(args) => args.tls,
                _ => tls::Args::default(),
            };
            assert_eq!(
                [flags.tls_certificate, flags.tls_key],
                [Some("c".into()), Some("k".into())],
                "{role}"
            );
        }
        let cli = Cli::try_parse_from(["shanty", "run", "list", "--tls-key", "k"]).unwrap();
        let environment = |name: &str| (name != "SHANTY_TLS_AUTHORITY").then(|| OsString::from(name));
        let tls = cli.global.tls(environment);
        assert_eq!(tls, tls::Settings::new(Some("SHANTY_TLS_CERTIFICATE".into()), Some("k".into()), None));
    }
}
