//! Chains: where base chains may be, what may stand in them, and that jumps come to an end (`nft_*_validate`).

use std::collections::HashMap;
use std::sync::Arc;

use super::statement::expressions;
use super::{Environment, Result, refuse};
use crate::chain::Point;
use crate::rules::catalog::priorities;
use crate::rules::model::{
    BaseChain, Chain, ChainKind, Data, Expression, FibResult, NatKind, Policy, RouteKey, Rule, Selector,
    Statement, Table, TableFamily, Target, Verdict,
};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree;

/// Jumps within jumps (`NFT_JUMP_STACK_SIZE`).
const DEPTH_MAX: usize = 16;

/// What makes a chain a base chain, if it can be one here.
pub(super) fn base(
    family: TableFamily,
    block: &tree::ChainBlock,
    environment: &Environment,
) -> Result<Option<BaseChain>> {
    let Some(base) = &block.base else {
        return match &block.policy {
            Some(policy) => {
                refuse(policy.span, "only a base chain has a policy: say `type … hook … priority …` first")
            }
            None => Ok(None),
        };
    };
    let span = base.hook.span;
    let point = match base.hook.value {
        tree::HookName::Prerouting => Point::Prerouting,
        tree::HookName::Input => Point::Input,
        tree::HookName::Forward => Point::Forward,
        tree::HookName::Output => Point::Output,
        tree::HookName::Postrouting => Point::Postrouting,
        hook @ (tree::HookName::Ingress | tree::HookName::Egress) => {
            return refuse(
                span,
                format!(
                    "{hook} chains are the kernel's: put this chain into the kernel's nft, or use prerouting"
                ),
            );
        }
    };
    if let Some(device) = base.devices.first() {
        return refuse(
            device.span,
            "only ingress and egress chains have devices: match `iifname` or `oifname` instead",
        );
    }
    if let Some(offload) = block.offload {
        return refuse(
            offload,
            "chains are not offloaded to hardware by this router: leave out `flags offload`",
        );
    }
    let is_link = matches!(family, TableFamily::Arp | TableFamily::Bridge);
    if is_link && environment.kernel_is_host {
        let message = format!(
            "no {} frames pass this router's rules: the kernel answers them; put this chain into the kernel's nft",
            family.name()
        );
        return refuse(base.span, message);
    }
    if family == TableFamily::Arp && !matches!(point, Point::Input | Point::Output) {
        return refuse(span, "ARP frames are for this host or from it: arp chains are at input and output");
    }
    if environment.kernel_is_host && matches!(point, Point::Input | Point::Output) {
        return refuse(
            span,
            "packets to and from the router itself are the kernel's while it is the host (--host kernel): put this chain into the kernel's nft",
        );
    }
    let kind = match base.kind.value {
        tree::ChainType::Filter => ChainKind::Filter,
        tree::ChainType::Nat => ChainKind::Nat,
        tree::ChainType::Route => ChainKind::Route,
    };
    match kind {
        ChainKind::Nat | ChainKind::Route if is_link => {
            return refuse(base.kind.span, format!("chains of {} tables are of type filter", family.name()));
        }
        ChainKind::Nat if point == Point::Forward => {
            return refuse(span, "nat chains are at prerouting, input, output and postrouting");
        }
        ChainKind::Route if point != Point::Output => {
            return refuse(
                span,
                "route chains are at output only; at prerouting a changed mark is routed by anyway",
            );
        }
        _ => {}
    }
    let priority = priority(family, point, &base.priority)?;
    if kind == ChainKind::Nat && priority <= -200 {
        return refuse(
            base.priority.span,
            "nat chains come behind connection tracking: their priority is above -200",
        );
    }
    let policy = match block.policy.as_ref().map(|policy| policy.value) {
        Some(tree::Policy::Drop) => Policy::Drop,
        Some(tree::Policy::Accept) | None => Policy::Accept,
    };
    Ok(Some(BaseChain { kind, point, priority, policy }))
}

fn priority(family: TableFamily, point: Point, priority: &tree::Priority) -> Result<i32> {
    let named = match &priority.name {
        None => 0,
        Some(name) => match priorities::named(family, point, &name.value) {
            Some(named) => named,
            None => {
                let message =
                    format!("`{}` is no priority of {} {}", name.value, family.name(), point.name());
                return refuse(name.span, message);
            }
        },
    };
    match named.checked_add(priority.offset) {
        Some(sum) => Ok(sum),
        None => refuse(priority.span, "a priority has 32 bits"),
    }
}

