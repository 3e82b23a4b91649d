//! The paths that routes lead over, each kept once and counted.

use std::collections::HashMap;
use std::sync::Arc;

use crate::path::{PathId, PathSpec};

/// Paths by id. An id that no route uses any more is given out again only after [`Paths::free_unused`], so that a
/// route which goes and comes back within a batch finds its path where it was.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    slots: Vec<PathSlot>,
    by_spec: HashMap<Arc<PathSpec>, PathId>,
    free: Vec<PathId>,
    unused: Vec<PathId>,
}

#[derive(Debug)]
struct PathSlot {
    spec: Option<Arc<PathSpec>>,
    routes: u32,
}

impl Paths {
    /// The id for a path, used once more from now on. New ones are told by `is_new`.
    pub(crate) fn acquire(&mut self, spec: PathSpec, is_new: &mut impl FnMut(PathId)) -> PathId {
        if let Some(id) = self.by_spec.get(&spec).copied() {
            self.slots[id.0 as usize].routes += 1;
            return id;
        }
        let spec = Arc::new(spec);
        let slot = PathSlot { spec: Some(spec.clone()), routes: 1 };
        let id = if let Some(id) = self.free.pop() {
            self.slots[id.0 as usize] = slot;
            id
        } else {
            self.slots.push(slot);
            PathId(u32::try_from(self.slots.len() - 1).expect("no more paths than routes"))
        };
        self.by_spec.insert(spec, id);
        is_new(id);
        id
    }

    /// One route fewer uses the path.
    pub(crate) fn release(&mut self, id: PathId) {
        let slot = &mut self.slots[id.0 as usize];
        slot.routes -= 1;
        if slot.routes == 0 {
            self.unused.push(id);
        }
    }

    /// Forgets the paths that no route uses; tells which.
    pub(crate) fn free_unused(&mut self, mut is_free: impl FnMut(PathId)) {
        for id in std::mem::take(&mut self.unused) {
            let slot = &mut self.slots[id.0 as usize];
            if slot.routes > 0 {
                continue;
            }
            if let Some(spec) = slot.spec.take() {
                self.by_spec.remove(&spec);
                self.free.push(id);
                is_free(id);
            }
        }
    }

    /// Whether some route uses a path.
    pub(crate) fn is_used(&self, id: PathId) -> bool {
        self.slots[id.0 as usize].routes > 0
    }

    /// What a path in use is made of.
    pub(crate) fn spec(&self, id: PathId) -> &Arc<PathSpec> {
        self.slots[id.0 as usize].spec.as_ref().expect("a route's path is not freed")
    }

    /// All paths that some route uses.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = (PathId, &Arc<PathSpec>)> {
        let id = |place| PathId(u32::try_from(place).expect("no more paths than routes"));
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.routes > 0)
            .filter_map(move |(place, slot)| Some((id(place), slot.spec.as_ref()?)))
    }
}
