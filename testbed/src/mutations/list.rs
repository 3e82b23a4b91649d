//! The mistakes.

use super::{Mutation, Test};

/// All of them.
pub static MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "stamp_after_lookup",
        mistake: "a way bears the stamp of a state later than the one it was looked up in",
        file: "router/src/engine/route.rs",
        from: "Some(Self { way, generation: answer.generation })",
        to: "Some(Self { way, generation: Generation(answer.generation.0 + 1) })",
        noticed_by: &[router("a_changed_route_takes_effect_with_the_next_packet")],
    },
    Mutation {
        name: "only_input_port_checked",
        mistake: "when a link goes down, only flows that came in by it are looked after",
        file: "fib/src/cache/way.rs",
        from: "if !snapshot.ports().is_up(self.hop.port) {",
        to: "if self.input.is_some_and(|port| !snapshot.ports().is_up(port)) {",
        noticed_by: &[fib("a_port_going_down_is_seen_before_any_generation")],
    },
    Mutation {
        name: "vacuous_comparison",
        mistake: "what a way is compared with is made anew right before the comparison",
        file: "fib/src/cache/way.rs",
        from: "let since = stamp.generation(present);",
        to: "let since = stamp.generation(present).max(present);",
        noticed_by: &[fib("routes_tell_what_became_of_them")],
    },
    Mutation {
        name: "mark_is_no_input",
        mistake: "a way is taken by packets with another mark, although a policy rule asks for it",
        file: "fib/src/cache/way.rs",
        from: "self.depends.mark && query.mark != self.mark",
        to: "self.depends.mark && query.mark < self.mark",
        noticed_by: &[fib("only_what_the_answer_rests_on_is_compared")],
    },
    Mutation {
        name: "own_addresses_forgotten",
        mistake: "an address becomes the router's own, and flows with it go on",
        file: "fib/src/cache/way.rs",
        from: ".or_else(|| self.addresses_since(since, marks, query))",
        to: ".or_else(|| self.addresses_since(snapshot.generation(), marks, query))",
        noticed_by: &[fib("an_address_of_the_routers_own_is_nobodys_source")],
    },
    Mutation {
        name: "journal_overrun_ignored",
        mistake: "what the journal has forgotten counts as not having happened",
        file: "fib/src/cache/way.rs",
        from: "found.or_else(|| routes.overrun(length_min, touched))",
        to: "found.or_else(|| routes.overrun(length_min, touched).filter(|_| false))",
        noticed_by: &[fib("when_marks_are_forgotten_ways_near_them_are_asked_for_anew_and_no_others")],
    },
    Mutation {
        name: "generation_wrap",
        mistake: "the bits of a generation that a flow has no room for are taken to be zero",
        file: "fib/src/cache/stamp.rs",
        from: "Generation(present.0.saturating_sub(behind))",
        to: "Generation(if behind == 0 { present.0 } else { self.0 })",
        noticed_by: &[fib("a_stamp_stands_for_the_version_it_was_made_of_across_the_wrap")],
    },
    Mutation {
        name: "neighbor_index_reused",
        mistake: "a neighbor's place is given to another, and flows of the first send to the second",
        file: "fib/src/adjacency/neighbors.rs",
        from: "(self.incarnation.load(Ordering::Acquire) == incarnation).then(|| NeighborView {",
        to: "(self.incarnation.load(Ordering::Acquire) >= incarnation).then(|| NeighborView {",
        noticed_by: &[
            fib("a_neighbor_whose_place_was_given_away_is_not_mistaken"),
            fib("a_reused_place_is_not_mistaken_for_who_lived_there"),
        ],
    },
    Mutation {
        name: "port_made_anew",
        mistake: "a device that is made anew under its name is taken for the old one",
        file: "fib/src/journal/mod.rs",
        from: "put(&mut self.marks.bindings, usize::from(port.0), mark);",
        to: "let _ = port;",
        noticed_by: &[fib("a_device_made_anew_under_its_name_is_another_device")],
    },
    Mutation {
        name: "next_hop_copied",
        mistake: "who has once been told a neighbor's link address never hears of another",
        file: "fib/src/adjacency/neighbors.rs",
        from: "let before = cell.word.swap(word, Ordering::AcqRel);",
        to: "let old = cell.word.load(Ordering::Acquire);\n        let was_valid = state_of(old).is_valid();\n        \
             let word = if was_valid && state_of(word).is_valid() { old } else { word };\n        \
             let before = cell.word.swap(word, Ordering::AcqRel);",
        noticed_by: &[
            fib("a_new_mac_is_one_edit_that_every_holder_sees"),
            router("a_new_mac_reaches_a_flow_without_a_lookup"),
        ],
    },
    Mutation {
        name: "active_flow_keeps_its_bad_way",
        mistake: "a way that no longer holds stays as long as its flow is busy",
        file: "router/src/engine/route.rs",
        from: "packet.stale = Some(Stale { hop: way.hop, renewal });\n                return None;",
        to: "if memory.history(direction).hits() > 0 {\n                    return Some(*way);\n                }\n                \
             packet.stale = Some(Stale { hop: way.hop, renewal });\n                return None;",
        noticed_by: &[router("a_busy_flow_follows_its_route_too")],
    },
    Mutation {
        name: "bad_packets_keep_flows_alive",
        mistake: "packets that do not belong to a flow keep it from ending",
        file: "conntrack/src/table/mod.rs",
        from: "Outcome::Invalid(reason) => return Some(Tracked::Invalid(reason)),",
        to: "Outcome::Invalid(reason) => {\n                self.prolong(&conn, now + Duration::from_secs(600));\n                \
             return Some(Tracked::Invalid(reason));\n            }",
        noticed_by: &[conntrack("a_flow_that_only_bad_packets_come_by_for_ends")],
    },
    Mutation {
        name: "drop_outlives_its_cause",
        mistake: "a remembered drop stands although the route has moved and another rule would judge",
        file: "router/src/verdict/negative.rs",
        from: "if matches!(judgement, Judgement::Stale(_)) || way.redirect",
        to: "let _ = judgement;\n    if way.redirect",
        noticed_by: &[router("what_is_denied_no_more_passes_at_once")],
    },
    Mutation {
        name: "drop_never_ages",
        mistake: "what is remembered of a flood outlives it by an hour",
        file: "router/src/verdict/negative.rs",
        from: "ends: now + LIFE",
        to: "ends: now + LIFE * 3_600",
        noticed_by: &[router("a_drop_is_remembered_for_a_second")],
    },
    Mutation {
        name: "reply_judged_as_new",
        mistake: "what rules have made of one direction is taken for the other",
        file: "router/src/hooks/keep_verdict.rs",
        from: "conn.user.set_verdict(direction, word);",
        to: "let _ = direction;\n    for either in conntrack::Direction::ALL {\n        conn.user.set_verdict(either, word);\n    }",
        noticed_by: &[router("what_is_remembered_is_what_the_rules_would_say")],
    },
    Mutation {
        name: "verdict_numbers_reused",
        mistake: "what new rules have made of packets bears numbers that flows remember from old rules",
        file: "router/src/verdict/passages.rs",
        from: "Self::from_number(self.kept.close())",
        to: "self.kept.close();\n        Self::from_number(self.first)",
        noticed_by: &[router(
            "numbers_of_chains_that_are_gone_mean_nothing_and_when_none_is_left_nothing_is_kept",
        )],
    },
    Mutation {
        name: "reply_is_new_to_rules",
        mistake: "replies of established flows are judged as if they began one",
        file: "router/src/rules/run/evaluate/read.rs",
        from: "CtState::Established | CtState::EstablishedReply => 2,",
        to: "CtState::Established => 2,\n        CtState::EstablishedReply => 8,",
        noticed_by: &[router("the_flow_is_known_by_state_and_tuple")],
    },
    Mutation {
        name: "counters_not_brought_up_to_date",
        mistake: "who reads counters lacks what flows have counted since",
        file: "router/src/chain/registry.rs",
        from: "self.chains.load().passages.fold();",
        to: "",
        noticed_by: &[router("counters_of_rules_sets_and_objects_are_right_whenever_they_are_read")],
    },
];

const fn fib(name: &'static str) -> Test {
    Test { package: "fib", name }
}

const fn router(name: &'static str) -> Test {
    Test { package: "router", name }
}

const fn conntrack(name: &'static str) -> Test {
    Test { package: "conntrack", name }
}
