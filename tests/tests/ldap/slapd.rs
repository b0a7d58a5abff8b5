//! The schema in a real slapd.

use std::fmt::Write as _;

use tokio::process::Command;

#[tokio::test]
async fn slapd_loads_the_schema() {
    let dir = tempfile::tempdir().expect("a directory");
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/ldap");
    let core = std::fs::read_to_string("/etc/ldap/schema/core.ldif").expect("slapd is installed");
    let mut config = "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n\n\
                      dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n"
        .to_owned();
    config += &core;
    for file in ["ics.ldif", "gnupg.ldif"] {
        let text = std::fs::read_to_string(format!("{schemas}/{file}")).expect(file);
        let _ = write!(config, "\n\n{text}");
    }
    let (input, output) = (dir.path().join("config.ldif"), dir.path().join("slapd.d"));
    std::fs::write(&input, config).expect("written");
    std::fs::create_dir(&output).expect("made");
    let add =
        Command::new("/usr/sbin/slapadd").args(["-n", "0", "-F"]).arg(&output).arg("-l").arg(&input).output().await;
    let add = add.expect("slapadd starts");
    assert!(add.status.success(), "{}", String::from_utf8_lossy(&add.stderr));
    let test =
        Command::new("/usr/sbin/slaptest").arg("-u").arg("-F").arg(&output).output().await.expect("slaptest starts");
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
}
