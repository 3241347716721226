//! Scopes, what a caller may call, and prefixes, what a worker key may serve (P-49).
//!
//! Both are globs over whole segments: `*` is one segment, `**`, last, is any rest or none.

use crate::path::BadPath;
use crate::pattern::{self, BadEndpoint, Pattern, Segment};
use std::fmt;
use thiserror::Error;

/// `GET /0/**`: a method, or `*` for any, and a glob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    method: String,
    glob: Glob,
}

/// `/0/metrics-api/**`: a glob of paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    glob: Glob,
}

/// Why a text is no scope or no prefix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadScope {
    /// No space between method and pattern, or more than one.
    #[error("scope is not `METHOD /pattern` with one space")]
    NotMethodAndPattern,
    /// `*` as a part of a segment.
    #[error("segment `{0}` has a `*` inside; it stands for a whole segment only")]
    PartialStar(String),
    /// `**` that is not the last segment.
    #[error("`**` is not the last segment")]
    RestNotLast,
    /// `{name}`, which endpoints have.
    #[error("segment `{0}` has braces; any one segment is `*` here, any rest `**`")]
    Braces(String),
    /// What scopes and patterns have in common: the method, the literal segments, the limits.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
}

impl Scope {
    /// Reads `METHOD PATTERN`, both as a person wrote them. Errors: P-49, and the limits of an endpoint.
    pub fn parse(text: &str) -> Result<Scope, BadScope> {
        let (method, glob) = text.split_once(' ').ok_or(BadScope::NotMethodAndPattern)?;
        if glob.starts_with(' ') || glob.ends_with(' ') {
            return Err(BadScope::NotMethodAndPattern);
        }
        if !pattern::is_method(method) {
            return Err(BadEndpoint::BadMethod.into());
        }
        Ok(Scope { method: method.to_owned(), glob: Glob::parse(glob)? })
    }

    /// Whether a call of `method` to `canonical_path` is inside. GET grants HEAD. No allocation.
    pub fn allows(&self, method: &str, canonical_path: &str) -> bool {
        let takes = self.method == "*" || self.method == method || (self.method == "GET" && method == "HEAD");
        takes && self.glob.matches(canonical_path)
    }
}

impl Prefix {
    /// Reads a glob as a person wrote it. Errors: P-49, and the limits of a pattern.
    pub fn parse(text: &str) -> Result<Prefix, BadScope> {
        Ok(Prefix { glob: Glob::parse(text)? })
    }

    /// Whether every path that `pattern` matches lies inside, so that a worker key with this prefix may serve it.
    pub fn covers(&self, pattern: &Pattern) -> bool {
        let (Glob { steps, rest, .. }, segments) = (&self.glob, pattern.segments());
        // A tail has no longest path, so only `**` holds all of them; its shortest path must reach past the steps too.
        let has_tail = matches!(segments.last(), Some(Segment::Tail(_)));
        let lengths =
            if *rest { segments.len() >= steps.len() } else { segments.len() == steps.len() && !has_tail };
        lengths
            && steps.iter().zip(segments).all(|(step, segment)| match (step, segment) {
                (Step::Any, _) => true,
                (Step::Literal(text), Segment::Static(other)) => text == other,
                (Step::Literal(_), Segment::Parameter(_) | Segment::Tail(_)) => false,
            })
    }

    /// Whether some path lies inside both.
    pub fn overlaps(&self, other: &Prefix) -> bool {
        let (a, b) = (&self.glob, &other.glob);
        let agree = a.steps.iter().zip(&b.steps).all(|pair| match pair {
            (Step::Literal(text), Step::Literal(other)) => text == other,
            (Step::Any, _) | (_, Step::Any) => true,
        });
        let reach = |longer: &Glob, shorter: &Glob| longer.steps.len() == shorter.steps.len() || shorter.rest;
        agree && if a.steps.len() >= b.steps.len() { reach(a, b) } else { reach(b, a) }
    }
}

impl fmt::Display for Scope {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.glob.text)
    }
}

impl fmt::Display for Prefix {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.glob.text)
    }
}

/// What a scope and a prefix share: steps that each take one segment, then any rest or the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Glob {
    text: String,
    steps: Vec<Step>,
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Canonical text.
    Literal(String),
    /// `*`
    Any,
}

impl Glob {
    fn parse(text: &str) -> Result<Glob, BadScope> {
        if text.len() > pattern::ENDPOINT_BYTES_MAX {
            return Err(BadEndpoint::TooLong(text.len()).into());
        }
        let inner = text.strip_prefix('/').ok_or(BadEndpoint::Path(BadPath::NotAbsolute))?;
        // One trailing slash is ignored, as in a request's path; `/` itself has no segment.
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let mut glob = Glob { text: text.to_owned(), steps: Vec::new(), rest: false };
        if text == "/" {
            return Ok(glob);
        }
        for segment in inner.split('/') {
            if glob.rest {
                return Err(BadScope::RestNotLast);
            }
            match segment {
                "**" => glob.rest = true,
                "*" => glob.steps.push(Step::Any),
                _ if segment.contains('*') => return Err(BadScope::PartialStar(segment.to_owned())),
                _ if segment.contains(['{', '}']) => return Err(BadScope::Braces(segment.to_owned())),
                _ => glob.steps.push(Step::Literal(pattern::literal(segment)?)),
            }
        }
        if glob.steps.len() > pattern::SEGMENTS_MAX {
            return Err(BadEndpoint::TooManySegments(glob.steps.len()).into());
        }
        Ok(glob)
    }

