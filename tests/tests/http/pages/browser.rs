//! A real browser, driven with the Chrome DevTools Protocol over a pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Part of the picture's file name.
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
    pub(crate) print: bool,
}

/// A phone and a desktop, in the light and the dark scheme.
pub(crate) const LOOKS: [Look; 4] = [
    Look { name: "phone", width: 390, height: 844, dark: false, print: false },
    Look { name: "phone-dark", width: 390, height: 844, dark: true, print: false },
    Look { name: "desktop", width: 1280, height: 900, dark: false, print: false },
    Look { name: "desktop-dark", width: 1280, height: 900, dark: true, print: false },
];

/// On paper: A4 within the margins that browsers leave.
pub(crate) const PAPER: Look = Look { name: "print", width: 718, height: 1047, dark: false, print: true };

/// The event that a page has been loaded.
const LOADED: &str = "Page.loadEventFired";

/// A browser that ends with its owner.
pub(crate) struct Browser {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    calls: u64,
    events: Vec<Value>,
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts the browser with one empty page.
    pub(crate) fn start() -> Self {
        let profile = TempDir::new().expect("a directory");
        // The protocol runs over file descriptors 3 and 4. Shared memory may be small in a container, and on a busy
        // machine the watchdog must not take the graphics process for hung.
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
                      --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
                      --disable-dev-shm-usage --in-process-gpu --disable-gpu-watchdog \
                      --user-data-dir=\"$0\" --remote-debugging-pipe about:blank 3<&0 4>&1 1>\"$0/said\" 2>&1";
        let mut process = Command::new("sh")
            .args(["-c", script])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromium must be installed");
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().expect("a pipe")));
        let (calls, events, session) = (0, Vec::new(), String::new());
        let mut browser = Self { process, input, output, calls, events, session, profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        browser.call("Page.enable", &json!({}));
        browser
    }

    /// What it wrote to its standard output and error.
    fn said(&self) -> String {
        std::fs::read(self.profile.path().join("said"))
            .map_or_else(|error| error.to_string(), |said| String::from_utf8_lossy(&said).into_owned())
    }

    fn receive(&mut self) -> Value {
        let mut message = Vec::new();
        self.output.read_until(0, &mut message).expect("the browser answers");
        assert_eq!(message.pop(), Some(0), "the browser has ended: {}", self.said());
        serde_json::from_slice(&message).expect("JSON")
    }

    /// Calls a method of the protocol and waits for its result.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.as_mut().expect("a pipe").write_all(&bytes).expect("the browser listens");
        loop {
            let answer = self.receive();
            if answer["id"] == self.calls {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str, look: Look) {
        let mobile = look.width < 600;
        let size = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 2, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!({"name": "prefers-color-scheme", "value": if look.dark { "dark" } else { "light" }});
        let media = if look.print { "print" } else { "screen" };
        self.call("Emulation.setEmulatedMedia", &json!({"media": media, "features": [scheme]}));
        self.events.clear();
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.wait_for(|event| event["method"] == LOADED);
    }

    /// Evaluates an expression that leads to another page, and waits until that has been loaded.
    pub(crate) fn leave_by(&mut self, expression: &str) {
        self.events.clear();
        self.evaluate(expression);
        self.wait_for(|event| event["method"] == LOADED);
    }

    /// Evaluates an expression that saves a file, under the name that the browser gives it.
    pub(crate) fn download(&mut self, expression: &str, into: &Path) {
        let allowed = json!({"behavior": "allow", "downloadPath": into, "eventsEnabled": true});
        self.call("Browser.setDownloadBehavior", &allowed);
        self.events.clear();
        self.evaluate(expression);
        let begun = self.wait_for(|event| event["method"] == "Browser.downloadWillBegin");
        let ended = self.wait_for(|event| {
            let about = &event["params"];
            event["method"] == "Browser.downloadProgress"
                && about["guid"] == begun["params"]["guid"]
                && about["state"] != "inProgress"
        });
        assert_eq!(ended["params"]["state"], "completed", "{begun}");
    }

    /// The first matching event since the last page was left, or else the next one that comes.
    fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(event) = self.events.iter().find(|event| wanted(event)) {
                return event.clone();
            }
            let event = self.receive();
            self.events.push(event);
        }
    }

    /// Replaces the markup of the open page, keeping its policies and its origin.
    pub(crate) fn draw(&mut self, markup: &str) {
        let frame = self.call("Page.getFrameTree", &json!({}))["frameTree"]["frame"]["id"].clone();
        self.call("Page.setDocumentContent", &json!({"frameId": frame, "html": markup}));
        let styled = "document.readyState === 'complete' && [...document.styleSheets].some((it) => it.cssRules.length)";
        while self.evaluate(styled) != true {}
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Takes a picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let size = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let data = self.call("Page.captureScreenshot", &asked)["data"].clone();
        let png = STANDARD.decode(data.as_str().expect("a picture")).expect("base64");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{} is empty", file.display());
        std::fs::write(file, png).expect("written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It exits when its input is closed.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}
