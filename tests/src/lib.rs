//! What the system tests share: worker processes, a caller that makes load, and the bytes of large bodies.

pub mod caller;
pub mod pattern;
pub mod worker_process;

/// Makes of each function over a language two tests, `rust::name` and `node::name`.
#[macro_export]
macro_rules! in_both_languages {
    ($($name:ident)*) => {
        mod rust {
            $(#[test]
            fn $name() {
                super::$name($crate::worker_process::Language::Rust);
            })*
        }
        mod node {
            $(#[test]
            fn $name() {
                super::$name($crate::worker_process::Language::Node);
            })*
        }
    };
}

/// Runs each of these once for each language.
#[macro_export]
macro_rules! in_every_language {
    ($($name:ident)*) => {
        $crate::in_both_languages! { $($name)* }
        mod java {
            $(#[test]
            fn $name() {
                super::$name($crate::worker_process::Language::Java);
            })*
        }
    };
}
