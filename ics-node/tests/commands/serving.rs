//! The node as a process.

use crate::stage::Stage;

/// In huge pages a small node takes three times the memory that it fills; a large one finds things faster in them.
#[test]
#[cfg(target_os = "linux")]
fn a_small_node_takes_memory_in_small_pages_and_a_large_one_in_huge_ones() {
    for (memory_mib, huge) in [(256, 0), (512, 1)] {
        let mut stage = Stage::new();
        let path = stage.path("home/ics.toml");
        let config = std::fs::read_to_string(&path).expect("read");
        let sized = config.replace("[node]", &format!("[node]\nmemory_mib = {memory_mib}"));
        assert_ne!(sized, config);
        std::fs::write(path, sized).expect("written");
        stage.start();
        let status = std::fs::read_to_string(format!("/proc/{}/status", stage.process())).expect("its status");
        assert!(status.contains(&format!("THP_enabled:\t{huge}")), "{memory_mib}: {status}");
    }
}
