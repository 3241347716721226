//! A page of `docs/operate` as the blocks that it shows.

use hera_tests::worker_process::root;

/// What stands between two fences.
pub(crate) struct Block {
    pub(crate) page: &'static str,
    /// Where its text begins.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What is done with a block. Its info string says so: `sh run HOST`, `sh machine`, `LANGUAGE PATH HOST`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Run on this host.
    Run(String),
    /// Written to this path on this host.
    File(String, String),
    /// It changes the machine itself: not run.
    Machine,
    /// Nobody said.
    Untagged,
}

/// All pages with commands. `haproxy.md` has tests of its own, in `tests/system/haproxy`.
pub(crate) const PAGES: [&str; 6] =
    ["README.md", "install.md", "one-to-many.md", "roll-out.md", "alarms.md", "failure-table.md"];

pub(crate) fn text(page: &str) -> String {
    let path = root().join("docs/operate").join(page);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of a page, in order.
pub(crate) fn blocks(page: &'static str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (line, number) in text(page).lines().zip(1..) {
        match (line.strip_prefix("```"), is_open) {
            (Some(info), false) => {
                blocks.push(Block { page, line: number + 1, kind: Kind::of(info), text: String::new() });
                is_open = true;
            }
            (Some(_), true) => is_open = false,
            (None, true) => blocks.last_mut().unwrap().text.extend([line, "\n"]),
            (None, false) => {}
        }
    }
    assert!(!is_open, "{page} ends within a block");
    blocks
}

impl Kind {
    fn of(info: &str) -> Kind {
        match info.split(' ').collect::<Vec<_>>()[..] {
            ["sh", "run", host] => Kind::Run(host.to_owned()),
            ["sh", "machine"] => Kind::Machine,
            [_, path, host] if path.starts_with('/') => Kind::File(path.to_owned(), host.to_owned()),
            _ => Kind::Untagged,
        }
    }
}
