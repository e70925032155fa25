//! Small readers: document values to plain ones. What has the wrong shape was told by `amlfile` and reads as absent.

use std::collections::BTreeMap;

use super::Resolver;
use crate::amlfile::document::{Entry, Item};
use crate::diagnostic::Span;
use crate::value::Value;

/// The texts of a list, with their places.
pub(super) fn texts(item: &Item<'_>) -> Vec<(String, Span)> {
    let texts = item.list().unwrap_or_default().iter();
    texts.filter_map(|item| Some((item.scalar()?, item.span.clone()))).collect()
}

/// The texts of a list.
pub(super) fn plain_texts(item: &Item<'_>) -> Vec<String> {
    item.list().unwrap_or_default().iter().filter_map(Item::scalar).collect()
}

/// A table of scalars as texts.
pub(super) fn map(entries: &[Entry<'_>]) -> BTreeMap<String, String> {
    entries.iter().filter_map(|entry| Some((entry.key.clone().into_owned(), entry.item.scalar()?))).collect()
}

impl Resolver<'_> {
    /// A table of parameters.
    pub(super) fn params(&mut self, entries: &[Entry<'_>]) -> BTreeMap<String, (Value, Span)> {
        let mut params = BTreeMap::new();
        for entry in entries {
            self.param_name(entry);
            if let Some(value) = entry.item.value() {
                params.insert(entry.key.clone().into_owned(), (value, entry.item.span.clone()));
            }
        }
        params
    }
}
