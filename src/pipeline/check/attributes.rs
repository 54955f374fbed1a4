//! Attributes of campaigns: columns that are read from the list of campaigns.

use indexmap::IndexMap;

use super::super::problem::KeyPath;
use super::super::{Column, raw, schema};
use super::Checker;
use super::columns::IDENTITY;

impl Checker<'_> {
    pub(super) fn attributes(
        &mut self,
        path: &KeyPath,
        columns: &IndexMap<String, raw::Column>,
    ) -> Option<Vec<Column>> {
        let mut checked = Vec::new();
        for (name, column) in columns {
            let path = path.key(name);
            // A column that is none has no type that could be missing.
            if self.attribute_name(&path, name).is_some() {
                checked.extend(self.column(&path, name, column, None));
            }
        }
        (checked.len() == columns.len()).then_some(checked)
    }

    fn attribute_name(&mut self, path: &KeyPath, name: &str) -> Option<()> {
        self.identifier(path, name)?;
        let message = match name {
            "campaign_id" => "is no attribute: expected its place as `campaigns.id`",
            "campaign_name" => "is no attribute: expected its place as `campaigns.name`",
            "currency" => "is a column that every dataset of campaigns has: expected its place as `campaigns.currency`",
            _ if IDENTITY.contains(&name) || schema::is_of_versions(name) => {
                "is a column that every dataset of campaigns has: expected another name"
            }
            _ => return Some(()),
        };
        self.wrong(path, message);
        None
    }
}
