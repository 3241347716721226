//! Endpoints that workers declare: a method and a pattern, `GET /0/users/{id}` (P-28, P-29).

use crate::path::{self, BadPath};
use std::fmt;
use thiserror::Error;

/// Bytes of one endpoint's text (`endpoint_bytes_max`).
pub const ENDPOINT_BYTES_MAX: usize = 1024;
/// Segments of one pattern (`segments_max`); the routing table's recursion is as deep as this at most.
pub const SEGMENTS_MAX: usize = 64;
/// Bytes of a method (P-28).
pub const METHOD_BYTES_MAX: usize = 32;

/// A method, or `*` for any, and a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    method: String,
    pattern: Pattern,
}

/// A canonical path whose segments may be parameters, and the text that it was declared as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Matches itself, in canonical form.
    Static(String),
    /// `{name}`: exactly one segment.
    Parameter(String),
    /// `{*name}`, last: one or more segments.
    Tail(String),
}

/// Why a text is no endpoint or no pattern; the worker is answered `bad_endpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadEndpoint {
    /// No space between method and pattern, or more than one.
    #[error("endpoint is not `METHOD /pattern` with one space")]
    NotMethodAndPattern,
    /// Over `endpoint_bytes_max`.
    #[error("endpoint of {0} bytes exceeds the limit of {ENDPOINT_BYTES_MAX}")]
    TooLong(usize),
    /// Over `segments_max`.
    #[error("pattern of {0} segments exceeds the limit of {SEGMENTS_MAX}")]
    TooManySegments(usize),
    /// Not an RFC 9110 token in upper case of at most 32 bytes, and not `*`.
    #[error("method is neither `*` nor an upper-case token of 1 to {METHOD_BYTES_MAX} bytes")]
    BadMethod,
    /// `/` alone.
    #[error("pattern `/` alone cannot be served")]
    Root,
    /// A trailing slash, which requests may have and patterns may not.
    #[error("pattern ends with a slash")]
    TrailingSlash,
    /// `/-/…` belongs to Hera itself.
    #[error("pattern lies under `/-/`, which is never routed")]
    Reserved,
    /// A space inside the pattern.
    #[error("pattern has a space; write `%20`")]
    Space,
    /// A query is not part of a pattern.
    #[error("pattern has a `?`; queries are not matched, and a literal one is `%3F`")]
    Query,
    /// Braces that do not make up a whole segment, or hold no name.
    #[error("segment `{0}` is neither literal text, `{{name}}` nor `{{*name}}`")]
    BadParameter(String),
    /// The same name twice.
    #[error("parameter name `{0}` stands twice in the pattern")]
    DuplicateName(String),
    /// `{*name}` that is not the last segment.
    #[error("`{{*{0}}}` is not the last segment")]
    TailNotLast(String),
    /// A literal segment that has no canonical form (P-47).
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl Endpoint {
    /// Reads `METHOD PATTERN`, as a worker declares it. Errors: P-28, P-29 and the two limits above.
    pub fn parse(text: &str) -> Result<Endpoint, BadEndpoint> {
        if text.len() > ENDPOINT_BYTES_MAX {
            return Err(BadEndpoint::TooLong(text.len()));
        }
        let (method, pattern) = text.split_once(' ').ok_or(BadEndpoint::NotMethodAndPattern)?;
        if pattern.starts_with(' ') || pattern.ends_with(' ') {
            return Err(BadEndpoint::NotMethodAndPattern);
        }
        if !is_method(method) {
            return Err(BadEndpoint::BadMethod);
        }
        Ok(Endpoint { method: method.to_owned(), pattern: Pattern::parse(pattern)? })
    }

    /// The method in upper case, or `*`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Method and pattern without names: `GET /0/users/{}`, `{*}` for a tail. Equal shapes are one route.
    pub fn shape(&self) -> String {
        let mut shape = self.method.clone();
        shape.push(' ');
        for segment in self.pattern.segments() {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Static(text) => text,
                Segment::Parameter(_) => "{}",
                Segment::Tail(_) => "{*}",
            });
        }
        shape
    }
}

