//! What the user expects of every page: a success without it is a block that no rule knows, by flag and by file.

use proxywheel::lab::Lab;
use serde_json::Value;

use crate::running::Rig;

/// Rule and class of the ban of the only row, and its outcome.
fn told(rig: &Rig) -> (Value, Value, Value) {
    let text = std::fs::read_to_string(rig.path("out.jsonl")).expect("records");
    let row: Value = serde_json::from_str(text.trim()).expect("one row");
    std::fs::remove_file(rig.path("out.jsonl")).expect("removed");
    let ban = &row["ban"];
    assert!(
        row["ok"] == true || ban["evidence"].is_string() && ban["confidence"] == 1.0,
        "{row}"
    );
    (
        row["outcome"].clone(),
        ban["rule"].clone(),
        ban["class"].clone(),
    )
}

#[test]
fn a_success_without_what_is_expected_is_a_soft_block_and_one_with_it_a_page() {
    let rig = Rig::new(
        Lab::builder().perfect(3),
        &["http://shop.test/page/1?size=700".into()],
    );
    let line = "-i urls.txt -o out.jsonl --no-state --max-proxies-per-url 2";
    for (flag, there, missing, rule) in [
        (
            "--expect-text",
            "shop.test",
            "nowhere-to-be-found",
            "expect_text",
        ),
        ("--expect-selector", "body", "#results", "expect_selector"),
        (
            "--expect-type",
            "text/html",
            "application/json",
            "expect_type",
        ),
        ("--min-bytes", "600", "100000", "min_bytes"),
    ] {
        let (code, said) = rig.run(&format!("{line} {flag} {there}"));
        assert_eq!(code, Some(0), "{flag} {there}: {said}");
        assert_eq!(told(&rig).0, "ok", "{flag} {there}");
        let (code, said) = rig.run(&format!("{line} {flag} {missing}"));
        assert_ne!(code, Some(0), "{flag} {missing}: {said}");
        let soft = ("banned".into(), rule.into(), "soft_block".into());
        assert_eq!(told(&rig), soft, "{flag} {missing}");
    }
    let (_, said) = rig.run(&format!("{line} --expect-json /items/0"));
    let soft = ("banned".into(), "expect_json".into(), "soft_block".into());
    assert_eq!(told(&rig), soft, "{said}");

    rig.write("run.toml", "[fetch]\nmin-bytes = 100000\n");
    let (_, said) = rig.run(&format!("{line} --config run.toml"));
    let soft = ("banned".into(), "min_bytes".into(), "soft_block".into());
    assert_eq!(told(&rig), soft, "{said}");
}
