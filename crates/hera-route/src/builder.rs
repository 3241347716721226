//! Builds a routing table: endpoints go into a plain trie one by one, which `build` joins into nodes with runs.

use crate::pattern::{Endpoint, Segment};
use crate::table::{Methods, Node, Run, Statics, Step, Table};
use std::collections::BTreeMap;

/// Children up to which comparing them one by one is faster than a hash.
const FEW: usize = 8;

/// Collects endpoints for a [`Table`].
#[derive(Debug)]
pub struct TableBuilder<T> {
    /// The root is the first; the others are named by their index.
    drafts: Vec<Draft<T>>,
    len: usize,
}

/// A node with one segment for each step.
#[derive(Debug)]
struct Draft<T> {
    ends: Methods<T>,
    statics: BTreeMap<Box<str>, usize>,
    parameter: Option<usize>,
    tail: Methods<T>,
}

impl<T> TableBuilder<T> {
    /// An empty table.
    pub fn new() -> TableBuilder<T> {
        TableBuilder { drafts: vec![Draft::default()], len: 0 }
    }

    /// Adds `value` for an endpoint. Gives the former value of the same method and shape, which it replaces.
    pub fn insert(&mut self, endpoint: &Endpoint, value: T) -> Option<T> {
        let mut at = 0;
        let mut has_tail = false;
        for segment in endpoint.pattern().segments() {
            let new = self.drafts.len();
            let next = match segment {
                Segment::Static(text) => *self.drafts[at].statics.entry(text.as_str().into()).or_insert(new),
                Segment::Parameter(_) => *self.drafts[at].parameter.get_or_insert(new),
                Segment::Tail(_) => {
                    has_tail = true;
                    break;
                }
            };
            if next == new {
                self.drafts.push(Draft::default());
            }
            at = next;
        }
        let draft = &mut self.drafts[at];
        let methods = if has_tail { &mut draft.tail } else { &mut draft.ends };
        match methods.index(endpoint.method()) {
            Ok(index) => Some(std::mem::replace(&mut methods.by_name[index].1, value)),
            Err(index) => {
                methods.by_name.insert(index, (endpoint.method().into(), value));
                self.len += 1;
                None
            }
        }
    }

    /// The table of what was inserted.
    pub fn build(mut self) -> Table<T> {
        let mut nodes = Vec::new();
        join(&mut self.drafts, 0, &mut nodes);
        Table { nodes, len: self.len }
    }
}

impl<T> Default for TableBuilder<T> {
    fn default() -> TableBuilder<T> {
        TableBuilder::new()
    }
}

impl<T> Default for Draft<T> {
    fn default() -> Draft<T> {
        let none = || Methods { by_name: Vec::new() };
        Draft { ends: none(), statics: BTreeMap::new(), parameter: None, tail: none() }
    }
}

/// Moves the draft at `index` and all below it into `nodes`, those where nothing branches or ends as runs. Gives its index there.
fn join<T>(drafts: &mut [Draft<T>], index: usize, nodes: &mut Vec<Node<T>>) -> u32 {
    let mut draft = std::mem::take(&mut drafts[index]);
    let (mut texts, mut steps) = (String::new(), Vec::new());
    while draft.ends.by_name.is_empty() && draft.tail.by_name.is_empty() {
        let only = match (draft.parameter, draft.statics.len()) {
            (Some(child), 0) => {
                steps.push(Step::Parameter);
                child
            }
            (None, 1) => {
                let Some((text, child)) = draft.statics.pop_first() else { break };
                prolong(&mut texts, &mut steps, &text);
                child
            }
            _ => break,
        };
        draft = std::mem::take(&mut drafts[only]);
    }

    let at = nodes.len();
    nodes.push(Node {
        run: Run { texts: texts.into(), steps: steps.into() },
        ends: draft.ends,
        statics: Statics::Few(Box::default()),
        parameter: None,
        tail: draft.tail,
    });
    let statics = draft.statics.into_iter().map(|(text, child)| (text, join(drafts, child, nodes)));
    // All children are joined before their map is made: joining one may move the nodes.
    let statics: Vec<(Box<str>, u32)> = statics.collect();
    nodes[at].statics = if statics.len() <= FEW {
        Statics::Few(statics.into())
    } else {
        Statics::Many(statics.into_iter().collect())
    };
    nodes[at].parameter = draft.parameter.map(|child| join(drafts, child, nodes));
    // A table of 2^32 nodes does not fit in memory.
    at as u32
}

/// Adds a static segment to a run, to the text at its end where there is one.
fn prolong(texts: &mut String, steps: &mut Vec<Step>, segment: &str) {
    let before = texts.len();
    if let Some(Step::Text { bytes, segments }) = steps.last_mut() {
        texts.extend(["/", segment]);
        *bytes += texts.len() - before;
        *segments += 1;
    } else {
        texts.push_str(segment);
        steps.push(Step::Text { bytes: segment.len(), segments: 1 });
    }
}