    fn matches(&self, canonical_path: &str) -> bool {
        let Some(inner) = canonical_path.strip_prefix('/') else { return false };
        let mut segments = inner.split('/').filter(|_| !inner.is_empty());
        let steps_match = self.steps.iter().all(|step| match (step, segments.next()) {
            (_, None) => false,
            (Step::Any, Some(segment)) => !segment.is_empty(),
            (Step::Literal(text), Some(segment)) => text == segment,
        });
        steps_match && (self.rest || segments.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rest_is_any_segments_or_none() {
        let scope = Scope::parse("GET /0/**").unwrap();
        assert!(scope.allows("GET", "/0") && scope.allows("GET", "/0/a/b"));
        assert!(!scope.allows("GET", "/") && !scope.allows("GET", "/00") && !scope.allows("GET", "/1/0"));
    }

    #[test]
    fn get_grants_head_and_nothing_else_grants_another() {
        assert!(Scope::parse("GET /a").unwrap().allows("HEAD", "/a"));
        assert!(!Scope::parse("HEAD /a").unwrap().allows("GET", "/a"));
        assert!(!Scope::parse("GET /a").unwrap().allows("POST", "/a"));
        assert!(Scope::parse("* /a").unwrap().allows("PURGE", "/a"));
    }

    #[test]
    fn a_scope_takes_the_canonical_form_and_keeps_its_text() {
        let scope = Scope::parse("GET /%7Ea/caf\u{e9}/").unwrap();
        assert!(scope.allows("GET", "/~a/caf%C3%A9"));
        assert_eq!(scope.to_string(), "GET /%7Ea/caf\u{e9}/");
        assert_eq!(Scope::parse(&scope.to_string()), Ok(scope));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Scope::parse("/a"), Err(BadScope::NotMethodAndPattern));
        assert_eq!(Scope::parse("get /a"), Err(BadEndpoint::BadMethod.into()));
        assert_eq!(Prefix::parse("a/b"), Err(BadEndpoint::from(BadPath::NotAbsolute).into()));
        assert_eq!(Prefix::parse("/a/**/b"), Err(BadScope::RestNotLast));
        assert_eq!(Prefix::parse("/a/b*"), Err(BadScope::PartialStar("b*".into())));
        assert_eq!(Prefix::parse("/a/{id}"), Err(BadScope::Braces("{id}".into())));
        assert_eq!(Prefix::parse("/a//b"), Err(BadEndpoint::from(BadPath::EmptySegment).into()));
        assert_eq!(Prefix::parse("//"), Err(BadEndpoint::from(BadPath::EmptySegment).into()));
        assert_eq!(Prefix::parse("/a/.."), Err(BadEndpoint::from(BadPath::DotSegment).into()));
        assert_eq!(
            Prefix::parse(&"/a".repeat(65)),
            Err(BadEndpoint::TooManySegments(65).into()),
            "the limit of patterns holds for prefixes"
        );
    }

    // Literals are drawn from a and b, so a path segment c stands for everything that no literal names. Six segments reach
    // past the longest glob or pattern below, so a difference between two of them shows within these paths.
    fn paths() -> Vec<String> {
        let mut paths = vec!["/".to_owned()];
        let mut layer = vec![String::new()];
        for _ in 0..6 {
            layer = layer.iter().flat_map(|path| ["a", "b", "c"].map(|s| format!("{path}/{s}"))).collect();
            paths.extend_from_slice(&layer);
        }
        paths
    }

    fn glob_text() -> impl Strategy<Value = String> {
        let steps = proptest::collection::vec(prop_oneof![Just("/a"), Just("/b"), Just("/*")], 1..4);
        (steps, any::<bool>()).prop_map(|(steps, rest)| steps.concat() + if rest { "/**" } else { "" })
    }

    fn pattern_text() -> impl Strategy<Value = String> {
        let segments = proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("{}")], 1..4);
        (segments, any::<bool>()).prop_map(|(segments, tail)| {
            let mut text = String::new();
            for (index, segment) in segments.iter().enumerate() {
                text += &format!("/{}", segment.replace("{}", &format!("{{p{index}}}")));
            }
            if tail { text + "/{*rest}" } else { text }
        })
    }

    fn pattern_matches(pattern: &Pattern, path: &str) -> bool {
        let parts: Vec<&str> = path[1..].split('/').filter(|part| !part.is_empty()).collect();
        let segments = pattern.segments();
        let has_tail = matches!(segments.last(), Some(Segment::Tail(_)));
        let length = if has_tail { parts.len() >= segments.len() } else { parts.len() == segments.len() };
        length
            && segments.iter().zip(parts).all(|(s, part)| !matches!(s, Segment::Static(text) if text != part))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn covers_is_every_path_of_the_pattern(prefix in glob_text(), pattern in pattern_text()) {
            let (prefix, pattern) = (Prefix::parse(&prefix).unwrap(), Pattern::parse(&pattern).unwrap());
            let brute = paths().iter().all(|p| !pattern_matches(&pattern, p) || prefix.glob.matches(p));
            prop_assert_eq!(prefix.covers(&pattern), brute, "{} {}", prefix, pattern);
        }

        #[test]
        fn overlaps_is_some_path_in_both(a in glob_text(), b in glob_text()) {
            let (a, b) = (Prefix::parse(&a).unwrap(), Prefix::parse(&b).unwrap());
            let brute = paths().iter().any(|p| a.glob.matches(p) && b.glob.matches(p));
            prop_assert_eq!(a.overlaps(&b), brute, "{} {}", a, b);
            prop_assert_eq!(b.overlaps(&a), brute, "{} {}", b, a);
        }
    }
}
