//! One query's session: its tables, its limits, and its errors in this program's words.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::datasource::MemTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use url::Url;

use super::dataset::{self, Dataset};
use super::held::HeldFiles;
use super::snapshot::Snapshot;
use super::table::{LakeTable, STORE};
use super::{QueryInput, as_of, texts, view};
use crate::error::{Error, ErrorKind, Result};

/// Where the tables are found without being said; nobody writes it, so no message shows it.
const CATALOG: &str = "hourmark";
const SCHEMA: &str = "lake";
/// So many of the largest users of memory are named when it does not suffice.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not zero");

/// The tables of one query, and the files it reads.
pub(super) struct Engine {
    context: SessionContext,
    snapshot: Arc<Snapshot>,
    tables: Vec<String>,
    datasets: Vec<Dataset>,
}

impl Engine {
    /// Makes every table that `input` has. Reads the lake's descriptions, no rows.
    pub(super) async fn open(input: &QueryInput) -> Result<Engine> {
        let datasets = dataset::find(&input.lake).await?;
        refuse_equal_names(&datasets, input)?;
        if input.as_of.is_some() {
            as_of::warn_of_pending(&input.lake, &datasets).await?;
        }
        let snapshot = Arc::new(Snapshot::new(&input.lake));
        let context = context(input, &snapshot).map_err(|error| internal("start the query engine", error))?;
        let mut engine = Engine { context, snapshot, tables: Vec::new(), datasets: Vec::new() };
        engine.register(&datasets, input).await.map_err(|error| internal("make the lake's tables", error))?;
        engine.datasets = datasets;
        Ok(engine)
    }

    async fn register(&mut self, datasets: &[Dataset], input: &QueryInput) -> Result<(), DataFusionError> {
        let mut tables: HashMap<String, Arc<LakeTable>> = HashMap::new();
        for dataset in datasets {
            let table = LakeTable::new(dataset, Arc::clone(&self.snapshot))?;
            tables.insert(dataset.name.clone(), Arc::new(table));
        }
        for dataset in datasets {
            let Some(now) = tables.get(&dataset.name) else { continue };
            let table: Arc<dyn TableProvider> = match (input.as_of, tables.get(&dataset.log_name())) {
                (Some(moment), _) if dataset.holds_versions() => {
                    Arc::new(as_of::versions_view(dataset, now.clone(), moment).await?)
                }
                (Some(moment), Some(log)) => Arc::new(as_of::view(dataset, now.clone(), log.clone(), moment).await?),
                _ => now.clone(),
            };
            self.context.register_table(TableReference::bare(dataset.name.as_str()), table)?;
            self.tables.push(quoted(&dataset.name));
        }
        let all = view::over(&self.context, datasets).await?;
        self.context.register_table(view::NAME, Arc::new(all))?;
        self.tables.push(view::NAME.to_owned());
        let versions = view::over_versions(&self.context, datasets).await?;
        self.context.register_table(view::VERSIONS_NAME, Arc::new(versions))?;
        self.tables.push(view::VERSIONS_NAME.to_owned());
        for (name, rows) in &input.state_tables {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
            self.context.register_table(TableReference::bare(name.as_str()), Arc::new(table))?;
            self.tables.push(quoted(name));
        }
        Ok(())
    }

