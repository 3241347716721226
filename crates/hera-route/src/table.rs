//! The routing table (P-48): an immutable value, built anew for each change and swapped in whole.
//!
//! It is a trie over segments. A lookup walks it depth first, at each node the static child, then the parameter, then the tail,
//! and ends at the first pattern whose methods take the call: precedence segment by segment from the left, among
//! the endpoints that take the method. Values lie at the node where a pattern ends:
//!
//! ```text
//! root -0- users -+- me ............ GET /0/users/me
//!                 +- {} ............ GET, PUT /0/users/{id}
//!                      +- {*} ...... GET /0/users/{id}/{*rest}
//! ```
//!
//! Segments between two nodes where nothing branches or ends are one *run* of the lower node (`0/users` above is a run of the root).
//!
//! Backtracking is bounded. A node stands for exactly one sequence of segments from the root, so a path reaches it in one way and
//! at one depth: a lookup enters every node at most once, and thanks to the runs there are less than two nodes for each endpoint.
//! So nested parameters do not multiply, the worst lookup is linear in the endpoints, and the recursion is `SEGMENTS_MAX` deep at
//! most. A test counts the steps; `benches/lookup.rs` times them.

pub use crate::builder::TableBuilder;
use crate::pattern::SEGMENTS_MAX;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// Byte ranges into the looked-up path, in the order of the pattern's parameters, still percent-encoded.
pub type Params = SmallVec<[Range<u32>; 4]>;

/// What a lookup gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<'t, T> {
    /// The endpoint that takes the call.
    Found {
        /// What was inserted for it.
        value: &'t T,
        /// Where its parameters lie in the path.
        params: Params,
    },
    /// Patterns match the path, and none takes the method.
    MethodNotAllowed {
        /// The methods that they take, sorted, each once; GET brings HEAD with it.
        allow: Vec<&'t str>,
    },
    /// No pattern matches the path.
    NotFound,
}

/// Routes by method and path; never changes.
#[derive(Debug)]
pub struct Table<T> {
    /// The root is the first.
    pub(crate) nodes: Vec<Node<T>>,
    pub(crate) len: usize,
}

impl<T> Table<T> {
    /// How many endpoints it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finds the endpoint that takes a call of `method` to the canonical `path`. No allocation where one does with at most
    /// 8 parameters. A path with an empty segment, which no canonical one has, is not found.
    pub fn lookup<'t>(&'t self, method: &str, path: &str) -> Lookup<'t, T> {
        let Some(segments) = Segments::of(path) else { return Lookup::NotFound };
        let mut walk = Walk { nodes: &self.nodes, segments: &segments, params: Params::new(), steps: 0 };
        match walk.first(0, 0, &|methods| methods.taking(method)) {
            Some(value) => Lookup::Found { value, params: walk.params },
            None => self.refusal(&segments),
        }
    }

    /// 404 or 405: walks once more, over all matching patterns. Kept out of the way of the calls that are served.
    #[cold]
    fn refusal<'t>(&'t self, segments: &Segments<'_>) -> Lookup<'t, T> {
        let allow = RefCell::new(Vec::new());
        let mut walk = Walk { nodes: &self.nodes, segments, params: Params::new(), steps: 0 };
        // Taking none makes the walk go on, so it meets every pattern that matches.
        walk.first(0, 0, &|methods: &'t Methods<T>| {
            allow.borrow_mut().extend(methods.by_name.iter().map(|(method, _)| &**method));
            None
        });
        let mut allow = allow.into_inner();
        if allow.is_empty() {
            return Lookup::NotFound;
        }
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        allow.sort_unstable();
        allow.dedup();
        Lookup::MethodNotAllowed { allow }
    }
}

/// A place in the trie where something branches or ends.
#[derive(Debug)]
pub(crate) struct Node<T> {
    /// What every path here has before the node's own choice.
    pub(crate) run: Run,
    /// Of the pattern that ends here.
    pub(crate) ends: Methods<T>,
    pub(crate) statics: Statics,
    pub(crate) parameter: Option<u32>,
    /// Of the pattern that goes on here with a tail.
    pub(crate) tail: Methods<T>,
}

/// Segments that follow each other without a choice, in two pieces of memory however long they are.
#[derive(Debug)]
pub(crate) struct Run {
    /// All its texts, one after the other.
    pub(crate) texts: Box<str>,
    pub(crate) steps: Box<[Step]>,
}

/// A part of a run.
#[derive(Debug)]
pub(crate) enum Step {
    /// So many segments in a row with the slashes between them, as many bytes of the texts: one comparison for all.
    Text { bytes: usize, segments: usize },
    /// One segment of any text.
    Parameter,
}

