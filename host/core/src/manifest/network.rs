//! Networks in CIDR notation, for the list of trusted proxies.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses such as `10.0.0.0/8` or `fd00::/8`; one address stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a network. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    #[error("a network is an IP address and a prefix length, like \"10.0.0.0/8\" or \"::1\"")]
    Address,
    #[error("the prefix length of this address is at most {0}")]
    Length(u8),
    #[error("this address has bits set after its prefix: the network is `{0}`")]
    HostBits(Network),
}

impl Network {
    /// True if `address` is in this network. An IPv4 address that comes as an IPv6 one
    /// (`::ffff:10.0.0.1`, as dual-stack sockets report it) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        mask(address.to_canonical(), self.length).is_some_and(|prefix| prefix == self.address)
    }
}

/// The first `length` bits; `None` if the address has not that many.
fn mask(address: IpAddr, length: u8) -> Option<IpAddr> {
    let length = u32::from(length);
    Some(match address {
        IpAddr::V4(address) => {
            let free = 32_u32.checked_sub(length)?;
            let bits = address.to_bits();
            let kept = bits.checked_shr(free).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(kept.checked_shl(free).unwrap_or(0)))
        }
        IpAddr::V6(address) => {
            let free = 128_u32.checked_sub(length)?;
            let bits = address.to_bits();
            let kept = bits.checked_shr(free).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(kept.checked_shl(free).unwrap_or(0)))
        }
    })
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork::Address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(length) if length.bytes().all(|b| b.is_ascii_digit()) => {
                length.parse().map_err(|_| BadNetwork::Length(longest))?
            }
            Some(_) => return Err(BadNetwork::Address),
        };
        let prefix = mask(address, length).ok_or(BadNetwork::Length(longest))?;
        let network = Self {
            address: prefix,
            length,
        };
        if prefix != address {
            return Err(BadNetwork::HostBits(network));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_contains_its_addresses() {
        for (network, address, contained) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::1", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::/0", "1::", true),
            ("::/0", "1.2.3.4", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            let address = address.parse().unwrap();
            assert_eq!(parsed.contains(address), contained, "{network} {address}");
        }
    }

    #[test]
    fn bad_networks_say_why() {
        let rows = [
            (
                "",
                "a network is an IP address and a prefix length, like \"10.0.0.0/8\" or \"::1\"",
            ),
            (
                "10.0.0.0/",
                "the prefix length of this address is at most 32",
            ),
            (
                "10.0.0.0/33",
                "the prefix length of this address is at most 32",
            ),
            ("::/129", "the prefix length of this address is at most 128"),
            (
                "10.0.0.0/999",
                "the prefix length of this address is at most 32",
            ),
            (
                "10.0.0.1/8",
                "this address has bits set after its prefix: the network is `10.0.0.0/8`",
            ),
        ];
        for (text, why) in rows {
            assert_eq!(
                text.parse::<Network>().unwrap_err().to_string(),
                why,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|[0-9a-f.:]{0,20}/[0-9]{0,4}") {
            let _ = text.parse::<Network>();
        }
    }
}