impl Pattern {
    /// Reads a pattern; its literal segments are brought to canonical form, so `/a/%7Eb` and `/a/~b` are one. Errors: P-29.
    pub fn parse(text: &str) -> Result<Pattern, BadEndpoint> {
        if text.len() > ENDPOINT_BYTES_MAX {
            return Err(BadEndpoint::TooLong(text.len()));
        }
        let inner = text.strip_prefix('/').ok_or(BadPath::NotAbsolute)?;
        if inner.is_empty() {
            return Err(BadEndpoint::Root);
        }
        let count = inner.split('/').count();
        if count > SEGMENTS_MAX {
            return Err(BadEndpoint::TooManySegments(count));
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        for (index, segment) in inner.split('/').enumerate() {
            let last = index + 1 == count;
            if segment.is_empty() && last && index > 0 && !inner.ends_with("//") {
                return Err(BadEndpoint::TrailingSlash);
            }
            let segment = Segment::parse(segment)?;
            if let Segment::Tail(name) = &segment
                && !last
            {
                return Err(BadEndpoint::TailNotLast(name.clone()));
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|earlier| earlier.name() == Some(name))
            {
                return Err(BadEndpoint::DuplicateName(name.to_owned()));
            }
            segments.push(segment);
        }
        // `/-` too: a request for `/-/` has that canonical form.
        if matches!(segments.first(), Some(Segment::Static(first)) if first == "-") {
            return Err(BadEndpoint::Reserved);
        }
        Ok(Pattern { text: text.to_owned(), segments })
    }

    /// The segments in order, at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of the parameters in order, the tail's last.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Segment, BadEndpoint> {
        if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let (name, is_tail) = match inner.strip_prefix('*') {
                Some(name) => (name, true),
                None => (inner, false),
            };
            if !is_name(name) {
                return Err(BadEndpoint::BadParameter(text.to_owned()));
            }
            return Ok(if is_tail { Segment::Tail(name.into()) } else { Segment::Parameter(name.into()) });
        }
        // Escaping them instead would turn `/{name}.json` into a literal that no caller ever sends.
        if text.contains(['{', '}']) {
            return Err(BadEndpoint::BadParameter(text.to_owned()));
        }
        literal(text).map(Segment::Static)
    }

    /// The name of a parameter or a tail.
    pub fn name(&self) -> Option<&str> {
        match self {
            Segment::Static(_) => None,
            Segment::Parameter(name) | Segment::Tail(name) => Some(name),
        }
    }
}

impl fmt::Display for Endpoint {
    /// As it was declared: the method of its calls on the wire (P-32).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

impl fmt::Display for Pattern {
    /// As it was declared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The canonical form of one literal segment, in patterns, scopes and prefixes alike (P-48).
pub(crate) fn literal(segment: &str) -> Result<String, BadEndpoint> {
    if segment.is_empty() {
        return Err(BadPath::EmptySegment.into());
    }
    if segment.contains(' ') {
        return Err(BadEndpoint::Space);
    }
    if segment.contains('?') {
        return Err(BadEndpoint::Query);
    }
    let path = format!("/{segment}");
    Ok(path::canonical(path.as_bytes())?[1..].to_owned())
}

/// Whether `method` may stand in an endpoint or a scope (P-28); `*` is a token too.
pub(crate) fn is_method(method: &str) -> bool {
    let is_token_byte =
        |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.bytes().all(is_token_byte)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_keeps_its_declared_text_and_has_a_canonical_shape() {
        let endpoint = Endpoint::parse("GET /%7Ea/caf\u{e9}/{id}/{*rest}").unwrap();

        assert_eq!(endpoint.to_string(), "GET /%7Ea/caf\u{e9}/{id}/{*rest}");
        assert_eq!(endpoint.shape(), "GET /~a/caf%C3%A9/{}/{*}");
        assert_eq!(endpoint.method(), "GET");
        assert_eq!(endpoint.pattern().names().collect::<Vec<_>>(), ["id", "rest"]);
        assert_eq!(endpoint.pattern().segments()[2], Segment::Parameter("id".into()));
    }

    #[test]
    fn the_limits_hold_exactly() {
        let of_bytes = |bytes: usize| format!("GET /{}", "a".repeat(bytes - 5));
        assert!(Endpoint::parse(&of_bytes(1024)).is_ok());
        assert_eq!(Endpoint::parse(&of_bytes(1025)), Err(BadEndpoint::TooLong(1025)));

        assert!(Pattern::parse(&"/a".repeat(64)).is_ok());
        assert_eq!(Pattern::parse(&"/a".repeat(65)), Err(BadEndpoint::TooManySegments(65)));

        let of_method = |bytes: usize| format!("{} /a", "M".repeat(bytes));
        assert!(Endpoint::parse(&of_method(32)).is_ok());
        assert_eq!(Endpoint::parse(&of_method(33)), Err(BadEndpoint::BadMethod));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| Endpoint::parse(text).unwrap_err();
        assert_eq!(refused("/a"), BadEndpoint::NotMethodAndPattern);
        assert_eq!(refused("GET  /a"), BadEndpoint::NotMethodAndPattern);
        assert_eq!(refused("get /a"), BadEndpoint::BadMethod);
        assert_eq!(refused(" /a"), BadEndpoint::BadMethod);
        assert_eq!(refused("GET /"), BadEndpoint::Root);
        assert_eq!(refused("GET /a/"), BadEndpoint::TrailingSlash);
        assert_eq!(refused("GET //"), BadEndpoint::Path(BadPath::EmptySegment));
        assert_eq!(refused("GET /a//"), BadEndpoint::Path(BadPath::EmptySegment));
        assert_eq!(refused("GET /a/../b"), BadEndpoint::Path(BadPath::DotSegment));
        assert_eq!(refused("GET /%2D/ready"), BadEndpoint::Reserved);
        assert_eq!(refused("GET /a?b"), BadEndpoint::Query);
        assert_eq!(refused("GET /a b"), BadEndpoint::Space);
        assert_eq!(refused("GET /{*all}/b"), BadEndpoint::TailNotLast("all".into()));
        assert_eq!(refused("GET /{id}/{*id}"), BadEndpoint::DuplicateName("id".into()));
        assert_eq!(refused("GET /{id}.json"), BadEndpoint::BadParameter("{id}.json".into()));
    }
}
