//! Rules as JSON, in libnftables' schema.
