//! Transcripts of the command line: what people type, what is printed, and the exit code.

#[test]
fn transcripts() {
    trycmd::TestCases::new().env("NO_COLOR", "1").env("ICS_HOME", "home").case("tests/cmd/*.trycmd");
}
