//! What devices run, and what is said of that in other domains.

use super::town;
use super::town::care;

/// Software has its status in its maker's domain, and is installed in that of its user.
#[tokio::test]
async fn devices_are_found_by_the_status_of_what_they_run() {
    let node = town().await;
    for (runs, found) in [("released", 4), ("withdrawn", 0), ("stolen", 0)] {
        let answer = node.get(&format!("/v1/domains/{}/identities?runs={runs}", care())).await;
        assert_eq!(answer.status, 200, "{runs}: {}", answer.text());
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(found), "{runs}");
    }
    let answer = node.get(&format!("/v1/domains/{}/identities?runs=No%20Status", care())).await;
    answer.is_problem("neither a digest nor a status", (400, "malformed-query"));
}
