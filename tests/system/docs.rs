//! Documents are true: samples are those that other tests run, and files that are named exist.

use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).expect("the document is there")
}

/// The first code block of a language, whatever stands behind the language's name.
fn sample<'t>(text: &'t str, language: &str) -> &'t str {
    let start = text.find(&format!("```{language}")).expect("a sample in that language");
    let body = &text[start..];
    let body = &body[body.find('\n').expect("a sample has lines") + 1..];
    &body[..body.find("```").expect("a sample ends")]
}

#[test]
fn samples_of_the_first_page_are_those_that_the_clients_test() {
    let readme = read("README.md");
    assert_eq!(sample(&readme, "js"), sample(&read("clients/node/README.md"), "js"));
    assert_eq!(sample(&readme, "rust"), sample(&read("crates/hera-client/README.md"), "rust"));
}

#[test]
fn files_and_links_that_documents_name_exist() {
    let mut missing = Vec::new();
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "cluster/README.md",
        "docs/guide/call-another-service.md",
        "docs/operate/README.md",
        "docs/operate/install.md",
        "docs/operate/one-to-many.md",
        "docs/operate/haproxy.md",
        "docs/operate/roll-out.md",
        "docs/operate/alarms.md",
        "docs/operate/failure-table.md",
        "docs/adr/README.md",
    ] {
        let text = read(document);
        let folder = root().join(document).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        missing.extend(
            links.filter(|link| !link.starts_with("http") && !folder.join(link).exists()).map(str::to_owned),
        );
        let named = text.split('`').skip(1).step_by(2).filter(|name| {
            ["crates/", "clients/", "spec/", "docs/"].iter().any(|room| name.starts_with(room))
                && !name.contains('*')
        });
        missing.extend(named.filter(|file| !root().join(file).exists()).map(str::to_owned));
    }
    assert!(missing.is_empty(), "{missing:?}");
}
