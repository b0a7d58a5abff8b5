//! What waits for the home of another domain, and what is taken for its answer.

use std::sync::{Arc, Mutex};

use ics_core::log::receipt::Receipt;
use ics_node::api::{SubmissionResult, SubmissionResults};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::copies::{catches_up, copy, served};
use crate::fixture::{Party, device};

/// Somebody on the way to the home: answers every submission with the same receipt, and knows nothing else.
async fn liar(receipt: Arc<Mutex<Option<Receipt>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let receipt = receipt.lock().expect("not poisoned").clone();
            tokio::spawn(answer(stream, receipt));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, receipt: Option<Receipt>) {
    let mut request = Vec::new();
    while !is_whole(&request) && stream.read_buf(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
    let is_submission = request.starts_with(b"POST ") && String::from_utf8_lossy(&request).contains("/statements");
    let (status, body) = match receipt.filter(|_| is_submission) {
        Some(receipt) => {
            let results = vec![SubmissionResult::Receipt(Box::new(receipt))];
            ("200 OK", serde_json::to_vec(&SubmissionResults { results }).expect("JSON"))
        }
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}

/// Whether all of a request has come.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_proves_nothing_deletes_nothing() {
    let maker = Party::found("devices.acme.example");
    let app = maker.open();
    let other = maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
    let receipt = Arc::new(Mutex::new(None));
    let (liar, home) = (liar(Arc::clone(&receipt)).await, served(&app));
    let dir = tempfile::tempdir().expect("directory");
    let copy = copy(dir.path(), &app, &maker, &[("liar", &liar), ("home", &home)]);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copy.clone().replicate(stopped));
    catches_up(&copy, &app, &maker).await;

    let body = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2");
    let id = ics_core::statement::parse(&body).expect("a body").id();
    let renamed = Receipt { id, ..other.clone() };
    for (lie, expected) in [(other, "for another body"), (renamed, "do not give the leaf")] {
        *receipt.lock().expect("not poisoned") = Some(lie);
        // A pause follows each attempt in vain.
        tokio::time::sleep(core::time::Duration::from_millis(1_100)).await;
        let results = copy.submit(&maker.domain, vec![body.clone()]).await.expect("taken in").results;
        let [SubmissionResult::Pending(pending)] = results.as_slice() else { panic!("{results:?}") };
        assert!(pending.why.as_ref().is_some_and(|why| why.contains(expected)), "{pending:?}");
    }
    // The home's own receipt is believed.
    let genuine = maker.submit_one(&app, body.clone()).await.expect("admitted");
    *receipt.lock().expect("not poisoned") = Some(genuine.clone());
    tokio::time::sleep(core::time::Duration::from_millis(1_100)).await;
    let results = copy.submit(&maker.domain, vec![body]).await.expect("taken in").results;
    assert!(matches!(results.as_slice(), [SubmissionResult::Receipt(it)] if it.index == genuine.index), "{results:?}");
    stop.send_replace(true);
    replicating.await.expect("ends");
}
