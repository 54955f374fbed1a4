//! `demo`: a simulated ad API, three days of hours over HTTP under a quota, a lake, and a first query.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::pipeline::{self, Override, Pipeline};
use crate::plan::Ask;
use crate::run::{Order, refresh_of};
use crate::simulate::{Options, Simulator};

use super::arguments::DemoArguments;
use super::runs;
use super::screen::Screen;
use super::settings::Settings;
use super::status::Facts;

/// The pipeline as it is shipped, so that the demo works from any folder.
const PIPELINE: &str = include_str!("../../pipelines/demo.toml");
/// What the simulated API asks for; it guards made-up numbers on a loopback port.
const TOKEN: &str = "demo-token";
/// What the demo asks the lake.
#[cfg(feature = "query")]
const QUESTION: &str = "select currency, count(*) as campaign_hours, sum(impressions) as impressions, sum(clicks) as \
                        clicks, sum(spend) as spend from demo group by currency order by currency";

pub(super) async fn demo(
    settings: &Settings,
    screen: &Screen,
    arguments: &DemoArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let options = Options { accounts: arguments.accounts, token: Some(TOKEN.to_owned()), ..Options::demo() };
    let simulator = Simulator::bind(options)
        .await
        .map_err(|error| Error::internal("cannot serve the simulated API").because(error))?;
    let secret = TokenFile::write()?;
    let pipeline = pipeline(settings, &simulator.base_url(), &secret)?;
    screen.remark(&format!(
        "simulated ad API on {} with {} accounts; pipelines/demo.toml runs against it\n",
        simulator.base_url(),
        arguments.accounts
    ));
    let served = stop.child_token();
    let done = served.clone();
    let server = tokio::spawn(simulator.serve(async move { served.cancelled().await }));
    let environment = settings.environment().await?;
    let order = Order { ask: Ask::Due, accounts: Vec::new() };
    let result = runs::one(&environment, screen, pipeline.clone(), &order, stop).await;
    done.cancel();
    server.abort();
    let report = result?;
    let refresh = refresh_of(Some(&environment.state), pipeline.clone()).await?;
    let facts = Facts::read(&environment.state, &refresh, settings.clock.now(), 3).await?;
    screen.result(&format!("\n{}", facts.picture()));
    answer(settings, screen).await?;
    Ok(report.outcome())
}

fn pipeline(settings: &Settings, base_url: &str, secret: &TokenFile) -> Result<Arc<Pipeline>> {
    let mut overrides = vec![
        Override::parse(&format!("api.base_url={base_url}"))?,
        Override::parse(&format!("auth.token=file:{}", secret.path.display()))?,
    ];
    overrides.extend(settings.overrides.iter().cloned());
    pipeline::parse("pipelines/demo.toml", PIPELINE, &overrides, &settings.quotas).map(Arc::new)
}

#[cfg(feature = "query")]
async fn answer(settings: &Settings, screen: &Screen) -> Result<()> {
    screen.result(&format!("\n$ hourmark query \"{QUESTION}\""));
    let input = super::query::input(settings, QUESTION).await?;
    let output = crate::query::Output::Writer(Box::new(std::io::stdout()));
    crate::query::run(input, QUESTION, crate::query::Format::Table, output).await?;
    screen.remark(&format!("\nthe lake is in `{}`: ask it anything with `hourmark query`", settings.lake.display()));
    Ok(())
}

#[cfg(not(feature = "query"))]
async fn answer(settings: &Settings, screen: &Screen) -> Result<()> {
    screen.remark(&format!("\nthe lake is in `{}`: any engine that knows Parquet reads it", settings.lake.display()));
    Ok(())
}

/// The demo's token as a file of its own, because secrets come from files and variables only.
struct TokenFile {
    path: std::path::PathBuf,
}

impl TokenFile {
    fn write() -> Result<TokenFile> {
        let path = std::env::temp_dir().join(format!("hourmark-demo-token-{}", std::process::id()));
        std::fs::write(&path, TOKEN)
            .map_err(|error| Error::storage(format!("cannot write `{}`", path.display())).because(error))?;
        Ok(TokenFile { path })
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}
