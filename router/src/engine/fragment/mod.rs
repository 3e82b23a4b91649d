//! Cutting packets that do not fit.
