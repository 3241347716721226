//! A range of addresses, as `10.0.0.0/8`.

use std::fmt;
use std::net::IpAddr;

/// A network: the addresses that share its first `bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Reads `address/bits`, or an address alone, which is itself a range of one.
    ///
    /// `None` for anything else, also where bits behind the first `bits` are set: `10.1.2.3/8` may mean two things.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().ok()?;
        let width = width(network);
        let bits = match bits {
            None => width,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        let cidr = Cidr { network, bits };
        (bits <= width && masked(network, bits) == number(network)).then_some(cidr)
    }

    /// Whether the address lies in the range. An IPv4 address in IPv6 clothes (`::ffff:10.0.0.1`) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.bits) == number(self.network)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let host_bits = u32::from(width(address).saturating_sub(bits));
    // A shift by all 128 bits is not defined, and means that nothing is left.
    number(address).checked_shr(host_bits).map_or(0, |network| network << host_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(cidr: &str, address: &str) -> bool {
        Cidr::parse(cidr).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn range_holds_its_addresses_alone() {
        assert!(contains("127.0.0.0/8", "127.255.0.1"));
        assert!(!contains("127.0.0.0/8", "128.0.0.0"));
        assert!(contains("10.1.2.3", "10.1.2.3"));
        assert!(!contains("10.1.2.3/32", "10.1.2.2"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "203.0.113.9"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("::1/128", "::2"));
    }

    #[test]
    fn address_in_ipv6_clothes_is_the_ipv4_address() {
        assert!(contains("10.0.0.0/8", "::ffff:10.2.3.4"));
        assert!(!contains("::/0", "::ffff:10.2.3.4"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/+8", "a", "::1/64"]
        {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
