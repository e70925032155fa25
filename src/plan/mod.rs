//! The plan: the jobs that one request asks for, as a graph without cycles, needs before the needy.

pub mod job;
pub mod request;
