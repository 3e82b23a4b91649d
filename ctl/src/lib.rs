//! The words of routerd and routerctl: messages, a client, and how replies look.
