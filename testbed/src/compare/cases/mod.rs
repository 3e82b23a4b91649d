//! The cases, a file for each part of forwarding.

mod addresses;
mod fragments4;
mod header4;
mod icmp;
mod ipv6;
mod ipv6_extensions;
mod link;
mod loosened;
mod offloads;
mod options4;
mod policy;
mod routes;
mod sequences;
mod sizes;
mod transport;

use super::case::{Case, Chapter};
use super::ground::Ground;

/// Makes the cases of a file.
type Cases = fn() -> Vec<Case>;

/// All chapters. Those on common ground come twice: with connection tracking and without.
pub fn chapters() -> Vec<Chapter> {
    let common: [(&'static str, &'static str, Cases); 14] = [
        ("header4", "header4-stateless", header4::cases),
        ("options4", "options4-stateless", options4::cases),
        ("fragments4", "fragments4-stateless", fragments4::cases),
        ("addresses", "addresses-stateless", addresses::cases),
        ("routes", "routes-stateless", routes::cases),
        ("sizes", "sizes-stateless", sizes::cases),
        ("transport", "transport-stateless", transport::cases),
        ("icmp", "icmp-stateless", icmp::cases),
        ("link", "link-stateless", link::cases),
        ("ipv6", "ipv6-stateless", ipv6::cases),
        ("ipv6-extensions", "ipv6-extensions-stateless", ipv6_extensions::cases),
        ("policy", "policy-stateless", policy::cases),
        ("offloads", "offloads-stateless", offloads::cases),
        ("sequences", "sequences-stateless", sequences::cases),
    ];
    let mut chapters = Vec::new();
    for (name, stateless, cases) in common {
        chapters.push(Chapter { name, ground: Ground::Tracking, cases: cases() });
        let cases = cases().into_iter().map(Case::stateless).collect();
        chapters.push(Chapter { name: stateless, ground: Ground::Stateless, cases });
    }
    chapters.extend(loosened::chapters());
    chapters
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::chapters;
    use crate::compare::ground::Ground;

    #[test]
    fn there_are_more_than_two_hundred_cases_each_with_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for chapter in chapters() {
            for case in &chapter.cases {
                assert!(names.insert((chapter.name, case.name)), "{}: {} twice", chapter.name, case.name);
            }
        }
        let stateless = chapters().iter().filter(|chapter| chapter.ground == Ground::Stateless).count();
        assert!(stateless >= 14);
        let tracked: usize =
            chapters().iter().filter(|c| c.ground != Ground::Stateless).map(|c| c.cases.len()).sum();
        assert!(tracked > 200, "{tracked}");
    }
}
