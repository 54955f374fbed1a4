//! Records one unit's exchanges, compressed as they come: what is held in memory is the compressed bytes.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderMap;
use zstd::stream::write::Encoder;

use super::format::{Exchange, Header, Line, PartLine, is_harmless};
use crate::body::unpack;
use crate::decode::PageContext;
use crate::error::{Error, Result};
use crate::http::client::{Client, Response};
use crate::pipeline::Endpoint;
use crate::request::{Request, RequestBody, method_word};
use crate::secret::{Secret, mask};

const LEVEL: i32 = 3;
/// A larger archive is kept as it came.
const MOST_UNPACKED: u64 = 64 * 1024 * 1024;
/// Two to this power of bytes are looked back over: enough for a page to be found in the next one, and little memory
/// for each worker.
const WINDOW_LOG: u32 = 20;

/// A tape that runs along while a unit is fetched, or none at all. Nothing of it fails: what goes wrong is told by
/// [`Tape::finish`].
pub struct Tape {
    recorder: Option<Mutex<Recorder>>,
}

struct Recorder {
    encoder: Option<Encoder<'static, Vec<u8>>>,
    /// Response headers that the pipeline reads.
    declared: Arc<[String]>,
    /// As the client last had them, for what is said without a client.
    secrets: Vec<Secret>,
    taken: u32,
    exchanges: u32,
    broken: Option<io::Error>,
}

/// A request and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What it asked for.
    pub endpoint: Endpoint,
    /// What was sent, unsigned.
    pub request: &'a Request,
    /// The answer, or why there was none.
    pub answer: Result<&'a Response, &'a str>,
    /// Who signed it.
    pub client: &'a Client,
    /// The part that it belongs to.
    pub part: Option<u32>,
    /// Whether its page was taken into the unit's rows.
    pub taken: bool,
}

impl Tape {
    /// One that records nothing and costs nothing.
    pub fn off() -> Tape {
        Tape { recorder: None }
    }

    /// An empty one. Of response headers also `declared` (in lower case) are kept.
    pub fn on(declared: Arc<[String]>) -> Tape {
        let recorder = Recorder { encoder: None, declared, secrets: Vec::new(), taken: 0, exchanges: 0, broken: None };
        Tape { recorder: Some(Mutex::new(recorder)) }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.recorder.is_some()
    }

    fn recorder(&self) -> Option<MutexGuard<'_, Recorder>> {
        Some(self.recorder.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pages of part `number` are decoded with `context` from now on.
    pub fn part(&self, number: u32, context: &PageContext<'_>) {
        let Some(mut recorder) = self.recorder() else { return };
        let mut campaign_names = std::collections::BTreeMap::new();
        for (id, name) in context.campaign_names {
            campaign_names.insert(id.clone(), mask(name, &recorder.secrets));
        }
        let accounts = context.accounts.iter().map(|account| account.id.clone()).collect();
        let currencies = context.campaign_currencies.iter();
        let campaign_currencies = currencies.map(|(id, currency)| (id.clone(), currency.clone())).collect();
        let window = context.window.into();
        let asked = (context.asked != context.window).then(|| context.asked.into());
        let line = PartLine { part: number, accounts, window, asked, campaign_names, campaign_currencies };
        recorder.write(&Line::Part(line));
    }

    /// A request was sent and answered, or not.
    pub fn exchange(&self, seen: &Seen<'_>) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.learn(seen.client.secrets());
        let mut exchange = asked(seen.endpoint, seen.request, seen.client);
        (exchange.part, exchange.taken) = (seen.part, seen.taken);
        match seen.answer {
            Ok(response) => {
                exchange.status = Some(response.status);
                exchange.headers = headers(&response.headers, &recorder.declared, seen.client.secrets());
                set_body(&mut exchange, &response.body, seen.client.secrets());
            }
            Err(why) => exchange.error = Some(mask(why, seen.client.secrets())),
        }
        recorder.taken += u32::from(seen.taken);
        recorder.exchanges += 1;
        recorder.write(&Line::Exchange(Box::new(exchange)));
    }

    /// Nothing was sent, because an earlier answer still holds: its body and `Link` header.
    pub fn cached(&self, endpoint: Endpoint, request: &Request, body: &[u8], link: Option<&str>, client: &Client) {
        let Some(mut recorder) = self.recorder() else { return };
        recorder.learn(client.secrets());
        let mut exchange = asked(endpoint, request, client);
        (exchange.cached, exchange.status) = (true, Some(200));
        exchange.headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        exchange.headers.extend(link.map(|link| ("link".to_owned(), mask(link, client.secrets()))));
        set_body(&mut exchange, body, client.secrets());
        recorder.exchanges += 1;
        recorder.write(&Line::Exchange(Box::new(exchange)));
    }

    /// How many pages were taken so far.
    pub fn mark(&self) -> u32 {
        self.recorder().map_or(0, |recorder| recorder.taken)
    }

    /// The pages taken after `mark` are dropped again.
    pub fn back_to(&self, mark: u32) {
        let Some(mut recorder) = self.recorder() else { return };
        if recorder.taken > mark {
            recorder.taken = mark;
            recorder.write(&Line::Dropped { keep: mark });
        }
    }

    /// The whole cassette: `header` before everything that was recorded. `None` where nothing is recorded.
    ///
    /// # Errors
    /// Compression that failed, at any time.
    pub fn finish(self, header: &Header) -> Result<Option<Vec<u8>>> {
        let Some(recorder) = self.recorder else { return Ok(None) };
        let recorder = recorder.into_inner().unwrap_or_else(PoisonError::into_inner);
        let work = || recorder.finish(header);
        work().map(Some).map_err(|error| Error::storage("cannot compress a cassette").because(error))
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Secrets only become more: a client that was signed in anew knows the old ones too.
    fn learn(&mut self, secrets: &[Secret]) {
        if secrets.len() > self.secrets.len() {
            self.secrets = secrets.to_vec();
        }
    }

    fn write(&mut self, line: &Line) {
        if self.broken.is_none()
            && let Err(error) = self.try_write(line)
        {
            self.broken = Some(error);
        }
    }

    fn try_write(&mut self, line: &Line) -> io::Result<()> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(encoder()?),
        };
        write_line(encoder, line)
    }

