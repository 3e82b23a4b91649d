//! Lines of a configuration in the words of `ip`: what would stand behind `ip address add`, `ip route add`, `ip rule add`
//! and `ip neighbor add`. They are read as routerctl reads them.

use crate::command;
use crate::message::{
    AddDel, AddressChange, ChangeVerb, Family, NeighborChange, PolicyRuleChange, RouteChange,
};

/// `ADDRESS/LENGTH dev PORT [nodad]`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn address(line: &str) -> Result<AddressChange, String> {
    command::read_address(AddDel::Add, &words(line))
}

/// `[TYPE] PREFIX|default [via ADDRESS] [dev PORT] …`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn route(line: &str) -> Result<RouteChange, String> {
    command::read_route(ChangeVerb::Add, &words(line))
}

/// `ADDRESS lladdr MAC dev PORT`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn neighbor(line: &str) -> Result<NeighborChange, String> {
    command::read_neighbor(ChangeVerb::Add, &words(line))
}

/// `[-6] [not] [from PREFIX] … [lookup TABLE] [priority N]`.
///
/// # Errors
/// What is wrong with it, for people.
pub fn rule(line: &str) -> Result<PolicyRuleChange, String> {
    let words = words(line);
    let (family, words) = match words.split_first() {
        Some((first, rest)) if first == "-6" => (Some(Family::Ipv6), rest),
        Some((first, rest)) if first == "-4" => (Some(Family::Ipv4), rest),
        _ => (None, &words[..]),
    };
    command::read_rule(AddDel::Add, family, words)
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_command_line_is() {
        let told = address("10.0.1.1/24  dev r0 nodad").unwrap().to_string();
        assert_eq!(told, "address add 10.0.1.1/24 dev r0 nodad");
        let told = route("default via fd00::2 metric 20").unwrap().to_string();
        assert_eq!(told, "route add default via fd00::2 metric 20");
        let told = neighbor("10.0.1.2 dev r0 lladdr 02:00:00:00:00:02 nud permanent").unwrap().to_string();
        assert_eq!(told, "neighbor add 10.0.1.2 lladdr 02:00:00:00:00:02 dev r0");
        let told = rule("-6 not from fd20::/16 lookup 102 priority 960").unwrap().to_string();
        assert_eq!(told, "-6 rule add not from fd20::/16 lookup 102 priority 960");
        assert_eq!(rule("goto 970 priority 955").unwrap().family, Family::Ipv4);
        assert_eq!(rule("-6 goto 970 priority 955").unwrap().family, Family::Ipv6);
    }

    #[test]
    fn lines_that_are_none_are_refused_in_words() {
        assert_eq!(address("").unwrap_err(), "it needs an address");
        assert_eq!(route("").unwrap_err(), "it needs a prefix, or `default`");
        assert!(neighbor("10.0.1.2 dev r0").unwrap_err().contains("lladdr MAC"));
        assert!(rule("-6 from 10.0.0.0/8").unwrap_err().contains("10.0.0.0/8 is not of family ipv6"));
        assert!(rule("form 10.0.0.0/8").unwrap_err().starts_with("`form` is none of not, from"));
    }
}
