//! What holds for the canonical form of any path (P-46 to P-49), with paths that lean towards what is special in one.

#![allow(clippy::unwrap_used)] // What cannot be set up has to stop the test.

mod form;

use hera_route::{Endpoint, Lookup, Scope, TableBuilder, canonical, decode};
use proptest::prelude::*;
use std::borrow::Cow;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn canonical_twice_changes_nothing_and_costs_nothing(raw in path()) {
        if let Ok(once) = canonical(&raw) {
            let twice = canonical(once.as_bytes());
            prop_assert!(matches!(&twice, Ok(Cow::Borrowed(same)) if *same == once), "{once} {twice:?}");
        }
    }

    #[test]
    fn canonical_path_has_the_form_and_means_what_was_sent(raw in path()) {
        if let Ok(path) = canonical(&raw) {
            form::check(&raw, &path);
        }
    }

    /// The caller escapes any bytes at will; the worker gets them back by decoding its parameter once.
    #[test]
    fn parameter_is_what_the_caller_meant(text in "[^/\\\\\\x00-\\x1F\\x7F]{1,12}", choices in any::<u64>()) {
        prop_assume!(!matches!(&*text, "." | ".."));
        let raw = format!("/0/users/{}/keys", spell(&text, choices));
        let path = canonical(raw.as_bytes());
        let path = path.unwrap_or_else(|reason| panic!("{raw}: {reason}"));
        let mut builder = TableBuilder::new();
        builder.insert(&Endpoint::parse("GET /0/users/{id}/keys").unwrap(), ());
        match builder.build().lookup("GET", &path) {
            Lookup::Found { params, .. } => {
                let range = params[0].start as usize..params[0].end as usize;
                prop_assert_eq!(decode(&path[range]), text);
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Two spellings are one path for a scope exactly if they are one for the table, and that is if their canonical forms are equal.
    #[test]
    fn scope_and_route_see_the_same_path(text in literal(), choices in any::<[u64; 2]>(), other in literal()) {
        let [one, two] = choices.map(|choices| spell_path(&text, choices));
        for (declared, asked) in [(&one, &two), (&two, &one), (&one, &spell_path(&other, choices[0]))] {
            let path = canonical(asked.as_bytes()).unwrap();
            let equal = canonical(declared.as_bytes()).unwrap() == path;
            let scope = Scope::parse(&format!("GET {declared}")).unwrap();
            let mut builder = TableBuilder::new();
            builder.insert(&Endpoint::parse(&format!("GET {declared}")).unwrap(), ());
            let routed = matches!(builder.build().lookup("GET", &path), Lookup::Found { .. });
            prop_assert_eq!((scope.allows("GET", &path), routed), (equal, equal), "{} {}", declared, asked);
        }
        prop_assert_eq!(canonical(one.as_bytes()), canonical(two.as_bytes()));
    }
}

/// Bytes that lean towards what is special in a path.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~;+*@:,=!$&'()-]{0,3}".prop_map(String::into_bytes),
        3 => Just(b"/".to_vec()),
        3 => "%[0-7][0-9a-fA-F]".prop_map(String::into_bytes),
        1 => "%2[eEfF5]|%[cC]3%[aA]9|\u{e9}|\u{1F600}|%[eE]2%82%[aA][cC]".prop_map(String::into_bytes),
        1 => "[\\x00-\\x7F]".prop_map(String::into_bytes),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
}

/// A path of plain segments that may stand in a scope and an endpoint.
fn literal() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-cA-C~._\u{e9}]{0,2}[a-c]", 1..4).prop_map(|segments| segments.join("/"))
}

/// Segments with some of their bytes escaped, behind `/`.
fn spell_path(text: &str, choices: u64) -> String {
    let spelled = |(at, segment): (u32, &str)| format!("/{}", spell(segment, choices.rotate_left(at * 7)));
    (0..).zip(text.split('/')).map(spelled).collect()
}

/// The same text with each byte raw or escaped, digits in either case, as two bits of `choices` say; `%`, `?` and `#` have to be escaped.
fn spell(text: &str, choices: u64) -> String {
    let escaped = |(at, c): (u32, char)| {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).bytes();
        match choices.rotate_right(at * 2) & 3 {
            0 | 1 if !matches!(c, '%' | '?' | '#') => c.to_string(),
            0 | 2 => bytes.map(|byte| format!("%{byte:02x}")).collect(),
            _ => bytes.map(|byte| format!("%{byte:02X}")).collect::<String>(),
        }
    };
    (0..).zip(text.chars()).map(escaped).collect()
}
