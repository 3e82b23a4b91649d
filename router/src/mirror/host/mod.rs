//! The devices between routerd and the kernel of this host, set up so that the kernel takes whatever is for one of its
//! addresses, and announces nothing on them.

mod link;
mod tap;
mod tun;

pub use tap::HostDevice;
pub use tun::OwnDevice;
