//! The server of one scenario: each request gets the next answer of the one exchange that it is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::answer::{self, Answer};
use super::matching::{Arrived, fitting, unmatched};
use super::scenario::Exchange;

/// A platform would never say it.
const UNSCRIPTED: u16 = 599;

/// A running server; it ends with the value.
pub struct Server {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    script: Arc<Script>,
    _runtime: tokio::runtime::Runtime,
}

struct Script {
    folder: PathBuf,
    address: String,
    exchanges: Vec<Exchange>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How often each exchange was asked.
    asked: Vec<usize>,
    problems: Vec<String>,
}

impl Server {
    /// Answers with the files of `folder`.
    pub fn start(folder: &Path, exchanges: Vec<Exchange>) -> Server {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Mutex::new(Seen { asked: vec![0; exchanges.len()], problems: Vec::new() });
        let script = Arc::new(Script { folder: folder.to_owned(), address: address.clone(), exchanges, seen });
        let router = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(script.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Server { address, script, _runtime: runtime }
    }

    /// What was asked that should not have been, and what should have been asked and was not.
    pub fn problems(&self) -> Vec<String> {
        let seen = self.script.seen.lock().expect("what was seen");
        let mut problems = Vec::new();
        for said in &seen.problems {
            // What is retried is told once.
            if !problems.contains(said) {
                problems.push(said.clone());
            }
        }
        for (place, exchange) in self.script.exchanges.iter().enumerate() {
            let (asked, answers) = (seen.asked[place], exchange.answers.len());
            if asked != answers {
                let (number, title) = (place + 1, exchange.title());
                problems.push(format!("exchange {number} ({title}) was asked {asked} times, expected {answers}"));
            }
        }
        problems
    }
}

impl Script {
    /// The answer to `arrived`, or what is wrong with it.
    fn answer(&self, arrived: &Arrived) -> Result<Answer, String> {
        let fits = fitting(&self.exchanges, arrived);
        let [place] = fits.as_slice() else {
            return Err(match fits.len() {
                0 => unmatched(&self.exchanges, arrived),
                _ => {
                    let numbers: Vec<String> = fits.iter().map(|place| (place + 1).to_string()).collect();
                    format!("{} fits exchanges {}: it must fit one", arrived.title(), numbers.join(" and "))
                }
            });
        };
        let turn = {
            let mut seen = self.seen.lock().expect("what was seen");
            seen.asked[*place] += 1;
            seen.asked[*place] - 1
        };
        match self.exchanges[*place].answers.get(turn) {
            Some(name) => answer::read(&self.folder, name, &self.address),
            // The count at the end says so.
            None => Err(format!("{} was sent once more than there are answers", arrived.title())),
        }
    }
}

async fn answer(
    State(script): State<Arc<Script>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let arrived = Arrived {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    match script.answer(&arrived) {
        Ok(answer) => sent(answer),
        Err(said) => {
            script.seen.lock().expect("what was seen").problems.push(said.clone());
            let status = StatusCode::from_u16(UNSCRIPTED).expect("a status");
            (status, said).into_response()
        }
    }
}

fn sent(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).expect("a status");
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in &answer.headers {
        let name = HeaderName::try_from(name.as_str()).expect("a header's name");
        headers.append(name, HeaderValue::try_from(value).expect("a header's value"));
    }
    response
}
