//! `routerd`: the router.

fn main() {}
