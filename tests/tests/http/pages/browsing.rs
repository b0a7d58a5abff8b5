//! What people do on the pages, in a real browser: its own headers, its own names of files.

use serde_json::json;

use super::browser::{Browser, LOOKS};
use super::town_at;
use crate::world::TOKEN;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_signs_in_and_out() {
    let node = town_at("http://localhost").await;
    let url = format!("http://{}/operator", node.addresses[0]);
    let seen = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&url, LOOKS[0]);
        let sign_in = |token: &str| {
            let token = json!(token);
            format!("document.querySelector('#token').value = {token}; document.querySelector('.login button').click()")
        };
        let sign_out = "document.querySelector('form[action=\"/operator/logout\"] button').click()";
        [sign_in("guessed"), sign_in(TOKEN), sign_out.to_owned()].map(|leaves_by| {
            browser.leave_by(&leaves_by);
            browser.evaluate("document.body.textContent").as_str().expect("text").to_owned()
        })
    });
    let [wrong, inside, outside] = seen.await.expect("shows");
    assert!(wrong.contains("That is not the operator's token."), "{wrong}");
    assert!(inside.contains("Denied lately") && inside.contains("Sign out"), "{inside}");
    assert!(outside.contains("Sign in") && !outside.contains("Denied lately"), "{outside}");
}
