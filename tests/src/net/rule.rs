//! What happens to packets at a place, as nftables reads it.
//!
//! In: [`Rule`]s. Out: a table. Never: a word to the system. Tests: below.

use std::net::Ipv4Addr;

/// Which packets of a place are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Those that leave it.
    Out,
    /// Those that come to it.
    In,
}

/// Who is on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Everybody but the place itself.
    All,
    /// These addresses.
    These(Vec<Ipv4Addr>),
}

/// What happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They vanish.
    Drop,
    /// Their connections are reset.
    Reset,
    /// So many of a hundred vanish.
    Loss(u8),
    /// What is more than so many thousands of bytes a second vanishes.
    Narrow(u32),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which packets.
    pub way: Way,
    /// Of whom.
    pub peer: Peer,
    /// What happens to them.
    pub fate: Fate,
}

/// Rules both ways.
impl Rule {
    /// The same fate for what leaves and what comes.
    #[must_use]
    pub fn both(peer: Peer, fate: Fate) -> [Rule; 2] {
        [Way::Out, Way::In].map(|way| Rule { way, peer: peer.clone(), fate })
    }

    fn line(&self) -> String {
        let (device, side) = match self.way {
            Way::Out => ("oifname", "daddr"),
            Way::In => ("iifname", "saddr"),
        };
        let peer = match &self.peer {
            Peer::All => String::new(),
            Peer::These(addresses) => {
                let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("ip {side} {{ {} }} ", all.join(", "))
            }
        };
        let fate = match self.fate {
            Fate::Drop => "drop".to_owned(),
            Fate::Reset => "meta l4proto tcp reject with tcp reset".to_owned(),
            Fate::Loss(percent) => format!("numgen random mod 100 < {percent} drop"),
            Fate::Narrow(kbytes) => format!("limit rate over {kbytes} kbytes/second burst 16 kbytes drop"),
        };
        format!("{device} \"eth0\" {peer}{fate}\n")
    }
}

/// The place's whole table; an empty one lets everything pass.
pub(super) fn table(rules: &[Rule]) -> String {
    let chain = |way: Way, hook: &str| {
        let lines: String = rules.iter().filter(|rule| rule.way == way).map(Rule::line).collect();
        format!("chain {hook} {{\ntype filter hook {hook} priority 0;\n{lines}}}\n")
    };
    format!(
        "flush ruleset\ntable inet faults {{\n{}{}}}\n",
        chain(Way::Out, "output"),
        chain(Way::In, "input")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_stands_in_the_chain_of_its_way() {
        let peer = Peer::These(vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
        let text = table(&[
            Rule { way: Way::In, peer, fate: Fate::Loss(5) },
            Rule { way: Way::Out, peer: Peer::All, fate: Fate::Drop },
            Rule { way: Way::Out, peer: Peer::All, fate: Fate::Narrow(125) },
        ]);
        let (output, input) = text.split_once("chain input").unwrap();
        assert!(output.contains("oifname \"eth0\" drop"), "{text}");
        assert!(output.contains("limit rate over 125 kbytes/second burst 16 kbytes drop"), "{text}");
        assert!(input.contains("ip saddr { 10.0.0.1, 10.0.0.2 } numgen random mod 100 < 5 drop"), "{text}");
    }
}
