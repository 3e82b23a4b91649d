//! From what was taken in to what readers see: what differs from what is published, edit by edit.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::Writer;
use crate::cache::Staleness;
use crate::journal::{
    Difference, PathDifference, Subject, difference_of_candidates, difference_of_paths,
    differences_of_surroundings,
};
use crate::path::{Path, PathId};
use crate::publish::Absorb;
use crate::rib::Announced;
use crate::snapshot::surroundings::Surroundings;
use crate::snapshot::{Candidate, Entry, Generation, Snapshot, Table};

/// Up to how many routes all are looked at for those that a path which returned makes count again. With more, all flows
/// of its family ask anew.
pub(super) const ROUTES_SEARCHED_MAX: usize = 65_536;

/// One edit of a published copy. Both copies get the same ones in the same order.
#[derive(Debug)]
pub(super) enum Operation {
    Surroundings(Arc<Surroundings>, Vec<Difference>),
    /// The next slot is for the table of this number.
    Table(u32),
    NewPath(PathId, Arc<Path>),
    Path(PathId, Arc<Path>, PathDifference),
    PathGone(PathId),
    Entry {
        slot: u32,
        prefix: IpNet,
        entry: Entry,
        reason: Staleness,
    },
    /// Nothing kept is to be believed.
    Flush,
    Generation(Generation),
}

impl Writer {
    /// Publishes what differs from what is published, if anything does.
    pub(super) fn publish(&mut self) {
        let mut operations = Vec::new();
        self.collect_surroundings(&mut operations);
        self.collect_paths(&mut operations);
        self.name_returning_routes(&mut operations);
        self.collect_routes(&mut operations);
        let changes_a_decision = !operations.is_empty();
        self.rib.paths.free_unused(|id| operations.push(Operation::PathGone(id)));
        if operations.is_empty() {
            return;
        }
        if changes_a_decision {
            // Each operation changes the tables, then the journal; the generation follows both.
            self.generation = self.generation.next();
            operations.push(Operation::Generation(self.generation));
        }
        self.publisher.publish(operations, std::thread::yield_now);
    }

    /// Names the routes of paths that can be taken (over a link) where they could not.
    fn name_returning_routes(&self, operations: &mut [Operation]) {
        if self.rib.routes.len() > self.routes_searched_max {
            return;
        }
        let mut returning: HashMap<PathId, &mut Vec<(u32, IpNet)>> = HashMap::new();
        for operation in operations {
            if let Operation::Path(id, _, difference) = operation
                && difference.link_returns
            {
                returning.insert(*id, difference.prefixes.insert(Vec::new()));
            }
        }
        if returning.is_empty() {
            return;
        }
        for (table, prefix, held) in self.rib.routes.iter_after(None) {
            for announced in held {
                if let Some(prefixes) = returning.get_mut(&announced.path) {
                    prefixes.push((self.rib.table_slots[&table], prefix));
                }
            }
        }
    }

    fn collect_surroundings(&mut self, operations: &mut Vec<Operation>) {
        let published = &self.publisher.published().surroundings;
        let custom_local = self.rib.routes.custom_local > 0;
        if std::mem::take(&mut self.rib.dirty.surroundings) || published.custom_local_routes != custom_local {
            let surroundings = self.rib.surroundings(self.hash_key);
            if **published != surroundings {
                let differences = differences_of_surroundings(published, &surroundings);
                operations.push(Operation::Surroundings(Arc::new(surroundings), differences));
            }
        }
    }

    fn collect_paths(&mut self, operations: &mut Vec<Operation>) {
        let published = self.publisher.published();
        let mut look_at = |id: PathId, ipv6: bool, path: Path| match published.path(id) {
            Some(before) if *before == path => {}
            Some(before) => {
                let difference = difference_of_paths(before, &path, ipv6);
                operations.push(Operation::Path(id, Arc::new(path), difference));
            }
            None => operations.push(Operation::NewPath(id, Arc::new(path))),
        };
        let new = std::mem::take(&mut self.rib.dirty.paths);
        if std::mem::take(&mut self.rib.dirty.all_paths) {
            for (id, spec) in self.rib.paths.in_use() {
                look_at(id, spec.ipv6, self.rib.resolve(spec));
            }
        } else {
            for id in new.into_iter().filter(|id| self.rib.paths.is_used(*id)) {
                let spec = self.rib.paths.spec(id);
                look_at(id, spec.ipv6, self.rib.resolve(spec));
            }
        }
    }

    fn collect_routes(&mut self, operations: &mut Vec<Operation>) {
        let published = self.publisher.published();
        let mut tables: Vec<(u32, u32)> = self
            .rib
            .table_slots
            .iter()
            .map(|(table, slot)| (*slot, *table))
            .filter(|(slot, _)| *slot as usize >= published.tables.len())
            .collect();
        tables.sort_unstable();
        let mut edits = Vec::new();
        for (table, prefix) in self.rib.dirty.routes.drain() {
            let slot = self.rib.table_slots[&table];
            let held = self.rib.routes.get(table, prefix);
            let entry: Entry =
                held.iter().map(|held: &Announced| Candidate { path: held.path, tos: held.tos }).collect();
            let before = published.tables.get(slot as usize).map_or(&[][..], |table| table.get(prefix));
            if before != entry.as_slice() {
                let reason = difference_of_candidates(before, &entry, |path| self.rib.paths.spec(path));
                edits.push(Operation::Entry { slot, prefix, entry, reason });
            }
        }
        if !edits.is_empty() {
            operations.extend(tables.into_iter().map(|(_, table)| Operation::Table(table)));
            operations.append(&mut edits);
        }
    }
}

impl Absorb<Operation> for Snapshot {
    fn absorb(&mut self, operation: &Operation) {
        // What a batch changes belongs to the generation it ends with.
        let generation = self.generation.next();
        match operation {
            Operation::Surroundings(surroundings, differences) => {
                self.surroundings = surroundings.clone();
                differences.iter().for_each(|difference| self.journal.note(generation, difference));
            }
            Operation::Table(number) => self.tables.push(Table::new(*number)),
            Operation::NewPath(id, path) => {
                self.set_path(*id, Some(path.clone()));
                self.journal.note_new_path(generation, *id);
            }
            Operation::Path(id, path, difference) => {
                self.set_path(*id, Some(path.clone()));
                self.journal.note_path(generation, *id, difference);
            }
            Operation::PathGone(id) => self.set_path(*id, None),
            Operation::Entry { slot, prefix, entry, reason } => {
                let table = &mut self.tables[*slot as usize];
                table.set(*prefix, entry.clone());
                self.journal.note_routes(generation, (*slot, table.number), *prefix, *reason);
            }
            Operation::Flush => {
                self.journal
                    .note(generation, &Difference { reason: Staleness::Flush, subject: Subject::All });
            }
            Operation::Generation(generation) => self.generation = *generation,
        }
    }
}

impl Snapshot {
    fn set_path(&mut self, id: PathId, path: Option<Arc<Path>>) {
        let place = id.0 as usize;
        if self.paths.len() <= place {
            self.paths.resize(place + 1, None);
        }
        self.paths[place] = path;
    }
}
