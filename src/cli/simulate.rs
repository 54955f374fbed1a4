//! `simulate`: the simulated ad API as a process of its own.

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::simulate::{Options, Simulator};

use super::screen::Screen;

pub(super) async fn simulate(screen: &Screen, options: &Options, stop: CancellationToken) -> Result<Outcome> {
    let simulator = Simulator::bind(options.clone()).await.map_err(refused)?;
    // The first line of standard output is the address, for scripts that ask for port 0.
    screen.result(&format!("simulated ad API on {}", simulator.base_url()));
    screen.remark("GET / describes it; stop it with Ctrl-C");
    simulator.serve(async move { stop.cancelled().await }).await.map_err(refused)?;
    Ok(Outcome::Done)
}

fn refused(error: crate::simulate::SimulateError) -> Error {
    Error::bad_input("cannot serve the simulated API").because(error)
}
