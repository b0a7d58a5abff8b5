use ics_core::identity::excerpt;
use serde_json::json;

use super::*;

/// A node with nothing, at a fixed time.
pub(super) fn idle() -> Operations {
    let node = json!({"name": "ics.plant.example", "version": "0", "key": "", "domains": []});
    Operations {
        node: serde_json::from_value(node).expect("a node"),
        at: Timestamp::parse("2026-11-26T04:00:30Z").expect("a time"),
        not_ready: None,
        domains: Vec::new(),
        peers: Vec::new(),
        enrolments: Vec::new(),
        to_approve: Vec::new(),
        alarms: Vec::new(),
        forks: Vec::new(),
        denied: Vec::new(),
        waiting: Vec::new(),
        expiries: Vec::new(),
        responders: Vec::new(),
    }
}

#[test]
fn an_operator_sees_that_the_clock_is_not_the_one_by_which_the_page_counts() {
    let site = Site { name: "ics.plant.example".to_owned(), url: "https://ics.plant.example".to_owned() };
    let drawn = |node: &Operations| operations(&site, node, "form").into_string();
    let mut node = idle();
    assert!(!drawn(&node).contains("this machine's clock"), "{}", drawn(&node));
    let lead = json!({"shows": "2026-11-25T04:00:30Z", "time": "2026-11-26T04:00:30Z", "led_by": "parts.example"});
    node.node.clock = Some(serde_json::from_value(lead).expect("a clock"));
    let told = "because parts.example has confirmed something so late";
    assert!(drawn(&node).contains("this machine's clock") && drawn(&node).contains(told), "{}", drawn(&node));
}

/// A home that has not confirmed for hours does not sequence, nor is a copy kept up to date that nobody is asked
/// for.
#[test]
fn a_domain_that_is_not_heard_of_is_not_green() {
    let told = |seconds: u64, position: Position, mirror: Option<&str>| {
        let mut info = DomainInfo::held(9, Some(9));
        (info.position, info.fresh_for_seconds) = (position, 86_400);
        info.info.as_of = Some(Timestamp::from_millis(idle().at.as_millis() - seconds * 1000));
        let mirror = mirror.map(|state| json!({"peer": "p.example", "state": state, "lag_entries": 0}));
        info.mirror = mirror.map(|it| serde_json::from_value(it).expect("a copy"));
        let follow = json!({"source": info.info.domain, "identities": 1, "choices": [], "state": "current",
            "lag_entries": 0});
        let follow: FollowInfo = serde_json::from_value(follow).expect("what is followed");
        let operations = Operations { domains: vec![info.clone()], ..idle() };
        let text = |state: Markup| state.into_string().replace("<span class=\"state ", "").replace("</span>", "");
        (text(state(&info, &operations)).replace("\">", " "), is_source_silent(&follow, &operations))
    };
    let expected = |state: &str, is_silent| (state.to_owned(), is_silent);
    assert_eq!(told(120, Position::Home, None), expected("good sequencing", false));
    assert_eq!(told(121, Position::Home, None), expected("unsure silent", true));
    assert_eq!(told(120, Position::Mirror, Some("current")), expected("good current", false));
    assert_eq!(told(121, Position::Mirror, Some("current")), expected("unsure home silent", true));
    assert_eq!(told(86_400, Position::Mirror, None), expected("unsure nobody is asked", false), "brought by hand");
    assert_eq!(told(86_401, Position::Mirror, None), expected("unsure nobody is asked", true));
}

/// The page of what a long name begins with would be that of something else, or of nothing.
#[test]
fn what_was_denied_leads_to_its_page_if_all_of_its_name_is_kept() {
    assert_eq!(asked("serial:SN-1").into_string(), "<a href=\"/id/serial:SN-1\"><bdi>serial:SN-1</bdi></a>");
    let beginning = excerpt(&"7".repeat(200));
    assert_eq!(asked(&beginning).into_string(), format!("<bdi>{beginning}</bdi>"));
}
