//! Which addresses belong to the public internet. A guest that was granted a public name must not
//! reach the host's own network through it, whatever the name resolves to.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True for addresses that the registries of special-purpose addresses (RFC 6890 and its
/// successors) leave to the public internet. Called for every address before it is connected to.
///
/// An IPv6 address that carries an IPv4 one (mapped, compatible, translated by NAT64, 6to4, ISATAP)
/// is public only if both are.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Prefixes that are not the public internet: address, length, what for.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (
        Ipv4Addr::new(169, 254, 0, 0),
        16,
        "link-local; cloud metadata",
    ),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved; broadcast"),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    SPECIAL_V4
        .iter()
        .all(|(prefix, length, _)| (bits ^ prefix.to_bits()) >> (32 - length) != 0)
}

/// Prefixes within the global unicast space 2000::/3 that are not the public internet. All that is
/// outside of 2000::/3 is refused but for the forms that carry an IPv4 address.
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 4] = [
    // Teredo, ORCHID, benchmarking, AMT and more: none is an ordinary host's address.
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "protocol assignments",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "documentation",
    ),
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        "AS112",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "documentation",
    ),
];

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let low = Ipv4Addr::from_bits((u32::from(segments[6]) << 16) | u32::from(segments[7]));
    match segments {
        // ::ffff:a.b.c.d (mapped): the system connects to the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, ..] => return is_public_v4(low),
        // 64:ff9b::a.b.c.d (NAT64): a translator connects to the IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => return is_public_v4(low),
        // 2002:ab:cd::/16 (6to4).
        [0x2002, high, next, ..] => {
            return is_public_v4(Ipv4Addr::from_bits(
                (u32::from(high) << 16) | u32::from(next),
            ));
        }
        // Any prefix, then ::5efe:a.b.c.d (ISATAP).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] if !is_public_v4(low) => return false,
        _ => {}
    }
    let global_unicast = segments[0] >> 13 == 1;
    let bits = address.to_bits();
    global_unicast
        && SPECIAL_V6
            .iter()
            .all(|(prefix, length, _)| (bits ^ prefix.to_bits()) >> (128 - length) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_public_internet_is_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.215.14",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:82b::200e",
            "2001:200::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_the_registries_reserve_is_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0:8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:c0a8:1::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:127.0.0.1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_embedded_address_is_public_only_if_it_is_so_by_itself(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let public = is_public(IpAddr::V4(v4));
            let bits = u128::from(bits);
            let mapped = Ipv6Addr::from_bits((0xffff << 32) | bits);
            let nat64 = Ipv6Addr::from_bits((0x64_ff9b << 96) | bits);
            let six_to_four = Ipv6Addr::from_bits((0x2002 << 112) | (bits << 80));
            let compatible = Ipv6Addr::from_bits(bits);
            prop_assert_eq!(is_public(IpAddr::V6(mapped)), public);
            prop_assert_eq!(is_public(IpAddr::V6(nat64)), public);
            prop_assert_eq!(is_public(IpAddr::V6(six_to_four)), public);
            prop_assert!(!is_public(IpAddr::V6(compatible)));
            // What the standard library knows must never be called public here.
            let std_special = v4.is_loopback() || v4.is_private() || v4.is_link_local()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()
                || v4.is_documentation();
            prop_assert!(!(std_special && public));
        }
    }
}
