//! The schema file is generated from the records.
#![expect(clippy::disallowed_methods, reason = "git keeps the old file")]

use mls_event::{Auth, Enrichment, schema};

/// Run with `UPDATE_SCHEMA=1` to write the file after a change of the contract.
#[test]
fn the_schema_file_is_generated_from_the_contract() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json");
    let generated = serde_json::to_string_pretty(&schema::document()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == generated,
        "schema.json is old: run UPDATE_SCHEMA=1 cargo test -p mls-event"
    );
}

#[test]
fn the_schema_names_every_member_in_order() {
    let document = schema::document();
    let members = document["$defs"]["auth"]["properties"].as_object().unwrap();
    let expected = [Auth::MEMBERS, Enrichment::MEMBERS].concat();
    assert_eq!(members.keys().collect::<Vec<_>>(), expected);
}
