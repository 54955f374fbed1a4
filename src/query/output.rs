//! Where a query's rows go and how they are written. Rows pass through; only a table holds some back to align them.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::{LineDelimitedWriter, WriterBuilder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};

/// A table shows so many rows; the other formats write all.
pub const TABLE_ROWS: usize = 1000;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people; the first 1000 rows.
    #[default]
    Table,
    /// Comma-separated with a header; times as RFC 3339; null as nothing.
    Csv,
    /// One JSON object a line; decimals as numbers with all their digits.
    Json,
    /// One Parquet file, compressed with zstd.
    Parquet,
}

/// Where rows go.
pub enum Output {
    /// A stream, as standard output. A reader that closes it early (`| head`) ends the query without an error.
    Writer(Box<dyn Write + Send>),
    /// A file, visible under its name only once it is complete.
    File(PathBuf),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Writer(_) => f.write_str("Writer"),
            Output::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// An opened [`Output`].
#[derive(Debug)]
pub(super) struct Target {
    writer: Counted,
    file: Option<Unfinished>,
}

impl Target {
    /// Opens `output`. A file inside `lake`, an existing folder and a missing parent are refused.
    pub(super) fn open(output: Output, lake: &Path) -> Result<Target> {
        let progress = Arc::new(Progress::default());
        match output {
            Output::Writer(inner) => Ok(Target { writer: Counted { inner, progress }, file: None }),
            Output::File(path) => {
                let (file, unfinished) = Unfinished::create(path, lake)?;
                let inner = Box::new(BufWriter::new(file));
                Ok(Target { writer: Counted { inner, progress }, file: Some(unfinished) })
            }
        }
    }

    /// What is written and whether anybody still reads it.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.writer.progress)
    }

    /// A sink of `format` for rows of `schema`, and the file's name to be given at the end.
    pub(super) fn sink(self, format: Format, schema: &SchemaRef) -> Result<(Sink, Option<Unfinished>)> {
        if matches!(format, Format::Json | Format::Parquet) {
            refuse_equal_names(schema)?;
        }
        Ok((Sink::new(self.writer, format, schema)?, self.file))
    }
}

fn refuse_equal_names(schema: &SchemaRef) -> Result<()> {
    for (index, field) in schema.fields().iter().enumerate() {
        if schema.fields()[..index].iter().any(|before| before.name() == field.name()) {
            return Err(Error::bad_input(format!("two columns of the result are named `{}`", field.name()))
                .hint("give one of them another name with `AS`"));
        }
    }
    Ok(())
}

/// How much has been written, and whether the reader has gone.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    closed: AtomicBool,
}

impl Progress {
    /// Bytes written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the reader of a pipe has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

pub(super) struct Counted {
    inner: Box<dyn Write + Send>,
    progress: Arc<Progress>,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Counted {
    /// The libraries above wrap an error in several ways, so a reader's going is noted where it is seen.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.progress.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(buffer);
        let written = self.note(result)?;
        self.progress.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.note(result)
    }
}

/// A file under a temporary name beside its own, removed when dropped before it is finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    fn create(path: PathBuf, lake: &Path) -> Result<(File, Unfinished)> {
        let cannot = |why: &str| Error::bad_input(format!("cannot write `{}`: {why}", path.display()));
        let Some(name) = path.file_name() else { return Err(cannot("not a file's name")) };
        if path.is_dir() {
            return Err(cannot("a folder of that name exists"));
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = parent.canonicalize().map_err(|error| cannot("its folder cannot be opened").because(error))?;
        if lake.canonicalize().is_ok_and(|lake| parent.starts_with(lake)) {
            return Err(
                cannot("it is inside the lake").hint("readers of the lake would take it for rows of a pipeline")
            );
        }
        let temporary = parent.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create(&temporary).map_err(|error| cannot("its folder is not writable").because(error))?;
        let path = parent.join(name);
        Ok((file, Unfinished { temporary, path }))
    }

