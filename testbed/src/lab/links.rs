//! Links and addresses of a lab, made over rtnetlink.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, new_connection};

use super::namespace::Namespace;
use super::plan::{End, Link};

/// Makes a pair of devices, one at each end's namespace, with the MACs that the plan gives them.
///
/// # Errors
/// What the kernel refused, with both ends' names.
pub(super) fn make(link: &Link, one_at: &Namespace, other_at: &Namespace) -> Result<()> {
    let [one, other] = &link.ends;
    let other_netns = other_at.file().as_raw_fd();
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(other.port.clone())
        .address(other.mac.to_vec())
        .setns_by_fd(other_netns)
        .build();
    let pair = LinkVeth::new(&one.port, &other.port)
        .address(one.mac.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    one_at
        .inside(|| talk(async |handle| Ok(handle.link().add(pair).execute().await?)))
        .with_context(|| format!("link {}:{} to {}:{}", one.station, one.port, other.station, other.port))
}

/// Raises the device of an end and gives it its addresses, without waiting for duplicates of IPv6 ones to show up.
///
/// # Errors
/// What the kernel refused, with the end's name.
pub(super) fn configure(end: &End, at: &Namespace) -> Result<()> {
    at.inside(|| {
        talk(async |handle| {
            let up = LinkUnspec::new_with_name(&end.port).up().build();
            handle.link().set(up).execute().await?;
            let index = nix::net::if_::if_nametoindex(end.port.as_str())?;
            for net in &end.addresses {
                let mut request = handle.address().add(index, net.addr(), net.prefix_len());
                if net.addr().is_ipv6() {
                    let no_dad = AddressAttribute::Flags(AddressFlags::Nodad);
                    request.message_mut().attributes.push(no_dad);
                }
                request.execute().await.with_context(|| format!("address {net}"))?;
            }
            Ok(())
        })
    })
    .with_context(|| format!("{}:{}", end.station, end.port))
}

/// Talks to the kernel of the namespace that this thread is in.
fn talk(conversation: impl AsyncFnOnce(Handle) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection()?;
        let kernel = tokio::spawn(connection);
        let said = conversation(handle).await;
        kernel.abort();
        said
    })
}
