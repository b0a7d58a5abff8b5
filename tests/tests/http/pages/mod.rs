//! The pages: what they say, what they never let through, and how they look in a real browser.

mod browser;
mod browsing;
mod busy;
mod listing;
mod operator;
mod serving;
mod showing;
mod town;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};

use crate::support::{Answer, Node, settings};
use crate::world::World;

/// A node with things in every state, whose pages may be requested as often as these tests do.
async fn town() -> Node {
    town_at("https://ics.acme.example").await
}

/// The same, reached by others at this address.
async fn town_at(url: &str) -> Node {
    let world = tokio::task::spawn_blocking(World::town).await.expect("a world");
    world.tell().await;
    let mut settings = settings();
    settings.pages.per_minute = 100_000;
    settings.public_url = url.to_owned();
    let mut node = Node::with(world, &settings);
    node.client = Client::builder().redirect(Policy::none()).build().expect("a client");
    node
}

impl Node {
    pub(crate) fn page(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.addresses[0]))
    }

    async fn visit(&self, path: &str) -> Answer {
        Answer::read(self.page(path)).await
    }
}

/// The text of a page without its markup.
fn words(page: &str) -> String {
    let mut text = String::new();
    for piece in page.split('<').skip(1) {
        text.push_str(piece.split_once('>').map_or("", |(_, text)| text));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
