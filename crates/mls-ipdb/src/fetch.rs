//! Downloads files with reqwest. Only newer files are downloaded. Size and time are limited. If a
//! failure may be temporary, the download is tried again.
//!
//! TLS is rustls with the certificates that the system trusts, or with the certificates in
//! `SSL_CERT_FILE`. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`, …).

use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable};
use indicatif::{ProgressBar, ProgressStyle};
use mls_diag::{Exit, OrExit};
use mls_location::MAX_SIZE;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode, Url};

use crate::origin::DownloadOrigin;

/// The number of retries of a download. The pause before each retry is longer than the last pause.
const RETRIES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The time limit of a download with its retries: this number times the timeout for a single read.
pub(crate) const WHOLE: u32 = 20;

const MAX_REDIRECTS: usize = 5;

pub(crate) enum Fetched {
    /// The installed file is up to date.
    NotModified,
    /// The body of the answer is in the argument `file` of `fetch`.
    New { etag: Option<String>, last_modified: Option<String> },
}

/// Returns an HTTP client. If an answer does not begin within `timeout`, the client gives up. It
/// also gives up if the server sends nothing for `timeout` during the answer.
pub(crate) fn client(timeout: Duration) -> anyhow::Result<Client> {
    // A URL may contain a secret key.
    mls_config::secret::protect_memory();
    // This fails only if a provider is already installed. That is always the ring provider too, so
    // the error does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("mls-ipdb/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeout)
        .read_timeout(timeout)
        .timeout(timeout * WHOLE)
        .redirect(Policy::custom(follow))
        // The header Referer would show a key that is in the query of a URL.
        .referer(false)
        .build()
        .context("preparing for TLS")
        .or_exit(Exit::Unavailable)
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if from_https && attempt.url().scheme() != "https" {
        attempt.error("a redirect from https to http is not allowed")
    } else {
        attempt.follow()
    }
}

/// Parses an http or https URL.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err("give an http or https URL".into())
    }
}

/// The URL for messages, without the parts that may contain keys and passwords.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Both calls fail for a URL without a host. Such a URL has no password.
    let _ = (url.set_username(""), url.set_password(None));
    url.into()
}

/// If the file at `url` is newer than `origin`, downloads it to `file`.
///
/// Exit 75 for a failure that may be temporary, 69 if the server refuses the request or a redirect
/// is not allowed, 65 if the database is too large, 74 if `file` cannot be written.
pub(crate) async fn fetch(
    client: &Client,
    url: &Url,
    origin: Option<&DownloadOrigin>,
    file: &File,
) -> anyhow::Result<Fetched> {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_factor(4.0)
        .with_max_times(RETRIES);
    (|| once(client, url, origin, file))
        .retry(backoff)
        .sleep(tokio::time::sleep)
        .when(|error| Exit::of(error) == Exit::TempFail)
        .notify(|error, pause| {
            log::info!("{error:#}; trying again in {} ms", pause.as_millis());
        })
        .await
}

async fn once(
    client: &Client,
    url: &Url,
    origin: Option<&DownloadOrigin>,
    mut file: &File,
) -> anyhow::Result<Fetched> {
    let mut request = client.get(url.clone());
    if let Some(origin) = origin {
        for (name, value) in
            [(IF_NONE_MATCH, &origin.etag), (IF_MODIFIED_SINCE, &origin.last_modified)]
        {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
    }
    let failed = || format!("downloading {}", shown(url));
    let sent = request.send().await.map_err(reqwest::Error::without_url);
    let is_refused = sent.as_ref().is_err_and(reqwest::Error::is_redirect);
    let exit = if is_refused { Exit::Unavailable } else { Exit::TempFail };
    let mut response = sent.with_context(failed).or_exit(exit)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if origin.is_some() => return Ok(Fetched::NotModified),
        status if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) => {
            return Err(
                Exit::Unavailable.error(format!("{}: the server answers {status}", failed()))
            );
        }
        status => {
            return Err(Exit::TempFail.error(format!("{}: the server answers {status}", failed())));
        }
    }
    let length = response.content_length();
    let progress = progress(url, length);
    // An earlier try may have written a part of an answer to `file`.
    let writing = || format!("saving {}", shown(url));
    file.set_len(0).and_then(|()| file.rewind()).with_context(writing).or_exit(Exit::IoErr)?;
    let mut size = 0;
    loop {
        if length.unwrap_or(0).max(size) > MAX_SIZE {
            return Err(
                Exit::DataErr.error(format!("{}: it is larger than {MAX_SIZE} bytes", failed()))
            );
        }
        let chunk = response.chunk().await.map_err(reqwest::Error::without_url);
        let Some(chunk) = chunk.with_context(failed).or_exit(Exit::TempFail)? else { break };
        file.write_all(&chunk).with_context(writing).or_exit(Exit::IoErr)?;
        size += chunk.len() as u64;
        progress.set_position(size);
    }
    progress.finish_and_clear();
    let headers = response.headers();
    Ok(Fetched::New { etag: text(headers, &ETAG), last_modified: text(headers, &LAST_MODIFIED) })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A progress bar, shown only on a terminal.
fn progress(url: &Url, length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}"),
        None => (ProgressBar::no_length(), "{msg} {bytes}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let name = url.path_segments().and_then(Iterator::last).unwrap_or_default().to_owned();
    bar.with_message(name)
}
