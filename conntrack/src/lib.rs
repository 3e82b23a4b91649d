//! Which flow a packet belongs to, and whether it fits: connection tracking without a kernel.
