//! The syntax tree: what was written and where, before anybody asks whether it makes sense.

mod command;
mod declaration;
mod expression;
mod selector;
mod statement;
mod words;

pub use command::*;
pub use declaration::*;
pub use expression::*;
pub use selector::*;
pub use statement::*;
