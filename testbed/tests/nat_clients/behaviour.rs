//! What kind of translator a client finds itself behind, by the discovery of RFC 5780: that of the kernel.

use testbed::lab::{SECONDS_5, wait_until};
use testbed::programs;
use testbed::router::Router;
use testbed::scenario::clients::SECONDS_20;
use testbed::scenario::nat::HOME_ROUTER;

use crate::{KERNEL, behind};

/// The findings of coturn's discovery from behind that router, and of the older one of RFC 3489.
fn found(router: &Router) -> Option<[String; 2]> {
    behind(router, HOME_ROUTER, |lab, _| {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let options = "-n --stun-only --no-auth --no-tls --no-dtls --no-cli --log-file stdout";
        let line = format!(
            "turnserver {options} -L 198.51.100.2 -L 198.51.100.3 --pidfile {} --userdb {}",
            file("pid"),
            file("db")
        );
        let mut server = lab.start("s", &line).unwrap();
        wait_until("turnserver to answer", SECONDS_20, || {
            assert!(server.status().is_none(), "{}{}", server.output(), server.error_output());
            // From where nothing is translated.
            let asked = lab.run("x", "turnutils_natdiscovery -m 198.51.100.2", SECONDS_20).unwrap();
            asked.output.contains("reflexive addr: 198.51.100.1:").then_some(())
        })
        .unwrap();
        let said = lab.run("c1", "turnutils_natdiscovery -m -f -H 198.51.100.2", 3 * SECONDS_20).unwrap();
        let of_today = said.ok().unwrap().lines().filter_map(finding).collect::<Vec<_>>().join("\n");
        drop(server);

        let mut server = lab.start("s", "stund -h 198.51.100.2 -a 198.51.100.3").unwrap();
        let of_old = wait_until("stund to answer", SECONDS_20, || {
            assert!(server.status().is_none(), "{}{}", server.output(), server.error_output());
            let said = lab.run("c1", "stun 198.51.100.2", 3 * SECONDS_5).unwrap().output;
            let kind = said.lines().find(|line| line.starts_with("Primary: "))?.trim().to_owned();
            (!kind.contains("Blocked")).then_some(kind)
        });
        [of_today, of_old.unwrap()]
    })
}

/// What a line of the discovery says, if it says the same each time: ports are others, and times.
fn finding(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with("NAT with")
        || line.starts_with("-=")
        || line.contains("timeout")
        || line.contains("ALG")
    {
        return Some(line.to_owned());
    }
    let (_, address) = line.split_once("reflexive addr: ")?;
    Some(format!("mapped to {}", address.rsplit_once(':')?.0))
}

#[test]
fn clients_find_the_translator_that_the_kernel_is() {
    if !programs::can_run(&["turnserver", "turnutils_natdiscovery", "stund", "stun"], None) {
        return;
    }
    let Some(kernel) = found(&KERNEL) else { return };
    let routerd = found(&Router::routerd(&[]).unwrap()).unwrap();
    assert_eq!(routerd, kernel);
    for finding in [
        "mapped to 192.0.2.1",
        "NAT with Endpoint Independent Mapping!",
        "NAT with Address and Port Dependent Filtering!",
        "No ALG: Mapped == XOR-Mapped",
    ] {
        assert!(routerd[0].contains(finding), "{finding} is not among\n{}", routerd[0]);
    }
    assert_eq!(
        routerd[1],
        "Primary: Independent Mapping, Port Dependent Filter, preserves ports, no hairpin"
    );
}
