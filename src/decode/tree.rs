//! The wanted paths as a tree, so that one pass over the text finds them all.

use crate::pipeline::{JsonPath, Step};

/// Wanted places with numbered slots. The same path is one slot.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) root: Node,
    paths: Vec<JsonPath>,
}

/// One place and the places beneath it.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The path from the root, for messages.
    pub(super) path: String,
    /// The text found here is kept in this slot.
    pub(super) slot: Option<usize>,
    /// Keys that are wanted. They go before `each`.
    pub(super) children: Vec<(String, Node)>,
    /// Every element of an array, every other value of an object.
    pub(super) each: Option<Box<Node>>,
    /// Whether the records are here.
    pub(super) rows: Option<RowsAt>,
    /// Whether the records are here or beneath.
    pub(super) leads_to_rows: bool,
    /// All slots beneath, to be forgotten where the same key comes again.
    pub(super) beneath: Vec<usize>,
}

/// What the records' path may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsAt {
    /// An array of records.
    Array,
    /// The path ends with `*`: an array of records, or one record.
    Each,
}

impl Tree {
    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.paths.len()
    }

    /// The slot of `path`.
    pub(super) fn want(&mut self, path: &JsonPath) -> usize {
        if let Some(slot) = self.paths.iter().position(|known| known == path) {
            return slot;
        }
        let slot = self.paths.len();
        self.paths.push(path.clone());
        let mut node = &mut self.root;
        for step in &path.0 {
            node.beneath.push(slot);
            node = node.step(step);
        }
        node.slot = Some(slot);
        slot
    }

    /// Makes `path` the place of the records.
    pub(super) fn rows_at(&mut self, path: &JsonPath) {
        let mut node = &mut self.root;
        for step in &path.0 {
            node.leads_to_rows = true;
            node = node.step(step);
        }
        node.leads_to_rows = true;
        node.rows = Some(if path.0.last() == Some(&Step::Each) { RowsAt::Each } else { RowsAt::Array });
    }
}

impl Node {
    /// The place one step further, made where it is new.
    fn step(&mut self, step: &Step) -> &mut Node {
        let word = match step {
            Step::Key(key) => key.as_str(),
            Step::Each => "*",
        };
        let path = if self.path.is_empty() { word.to_owned() } else { format!("{}.{word}", self.path) };
        let fresh = Node { path, ..Node::default() };
        let Step::Key(key) = step else {
            return self.each.get_or_insert_with(|| Box::new(fresh));
        };
        let index = match self.child(key) {
            Some(index) => index,
            None => {
                self.children.push((key.clone(), fresh));
                self.children.len() - 1
            }
        };
        &mut self.children[index].1
    }

    /// The number of the wanted key `key`. Objects have few wanted keys: a linear search is the quickest.
    pub(super) fn child(&self, key: &str) -> Option<usize> {
        self.children.iter().position(|(name, _)| name == key)
    }

    /// Whether nothing beneath is wanted.
    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty() && self.each.is_none() && !self.leads_to_rows
    }
}
