//! Announced flows as rows.

use std::time::Duration;

use conntrack::{Direction, Expectation};
use ctl::message::{ExpectationRow, MasterOfExpectation};
use ctl::names;

use super::flows::family;
use crate::flow::Extension;

/// The row of an announced flow that ends in `timeout`.
pub(in crate::daemon) fn row(expectation: &Expectation<Extension>, timeout: Duration) -> ExpectationRow {
    let pattern = expectation.pattern();
    let tuple = &pattern.tuple;
    let master = expectation.master().tuple(Direction::Original);
    ExpectationRow {
        id: expectation.id(),
        family: family(tuple.family()),
        protocol: names::flow_protocol(tuple.protocol()).into(),
        protocol_number: tuple.protocol(),
        timeout_s: timeout.as_secs(),
        source: pattern.source_address.then(|| tuple.source()),
        destination: tuple.destination(),
        source_port: pattern.source_id.then(|| tuple.ids().source),
        destination_port: tuple.ids().destination,
        zone: tuple.zone(),
        helper: expectation.helper_name().into(),
        class: expectation.class(),
        permanent: expectation.is_permanent(),
        inactive: expectation.is_inactive(),
        master: MasterOfExpectation {
            id: expectation.master().id(),
            source: master.source(),
            destination: master.destination(),
            source_port: master.ids().source,
            destination_port: master.ids().destination,
        },
    }
}
