//! nft's text to a syntax tree: every word of the language is known here, none is judged.

pub mod source;
pub mod tree;