/// Static children by their segment.
#[derive(Debug)]
pub(crate) enum Statics {
    /// Compared one by one, which is faster than a hash while they are few.
    Few(Box<[(Box<str>, u32)]>),
    /// Hashed with a random key: workers choose these texts, and callers the ones looked up.
    Many(HashMap<Box<str>, u32>),
}

impl Statics {
    fn child(&self, segment: &str) -> Option<u32> {
        match self {
            Statics::Few(few) => few.iter().find(|(text, _)| **text == *segment).map(|(_, child)| *child),
            Statics::Many(many) => many.get(segment).copied(),
        }
    }
}

/// The values of one pattern, in the order of their methods.
#[derive(Debug)]
pub(crate) struct Methods<T> {
    pub(crate) by_name: Vec<(Box<str>, T)>,
}

impl<T> Methods<T> {
    pub(crate) fn index(&self, method: &str) -> Result<usize, usize> {
        self.by_name.binary_search_by(|(own, _)| (**own).cmp(method))
    }

    /// The value for a call's method: its own, for HEAD then GET's, then that of `*`.
    fn taking(&self, method: &str) -> Option<&T> {
        let named = |method| self.index(method).ok().map(|index| &self.by_name[index].1);
        let own = named(method);
        let own = if method == "HEAD" { own.or_else(|| named("GET")) } else { own };
        own.or_else(|| named("*"))
    }
}

/// A path cut into its segments, as many of them as a pattern can tell apart.
struct Segments<'p> {
    path: &'p str,
    ends: [u32; SEGMENTS_MAX + 1],
    count: usize,
}

impl<'p> Segments<'p> {
    /// `None` where the path is no path or has an empty segment, `/` itself included.
    fn of(path: &'p str) -> Option<Segments<'p>> {
        let length = u32::try_from(path.len()).ok()?;
        let inner = path.strip_prefix('/')?;
        let mut segments = Segments { path, ends: [0; SEGMENTS_MAX + 1], count: 0 };
        let mut from = 1;
        let slashes = (1u32..).zip(inner.bytes()).filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        for end in slashes.chain([length]) {
            if end == from {
                return None;
            }
            // What comes after is part of a tail, or of nothing.
            if let Some(slot) = segments.ends.get_mut(segments.count) {
                *slot = end;
                segments.count += 1;
            }
            from = end + 1;
        }
        Some(segments)
    }

    fn range(&self, index: usize) -> Range<u32> {
        let from = if index == 0 { 1 } else { self.ends[index - 1] + 1 };
        from..self.ends[index]
    }

    /// Whether the segments from `index` on begin with `text`, which is `segments` of them.
    fn begin_with(&self, index: usize, text: &[u8], segments: usize) -> bool {
        let last = index + segments - 1;
        last < self.count && {
            let (start, end) = (self.range(index).start as usize, self.ends[last] as usize);
            self.path.as_bytes()[start..end] == *text
        }
    }

    fn text(&self, index: usize) -> &'p str {
        let Range { start, end } = self.range(index);
        &self.path[start as usize..end as usize]
    }
}

/// One lookup under way.
struct Walk<'t, 's, T> {
    nodes: &'t [Node<T>],
    segments: &'s Segments<'s>,
    params: Params,
    steps: usize,
}

