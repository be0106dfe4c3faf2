//! A world of network namespaces: each node lives in one of its own, all on one bridge, and any two can be parted.
//!
//! ```text
//!  the test, its targets ── bridge (.1; databases .2, .3) ──┬── m1 (.11)  rules of its own
//!                                                           ├── e0 (.12)
//!                                                           └── …
//! ```
//! In: names of places. Out: [`World`], whose [`Place`]s have an address and take [`Rule`]s. Where this process may not
//! make namespaces there is no world, and it says so. Never: leaves a namespace or an interface behind, also after a
//! panic; touches a rule of the machine's own (rules are in the places).
//! Tests: below.

mod rule;

pub use rule::{Fate, Peer, Rule, Way};

use crate::skip;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Addresses of the bridge: the test and its targets, the store, the data of syncs, relays.
pub const OUTSIDE: [u8; 4] = [1, 2, 3, 4];
/// The first place's.
const FIRST: u8 = 11;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A bridge and the places on it. They go when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct World(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Beginning of the names of all that is made.
    tag: String,
    net: [u8; 3],
    places: Mutex<BTreeMap<String, Place>>,
}

/// A namespace with one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl World {
    /// A bridge; none, with a line that says so, where this process may not make one.
    #[must_use]
    pub fn start() -> Option<World> {
        for (program, package) in [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")] {
            skip::program(program, package)?;
        }
        let (pid, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // Two test programs seldom have pids that lie a multiple of this apart.
        let third = u8::try_from((pid + made) % 250).unwrap_or(0);
        let tag = format!("sh{pid}x{made}");
        sweep();
        let world = World(Arc::new(Inner { tag, net: [10, 213, third], places: Mutex::default() }));
        match world.0.build() {
            Ok(()) => Some(world),
            Err(why) => {
                skip::left_out(&format!("no network namespaces here: {why}"), "run it as root");
                None
            }
        }
    }

    /// An address of the bridge: see [`OUTSIDE`].
    #[must_use]
    pub fn outside(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.0.net;
        Ipv4Addr::new(a, b, c, last)
    }

    /// The place of this name, made if there is none.
    ///
    /// # Panics
    /// When the system refuses it.
    #[must_use]
    pub fn place(&self, name: &str) -> Place {
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u8::try_from(places.len()).expect("few places");
        let add = || {
            let address = self.outside(FIRST + count);
            self.0.add(count, address).unwrap_or_else(|why| panic!("no place for {name}: {why}"))
        };
        places.entry(name.to_owned()).or_insert_with(add).clone()
    }
}

impl Inner {
    fn build(&self) -> Result<(), String> {
        let ([a, b, c], bridge) = (self.net, format!("{}b", self.tag));
        // A bridge without an address of its own takes the lowest of its cables': each new place might change it, and
        // nodes that know the old one send into the void until they ask again.
        ip(&format!("link add {bridge} address 02:00:{a:02x}:{b:02x}:{c:02x}:01 type bridge"))?;
        for last in OUTSIDE {
            ip(&format!("addr add {a}.{b}.{c}.{last}/24 dev {bridge}"))?;
        }
        ip(&format!("link set {bridge} up"))?;
        // Whether a namespace may be made is seen here, not in the middle of a test.
        ip(&format!("netns add {}t", self.tag))?;
        ip(&format!("netns del {}t", self.tag))
    }

    fn add(&self, index: u8, address: Ipv4Addr) -> Result<Place, String> {
        let (tag, namespace) = (&self.tag, format!("{}n{index}", self.tag));
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("link add {tag}v{index} type veth peer name eth0 netns {namespace}"))?;
        ip(&format!("link set {tag}v{index} master {tag}b up"))?;
        for inside in [&format!("addr add {address}/24 dev eth0"), "link set eth0 up", "link set lo up"] {
            ip(&format!("-n {namespace} {inside}"))?;
        }
        Ok(Place { namespace, address })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _was_never_made = ip(&format!("link del {}b", self.tag));
        let places = std::mem::take(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner));
        for place in places.into_values() {
            // With it goes its end of the cable, and the cable.
            if let Err(why) = ip(&format!("netns del {}", place.namespace)) {
                eprintln!("{} is left behind: {why}", place.namespace);
            }
        }
    }
}

