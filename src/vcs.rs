//! Git, through libgit2: the properties of a run under the original's keys. The only file that knows git2.
//!
//! Called by `cli/assemble.rs` once per invocation that runs something. It never writes to the repository (not even its
//! index) and never fails: where there is no repository, or one that cannot be read, there are no properties.

use std::collections::BTreeMap;
use std::path::Path;
