//! Gateways come and go in any order: a reply goes where a plain account of what was heard and answered says.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A question comes by a gateway.
    Ask(usize),
    /// A gateway gets another link address, and everybody hears of it.
    Move(usize),
    /// A gateway does not answer any more.
    Fail(usize),
    /// It answers again.
    Recover(usize),
    /// Milliseconds pass.
    Wait(u64),
    /// The server answers.
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize).prop_map(Step::Ask),
        (0..3_usize).prop_map(Step::Move),
        (0..3_usize).prop_map(Step::Fail),
        (0..3_usize).prop_map(Step::Recover),
        (1..9_u64).prop_map(|halves| Step::Wait(halves * 500)),
        Just(Step::Answer),
        Just(Step::Answer),
    ]
}

/// A gateway as a person would note it down.
#[derive(Clone, Copy, Debug)]
struct Gateway {
    mac: Mac,
    answers: bool,
}

const ADDRESSES: [&str; 3] = ["10.0.1.11", "10.0.1.12", "10.0.1.13"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_reply_goes_to_who_spoke_last_or_where_that_one_is_now_or_by_the_route(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut table = answering_table();
        let mut macs = (0..).map(|number: u16| {
            let [high, low] = number.to_be_bytes();
            Mac([2, 0, 0, 7, high, low])
        });
        let mut gateways: [Gateway; 3] =
            std::array::from_fn(|_| Gateway { mac: macs.next().unwrap(), answers: true });
        for (gateway, address) in gateways.iter().zip(ADDRESSES) {
            table.neighbor(1, address, Some(gateway.mac.0));
        }
        // Which gateway spoke last, and under which address.
        let mut last: Option<(usize, Mac)> = None;
        let mut heard = HashMap::new();
        let mut now_ms = 0;
        let mut known = std::collections::HashSet::new();
        for step in steps {
            match step {
                // Of one that has never answered it cannot be known who it is.
                Step::Ask(place) if !gateways[place].answers && !known.contains(&gateways[place].mac) => {}
                Step::Ask(place) => {
                    known.insert(gateways[place].mac);
                    ask(&mut table, gateways[place].mac);
                    tend(&table);
                    // Once a second it is noted that somebody has spoken.
                    let at = heard.entry(gateways[place].mac).or_insert(now_ms);
                    if now_ms - *at >= 1_000 {
                        *at = now_ms;
                    }
                    last = Some((place, gateways[place].mac));
                }
                Step::Move(place) => {
                    gateways[place] = Gateway { mac: macs.next().unwrap(), answers: true };
                    table.neighbor(1, ADDRESSES[place], Some(gateways[place].mac.0));
                }
                Step::Fail(place) => {
                    gateways[place].answers = false;
                    table.neighbor(1, ADDRESSES[place], None);
                }
                Step::Recover(place) => {
                    gateways[place].answers = true;
                    table.neighbor(1, ADDRESSES[place], Some(gateways[place].mac.0));
                }
                Step::Wait(ms) => {
                    now_ms += ms;
                    table.advance(Duration::from_millis(ms));
                }
                Step::Answer => {
                    let Some((place, mac_then)) = last else { continue };
                    let expected = match gateways[place] {
                        Gateway { mac, answers: true } => mac,
                        Gateway { .. } if now_ms - heard[&mac_then] <= 3_000 => mac_then,
                        Gateway { .. } => ROUTED_BY,
                    };
                    prop_assert_eq!(answered(&mut table), [expected], "{:?} at {} ms", gateways[place], now_ms);
                    // Whoever was sent to under the address heard was asked for, and fails again.
                    if !gateways[place].answers {
                        table.neighbor(1, ADDRESSES[place], None);
                    }
                }
            }
        }
    }
}
