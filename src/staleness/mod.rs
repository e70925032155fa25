//! Freshness: what a job's result depends on, and what the difference to an earlier run says. Pure.

pub mod differences;
pub mod fingerprint;
pub mod judge;
pub mod reason;

pub use fingerprint::{Fingerprint, Key};
pub use judge::{Last, Memory, Orders, Past, Present, Recorded};
pub use reason::{Reason, Repair, Verdict};
