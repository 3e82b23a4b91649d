//! Names of chains' priorities (`std_prio_lookup` of nftables).

use crate::chain::Point;
use crate::rules::model::TableFamily;

/// Names that IPv4, IPv6 and both have.
const INET: &[(&str, i32)] =
    &[("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50), ("srcnat", 100)];

/// Names in bridges.
const BRIDGE: &[(&str, i32)] = &[("dstnat", -300), ("filter", -200), ("out", 100), ("srcnat", 300)];

const fn names(family: TableFamily) -> &'static [(&'static str, i32)] {
    match family {
        TableFamily::Ip | TableFamily::Ip6 | TableFamily::Inet => INET,
        TableFamily::Arp => &[("filter", 0)],
        TableFamily::Bridge => BRIDGE,
    }
}

fn fits(point: Point, name: &str) -> bool {
    match name {
        "dstnat" => point == Point::Prerouting,
        "srcnat" => point == Point::Postrouting,
        "out" => point == Point::Output,
        _ => true,
    }
}

/// The priority of this name, at this hook of this family.
#[must_use]
pub fn named(family: TableFamily, point: Point, name: &str) -> Option<i32> {
    names(family).iter().find(|(word, _)| *word == name && fits(point, name)).map(|(_, value)| *value)
}

/// A priority as nft lists it: a name, one with an offset below ±10, or a number.
#[must_use]
pub fn text(family: TableFamily, point: Point, priority: i32) -> String {
    let near = |reach: i64| {
        names(family).iter().find(|(word, value)| {
            fits(point, word) && (i64::from(*value) - i64::from(priority)).abs() <= reach
        })
    };
    match near(10) {
        Some((name, value)) if *value == priority => (*name).to_owned(),
        Some((name, value)) if priority > *value => format!("{name} + {}", priority - value),
        Some((name, value)) => format!("{name} - {}", value - priority),
        None => priority.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_hook_and_family() {
        assert_eq!(named(TableFamily::Inet, Point::Prerouting, "dstnat"), Some(-100));
        assert_eq!(named(TableFamily::Inet, Point::Postrouting, "dstnat"), None);
        assert_eq!(named(TableFamily::Bridge, Point::Prerouting, "dstnat"), Some(-300));
        assert_eq!(named(TableFamily::Arp, Point::Input, "raw"), None);
    }

    #[test]
    fn a_number_close_to_a_name_is_listed_by_it() {
        assert_eq!(text(TableFamily::Ip, Point::Forward, 0), "filter");
        assert_eq!(text(TableFamily::Ip, Point::Forward, -5), "filter - 5");
        assert_eq!(text(TableFamily::Ip, Point::Postrouting, 110), "srcnat + 10");
        assert_eq!(text(TableFamily::Ip, Point::Forward, 100), "100");
        assert_eq!(text(TableFamily::Ip, Point::Forward, i32::MIN), "-2147483648");
    }
}
