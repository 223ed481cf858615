//! The API's client.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::cli::{Server, Stop};

/// An answer is awaited this long; the server gives up earlier.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer: a list of all objects of a large mesh.
const LONGEST: u64 = 256 << 20;

/// A client of one server.
pub(super) struct Client {
    agent: Agent,
    server: String,
    authorization: Option<String>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Client {
    /// A client with the token of a file.
    pub(super) fn new(server: &Server) -> Result<Self, Stop> {
        let authorization = server.token_file.as_ref().map(|file| match std::fs::read_to_string(file) {
            Ok(token) => Ok(format!("Bearer {}", token.trim())),
            Err(error) => Err(Stop::Refused(format!("the token file {}: {error}", file.display()))),
        });
        let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT)).max_redirects(0).build();
        Ok(Self { agent: config.into(), server: server.server.trim_end_matches('/').to_owned(), authorization: authorization.transpose()? })
    }

    /// What there is; none when there is nothing.
    pub(super) fn find(&self, path: &str) -> Result<Option<Value>, Stop> {
        let answer = self.get(path)?;
        if answer.status == 404 { Ok(None) } else { answer.read().map(Some) }
    }

    /// What there is.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Stop> {
        let request = self.agent.get(self.url(path)).header("authorization", self.authorization.as_deref().unwrap_or_default());
        self.answer(request.config().timeout_global(Some(PATIENCE)).build().call())
    }

    /// Sends JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, Stop> {
        let request = self.agent.post(self.url(path)).header("authorization", self.authorization.as_deref().unwrap_or_default());
        let request = request.header("content-type", "application/json").config().timeout_global(Some(PATIENCE)).build();
        self.answer(request.send(body.to_string()))
    }

    /// Deletes.
    pub(super) fn delete(&self, path: &str) -> Result<Answer, Stop> {
        let request = self.agent.delete(self.url(path)).header("authorization", self.authorization.as_deref().unwrap_or_default());
        self.answer(request.config().timeout_global(Some(PATIENCE)).build().call())
    }

    /// Lines as they come, each JSON.
    pub(super) fn lines(&self, path: &str) -> Result<impl Iterator<Item = Result<Value, Stop>>, Stop> {
        let request = self.agent.get(self.url(path)).header("authorization", self.authorization.as_deref().unwrap_or_default());
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.answer(Ok(response)).and_then(Answer::read::<Value>).err().unwrap_or(Stop::Unread));
        }
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        Ok(lines.map_while(|line| match line {
            Ok(line) => Some(serde_json::from_str(&line).map_err(|error| Stop::Refused(format!("the server said {line:?}: {error}")))),
            // The server ends a watch by ending it.
            Err(_) => None,
        }))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, Stop> {
        let mut response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST).read_to_string();
        let body = body.map_err(|error| Stop::Refused(format!("the answer of {} ended early: {error}", self.server)))?;
        Ok(Answer { status, body })
    }

    fn unreachable(&self, error: &ureq::Error) -> Stop {
        Stop::Refused(format!("the control plane at {} does not answer: {error}; is `ninon serve` running there?", self.server))
    }
}

impl Answer {
    /// Reads what was asked for, or what is wrong.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, Stop> {
        if !(200..300).contains(&self.status) {
            return Err(Stop::Refused(self.problem()));
        }
        serde_json::from_str(&self.body).map_err(|error| Stop::Refused(format!("the server's answer is not understood: {error}")))
    }

    /// What is wrong, in words, each field on a line.
    pub(super) fn problem(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let detail = problem.get("detail").and_then(Value::as_str);
        let mut words = detail.map_or_else(|| format!("the server answered {}", self.status), ToOwned::to_owned);
        for (path, rule) in self.faults() {
            words.push_str(&if path.is_empty() { format!("\n  {rule}") } else { format!("\n  {path}: {rule}") });
        }
        if self.status == 401 {
            words.push_str("\n  --token-file or NINON_TOKEN_FILE names a file with one");
        }
        words
    }

    /// Each field that is wrong, and the rule that it breaks.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let errors = problem.get("errors").and_then(Value::as_array).into_iter().flatten();
        let text = |error: &Value, field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        errors.map(|error| (text(error, "path"), text(error, "problem"))).collect()
    }
}