/// Checks all chains of a table against each other. `places` tells where a rule was written.
pub(super) fn validate(table: &Table, places: &dyn Fn(&Chain, Option<&Rule>) -> Span) -> Result<()> {
    let chains: HashMap<&str, usize> =
        table.chains.iter().enumerate().map(|(at, chain)| (&*chain.name, at)).collect();
    let sets: HashMap<&str, &[crate::rules::model::Element]> =
        table.sets.iter().map(|set| (&*set.name, &set.elements[..])).collect();
    let mut jumps: Vec<Vec<(usize, usize)>> = Vec::with_capacity(table.chains.len());
    for chain in &table.chains {
        let mut from_here = Vec::new();
        for (number, rule) in chain.rules.iter().enumerate() {
            for statement in &rule.statements {
                targets(statement, &sets, &mut |name| {
                    if let Some(at) = chains.get(name) {
                        from_here.push((number, *at));
                    }
                });
            }
        }
        jumps.push(from_here);
    }
    let walk = Walk { table, jumps: &jumps, places };
    let mut state = vec![State::Unseen; table.chains.len()];
    let mut order = Vec::with_capacity(table.chains.len());
    for at in 0..table.chains.len() {
        walk.visit(at, &mut state, &mut order)?;
    }
    walk.depth(&order)?;
    walk.contents(&order)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Unseen,
    Open,
    Done,
}

struct Walk<'a> {
    table: &'a Table,
    jumps: &'a [Vec<(usize, usize)>],
    places: &'a dyn Fn(&Chain, Option<&Rule>) -> Span,
}

