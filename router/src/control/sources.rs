//! What the control socket asks of the router: its tables as rows, in pages, and what it can be told to do.

use ctl::message::{
    AddressChange, AddressRow, BridgeRow, Changed, Counters, ExpectationRow, Failure, FlowCacheChange,
    FlowCacheRow, FlowFilter, FlowRow, HookRow, JournalQuery, JournalRow, LastHopRow, MacFilter, MacRow,
    NeighborChange, NeighborFlush, NeighborRow, NeighborsFlushed, PolicyRuleChange, PolicyRuleRow, PortRow,
    QueueRow, RouteAnswer, RouteChange, RouteFilter, RoutePolicyRow, RouteQuery, RouteRow, Row, RulesFile,
    RulesFilter, RulesLoaded, Status, TrackerRow, WayFilter,
};
use ipnet::IpNet;

/// The router's tables. Called on the control thread; nothing here may wait for a worker.
///
/// Filters are handed in so that rows need not be made in vain; rows that do not pass may be delivered all the
/// same, they are dropped by [`super::answer()`].
pub trait Sources {
    /// How the router is.
    fn status(&self) -> Status;
    /// Ports, in their configured order.
    fn ports(&self) -> Vec<PortRow>;
    /// Addresses of all links, those of a link together.
    fn addresses(&self) -> Vec<AddressRow>;
    /// Routes.
    fn routes(&self, filter: &RouteFilter) -> Pages<'_, RouteRow>;
    /// Policy rules of both families, in the order they are asked.
    fn policy_rules(&self) -> Vec<PolicyRuleRow>;
    /// Neighbors.
    fn neighbors(&self) -> Pages<'_, NeighborRow>;
    /// Flows.
    fn flows(&self, filter: &FlowFilter) -> Pages<'_, FlowRow>;
    /// Flows that others have announced: a few thousand at most.
    fn expectations(&self) -> Vec<ExpectationRow>;
    /// Hooks, in the order packets meet them.
    fn hooks(&self) -> Vec<HookRow>;
    /// Trackers.
    fn trackers(&self) -> Vec<TrackerRow>;
    /// Named counters.
    fn counters(&self) -> Counters;
    /// Dropped packets by reason.
    fn drops(&self) -> Counters;
    /// How the flow cache is.
    fn flow_cache(&self) -> FlowCacheRow;
    /// The last changes of the routing state, the newest first.
    fn journal(&self, query: JournalQuery) -> Pages<'_, JournalRow>;
    /// Prefixes that have a policy for their established flows: a few thousand at most.
    fn route_policies(&self) -> Vec<RoutePolicyRow>;
    /// Where a packet would go.
    ///
    /// # Errors
    /// The port of entry is unknown.
    fn route_get(&self, query: &RouteQuery) -> Result<RouteAnswer, Failure>;
    /// The rules, as [`Row::RulesText`] or [`Row::RulesObject`].
    ///
    /// # Errors
    /// A table that was named does not exist.
    fn rules(&self, filter: &RulesFilter) -> Result<Pages<'_, Row>, Failure>;
    /// What loading a file of rules would do.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    fn check_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure>;
    /// Bridges, in their configured order.
    fn bridges(&self) -> Vec<BridgeRow>;
    /// Ethernet addresses that bridges know, bridge by bridge.
    ///
    /// # Errors
    /// There is no such bridge.
    fn macs(&self, filter: &MacFilter) -> Result<Pages<'_, MacRow>, Failure>;
    /// Queues that are bound or were queued to, by number: a few hundred at most.
    fn queues(&self) -> Vec<QueueRow>;
    /// Last hops that flows remember.
    fn last_hops(&self) -> Pages<'_, LastHopRow>;
}

/// What the router can be told to do.
pub trait Actions: Sources {
    /// Switches or flushes the flow cache for the router as a whole.
    ///
    /// # Errors
    /// Why not, for people.
    fn change_flow_cache(&self, change: &FlowCacheChange) -> Result<(), Failure>;

    /// Switches or flushes what the flows of now remember that the change's filter means, step by step.
    ///
    /// # Errors
    /// Why not, for people.
    fn touch_flows(&self, change: &FlowCacheChange) -> Result<Sweep<'_>, Failure>;

