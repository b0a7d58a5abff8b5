//! The operator's session.

use super::town;
use crate::support::{Answer, Node};
use crate::world::TOKEN;

const FORM: &str = "application/x-www-form-urlencoded";

impl Node {
    async fn send(&self, path: &str, form: &str, headers: &[(&'static str, &str)]) -> Answer {
        let url = format!("http://{}{path}", self.addresses[0]);
        let request = self.client.post(url).header("content-type", FORM).body(form.to_owned());
        Answer::read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Signs in; returns the cookie.
    pub(crate) async fn signed_in(&self) -> String {
        let answer = self.send("/operator/login", &format!("token={}", TOKEN.replace(' ', "+")), &[]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/operator"), "{}", answer.text());
        let cookie = answer.header("set-cookie");
        for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"] {
            assert!(cookie.contains(part), "`{part}` is missing: {cookie}");
        }
        cookie.split(';').next().expect("a value").to_owned()
    }
}

#[tokio::test]
async fn the_page_is_for_whoever_has_the_token() {
    let node = town().await;
    let page = node.visit("/operator").await;
    assert!(page.status == 200 && page.text().contains("type=\"password\""), "{}", page.text());
    assert!(!page.text().contains("Denied lately"));
    for wrong in ["token=", "token=wrong", "token=only+for+operator"] {
        let answer = node.send("/operator/login", wrong, &[]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, ""), "{wrong}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "RFC 9110, 11.6.1");
        // Whoever does not see the page hears at the field what was wrong.
        let page = answer.text();
        assert!(page.contains("id=\"wrong\"") && page.contains("aria-describedby=\"wrong\""), "{page}");
    }
    assert_eq!(node.send("/operator/login", "other=1", &[]).await.status, 400);
    let cookie = node.signed_in().await;
    assert!(cookie.starts_with("__Host-ics-operator="), "reached by TLS, as its public address says: {cookie}");
    let page = Answer::read(node.page("/operator").header("cookie", &cookie)).await.text();
    for part in ["devices.acme.example", "sequencing", "Denied lately", "Devices that ask to be introduced"] {
        assert!(page.contains(part), "`{part}` is missing: {page}");
    }
    assert!(!page.contains(TOKEN) && !page.contains("<script"), "{page}");
    let guessed = Answer::read(node.page("/operator").header("cookie", "__Host-ics-operator=AAAA")).await;
    assert!(!guessed.text().contains("Denied lately"));
    // The cookie is for the pages; the API accepts the token only.
    let api = Answer::read(node.page("/v1/domains/devices.acme.example/enrolments").header("cookie", &cookie)).await;
    assert_eq!(api.status, 401);
}

#[tokio::test]
async fn a_page_of_another_origin_can_send_nothing() {
    let node = town().await;
    let host = node.addresses[0].to_string();
    let token = format!("token={}", TOKEN.replace(' ', "+"));
    let own = format!("http://{host}");
    for (headers, status) in [
        (&[("origin", "https://evil.example")][..], 401),
        (&[("sec-fetch-site", "cross-site")], 401),
        (&[("sec-fetch-site", "same-site")], 401),
        (&[("origin", "null")], 401),
        (&[("origin", own.as_str()), ("sec-fetch-site", "same-origin")], 303),
    ] {
        assert_eq!(node.send("/operator/login", &token, headers).await.status, status, "{headers:?}");
    }
}

/// A proxy asks the node for the host by its own name for it, unless told otherwise.
#[tokio::test]
async fn a_browser_asks_for_the_public_address() {
    let node = town().await;
    let token = format!("token={}", TOKEN.replace(' ', "+"));
    for (origin, status) in [
        ("https://ics.acme.example", 303),
        ("http://ics.acme.example", 401),
        ("https://ics.acme", 401),
        ("https://ics.acme.example.evil.example", 401),
    ] {
        assert_eq!(node.send("/operator/login", &token, &[("origin", origin)]).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn signing_out_takes_the_form_of_the_session() {
    let node = town().await;
    let cookie = node.signed_in().await;
    let page = Answer::read(node.page("/operator").header("cookie", &cookie)).await.text();
    let form = page.split("name=\"form\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let with_cookie = [("cookie", cookie.as_str())];
    assert_eq!(node.send("/operator/logout", "form=guessed", &with_cookie).await.status, 401);
    assert_eq!(node.send("/operator/logout", &format!("form={form}"), &[]).await.status, 401);
    assert_eq!(node.send("/operator/logout", &format!("form={form}"), &with_cookie).await.status, 303);
    let page = Answer::read(node.page("/operator").header("cookie", &cookie)).await;
    assert!(!page.text().contains("Denied lately"), "the session is over");
}

#[tokio::test]
async fn tokens_are_not_guessed_quickly() {
    let node = town().await;
    let mut last = 0;
    for _ in 0..6 {
        last = node.send("/operator/login", "token=guessed", &[]).await.status;
    }
    assert_eq!(last, 429);
}
