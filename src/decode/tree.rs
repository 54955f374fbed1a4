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
    /// Its key as it is mostly written, with quotes.
    pub(super) quoted: String,
    /// The text found here is kept in this slot.
    pub(super) slot: Option<usize>,
    /// Keys that are wanted. They go before `each`.
    pub(super) children: Vec<(String, Node)>,
    /// Every element of an array, every other value of an object.
    pub(super) each: Option<Box<Node>>,
    /// The value itself, or every element where it is an array. What else is wanted beneath is wanted beneath this one.
    pub(super) one_or_each: Option<Box<Node>>,
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
    /// The path ends with `*` or `?`: an array of records, or one record.
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
            node = node.step(step, |passed| passed.beneath.push(slot));
        }
        node.slot = Some(slot);
        slot
    }

    /// Every path that is wanted and its slot.
    pub(super) fn slots_by_path(&self) -> impl Iterator<Item = (usize, &JsonPath)> {
        self.paths.iter().enumerate()
    }

    /// The place of the elements of the list at `path`, where something of them is wanted.
    pub(super) fn elements(&self, path: &JsonPath) -> Option<&Node> {
        let mut node = &self.root;
        for step in &path.0 {
            node = match step {
                Step::Key(key) => {
                    let node = node.one_or_each.as_deref().unwrap_or(node);
                    &node.children[node.child(key)?].1
                }
                Step::OneOrEach => node.one_or_each.as_deref()?,
                Step::Each => node.each.as_deref()?,
            };
        }
        node.each.as_deref()
    }

    /// Makes `path` the place of the records.
    pub(super) fn rows_at(&mut self, path: &JsonPath) {
        let mut node = &mut self.root;
        for step in &path.0 {
            node.leads_to_rows = true;
            node = node.step(step, |passed| passed.leads_to_rows = true);
        }
        node.leads_to_rows = true;
        node.rows = Some(match path.0.last() {
            Some(Step::Each | Step::OneOrEach) => RowsAt::Each,
            Some(Step::Key(_)) | None => RowsAt::Array,
        });
    }
}

impl Node {
    /// The place one step further, made where it is new. `passing` is done to the place that may be wrapped in an array,
    /// where the way leads through it.
    fn step(&mut self, step: &Step, passing: impl FnOnce(&mut Node)) -> &mut Node {
        let path = |word: &str| match self.path.as_str() {
            "" => word.to_owned(),
            path => format!("{path}.{word}"),
        };
        match step {
            Step::Each => {
                let fresh = Node { path: path("*"), ..Node::default() };
                self.each.get_or_insert_with(|| Box::new(fresh))
            }
            Step::OneOrEach => {
                let path = path("?");
                let children = &mut self.children;
                self.one_or_each.get_or_insert_with(|| Box::new(Node::wrapped(path, std::mem::take(children))))
            }
            Step::Key(key) => match self.one_or_each {
                Some(ref mut wrapped) => {
                    passing(wrapped);
                    wrapped.key(key)
                }
                None => self.key(key),
            },
        }
    }

    /// The place of a value that may be wrapped in an array, with what was wanted of it when it could not.
    fn wrapped(path: String, children: Vec<(String, Node)>) -> Node {
        let slots = children.iter().flat_map(|(_, child)| child.slot.iter().chain(&child.beneath));
        let beneath = slots.copied().collect();
        let leads_to_rows = children.iter().any(|(_, child)| child.leads_to_rows);
        Node { path, children, beneath, leads_to_rows, ..Node::default() }
    }

    fn key(&mut self, key: &str) -> &mut Node {
        let index = match self.child(key) {
            Some(index) => index,
            None => {
                let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
                let quoted = format!("\"{key}\"");
                self.children.push((key.to_owned(), Node { path, quoted, ..Node::default() }));
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
        self.children.is_empty() && self.each.is_none() && self.one_or_each.is_none() && !self.leads_to_rows
    }

    /// Whether this is a record itself, or an element of the list of which each makes a row.
    pub(super) fn is_row(&self) -> bool {
        self.path.is_empty() || self.path.ends_with(".*")
    }

    /// The slot of the value itself where it is not wrapped in an array.
    pub(super) fn slot_unwrapped(&self) -> Option<usize> {
        self.one_or_each.as_deref().and_then(|wrapped| wrapped.slot)
    }

    /// Whether an object here is a record itself.
    pub(super) fn object_is_record(&self) -> bool {
        self.rows == Some(RowsAt::Each) || self.one_or_each.as_deref().is_some_and(Node::object_is_record)
    }

    /// Whether the records are right here, wrapped in an array or not.
    pub(super) fn holds_rows(&self) -> bool {
        self.rows.is_some() || self.one_or_each.as_deref().is_some_and(|wrapped| wrapped.rows.is_some())
    }
}
