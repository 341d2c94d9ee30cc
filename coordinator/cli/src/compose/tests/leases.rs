//! Leases, as files ask for them.

use super::{errors, try_read};

fn file(more: &str) -> String {
    format!("services:\n  web:\n    image: a\n{more}")
}

#[test]
fn a_lease_has_a_cap() {
    let project = try_read(&file("    x-wharf: {lease: 15m}\n")).unwrap();
    let task = project.services[0].task.as_ref().unwrap();
    assert_eq!(task.lease.unwrap().cap_ms, 900_000);
    let project = try_read(&file("    x-wharf: {}\n")).unwrap();
    assert!(project.services[0].task.as_ref().unwrap().lease.is_none());
}

#[test]
fn a_cap_that_is_none_is_refused() {
    for cap in ["0s", "100ms", "49h", "true", "soon"] {
        let said = errors(&file(&format!("    x-wharf: {{lease: {cap}}}\n")));
        assert!(said.contains("error: ") && said.contains("hint: "), "{cap}: {said}");
    }
}

#[test]
fn a_job_takes_no_leases() {
    let said = errors(&file("    x-wharf: {lease: 15m}\n    deploy: {mode: replicated-job}\n"));
    assert!(said.contains("a job takes no leases: it runs to its end"), "{said}");
}

#[test]
fn nothing_else_is_mounted_where_the_socket_is() {
    let said = errors(&file("    x-wharf: {lease: 15m}\n    tmpfs: [/run/wharf]\n"));
    assert!(said.contains("`/run/wharf` is mounted twice"), "{said}");
}
