//! The programs people use, with default offloads, through rules and address translation: the kernel's and routerd's.

mod behaviour;
mod ftp;
mod masquerade;
mod own;
mod syn_flood;

use testbed::lab::{self, Lab};
use testbed::router::{Router, Running};
use testbed::scenario::nat::{BEHIND_NAT_PORTS, behind_nat};

const KERNEL: Router = Router::Kernel { tracking: false };

/// Runs `scene` with `rules` in force at the router of [`behind_nat`]. `None` when labs cannot be built here.
fn behind<T>(router: &Router, rules: &str, scene: impl FnOnce(&Lab, &mut Running<'_>) -> T) -> Option<T> {
    if !lab::labs_can_run() {
        return None;
    }
    let lab = Lab::build(&behind_nat()).unwrap();
    let mut running = router.start(&lab, "r1", &BEHIND_NAT_PORTS).unwrap();
    running.load_rules(rules).unwrap();
    Some(scene(&lab, &mut running))
}

/// An address and a port as a URL has them.
fn with_port(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Makes each scene a test with the kernel for a router, and one with routerd.
macro_rules! through_kernel_and_routerd {
    ($($scene:ident,)*) => {
        mod through_the_kernel {
            $(
                #[test]
                fn $scene() {
                    super::$scene(&crate::KERNEL);
                }
            )*
        }
        mod through_routerd {
            $(
                #[test]
                fn $scene() {
                    super::$scene(&testbed::router::Router::routerd(&[]).unwrap());
                }
            )*
        }
    };
}
use through_kernel_and_routerd;
