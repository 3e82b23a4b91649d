//! The kernel is the oracle: what routerd makes of crafted frames is compared with it byte by byte.

use testbed::compare::{self, Chapter, Comparison, Difference, chapters};
use testbed::lab;
use testbed::router::Router;

fn chapter(name: &str) -> Chapter {
    chapters().into_iter().find(|chapter| chapter.name == name).expect("the chapter is there")
}

fn told(differences: &[Difference]) -> String {
    differences.iter().map(|difference| format!("\n{}\n{}", difference.case, difference.report)).collect()
}

fn compare_all(name: &str, router: &Router) -> Comparison {
    let found = compare::compare(&chapter(name), router, |_| true).unwrap();
    assert_eq!(found.cases, chapter(name).cases.len());
    found
}

#[test]
fn the_kernel_is_like_itself_and_does_what_the_cases_say() {
    if !lab::labs_can_run() {
        return;
    }
    for chapter in chapters() {
        let kernel = Router::Kernel { tracking: chapter.ground.tracking() };
        let found = compare_all(chapter.name, &kernel);
        assert!(found.differences.is_empty(), "{}", told(&found.differences));
        assert!(found.surprises.is_empty(), "{}", told(&found.surprises));
    }
}

#[test]
fn a_router_that_does_not_gather_fragments_is_found_out() {
    if !lab::labs_can_run() {
        return;
    }
    let found = compare_all("fragments4", &Router::Kernel { tracking: false });
    let names: Vec<&str> = found.differences.iter().map(|difference| difference.case.as_str()).collect();
    assert!(names.contains(&"fragments4: a first fragment alone"), "{names:?}");
    assert!(!names.contains(&"fragments4: two fragments in order"), "{names:?}");
}

fn compare_routerd(name: &str, router: Router) {
    let found = compare_all(name, &router.tracking(chapter(name).ground.tracking()));
    assert!(
        found.differences.is_empty(),
        "{name}: {} of {} cases differ{}",
        found.differences.len(),
        found.cases,
        told(&found.differences)
    );
}

#[test]
fn routerds_guard_stops_a_kernel_that_forwards_too() {
    if !lab::labs_can_run() {
        return;
    }
    let guarded = Router::routerd(&[]).unwrap().guarded();
    for chapter in ["link", "ipv6", "default-route", "source-routes", "directed-broadcasts"] {
        compare_routerd(chapter, guarded.clone());
    }
}

macro_rules! routerd_does_as_the_kernel_does {
    ($($test:ident: $chapter:literal,)*) => { $(
        #[test]
        fn $test() {
            if !lab::labs_can_run() {
                return;
            }
            for chapter in [$chapter.to_owned(), format!("{}-stateless", $chapter)] {
                if chapters().iter().any(|known| known.name == chapter) {
                    compare_routerd(&chapter, Router::routerd(&[]).unwrap());
                }
            }
            compare_routerd($chapter, Router::routerd(&[]).unwrap().owned("none"));
        }
    )* };
}

routerd_does_as_the_kernel_does! {
    with_ipv4_headers: "header4",
    with_ipv4_options: "options4",
    with_ipv4_fragments: "fragments4",
    with_special_addresses: "addresses",
    with_every_kind_of_route: "routes",
    with_long_packets: "sizes",
    with_transport_protocols: "transport",
    with_icmp: "icmp",
    with_ethernet_frames: "link",
    with_ipv6_headers_and_addresses: "ipv6",
    with_ipv6_extension_headers: "ipv6-extensions",
    with_rules_and_several_next_hops: "policy",
    with_what_is_left_to_the_device: "offloads",
    with_neighbors_late_or_silent: "sequences",
    with_a_default_route: "default-route",
    with_a_strict_look_back: "reverse-path-strict",
    with_a_loose_look_back: "reverse-path-loose",
    with_source_routes: "source-routes",
    with_directed_broadcasts: "directed-broadcasts",
    with_redirects: "redirects",
    with_rate_limits: "rate-limits",
}