impl Place {
    /// A program with its arguments, as it is started inside.
    #[must_use]
    pub fn inside(&self, program: &Path, args: &[String]) -> (PathBuf, Vec<String>) {
        let mut whole = vec![format!("--net=/run/netns/{}", self.namespace), "--".to_owned()];
        whole.push(program.display().to_string());
        whole.extend_from_slice(args);
        (PathBuf::from("/usr/bin/nsenter"), whole)
    }

    /// From now on these rules hold here, and no others.
    ///
    /// # Panics
    /// When the system refuses them.
    pub fn rules(&self, rules: &[Rule]) {
        let (program, args) = self.inside(Path::new("nft"), &["-f".to_owned(), "-".to_owned()]);
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nft starts");
        let text = rule::table(rules);
        child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
        let said = child.wait_with_output().expect("nft");
        assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// Removes what a test program that was killed has left behind.
fn sweep() {
    let left = |folder: &str, of: char| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| maker(name, of).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()))
            .collect()
    };
    let (bridges, spaces): (Vec<String>, Vec<String>) =
        (left("/sys/class/net", 'b'), left("/run/netns", 'n'));
    for words in bridges
        .iter()
        .map(|name| format!("link del {name}"))
        .chain(spaces.iter().map(|name| format!("netns del {name}")))
    {
        let _somebody_else_was_quicker = ip(&words);
    }
}

/// The process that made what has this name.
fn maker(name: &str, of: char) -> Option<u32> {
    let (pid, rest) = name.strip_prefix("sh")?.split_once('x')?;
    rest.contains(of).then(|| pid.parse().ok())?
}

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<(), String> {
    let said = Command::new("ip").args(words.split(' ')).output().map_err(|error| error.to_string())?;
    if said.status.success() {
        return Ok(());
    }
    Err(format!("ip {words}: {}", String::from_utf8_lossy(&said.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    /// Whether a program inside can connect to `server`, told by bash.
    fn reaches(place: &Place, server: std::net::SocketAddr) -> Option<bool> {
        let script = format!("exec 3<>/dev/tcp/{}/{}", server.ip(), server.port());
        let args = ["1", "bash", "-c", &script].map(str::to_owned);
        let (program, args) = place.inside(Path::new("timeout"), &args);
        let status = Command::new(program).args(args).stderr(Stdio::null()).status().expect("nsenter");
        // 124: it hung until its time was over.
        if status.code() == Some(124) { None } else { Some(status.success()) }
    }

    #[test]
    fn only_names_of_ours_are_swept() {
        assert_eq!(maker("sh123x0b", 'b'), Some(123));
        assert_eq!(maker("sh123x0n4", 'n'), Some(123));
        for other in ["sh123x0n4", "shb", "eth0", "docker0", "shed1xb"] {
            assert_eq!(maker(other, 'b'), None, "{other}");
        }
    }

    #[test]
    fn a_new_place_leaves_the_address_of_the_bridge_as_it_is() {
        let Some(world) = World::start() else { return };
        let address = format!("/sys/class/net/{}b/address", world.0.tag);
        let read = || std::fs::read_to_string(&address).unwrap();
        let before = read();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let _made = world.place(name);
            assert_eq!(read(), before, "{name}");
        }
    }

    #[test]
    fn places_are_parted_as_they_are_told_and_gone_afterwards() {
        let Some(world) = World::start() else { return };
        let (one, two) = (world.place("one"), world.place("two"));
        assert_ne!(one, two);
        assert_eq!(world.place("one"), one);
        let server = TcpListener::bind((world.outside(1), 0)).unwrap();
        let at = server.local_addr().unwrap();
        let peer = || Peer::These(vec![world.outside(1)]);
        assert_eq!(reaches(&one, at), Some(true));
        one.rules(&[Rule { way: Way::Out, peer: peer(), fate: Fate::Drop }]);
        assert_eq!(reaches(&one, at), None, "what is dropped hangs");
        assert_eq!(reaches(&two, at), Some(true), "another place is not concerned");
        one.rules(&[Rule { way: Way::In, peer: Peer::All, fate: Fate::Drop }]);
        assert_eq!(reaches(&one, at), None, "nothing comes in");
        one.rules(&[Rule { way: Way::Out, peer: peer(), fate: Fate::Reset }]);
        assert_eq!(reaches(&one, at), Some(false), "what is reset fails at once");
        one.rules(&[]);
        assert_eq!(reaches(&one, at), Some(true));
        drop(world);
        assert!(!Path::new("/run/netns").join(&one.namespace).exists());
        assert!(TcpStream::connect_timeout(&at, Duration::from_millis(200)).is_err(), "the bridge is gone");
    }
}
