//! From a question to pages of rows. No input, no output: what it says depends on the router's tables alone.

use ctl::message::{
    Action, ChangeError, Failure, FailureKind, FlowCacheError, FlowsDeleted, FlowsInvalidated, FlowsTouched,
    Question, Row,
};

use super::sources::{Actions, Pages, Sources, Sweep};

/// Answers a question.
///
/// # Errors
/// Why there is no answer, for people.
pub fn answer<'a>(question: &Question, sources: &'a dyn Sources) -> Result<Pages<'a, Row>, Failure> {
    Ok(match question {
        Question::Status => one(Row::Status(Box::new(sources.status()))),
        Question::Ports => list(sources.ports(), |row| Row::Port(Box::new(row))),
        Question::Addresses => list(sources.addresses(), |row| Row::Address(Box::new(row))),
        Question::Routes(filter) => {
            let wanted = filter.clone();
            sources
                .routes(filter)
                .filter_map(move |row| wanted.matches(&row).then(|| Row::Route(Box::new(row))))
        }
        Question::PolicyRules => list(sources.policy_rules(), |row| Row::PolicyRule(Box::new(row))),
        Question::Neighbors => sources.neighbors().filter_map(|row| Some(Row::Neighbor(row))),
        Question::Flows(filter) => {
            let wanted = filter.clone();
            sources
                .flows(filter)
                .filter_map(move |row| wanted.matches(&row).then(|| Row::Flow(Box::new(row))))
        }
        Question::Expectations => list(sources.expectations(), |row| Row::Expectation(Box::new(row))),
        Question::Hooks => list(sources.hooks(), Row::Hook),
        Question::Trackers => list(sources.trackers(), Row::Tracker),
        Question::Counters => one(Row::Counters(sources.counters())),
        Question::Drops => one(Row::Drops(sources.drops())),
        Question::FlowCache => one(Row::FlowCache(Box::new(sources.flow_cache()))),
        Question::Journal(query) => sources.journal(*query).filter_map(|row| Some(Row::Journal(row))),
        Question::RoutePolicies => list(sources.route_policies(), Row::RoutePolicy),
        Question::Rules(filter) => sources.rules(filter)?,
        Question::CheckRules(file) => one(Row::RulesLoaded(sources.check_rules(file)?)),
        Question::Bridges => list(sources.bridges(), |row| Row::Bridge(Box::new(row))),
        Question::Macs(filter) => sources.macs(filter)?.filter_map(|row| Some(Row::Mac(row))),
        Question::Queues => list(sources.queues(), |row| Row::Queue(Box::new(row))),
        Question::LastHops => sources.last_hops().filter_map(|row| Some(Row::LastHop(Box::new(row)))),
        Question::RouteGet(query) => one(Row::RouteAnswer(Box::new(sources.route_get(query)?))),
    })
}

/// Has something done, and tells what became of it.
///
/// # Errors
/// Why it was not done, for people.
pub fn act<'a>(action: &Action, actions: &'a dyn Actions) -> Result<Pages<'a, Row>, Failure> {
    Ok(match action {
        Action::FlowCache(change) => {
            change.check().map_err(|error: FlowCacheError| meaningless(&error))?;
            if change.is_of_the_router() {
                actions.change_flow_cache(change)?;
                one(Row::FlowCache(Box::new(actions.flow_cache())))
            } else {
                sum(actions.touch_flows(change)?, |touched| Row::FlowsTouched(FlowsTouched { touched }))
            }
        }
        Action::InvalidateFlows(filter) => sum(actions.invalidate_flows(filter)?, |invalidated| {
            Row::FlowsInvalidated(FlowsInvalidated { invalidated })
        }),
        Action::SetRoutePolicy(policy) => {
            actions.set_route_policy(policy)?;
            one(Row::RoutePolicy(*policy))
        }
        Action::UnsetRoutePolicy(prefix) => one(Row::RoutePolicy(actions.unset_route_policy(*prefix)?)),
        Action::ChangeAddress(change) => {
            change.check().map_err(|error: ChangeError| meaningless(&error))?;
            one(Row::Changed(actions.change_address(change)?))
        }
        Action::ChangeRoute(change) => {
            change.check().map_err(|error| meaningless(&error))?;
            one(Row::Changed(actions.change_route(change)?))
        }
        Action::ChangePolicyRule(change) => {
            change.check().map_err(|error| meaningless(&error))?;
            one(Row::Changed(actions.change_policy_rule(change)?))
        }
        Action::ChangeNeighbor(change) => {
            change.check().map_err(|error| meaningless(&error))?;
            one(Row::Changed(actions.change_neighbor(change)?))
        }
        Action::FlushNeighbors(flush) => {
            flush.check().map_err(|error| meaningless(&error))?;
            one(Row::NeighborsFlushed(actions.flush_neighbors(flush)?))
        }
        Action::LoadRules(file) => one(Row::RulesLoaded(actions.load_rules(file)?)),
        Action::DeleteFlows(filter) => {
            sum(actions.delete_flows(filter), |deleted| Row::FlowsDeleted(FlowsDeleted { deleted }))
        }
    })
}

