//! What people do on the pages, in a real browser, with its own headers and file names.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::browser::{Browser, LOOKS};
use super::town_at;
use crate::world::{CARE, TOKEN};

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

/// What a page offers for checking, done by hand: saves all files of a domain, and runs the printed commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_a_page_check_what_it_gives_away() {
    let node = town_at("http://localhost").await;
    let url = format!("http://{}/id/serial:SN-0010", node.addresses[0]);
    let done = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&url, LOOKS[0]);
        let device = checked(&mut browser, CARE);
        let software = "[...document.querySelectorAll('a')].find((it) => it.textContent === 'p7-firmware 2.5.0')";
        browser.leave_by(&format!("{software}.click()"));
        (device, checked(&mut browser, "code.pumpsoft.example"))
    });
    let (device, software) = done.await.expect("is done");
    for (said, expected) in [
        (&device, &["the evidence holds", "imported", "sig!", "Acme Pumps", "act@cm4it.example=identity"][..]),
        (&software, &["the evidence holds", "imported", "Good signature from \"Pumpsoft\""]),
    ] {
        for part in expected {
            assert!(said.contains(part), "`{part}` is missing: {said}");
        }
    }
}

/// Saves all files that the page offers for a domain, and runs the printed commands in their directory.
fn checked(browser: &mut Browser, domain: &str) -> String {
    let place = TempDir::new().expect("a directory");
    let list = format!(
        "[...document.querySelectorAll('section[aria-labelledby=proofs] h3')]\
         .find((it) => it.textContent === {}).nextElementSibling.querySelectorAll('a[download]')",
        json!(domain)
    );
    let count = browser.evaluate(&format!("{list}.length")).as_u64().expect("a number");
    for link in 0..count {
        browser.download(&format!("{list}[{link}].click()"), place.path());
    }
    let printed = browser.evaluate("document.querySelector('section[aria-labelledby=proofs] pre').textContent");
    let programs = TempDir::new().expect("a directory");
    symlink(env!("CARGO_BIN_EXE_ics-under-test"), programs.path().join("ics")).expect("linked");
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").expect("a path"));
    let mut said = String::new();
    for line in printed.as_str().expect("text").lines() {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(place.path()).stdin(Stdio::null()).env("PATH", &path);
        command.env("LC_ALL", "C.UTF-8").env("ICS_HOME", programs.path()).env("GNUPGHOME", programs.path());
        let output = command.output().expect("sh runs");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{line}: {text}");
        said += &text;
    }
    said
}
