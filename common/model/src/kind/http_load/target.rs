//! Which addresses may be loaded.
//!
//! Loopback and private ranges are allowed; others need a rule. Link-local (where clouds keep their metadata
//! services), multicast, broadcast and unspecified addresses are refused whatever the rules say. The master
//! checks a literal address when a run is started; a worker checks every address that it connects to, so a
//! name that resolves elsewhere later does not slip through.
//! Tests: below.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Rules for targets beyond loopback and private ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TargetPolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// An exact host name.
    Host(String),
    /// A host name's ending, written `*.example.com`.
    Suffix(String),
    /// An address range.
    Net { base: IpAddr, bits: u8 },
}

/// Why an address may not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule allows it.
    #[error(
        "{0} is neither loopback nor private; allow it by a rule in load.allow_targets on the workers and the master"
    )]
    NotAllowed(IpAddr),
    /// No rule can allow it.
    #[error("{0} is a link-local, multicast, broadcast or unspecified address, which is never loaded")]
    Never(IpAddr),
}

impl TargetPolicy {
    /// A policy of these rules: host names, `*.suffix`, addresses, and ranges like `10.0.0.0/8`.
    ///
    /// # Errors
    /// The first text that is no rule, with the forms that are.
    pub fn allowing<T: AsRef<str>>(rules: &[T]) -> Result<TargetPolicy, String> {
        let rules = rules.iter().map(|text| parse_rule(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(TargetPolicy { rules })
    }

    /// Whether `address`, to which `host` resolved, may be loaded.
    ///
    /// # Errors
    /// [`Refusal`] with the way to allow it, if there is one.
    pub fn permits(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        if is_never(address) {
            return Err(Refusal::Never(address));
        }
        if is_home(address) || self.rules.iter().any(|rule| rule.matches(host, address)) {
            return Ok(());
        }
        Err(Refusal::NotAllowed(address))
    }
}

impl Rule {
    fn matches(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Rule::Host(name) => host.eq_ignore_ascii_case(name),
            Rule::Suffix(suffix) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            Rule::Net { base, bits } => match (base, address) {
                (IpAddr::V4(base), IpAddr::V4(address)) => {
                    let shift = 32 - u32::from((*bits).min(32));
                    u64::from(base.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
                }
                (IpAddr::V6(base), IpAddr::V6(address)) => {
                    let shift = 128 - u32::from((*bits).min(128));
                    let cut = |ip: &Ipv6Addr| ip.to_bits().checked_shr(shift).unwrap_or(0);
                    cut(base) == cut(&address)
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
            },
        }
    }
}

/// Loopback and private: RFC 1918, RFC 4193.
fn is_home(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

fn is_never(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
        // fd00:ec2::254 is the metadata service of a large cloud inside the private range.
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
                || ip == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)
        }
    }
}

fn parse_rule(text: &str) -> Result<Rule, String> {
    let invalid = || {
        format!(
            "`{text}` is no target rule: write a host name, *.suffix, an address or a range like 10.0.0.0/8"
        )
    };
    if let Some(suffix) = text.strip_prefix("*.") {
        return if is_host(suffix) { Ok(Rule::Suffix(suffix.to_ascii_lowercase())) } else { Err(invalid()) };
    }
    if let Ok(base) = text.parse::<IpAddr>() {
        return Ok(Rule::Net { base, bits: if base.is_ipv4() { 32 } else { 128 } });
    }
    if let Some((base, bits)) = text.split_once('/') {
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let bits: u8 = bits.parse().map_err(|_| invalid())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        return if bits <= most { Ok(Rule::Net { base, bits }) } else { Err(invalid()) };
    }
    if is_host(text) { Ok(Rule::Host(text.to_ascii_lowercase())) } else { Err(invalid()) }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_')
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Host(name) => f.write_str(name),
            Rule::Suffix(suffix) => write!(f, "*.{suffix}"),
            Rule::Net { base, bits } => write!(f, "{base}/{bits}"),
        }
    }
}

impl TryFrom<Vec<String>> for TargetPolicy {
    type Error = String;
    fn try_from(rules: Vec<String>) -> Result<Self, String> {
        TargetPolicy::allowing(&rules)
    }
}

impl From<TargetPolicy> for Vec<String> {
    fn from(policy: TargetPolicy) -> Vec<String> {
        policy.rules.iter().map(Rule::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(policy: &TargetPolicy, host: &str, address: &str) -> bool {
        policy.permits(host, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn home_is_allowed_and_the_world_needs_a_rule() {
        let policy = TargetPolicy::default();
        for home in
            ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.9.9", "::1", "fd12::1", "::ffff:127.0.0.1"]
        {
            assert!(permits(&policy, "x", home), "{home}");
        }
        for world in ["93.184.216.34", "172.32.0.1", "2606:2800::1", "::ffff:8.8.8.8"] {
            assert!(!permits(&policy, "x", world), "{world}");
        }
        let policy =
            TargetPolicy::allowing(&["93.184.216.0/24", "*.example.com", "shop.test", "2606::/16"]).unwrap();
        assert!(permits(&policy, "x", "93.184.216.34"));
        assert!(!permits(&policy, "x", "93.184.217.34"));
        assert!(permits(&policy, "a.EXAMPLE.com", "1.2.3.4"));
        assert!(!permits(&policy, "badexample.com", "1.2.3.4"));
        assert!(permits(&policy, "shop.test", "1.2.3.4"));
        assert!(permits(&policy, "x", "2606:2800::1"));
    }

    #[test]
    fn metadata_and_multicast_are_refused_whatever_the_rules() {
        let policy = TargetPolicy::allowing(&["0.0.0.0/0", "::/0"]).unwrap();
        assert!(permits(&policy, "x", "8.8.8.8"));
        for never in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "fd00:ec2::254",
        ] {
            assert_eq!(
                policy.permits("x", never.parse().unwrap()),
                Err(Refusal::Never(never.parse::<IpAddr>().unwrap().to_canonical()))
            );
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_and_rules_print_back() {
        for bad in ["10.0.0.0/33", "10.0.0/8", "", "a b", "*."] {
            assert!(TargetPolicy::allowing(&[bad]).is_err(), "{bad}");
        }
        let texts = vec!["shop.test".to_owned(), "*.example.com".to_owned(), "10.0.0.0/8".to_owned()];
        let policy = TargetPolicy::try_from(texts.clone()).unwrap();
        assert_eq!(Vec::<String>::from(policy), texts);
    }
}