impl Walk<'_> {
    /// Finds circles; leaves the chains in an order in which each comes behind those it jumps to.
    fn visit(&self, start: usize, state: &mut [State], order: &mut Vec<usize>) -> Result<()> {
        if state[start] != State::Unseen {
            return Ok(());
        }
        let mut stack = vec![(start, 0)];
        state[start] = State::Open;
        while let Some((at, next)) = stack.pop() {
            let Some((number, target)) = self.jumps[at].get(next).copied() else {
                state[at] = State::Done;
                order.push(at);
                continue;
            };
            stack.push((at, next + 1));
            match state[target] {
                State::Done => {}
                State::Unseen => {
                    state[target] = State::Open;
                    stack.push((target, 0));
                }
                State::Open => {
                    let chain = &self.table.chains[at];
                    let to = &self.table.chains[target].name;
                    let message = format!(
                        "this jump to `{to}` leads back to `{}`: packets would go round for ever",
                        chain.name
                    );
                    return refuse((self.places)(chain, Some(&chain.rules[number])), message);
                }
            }
        }
        Ok(())
    }

    fn depth(&self, order: &[usize]) -> Result<()> {
        let mut depths = vec![0_usize; self.table.chains.len()];
        for at in order {
            for (number, target) in &self.jumps[*at] {
                depths[*at] = depths[*at].max(depths[*target] + 1);
                if depths[*at] >= DEPTH_MAX {
                    let chain = &self.table.chains[*at];
                    let place = (self.places)(chain, Some(&chain.rules[*number]));
                    return refuse(place, format!("more than {DEPTH_MAX} jumps within each other"));
                }
            }
        }
        Ok(())
    }

    /// Whether what chains hold may stand where packets reach it.
    fn contents(&self, order: &[usize]) -> Result<()> {
        let mut bases: Vec<Vec<BaseChain>> =
            self.table.chains.iter().map(|chain| chain.base.into_iter().collect()).collect();
        for at in order.iter().rev() {
            let found = std::mem::take(&mut bases[*at]);
            for (_, target) in &self.jumps[*at] {
                for base in &found {
                    let same = |other: &BaseChain| other.kind == base.kind && other.point == base.point;
                    if !bases[*target].iter().any(same) {
                        bases[*target].push(*base);
                    }
                }
            }
            let chain = &self.table.chains[*at];
            for rule in &chain.rules {
                for statement in &rule.statements {
                    for base in &found {
                        if let Some(why) = misplaced(statement, self.table.family, base) {
                            return refuse((self.places)(chain, Some(rule)), why);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Why a statement cannot stand where packets come from this base chain.
fn misplaced(statement: &Statement, family: TableFamily, base: &BaseChain) -> Option<String> {
    let point = base.point;
    let only = |what: &str, points: &[Point]| {
        if points.contains(&point) {
            return None;
        }
        let names: Vec<_> = points.iter().map(|point| point.name()).collect();
        Some(format!("{what} is possible at {}, not at {}", names.join(" and "), point.name()))
    };
    let found = match statement {
        Statement::Nat(nat) => {
            let (what, points): (_, &[Point]) = match nat.kind {
                NatKind::Source => ("snat", &[Point::Postrouting, Point::Input]),
                NatKind::Masquerade => ("masquerade", &[Point::Postrouting]),
                NatKind::Destination => ("dnat", &[Point::Prerouting, Point::Output]),
                NatKind::Redirect => ("redirect", &[Point::Prerouting, Point::Output]),
            };
            if base.kind != ChainKind::Nat {
                return Some(format!("{what} belongs into a chain of `type nat`"));
            }
            only(what, points)
        }
        Statement::Reject(_) if family == TableFamily::Bridge => {
            only("reject in a bridge", &[Point::Prerouting, Point::Input])
        }
        Statement::Reject(_) => {
            only("reject", &[Point::Prerouting, Point::Input, Point::Forward, Point::Output])
        }
        Statement::Set { target: Target::MetaPacketType, .. } => {
            only("setting the packet type", &[Point::Prerouting])
        }
        Statement::Set { target: Target::MetaBroute, .. } => only("`meta broute`", &[Point::Prerouting]),
        _ => None,
    };
    found.or_else(|| expressions(statement).into_iter().find_map(|expression| unreadable(expression, &only)))
}

fn unreadable(expression: &Expression, only: &dyn Fn(&str, &[Point]) -> Option<String>) -> Option<String> {
    match expression {
        Expression::Select(Selector::Fib { by, result }) => {
            let points: &[Point] = match (result, by.input, by.output) {
                (FibResult::AddressType, true, _)
                | (FibResult::Index | FibResult::Name | FibResult::Present, true, _) => {
                    &[Point::Prerouting, Point::Input, Point::Forward]
                }
                (FibResult::AddressType, _, true) => &[Point::Forward, Point::Output, Point::Postrouting],
                (FibResult::AddressType, ..) => &Point::ALL,
                _ => &[Point::Prerouting],
            };
            only("this use of `fib`", points)
        }
        Expression::Select(Selector::Route(RouteKey::Mtu)) => {
            only("`rt mtu`", &[Point::Forward, Point::Output, Point::Postrouting])
        }
        Expression::Select(_) | Expression::Value(..) | Expression::Number { .. } => None,
        Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } => unreadable(inner, only),
        Expression::Join { left, right, .. } => unreadable(left, only).or_else(|| unreadable(right, only)),
        Expression::Concat(parts) => parts.iter().find_map(|part| unreadable(part, only)),
        Expression::Map { key, .. } => unreadable(key, only),
        Expression::Hash(hash) => hash.key.as_ref().and_then(|key| unreadable(key, only)),
    }
}

/// Names of the chains that a statement may jump to.
pub(super) fn targets(
    statement: &Statement,
    sets: &HashMap<&str, &[crate::rules::model::Element]>,
    see: &mut dyn FnMut(&str),
) {
    match statement {
        Statement::Verdict(verdict) => target(verdict, see),
        Statement::VerdictMap { map, .. } => {
            for element in sets.get(&*map.0).copied().unwrap_or_default() {
                if let Some(Data::Verdict(verdict)) = &element.data {
                    target(verdict, see);
                }
            }
        }
        Statement::Dynamic(dynamic) => {
            if let Some(verdict) = &dynamic.verdict {
                target(verdict, see);
            }
        }
        _ => {}
    }
}

fn target(verdict: &Verdict, see: &mut dyn FnMut(&str)) {
    if let Verdict::Jump(name) | Verdict::Goto(name) = verdict {
        see(name);
    }
}

/// Puts another name into a verdict that jumps to a chain; whether it did.
pub(super) fn retarget(verdict: &mut Verdict, from: &str, to: &Arc<str>) -> bool {
    match verdict {
        Verdict::Jump(name) | Verdict::Goto(name) if **name == *from => {
            *name = to.clone();
            true
        }
        _ => false,
    }
}
