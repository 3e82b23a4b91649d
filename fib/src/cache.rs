//! What a flow remembers of its route, and when that is still to be believed.
