//! Which descriptors rule, and why others do not.

use ics_core::descriptor::{Descriptor, Template};

use crate::fixtures::filled;

#[test]
fn a_descriptor_survives_its_json() {
    let descriptor = filled(Template::Maintenance);
    assert_eq!(Descriptor::parse(&descriptor.to_json()), Ok(descriptor));
}