    /// Has flows that keep such a way look up again, step by step.
    ///
    /// # Errors
    /// The port is unknown.
    fn invalidate_flows(&self, filter: &WayFilter) -> Result<Sweep<'_>, Failure>;

    /// Sets the policy of a prefix.
    ///
    /// # Errors
    /// There are too many.
    fn set_route_policy(&self, policy: &RoutePolicyRow) -> Result<(), Failure>;

    /// Leaves a prefix without a policy of its own, and tells which it had.
    ///
    /// # Errors
    /// It has none.
    fn unset_route_policy(&self, prefix: IpNet) -> Result<RoutePolicyRow, Failure>;

    /// Carries out a file of rules, whole or not at all.
    ///
    /// # Errors
    /// What is wrong with it, and where; nothing has changed.
    fn load_rules(&self, file: &RulesFile) -> Result<RulesLoaded, Failure>;

    /// Gives a port an own address, or takes it. The change has been checked ([`AddressChange::check`]), as have the next
    /// four.
    ///
    /// # Errors
    /// The tables are the kernel's, the port is unknown, it has the address or has it not.
    fn change_address(&self, change: &AddressChange) -> Result<Changed, Failure>;

    /// Makes, replaces or deletes an own route.
    ///
    /// # Errors
    /// The tables are the kernel's, a port is unknown, a gateway cannot be reached, there is such a route or there is none.
    fn change_route(&self, change: &RouteChange) -> Result<Changed, Failure>;

    /// Adds or deletes an own policy rule.
    ///
    /// # Errors
    /// The tables are the kernel's, there is such a rule or there is none.
    fn change_policy_rule(&self, change: &PolicyRuleChange) -> Result<Changed, Failure>;

    /// Sets a neighbor by hand, or no longer.
    ///
    /// # Errors
    /// The tables are the kernel's, the port is unknown, there is such a neighbor or there is none.
    fn change_neighbor(&self, change: &NeighborChange) -> Result<Changed, Failure>;

    /// Forgets neighbors that are not set by hand.
    ///
    /// # Errors
    /// The tables are the kernel's, or the port is unknown.
    fn flush_neighbors(&self, flush: &NeighborFlush) -> Result<NeighborsFlushed, Failure>;

    /// Deletes the flows that `filter` means, step by step.
    fn delete_flows(&self, filter: &FlowFilter) -> Sweep<'_>;
}

/// A pass over the flows under way. Each call looks at no more than about the given number of flows and says to how many
/// it has done what it does; `None` when all have been looked at.
pub type Sweep<'a> = Box<dyn FnMut(usize) -> Option<u64> + 'a>;

/// Rows of a table, a page at a time, so that a table of any size is told in bounded memory and no lock is held
/// from one page to the next. What is in the table from the first page to the last is in exactly one page; what
/// comes or goes meanwhile may be missing.
pub struct Pages<'a, Row>(Box<dyn FnMut(usize) -> Option<Vec<Row>> + 'a>);

impl<'a, Row: 'a> Pages<'a, Row> {
    /// Pages made by `next`: each call looks at no more than about the given number of rows and returns those that
    /// are wanted, which may be none; `None` when there are no more.
    pub fn new(next: impl FnMut(usize) -> Option<Vec<Row>> + 'a) -> Self {
        Self(Box::new(next))
    }

    /// Pages of rows that are all there.
    pub fn of(rows: impl IntoIterator<Item = Row, IntoIter: 'a>) -> Self {
        let mut rows = rows.into_iter();
        Self::new(move |rows_max| {
            let page: Vec<Row> = rows.by_ref().take(rows_max).collect();
            (!page.is_empty()).then_some(page)
        })
    }

    /// The next page.
    pub fn next(&mut self, rows_max: usize) -> Option<Vec<Row>> {
        (self.0)(rows_max)
    }

    /// Pages of what `map` makes of each row; rows it makes nothing of are left out.
    pub fn filter_map<Other: 'a>(
        mut self,
        mut map: impl FnMut(Row) -> Option<Other> + 'a,
    ) -> Pages<'a, Other> {
        Pages::new(move |rows_max| Some(self.next(rows_max)?.into_iter().filter_map(&mut map).collect()))
    }
}
