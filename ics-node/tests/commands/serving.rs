//! The node as a process.

use crate::stage::Stage;

/// In huge pages a small node takes three times the memory that it fills.
#[test]
#[cfg(target_os = "linux")]
fn a_node_takes_memory_in_small_pages() {
    let stage = Stage::started();
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.process())).expect("its status");
    assert!(status.contains("THP_enabled:\t0"), "{status}");
}
