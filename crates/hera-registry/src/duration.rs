//! Times as people write them: `30d`, `12h`, `15m`, `90s`.

use std::time::Duration;

/// Reads a whole number and one unit (`s`, `m`, `h`, `d`); `None` for anything else, and for what does not fit 64 bits.
pub fn parse(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3_600),
        b'd' => (&text[..text.len() - 1], 86_400),
        _ => return None,
    };
    // `u64::from_str` would take a leading plus sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        let seconds = |text| parse(text).map(|duration| duration.as_secs());

        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("15m"), Some(900));
        assert_eq!(seconds("12h"), Some(43_200));
        assert_eq!(seconds("30d"), Some(2_592_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "d", "30", "+3d", "-3d", "1.5h", "3 d", "3D", "1h30m", "3ä", "99999999999999999999d"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
