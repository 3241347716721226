//! Query strings, as HTML forms write them.

/// A name or a value as it stands in a query: all but unreserved characters escaped.
pub(crate) fn encode(text: &str) -> String {
    escaped(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// A path and query in ASCII: what HTTP has no room for is escaped, everything else is left as it is.
pub(crate) fn escape(target: &str) -> String {
    escaped(target, |byte| byte.is_ascii_graphic())
}

fn escaped(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Pairs in order, `+` and escapes decoded; bytes that are no UTF-8 become U+FFFD, and a bad escape stays as it is.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = if *byte == b'%' { unescape(bytes.get(at + 1..at + 3)) } else { None };
        out.push(match (byte, escaped) {
            (_, Some(decoded)) => decoded,
            (b'+', None) => b' ',
            (other, None) => *other,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
}

fn unescape(digits: Option<&[u8]>) -> Option<u8> {
    let [high, low] = digits? else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        let text = "one two+three&four=%/é?";
        assert_eq!(pairs(&format!("a={}", encode(text))), [("a".to_owned(), text.to_owned())]);
        assert_eq!(escape("/0/é a?x=%20+"), "/0/%C3%A9%20a?x=%20+");
    }

    #[test]
    fn pairs_are_decoded_once_and_keep_their_order() {
        let cases: [(&str, &[(&str, &str)]); 7] = [
            ("", &[]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("q=one+two%2Bthree", &[("q", "one two+three")]),
            ("%C3%A9=%c3%a9", &[("é", "é")]),
            ("bare&&x=", &[("bare", ""), ("x", "")]),
            ("p=100%&q=%zz&r=%2525", &[("p", "100%"), ("q", "%zz"), ("r", "%25")]),
            ("bad=%ff", &[("bad", "\u{fffd}")]),
        ];

        for (query, expected) in cases {
            let found = pairs(query);
            let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}
