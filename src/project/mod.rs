//! The project: the Amlfile with every name resolved and every default applied.

pub mod model;
