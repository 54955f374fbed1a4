//! What the names of folders say of the files in them: which files a scan can want.
//!
//! Of a lake of years a question mostly wants some days. The engine leaves other days out by itself, but only of files that
//! it is shown; and each file that it is shown has been given a link first.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::create_physical_expr;

/// Those of `files` that can have rows for which all of `filters` hold. Files are relative to their dataset, below one
/// folder `<partition>=<value>` for each of `partitions`.
///
/// What a condition says of other columns is not looked at. Errors: a folder whose value is none of its column's type.
pub(super) fn wanted(files: Vec<PathBuf>, partitions: &[(String, DataType)], filters: &[Expr]) -> Result<Vec<PathBuf>> {
    let names: Vec<&str> = partitions.iter().map(|(name, _)| name.as_str()).collect();
    let of_folders = filters.iter().filter(|filter| expr_applicable_for_cols(&names, filter)).cloned();
    let condition = match conjunction(of_folders) {
        Some(condition) if !names.is_empty() && !files.is_empty() => condition,
        _ => return Ok(files),
    };
    let fields = partitions.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect();
    let schema = DFSchema::from_unqualified_fields(fields, Default::default())?;
    let columns = partitions.iter().enumerate().map(|(depth, (_, data_type))| {
        let values = files.iter().map(|file| value(file, depth, data_type)).collect::<Result<Vec<_>>>()?;
        ScalarValue::iter_to_array(values)
    });
    let folders = RecordBatch::try_new(schema.inner().clone(), columns.collect::<Result<Vec<_>>>()?)?;
    let context = PhysicalPlanningContext::default();
    let condition = create_physical_expr(&condition, &schema, &ExecutionProps::new(), &context)?;
    let holds = condition.evaluate(&folders)?.into_array(files.len())?;
    let holds = holds.as_boolean();
    let of_files = files.into_iter().enumerate();
    Ok(of_files.filter(|(place, _)| holds.is_valid(*place) && holds.value(*place)).map(|(_, file)| file).collect())
}

/// What the folder at `depth` of a file's path says after its `=`.
fn value(file: &Path, depth: usize, data_type: &DataType) -> Result<ScalarValue> {
    let folder = file.iter().nth(depth).and_then(|name| name.to_str()).unwrap_or_default();
    let value = folder.split_once('=').map_or("", |(_, value)| value);
    ScalarValue::try_from_string(value.to_owned(), data_type)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{ident, lit};

    use super::*;

    fn days() -> Vec<PathBuf> {
        ["2026-11-18", "2026-11-19", "2026-11-20"].map(|day| format!("date={day}/bucket-00.parquet").into()).to_vec()
    }

    fn date(day: i32) -> Expr {
        lit(ScalarValue::Date32(Some(day)))
    }

    /// 2026-11-18.
    const FIRST: i32 = 20_775;

    #[test]
    fn only_days_that_a_condition_leaves_are_wanted() {
        let partitions = [("date".to_owned(), DataType::Date32)];
        let wanted = |filters: &[Expr]| wanted(days(), &partitions, filters).expect("dates");
        assert_eq!(wanted(&[]), days());
        assert_eq!(wanted(&[ident("date").gt(date(FIRST))]), days()[1..]);
        assert_eq!(wanted(&[ident("date").gt(date(FIRST)), ident("date").lt(date(FIRST + 2))]), days()[1..2]);
        assert_eq!(wanted(&[ident("date").gt(date(FIRST + 2))]), [] as [PathBuf; 0]);
        // Nothing is known of other columns, alone or beside the date's.
        assert_eq!(wanted(&[ident("clicks").gt(lit(1))]), days());
        assert_eq!(wanted(&[ident("clicks").gt(lit(1)).or(ident("date").gt(date(FIRST)))]), days());
        assert_eq!(wanted(&[ident("clicks").gt(lit(1)), ident("date").eq(date(FIRST))]), days()[..1]);
        assert_eq!(wanted(&[ident("date").eq(lit(ScalarValue::Date32(None)))]), [] as [PathBuf; 0]);
    }

    #[test]
    fn folders_within_folders_are_looked_at_together() {
        let partitions = [("date".to_owned(), DataType::Date32), ("utc_hour".to_owned(), DataType::Int8)];
        let files: Vec<PathBuf> = ["2026-11-18/utc_hour=09", "2026-11-18/utc_hour=10", "2026-11-19/utc_hour=09"]
            .map(|folders| format!("date={folders}/bucket-00.parquet").into())
            .to_vec();
        let filters = [ident("utc_hour").gt_eq(lit(9i8)), ident("utc_hour").lt_eq(lit(9i8))];
        let found = wanted(files.clone(), &partitions, &filters).expect("numbers");
        assert_eq!(found, [files[0].clone(), files[2].clone()]);
    }

    #[test]
    fn a_dataset_without_folders_is_wanted_whole() {
        let files = vec![PathBuf::from("versions-00.parquet")];
        assert_eq!(wanted(files.clone(), &[], &[lit(false)]).expect("nothing to look at"), files);
    }

    #[test]
    fn a_folder_that_is_no_date_is_an_error() {
        let files = vec![PathBuf::from("date=someday/bucket-00.parquet")];
        let partitions = [("date".to_owned(), DataType::Date32)];
        assert!(wanted(files, &partitions, &[ident("date").gt(date(FIRST))]).is_err());
    }
}
