//! `[flow-cache]`: what is remembered of flows from the start, and what established flows do when routes change.

use fib::change::RoutePolicy;
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::OnOff;
use crate::engine::{FlowCache, Kind, Modes};

/// What is remembered of flows, and what they do when routes change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCacheConfig {
    /// What is in force from the start, kind by kind.
    pub modes: Modes,
    /// Prefixes with a policy for their established flows, in rising order, each once.
    pub policies: Vec<(IpNet, RoutePolicy)>,
}

impl Default for FlowCacheConfig {
    fn default() -> Self {
        Self { modes: Modes::all(FlowCache::On), policies: Vec::new() }
    }
}

/// The section as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    route: Option<Mode>,
    verdict: Option<OnOff>,
    negative: Option<OnOff>,
    untracked: Option<Mode>,
    keep: Option<Vec<Spanned<IpNet>>>,
    r#move: Option<Vec<Spanned<IpNet>>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    On,
    Off,
    Hold,
}

impl Section {
    /// Puts the section together with what is said of all kinds: by an argument, which beats it, or beside it in the file.
    ///
    /// # Errors
    /// A prefix that is named twice, and where.
    pub(super) fn merge<E>(
        self,
        argument: Option<OnOff>,
        all: Option<OnOff>,
        wrong: impl Fn(std::ops::Range<usize>, String) -> E,
    ) -> Result<FlowCacheConfig, E> {
        let mut modes = Modes::all(argument.or(all).unwrap_or(OnOff::On).into());
        if argument.is_none() {
            let kinds = [
                (Kind::Route, self.route.map(Into::into)),
                (Kind::Verdict, self.verdict.map(Into::into)),
                (Kind::Negative, self.negative.map(Into::into)),
                (Kind::Untracked, self.untracked.map(Into::into)),
            ];
            for (kind, mode) in kinds {
                modes = modes.with(kind, mode.unwrap_or(modes.of(kind)));
            }
        }
        let lists = [(self.keep, RoutePolicy::Keep), (self.r#move, RoutePolicy::Move)];
        let mut policies: Vec<(IpNet, RoutePolicy)> = Vec::new();
        for (list, policy) in lists {
            for prefix in list.into_iter().flatten() {
                let (span, prefix) = (prefix.span(), prefix.into_inner().trunc());
                match policies.binary_search_by_key(&prefix, |(known, _)| *known) {
                    Ok(_) => return Err(wrong(span, format!("{prefix} is named twice"))),
                    Err(place) => policies.insert(place, (prefix, policy)),
                }
            }
        }
        Ok(FlowCacheConfig { modes, policies })
    }
}

impl From<OnOff> for FlowCache {
    fn from(word: OnOff) -> Self {
        match word {
            OnOff::On => Self::On,
            OnOff::Off => Self::Off,
        }
    }
}

impl From<Mode> for FlowCache {
    fn from(word: Mode) -> Self {
        match word {
            Mode::On => Self::On,
            Mode::Off => Self::Off,
            Mode::Hold => Self::Hold,
        }
    }
}