    /// Gives the file its name, once its bytes are on disk.
    pub(super) fn finish(self) -> Result<()> {
        File::open(&self.temporary)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.temporary, &self.path))
            .map_err(|error| Error::storage(format!("cannot write `{}`", self.path.display())).because(error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Absent when it was finished.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Writes rows in one format.
#[derive(Debug)]
pub(super) enum Sink {
    Table(Table),
    Csv(Box<csv::Writer<Counted>>),
    Json(LineDelimitedWriter<Counted>),
    Parquet(Box<ArrowWriter<Counted>>),
}

/// The first rows of a table, and how many there were.
#[derive(Debug)]
pub(super) struct Table {
    writer: Counted,
    schema: SchemaRef,
    shown: Vec<RecordBatch>,
    rows_shown: usize,
    rows: usize,
}

impl Sink {
    fn new(writer: Counted, format: Format, schema: &SchemaRef) -> Result<Sink> {
        Ok(match format {
            Format::Table => {
                Sink::Table(Table { writer, schema: Arc::clone(schema), shown: Vec::new(), rows_shown: 0, rows: 0 })
            }
            Format::Csv => {
                let mut csv = csv::WriterBuilder::new().with_header(true).build(writer);
                // An empty result has a header too.
                csv.write(&RecordBatch::new_empty(Arc::clone(schema))).map_err(unwritten)?;
                Sink::Csv(Box::new(csv))
            }
            Format::Json => Sink::Json(WriterBuilder::new().with_explicit_nulls(true).build(writer)),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(concat!("hourmark ", env!("CARGO_PKG_VERSION")).to_owned())
                    .build();
                let parquet = ArrowWriter::try_new(writer, Arc::clone(schema), Some(properties));
                Sink::Parquet(Box::new(parquet.map_err(|error| unwritten(error.into()))?))
            }
        })
    }

    /// Writes some rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Sink::Table(table) => table.keep(batch),
            Sink::Csv(csv) => csv.write(batch).map_err(unwritten)?,
            Sink::Json(json) => json.write(batch).map_err(unwritten)?,
            Sink::Parquet(parquet) => parquet.write(batch).map_err(|error| unwritten(error.into()))?,
        }
        Ok(())
    }

    /// Writes what is still held back.
    pub(super) fn finish(self) -> Result<()> {
        let mut writer = match self {
            Sink::Table(table) => return table.print(),
            Sink::Csv(csv) => csv.into_inner(),
            Sink::Json(mut json) => {
                json.finish().map_err(unwritten)?;
                json.into_inner()
            }
            Sink::Parquet(parquet) => parquet.into_inner().map_err(|error: ParquetError| unwritten(error.into()))?,
        };
        writer.flush().map_err(|error| unwritten(error.into()))
    }
}

impl Table {
    fn keep(&mut self, batch: &RecordBatch) {
        let wanted = batch.num_rows().min(TABLE_ROWS - self.rows_shown);
        if wanted > 0 {
            self.shown.push(batch.slice(0, wanted));
        }
        self.rows_shown += wanted;
        self.rows += batch.num_rows();
    }

    fn print(mut self) -> Result<()> {
        if self.shown.is_empty() {
            self.shown.push(RecordBatch::new_empty(self.schema));
        }
        let options = FormatOptions::default().with_null("null").with_display_error(true);
        let text = pretty_format_batches_with_options(&self.shown, &options).map_err(unwritten)?;
        let mut print = || -> io::Result<()> {
            writeln!(self.writer, "{text}")?;
            let more = self.rows - self.rows_shown;
            if more > 0 {
                writeln!(self.writer, "… {more} more rows; use --format csv for all")?;
            }
            self.writer.flush()
        };
        print().map_err(|error| unwritten(error.into()))
    }
}

fn unwritten(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, _) | ArrowError::ExternalError(_) | ArrowError::ParquetError(_) => {
            Error::storage("cannot write the rows").because(error)
        }
        // A list in CSV, for one.
        error => Error::bad_input("the rows cannot be written in this format")
            .because(error)
            .hint("lists and structs go into `--format json` or `parquet`"),
    }
}
