//! A link is cut under a stream, and a route with a worse metric carries on.

use testbed::lab::{Lab, SECONDS_5, wait_until};

use crate::ground::{
    FAMILIES, Family, WAY_PORTS, answers_go_the_second_way, download, flow, taps, with_routerd,
};

/// Gives `r1` both ways to `h2`, the second at a worse metric.
fn two_metrics(lab: &Lab, family: &Family) {
    let r1 = lab.at("r1");
    r1.ip(&format!("{}route flush {}", family.option, family.prefix)).unwrap();
    r1.ip(&format!("route add {} via {} metric 200", family.prefix, family.via[1])).unwrap();
    better_metric(lab, family);
}

fn better_metric(lab: &Lab, family: &Family) {
    lab.at("r1").ip(&format!("route add {} via {} metric 100", family.prefix, family.via[0])).unwrap();
}

/// Runs a stream in each family by the way of the better metric, cuts that, heals it, and expects the stream first on
/// the other way and then back.
fn cut_and_healed(cut: impl Fn(&Lab), heal: impl Fn(&Lab, &Family)) {
    with_routerd("", |lab, routerd| {
        answers_go_the_second_way(lab);
        for family in &FAMILIES {
            two_metrics(lab, family);
            let taps = taps(lab, family);
            let download = download(lab, family);
            let goes_by = |way: usize| {
                wait_until(&format!("packets by way {way}"), SECONDS_5, || {
                    let route = flow(routerd, &download)["reply"]["route"].clone();
                    (route["port"] == WAY_PORTS[way] && route["valid"] == true).then_some(())
                })
                .unwrap_or_else(|error| panic!("{error}: {}", flow(routerd, &download)));
                let before = taps.each_ref().map(testbed::scenario::tap::Tap::count);
                download.goes_on(50_000).unwrap();
                assert!(taps[way].count() > before[way]);
                assert_eq!(taps[1 - way].count(), before[1 - way], "packets go both ways");
            };
            goes_by(0);
            cut(lab);
            goes_by(1);
            heal(lab, family);
            goes_by(0);
            download.finish().unwrap();
        }
    });
}

#[test]
fn a_stream_takes_the_route_of_the_next_metric_when_its_port_is_set_down() {
    cut_and_healed(
        |lab| lab.at("r1").ip("link set r1 down").unwrap(),
        |lab, family| {
            lab.at("r1").ip("link set r1 up").unwrap();
            // The kernel takes IPv6 addresses off a link that is set down.
            lab.at("r1").ip(&format!("address replace {}/64 dev r1 nodad", FAMILIES[1].router[0])).unwrap();
            better_metric(lab, family);
        },
    );
}

#[test]
fn a_stream_takes_the_route_of_the_next_metric_when_the_carrier_goes_and_that_counts() {
    cut_and_healed(
        |lab| {
            for family in ["ipv4", "ipv6"] {
                let key = format!("{family}/conf/r1/ignore_routes_with_linkdown");
                lab.at("r1").sysctl(&key, "1").unwrap();
            }
            lab.at("h2").ip("link set eth0 down").unwrap();
        },
        |lab, _| {
            lab.at("h2").ip("link set eth0 up").unwrap();
            lab.at("h2").ip(&format!("address replace {}/64 dev eth0 nodad", FAMILIES[1].via[0])).unwrap();
        },
    );
}
