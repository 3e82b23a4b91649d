//! `routerctl`: asks and tells a running routerd.

fn main() {}