/// Carries a pass over the flows out, a step for each page, and tells the sum in the end.
fn sum<'a>(mut step: Sweep<'a>, tell: impl Fn(u64) -> Row + 'a) -> Pages<'a, Row> {
    let mut done = Some(0);
    Pages::new(move |flows_max| {
        let so_far = done?;
        let more = step(flows_max);
        done = more.map(|count| so_far + count);
        Some(if more.is_some() { Vec::new() } else { vec![tell(so_far)] })
    })
}

fn meaningless(error: &dyn std::error::Error) -> Failure {
    Failure::new(FailureKind::BadRequest, error.to_string())
}

fn one<'a>(row: Row) -> Pages<'a, Row> {
    Pages::of([row])
}

fn list<'a, T: 'a>(rows: Vec<T>, into: impl Fn(T) -> Row + 'a) -> Pages<'a, Row> {
    Pages::of(rows).filter_map(move |row| Some(into(row)))
}

#[cfg(test)]
mod tests {
    use ctl::message::{
        Changed, FlowCacheMode, FlowCacheModes, FlowFilter, JournalQuery, MacFilter, NeighborsFlushed,
        RouteFilter, RoutePolicy, RoutePolicyRow, RouteQuery, RulesFile, RulesFilter, TableFilter, WayFilter,
    };

    use super::super::fake::Fake;
    use super::*;

    const ROWS_MAX: usize = 64;

    fn collect(mut pages: Pages<'_, Row>) -> Vec<Row> {
        let mut rows = Vec::new();
        while let Some(page) = pages.next(ROWS_MAX) {
            assert!(page.len() <= ROWS_MAX, "a page of {}", page.len());
            rows.extend(page);
        }
        rows
    }

    #[test]
    fn every_table_is_told_whole_and_in_pages() {
        let fake = Fake::with_flows(1_000);
        for (question, count) in [
            (Question::Status, 1),
            (Question::Ports, 2),
            (Question::Addresses, 3),
            (Question::Routes(RouteFilter { table: TableFilter::All, ..RouteFilter::default() }), 4),
            (Question::PolicyRules, 3),
            (Question::Neighbors, 2),
            (Question::Flows(Box::default()), 1_000),
            (Question::Expectations, 1),
            (Question::Hooks, 2),
            (Question::Trackers, 2),
            (Question::Counters, 1),
            (Question::Drops, 1),
            (Question::FlowCache, 1),
            (Question::Journal(JournalQuery::default()), 100),
            (Question::Journal(JournalQuery { changes_max: Some(7) }), 7),
            (Question::RoutePolicies, 0),
            (Question::Rules(RulesFilter::default()), 1),
            (Question::CheckRules(Box::default()), 1),
            (Question::Bridges, 1),
            (Question::Macs(MacFilter::default()), 2),
            (Question::Queues, 1),
            (Question::LastHops, 3),
        ] {
            assert_eq!(collect(answer(&question, &fake).unwrap()).len(), count, "{question:?}");
        }
    }

    #[test]
    fn rows_that_do_not_pass_the_filter_are_left_out() {
        let fake = Fake::with_flows(1_000);
        let filter = FlowFilter { id: Some(77), ..FlowFilter::default() };
        let rows = collect(answer(&Question::Flows(Box::new(filter)), &fake).unwrap());
        assert!(matches!(&rows[..], [Row::Flow(flow)] if flow.id == 77), "{rows:?}");
        let rows = collect(answer(&Question::Routes(RouteFilter::default()), &fake).unwrap());
        assert_eq!(rows.len(), 3, "table local is shown only when asked for");
    }

    #[test]
    fn an_unknown_port_of_entry_is_an_error() {
        let query = RouteQuery {
            destination: "10.0.0.1".parse().unwrap(),
            source: None,
            input_port: Some("eth9".into()),
            mark: 0,
        };
        let error = answer(&Question::RouteGet(query), &Fake::with_flows(0)).err().unwrap();
        assert!(error.message.contains("eth9"), "{error}");
    }

    #[test]
    fn rules_that_are_refused_are_told_with_the_place() {
        let fake = Fake::with_flows(0);
        let file = |text: &str| {
            Box::new(RulesFile { name: "r.nft".into(), text: text.into(), ..RulesFile::default() })
        };
        let rows = collect(act(&Action::LoadRules(file("table ip t")), &fake).unwrap());
        assert!(matches!(&rows[..], [Row::RulesLoaded(row)] if row.loaded), "{rows:?}");
        let rows = collect(answer(&Question::CheckRules(file("table ip t")), &fake).unwrap());
        assert!(matches!(&rows[..], [Row::RulesLoaded(row)] if !row.loaded), "{rows:?}");
        let error = act(&Action::LoadRules(file("nonsense")), &fake).err().unwrap();
        assert!(error.message.starts_with("r.nft:1:1:"), "{error}");
    }

    fn change(json: &str) -> Action {
        Action::FlowCache(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_flow_cache_is_told_as_it_is_after_the_action() {
        let fake = Fake::with_flows(0);
        let modes = |fake: &Fake, json| match &collect(act(&change(json), fake).unwrap())[..] {
            [Row::FlowCache(row)] => row.modes,
            rows => panic!("{rows:?}"),
        };
        assert_eq!(modes(&fake, r#""off""#), FlowCacheModes::all(FlowCacheMode::Off));
        let verdict = modes(&fake, r#"{"action":"on","kinds":["verdict"]}"#);
        assert_eq!((verdict.route, verdict.verdict), (FlowCacheMode::Off, FlowCacheMode::On));
        let held = modes(&fake, r#""hold""#);
        assert_eq!((held.route, held.negative), (FlowCacheMode::Hold, FlowCacheMode::Off));
    }

    #[test]
    fn some_flows_are_counted_and_the_router_stays_as_it_is() {
        let fake = Fake::with_flows(1_000);
        let some = change(r#"{"action":"off","filter":{"destination_port":80}}"#);
        let rows = collect(act(&some, &fake).unwrap());
        assert_eq!(rows, [Row::FlowsTouched(FlowsTouched { touched: 500 })]);
        assert_eq!(fake.flow_cache().modes, FlowCacheModes::default());
        let ways = WayFilter { port: Some("r1".into()), ..WayFilter::default() };
        let rows = collect(act(&Action::InvalidateFlows(Box::new(ways)), &fake).unwrap());
        assert_eq!(rows, [Row::FlowsInvalidated(FlowsInvalidated { invalidated: 1_000 })]);
    }

    #[test]
    fn what_cannot_be_meant_is_not_done() {
        let fake = Fake::with_flows(1);
        for json in [
            r#"{"action":"hold","kinds":["route","negative"]}"#,
            r#"{"action":"off","kinds":["negative"],"filter":{"id":1}}"#,
        ] {
            let error = act(&change(json), &fake).err().unwrap();
            assert_eq!(error.kind, FailureKind::BadRequest, "{error}");
            assert_eq!(fake.flow_cache().modes, FlowCacheModes::default());
        }
    }

    #[test]
    fn policies_are_told_as_they_are_set_and_as_they_were() {
        let fake = Fake::with_flows(0);
        let policy = RoutePolicyRow { prefix: "10.0.0.0/8".parse().unwrap(), policy: RoutePolicy::Keep };
        assert_eq!(collect(act(&Action::SetRoutePolicy(policy), &fake).unwrap()), [Row::RoutePolicy(policy)]);
        let listed = collect(answer(&Question::RoutePolicies, &fake).unwrap());
        assert_eq!(listed, [Row::RoutePolicy(policy)]);
        let unset = Action::UnsetRoutePolicy(policy.prefix);
        assert_eq!(collect(act(&unset, &fake).unwrap()), [Row::RoutePolicy(policy)]);
        let error = act(&unset, &fake).err().unwrap();
        assert_eq!(error.kind, FailureKind::NotFound, "{error}");
    }

    #[test]
    fn changes_of_the_own_tables_are_checked_before_they_are_made() {
        let fake = Fake::with_flows(0);
        let right = [
            r#"{"change_address":{"verb":"add","address":"10.0.0.1/24","port":"r0","nodad":true}}"#,
            r#"{"change_route":{"verb":"replace","prefix":"10.1.0.0/16","next_hops":[{"via":"10.0.0.2"}]}}"#,
            r#"{"change_policy_rule":{"verb":"del","family":"ipv6","priority":1000,"action":{"lookup":100}}}"#,
            r#"{"change_neighbor":{"verb":"add","address":"10.0.0.2","mac":"02:00:00:00:00:02","port":"r0"}}"#,
        ];
        for action in right.map(|json| serde_json::from_str(json).unwrap()) {
            assert_eq!(collect(act(&action, &fake).unwrap()), [Row::Changed(Changed { changed: 1 })]);
        }
        let flush = serde_json::from_str(r#"{"flush_neighbors":{"port":"r0"}}"#).unwrap();
        let rows = collect(act(&flush, &fake).unwrap());
        assert_eq!(rows, [Row::NeighborsFlushed(NeighborsFlushed { flushed: 2 })]);
        let done = [
            "address add 10.0.0.1/24 dev r0 nodad",
            "route replace 10.1.0.0/16 via 10.0.0.2",
            "-6 rule del lookup 100 priority 1000",
            "neighbor add 10.0.0.2 lladdr 02:00:00:00:00:02 dev r0",
            "neighbor flush dev r0",
        ];
        assert_eq!(*fake.changes.borrow(), done);
        let wrong = [
            r#"{"change_address":{"verb":"add","address":"224.0.0.1/24","port":"r0"}}"#,
            r#"{"change_route":{"verb":"add","prefix":"10.1.0.0/16"}}"#,
            r#"{"change_policy_rule":{"verb":"add","family":"ipv6","from":"10.0.0.0/8"}}"#,
            r#"{"change_neighbor":{"verb":"add","address":"10.0.0.2","port":"r0"}}"#,
            r#"{"flush_neighbors":{"port":"a name too long for it"}}"#,
        ];
        for action in wrong.map(|json| serde_json::from_str(json).unwrap()) {
            let error = act(&action, &fake).err().unwrap();
            assert_eq!(error.kind, FailureKind::BadRequest, "{error}");
        }
        assert_eq!(fake.changes.borrow().len(), done.len());
    }

    #[test]
    fn a_bridge_that_is_not_there_is_named() {
        let filter = MacFilter { bridge: Some("br9".into()) };
        let error = answer(&Question::Macs(filter), &Fake::with_flows(0)).err().unwrap();
        assert!(error.message.contains("br9"), "{error}");
    }

    #[test]
    fn deleting_goes_in_steps_and_tells_the_sum_once() {
        let fake = Fake::with_flows(1_000);
        let filter = FlowFilter { destination_port: Some(80), ..FlowFilter::default() };
        let rows = collect(act(&Action::DeleteFlows(Box::new(filter)), &fake).unwrap());
        assert_eq!(rows, [Row::FlowsDeleted(FlowsDeleted { deleted: 500 })]);
        let rows = collect(answer(&Question::Flows(Box::default()), &fake).unwrap());
        assert_eq!(rows.len(), 500);
    }
}
