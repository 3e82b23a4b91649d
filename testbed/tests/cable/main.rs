//! Boxes put into the cables of two hosts: what is chosen is encrypted between them by a real OpenVPN, all else passes
//! as through a cable, and neither network's configuration mentions them.

mod encrypted;
mod failover;
mod ground;
mod odd;
mod tunnel;
mod untouched;