impl<'t, T> Walk<'t, '_, T> {
    /// The first value that `take` gives for a pattern below `node` that matches the segments from `at` on.
    fn first(
        &mut self,
        node: u32,
        at: usize,
        take: &impl Fn(&'t Methods<T>) -> Option<&'t T>,
    ) -> Option<&'t T> {
        self.steps += 1;
        let before = self.params.len();
        let found = self.through(&self.nodes[node as usize], at, take);
        if found.is_none() {
            self.params.truncate(before);
        }
        found
    }

    fn through(
        &mut self,
        node: &'t Node<T>,
        mut at: usize,
        take: &impl Fn(&'t Methods<T>) -> Option<&'t T>,
    ) -> Option<&'t T> {
        let count = self.segments.count;
        // All texts are compared before any parameter is noted, as most runs that fail do so by a text.
        let (mut noted, mut texts) = (at, node.run.texts.as_bytes());
        for step in &node.run.steps {
            at += match step {
                Step::Text { bytes, segments } => {
                    let (text, behind) = texts.split_at(*bytes);
                    texts = behind;
                    if !self.segments.begin_with(at, text, *segments) {
                        return None;
                    }
                    *segments
                }
                Step::Parameter if at < count => 1,
                Step::Parameter => return None,
            };
        }
        for step in &node.run.steps {
            noted += match step {
                Step::Text { segments, .. } => *segments,
                Step::Parameter => {
                    self.params.push(self.segments.range(noted));
                    1
                }
            };
        }
        if at == count {
            return take(&node.ends);
        }
        if let Some(child) = node.statics.child(self.segments.text(at))
            && let Some(value) = self.first(child, at + 1, take)
        {
            return Some(value);
        }
        let range = self.segments.range(at);
        if let Some(child) = node.parameter {
            self.params.push(range.clone());
            if let Some(value) = self.first(child, at + 1, take) {
                return Some(value);
            }
            self.params.pop();
        }
        let value = take(&node.tail)?;
        self.params.push(range.start..self.segments.path.len() as u32);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Endpoint, Segment};
    use proptest::prelude::*;

    fn table(endpoints: &[&str]) -> Table<String> {
        let mut builder = TableBuilder::new();
        for endpoint in endpoints {
            builder.insert(&Endpoint::parse(endpoint).unwrap(), (*endpoint).to_owned());
        }
        builder.build()
    }

    fn found<'t>(table: &'t Table<String>, method: &str, path: &str) -> Option<(&'t str, Vec<String>)> {
        match table.lookup(method, path) {
            Lookup::Found { value, params } => {
                let texts =
                    params.iter().map(|p| path[p.start as usize..p.end as usize].to_owned()).collect();
                Some((value, texts))
            }
            _ => None,
        }
    }

    #[test]
    fn a_lookup_backtracks_to_a_pattern_that_takes_the_method() {
        let table = table(&["GET /a/me", "PUT /a/{id}", "* /a/{*rest}"]);

        assert_eq!(found(&table, "GET", "/a/me"), Some(("GET /a/me", vec![])));
        assert_eq!(found(&table, "PUT", "/a/me"), Some(("PUT /a/{id}", vec!["me".into()])));
        assert_eq!(found(&table, "POST", "/a/me"), Some(("* /a/{*rest}", vec!["me".into()])));
        assert_eq!(found(&table, "PUT", "/a/b/c"), Some(("* /a/{*rest}", vec!["b/c".into()])));
    }

    #[test]
    fn parameters_of_a_left_branch_do_not_stay() {
        let table = table(&["GET /{a}/{b}/x", "GET /{*rest}"]);
        assert_eq!(found(&table, "GET", "/1/2/3"), Some(("GET /{*rest}", vec!["1/2/3".into()])));
    }

    #[test]
    fn a_second_insert_replaces_and_gives_the_first_back() {
        let mut builder = TableBuilder::new();
        assert_eq!(builder.insert(&Endpoint::parse("GET /a/{x}").unwrap(), 1), None);
        assert_eq!(builder.insert(&Endpoint::parse("GET /a/{y}").unwrap(), 2), Some(1));
        let table = builder.build();

        assert_eq!(table.len(), 1);
        assert!(matches!(table.lookup("GET", "/a/b"), Lookup::Found { value: 2, .. }));
    }

    #[test]
    fn allow_is_the_union_of_all_matching_patterns() {
        let table = table(&["GET /a/b", "PUT /a/{x}", "GET /a/{x}", "DELETE /a/{*r}", "POST /c"]);
        let allow = vec!["DELETE", "GET", "HEAD", "PUT"];
        assert_eq!(table.lookup("POST", "/a/b"), Lookup::MethodNotAllowed { allow });
        assert_eq!(table.lookup("HEAD", "/c"), Lookup::MethodNotAllowed { allow: vec!["POST"] });
    }

    #[test]
    fn paths_that_are_not_canonical_break_nothing() {
        let table = table(&["GET /{a}", "GET /{a}/{b}", "GET /x/{*rest}"]);
        for path in ["", "/", "//", "a", "/a/", "/a//b", "/x/", "/x//", "/x/a//b", "/x/a/b/"] {
            assert_eq!(table.lookup("GET", path), Lookup::NotFound, "{path}");
        }
    }

    #[test]
    fn a_path_may_have_more_segments_than_a_pattern() {
        let longest = format!("GET /{}{{*rest}}", "a/".repeat(63));
        let table = table(&[&longest, "GET /{p}", "GET /b/{*rest}"]);

        let path = format!("/{}b/c/d", "a/".repeat(63));
        assert_eq!(found(&table, "GET", &path), Some((longest.as_str(), vec!["b/c/d".into()])));
        assert_eq!(found(&table, "GET", &"/a".repeat(63)), None);
        let path = format!("/b{}", "/c".repeat(4_000));
        assert_eq!(found(&table, "GET", &path), Some(("GET /b/{*rest}", vec![path[3..].to_owned()])));
        assert_eq!(table.lookup("GET", &(path + "//c")), Lookup::NotFound);
    }

    #[test]
    fn many_children_are_found_as_few_are() {
        for count in [1, 8, 9, 500] {
            let endpoints: Vec<String> = (0..count).map(|n| format!("GET /s{n}/x")).collect();
            let table = table(&endpoints.iter().map(String::as_str).collect::<Vec<_>>());
            for endpoint in &endpoints {
                assert_eq!(found(&table, "GET", &endpoint[4..]), Some((endpoint.as_str(), vec![])));
            }
            assert_eq!(found(&table, "GET", "/s500/x"), None);
        }
    }

    #[test]
    fn backtracking_enters_no_node_twice() {
        // Every mix of `a` and `{}` over ten segments, then a long way that ends elsewhere: all of it has to be tried.
        let mut builder = TableBuilder::new();
        for mix in 0..1u32 << 10 {
            let mut text = String::from("GET ");
            for bit in 0..10 {
                text += &if mix >> bit & 1 == 0 { "/a".to_owned() } else { format!("/{{p{bit}}}") };
            }
            builder.insert(&Endpoint::parse(&(text + &"/a".repeat(53) + "/end")).unwrap(), mix);
        }
        let table = builder.build();
        let path = "/a".repeat(64);
        let segments = Segments::of(&path).unwrap();
        let mut walk = Walk { nodes: &table.nodes, segments: &segments, params: Params::new(), steps: 0 };

        assert_eq!(walk.first(0, 0, &|methods| methods.taking("GET")), None);
        assert!(walk.steps <= table.nodes.len(), "{} steps, {} nodes", walk.steps, table.nodes.len());
        assert!(table.nodes.len() < 2 * table.len(), "{} nodes", table.nodes.len());
    }

    /// P-48 as it reads, without a trie: all that match, best rank first.
    fn naive<'a>(endpoints: &'a [Endpoint], method: &str, path: &str) -> Option<&'a Endpoint> {
        let parts: Vec<&str> = path[1..].split('/').collect();
        let rank = |endpoint: &Endpoint| {
            let own = match endpoint.method() {
                own if own == method => 0,
                "GET" if method == "HEAD" => 1,
                "*" => 2,
                _ => return None,
            };
            Some((ranks(endpoint, &parts)?, own))
        };
        endpoints.iter().filter_map(|e| Some((rank(e)?, e))).min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, e)| e)
    }

    fn ranks(endpoint: &Endpoint, parts: &[&str]) -> Option<Vec<u8>> {
        let segments = endpoint.pattern().segments();
        let has_tail = matches!(segments.last(), Some(Segment::Tail(_)));
        if parts.len() < segments.len() || (parts.len() > segments.len() && !has_tail) {
            return None;
        }
        segments
            .iter()
            .zip(parts)
            .map(|(segment, part)| match segment {
                Segment::Static(text) => (text == part).then_some(0),
                Segment::Parameter(_) => Some(1),
                Segment::Tail(_) => Some(2),
            })
            .collect()
    }

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        let method = prop_oneof![Just("GET"), Just("HEAD"), Just("PUT"), Just("*")];
        let segments = proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("{}")], 1..4);
        (method, segments, prop::bool::weighted(0.2)).prop_map(|(method, mut segments, tail)| {
            let name = |(index, segment): (usize, &&str)| segment.replace("{}", &format!("{{p{index}}}"));
            if tail {
                segments.push("{*rest}");
            }
            let texts: Vec<String> = segments.iter().enumerate().map(name).collect();
            Endpoint::parse(&format!("{method} /{}", texts.join("/"))).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_lookup_agrees_with_the_naive_reading(
            endpoints in proptest::collection::vec(endpoint(), 0..10),
            requests in proptest::collection::vec(("GET|HEAD|PUT|POST", "(/[abc]){1,5}"), 1..10),
        ) {
            let mut builder = TableBuilder::new();
            for endpoint in &endpoints {
                builder.insert(endpoint, endpoint.shape());
            }
            let table = builder.build();
            for (method, path) in requests {
                let parts: Vec<&str> = path[1..].split('/').collect();
                let any_method = endpoints.iter().any(|e| ranks(e, &parts).is_some());
                let expected = naive(&endpoints, &method, &path);
                match table.lookup(&method, &path) {
                    Lookup::Found { value, params } => {
                        prop_assert_eq!(Some(value.clone()), expected.map(Endpoint::shape));
                        let names = expected.map(|e| e.pattern().names().count());
                        prop_assert_eq!(Some(params.len()), names);
                    }
                    Lookup::MethodNotAllowed { .. } => prop_assert!(expected.is_none() && any_method),
                    Lookup::NotFound => prop_assert!(!any_method),
                }
            }
        }
    }
}