    /// What the lake holds.
    pub(super) fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// What it holds fast.
    #[cfg(test)]
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Checks and plans `sql`, and starts it. Only statements that read are let through.
    pub(super) async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        let plan = self.context.state().create_logical_plan(sql).await.map_err(|error| self.explain(error))?;
        refuse_changes(&plan)?;
        let rows = self.context.execute_logical_plan(plan).await.map_err(|error| self.explain(error))?;
        rows.execute_stream().await.map(texts::outside).map_err(|error| self.explain(error))
    }

    /// Whether each file was read in one version; see [`Snapshot::verify`].
    pub(super) fn verify(&self) -> Result<()> {
        self.snapshot.verify()
    }

    /// The engine's error in this program's words, by whose turn it is.
    pub(super) fn explain(&self, error: DataFusionError) -> Error {
        let root = error.find_root();
        let said = root.message();
        let wrong_text = |what: &str| Error::bad_input(format!("{what}: {said}"));
        match root {
            DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let columns: BTreeSet<String> = valid_fields.iter().map(|column| quoted(&column.name)).collect();
                    Error::bad_input(format!("no column is named `{}`", field.name))
                        .hint(format!("columns: {}", columns.into_iter().collect::<Vec<_>>().join(", ")))
                }
                _ => wrong_text("the query does not fit the tables"),
            },
            DataFusionError::Plan(said) if said.starts_with("table '") && said.ends_with("' not found") => {
                let path = said.split('\'').nth(1).unwrap_or_default();
                let name = path.strip_prefix(&format!("{CATALOG}.{SCHEMA}.")).unwrap_or(path);
                Error::bad_input(format!("no table is named `{name}`"))
                    .hint(format!("tables: {}", self.tables.join(", ")))
            }
            DataFusionError::Plan(said) if said.starts_with("No SQL statements") => {
                Error::bad_input("the query is empty").hint(format!("tables: {}", self.tables.join(", ")))
            }
            DataFusionError::Plan(_) => {
                wrong_text("the query does not fit the tables").hint(format!("tables: {}", self.tables.join(", ")))
            }
            DataFusionError::SQL(parser, _) => {
                let said = parser.to_string();
                Error::bad_input(format!("not a query: {}", said.trim_start_matches("sql parser error: ")))
            }
            DataFusionError::NotImplemented(said) if said.contains("single SQL statement") => {
                Error::bad_input("more than one statement").hint("ask one after the other")
            }
            DataFusionError::NotImplemented(_) | DataFusionError::Configuration(_) => {
                wrong_text("the query engine cannot do this")
            }
            DataFusionError::Execution(_) => wrong_text("the query failed"),
            DataFusionError::ResourcesExhausted(_) => wrong_text("the query needs more memory than it may use")
                .hint("read fewer hours or columns, group by less, or raise the memory limit"),
            DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
                Some(own) => passed_on(own),
                None => self.unreadable(error),
            },
            DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
                arrow::error::ArrowError::IoError(_, _)
                | arrow::error::ArrowError::ParquetError(_)
                | arrow::error::ArrowError::ExternalError(_) => self.unreadable(error),
                // A division by zero, a text that is no number.
                _ => wrong_text("the query failed"),
            },
            DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) => {
                self.unreadable(error)
            }
            _ => internal("run the query", error),
        }
    }

    fn unreadable(&self, error: DataFusionError) -> Error {
        match self.snapshot.damaged() {
            Some(path) => Error::storage(format!("cannot read the lake's `{}`", path.display())).because(error),
            None => Error::storage("cannot read the lake").because(error),
        }
    }
}

/// A session in UTC, with bounded memory, over what `snapshot` holds and no other files.
fn context(input: &QueryInput, snapshot: &Arc<Snapshot>) -> Result<SessionContext, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_collect_statistics(true)
        .with_parquet_pruning(true)
        .with_parquet_page_index_pruning(true);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    // Days do not overlap: read one after another, they keep their order, and nothing has to be sorted.
    options.execution.split_file_groups_by_statistics = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    // The lake's files have no such filters, and looking for them takes time for each row group.
    options.execution.parquet.bloom_filter_on_read = false;

    let memory = TrackConsumersPool::new(FairSpillPool::new(input.memory_limit), NAMED_CONSUMERS);
    // A list of files is not kept from one scan of a table to the next, which may hold fast further ones.
    let runtime =
        RuntimeEnvBuilder::new().with_memory_pool(Arc::new(memory)).with_object_list_cache_limit(0).build_arc()?;
    let store = Url::parse(STORE).map_err(|error| DataFusionError::External(Box::new(error)))?;
    runtime.register_object_store(&store, Arc::new(HeldFiles::of(Arc::clone(snapshot))));
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

fn refuse_equal_names(datasets: &[Dataset], input: &QueryInput) -> Result<()> {
    for dataset in datasets {
        let taken = [view::NAME, view::VERSIONS_NAME].contains(&dataset.name.as_str())
            || input.state_tables.iter().any(|(name, _)| *name == dataset.name);
        if taken {
            let path = input.lake.join(&dataset.name);
            return Err(Error::bad_input(format!(
                "the dataset `{}` has the name of one of the query's own tables",
                path.display()
            ))
            .hint("rename the pipeline's file and its folder in the lake"));
        }
    }
    Ok(())
}

fn refuse_changes(plan: &LogicalPlan) -> Result<()> {
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(plan).map_err(|error| {
        Error::bad_input(format!("a query only reads: {}", error.find_root().message()))
            .hint("SELECT, EXPLAIN, DESCRIBE and SHOW are possible; `--output FILE` keeps a result")
    })
}

/// An error of this program that went through the engine.
fn passed_on(own: &Error) -> Error {
    let text = own.report();
    let message = text.split("\n  hint: ").next().unwrap_or(&text);
    let error = Error::new(own.kind(), message);
    match own.hint_text() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn internal(what: &str, error: DataFusionError) -> Error {
    Error::new(ErrorKind::Internal, format!("cannot {what}: {}", error.strip_backtrace()))
}

/// `name` as it must be written in SQL.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