    fn finish(mut self, header: &Header) -> io::Result<Vec<u8>> {
        self.write(&Line::End { exchanges: self.exchanges });
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let mut first = encoder()?;
        write_line(&mut first, &masked(header, &self.secrets))?;
        // Frames of zstd follow each other in a file: what is known last can stand first.
        let mut whole = first.finish()?;
        if let Some(encoder) = self.encoder {
            whole.extend(encoder.finish()?);
        }
        Ok(whole)
    }
}

fn encoder() -> io::Result<Encoder<'static, Vec<u8>>> {
    let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn write_line(to: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

/// The header without secrets in what the platform gave.
fn masked(header: &Header, secrets: &[Secret]) -> Header {
    let mut header = header.clone();
    for account in &mut header.accounts {
        account.name = mask(&account.name, secrets);
    }
    for gone in &mut header.gone {
        gone.why = mask(&gone.why, secrets);
    }
    if let Some(failed) = &mut header.failed {
        failed.reason = mask(&failed.reason, secrets);
    }
    header
}

fn asked(endpoint: Endpoint, request: &Request, client: &Client) -> Exchange {
    let secrets = client.secrets();
    let body = match &request.body {
        RequestBody::None => None,
        RequestBody::Json(value) => Some(mask(&value.to_string(), secrets)),
        RequestBody::Form(fields) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for field in fields {
                form.append_pair(&field.name, &field.value);
            }
            Some(mask(&form.finish(), secrets))
        }
    };
    let pairs = request.headers.iter().map(|(name, value)| (name.clone(), mask(value, secrets)));
    Exchange {
        endpoint: endpoint.word().to_owned(),
        method: method_word(request.method).to_owned(),
        url: client.shown_url(request),
        request_headers: pairs.collect(),
        request_body: body,
        ..Exchange::default()
    }
}

fn headers(headers: &HeaderMap, declared: &[String], secrets: &[Secret]) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for (name, value) in headers {
        if let (true, Ok(value)) = (is_harmless(name.as_str(), declared), value.to_str()) {
            kept.push((name.as_str().to_owned(), mask(value, secrets)));
        }
    }
    kept
}

/// A body that is not UTF-8 is kept as it is, unless a secret is in it: then the text around it is all that is kept.
/// Archives are kept unpacked: whoever reads them again does not mind, and only in a text can secrets be found.
fn set_body(exchange: &mut Exchange, bytes: &[u8], secrets: &[Secret]) {
    let unpacked = unpack(bytes, MOST_UNPACKED).unwrap_or(Cow::Borrowed(bytes));
    let bytes = unpacked.as_ref();
    match std::str::from_utf8(bytes) {
        Ok(text) => exchange.body = Some(mask(text, secrets)),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let masked = mask(&text, secrets);
            if masked == text {
                exchange.set_body(bytes);
            } else {
                exchange.body = Some(masked);
            }
        }
    }
}
