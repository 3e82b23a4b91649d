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
