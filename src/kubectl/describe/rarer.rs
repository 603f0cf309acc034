//! Kinds that are seldom described: certificates asked for, address ranges, drivers.
//!
//! Picture to hold in mind: the drawer at the bottom of the desk.

use crate::api::{Value, time_format, x509};

use super::page::{Page, date, go_list, joined, line, list};

pub fn signing_request(page: &mut Page, request: &Value) {
    line!(page, 0, "Name:\t{}", request.text("metadata.name"));
    line!(page, 0, "Labels:\t{}", joined(request.map("metadata.labels")));
    line!(page, 0, "Annotations:\t{}", joined(request.map("metadata.annotations")));
    line!(page, 0, "CreationTimestamp:\t{}", date(request.text("metadata.creationTimestamp")));
    line!(page, 0, "Requesting User:\t{}", request.text("spec.username"));
    if !request.text("spec.signerName").is_empty() {
        line!(page, 0, "Signer:\t{}", request.text("spec.signerName"));
    }
    if let Some(seconds) = request.integer("spec.expirationSeconds") {
        line!(page, 0, "Requested Duration:\t{}", time_format::human_duration(seconds));
    }
    let conditions: Vec<&str> =
        request.items("status.conditions").iter().map(|condition| condition.text("type")).collect();
    let mut status = if conditions.is_empty() { "Pending".to_string() } else { conditions.join(",") };
    if !request.text("status.certificate").is_empty() {
        status += ",Issued";
    }
    line!(page, 0, "Status:\t{status}");
    line!(page, 0, "Subject:");
    // The API server takes nothing that cannot be read.
    let Ok(asked) = x509::Request::read(request.text("spec.request")) else { return };
    line!(page, 0, "\tCommon Name:\t{}", asked.common_name());
    line!(page, 0, "\tSerial Number:\t{}", asked.subject(SERIAL_NUMBER).last().unwrap_or(&""));
    let helper = |page: &mut Page, title: &str, values: Vec<&str>| {
        if !values.is_empty() {
            line!(page, 0, "\t{title}:\t{}", values.join("\n\t\t"));
        }
    };
    for (title, attribute) in [
        ("Organization", x509::ORGANIZATION),
        ("Organizational Unit", ORGANIZATIONAL_UNIT),
        ("Country", COUNTRY),
        ("Locality", LOCALITY),
        ("Province", PROVINCE),
        ("StreetAddress", STREET),
        ("PostalCode", POSTAL_CODE),
    ] {
        helper(page, title, asked.subject(attribute));
    }
    let names = [
        ("DNS Names", x509::DNS_NAME),
        ("Email Addresses", x509::EMAIL_ADDRESS),
        ("URIs", x509::URI),
        ("IP Addresses", x509::IP_ADDRESS),
    ]
    .map(|(title, kind)| (title, asked.names(kind)));
    if names.iter().any(|(_, values)| !values.is_empty()) {
        line!(page, 0, "Subject Alternative Names:");
    }
    for (title, values) in names {
        helper(page, title, values);
    }
}

const SERIAL_NUMBER: u8 = 5;
const COUNTRY: u8 = 6;
const LOCALITY: u8 = 7;
const PROVINCE: u8 = 8;
const STREET: u8 = 9;
const ORGANIZATIONAL_UNIT: u8 = 11;
const POSTAL_CODE: u8 = 17;

pub fn service_cidr(page: &mut Page, range: &Value) {
    line!(page, 0, "Name:\t{}", range.text("metadata.name"));
    page.marks(range);
    line!(page, 0, "CIDRs:\t{}", list(range, "spec.cidrs", ", "));
    let conditions = range.items("status.conditions");
    if !conditions.is_empty() {
        line!(page, 0, "Status:");
        line!(page, 0, "Conditions:");
        line!(page, 1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
        line!(page, 1, "----\t------\t------------------\t------\t-------");
        for condition in conditions {
            line!(
                page,
                1,
                "{}\t{}\t{}\t{}\t{}",
                condition.text("type"),
                condition.text("status"),
                date(condition.text("lastTransitionTime")),
                condition.text("reason"),
                condition.text("message")
            );
        }
    }
}

pub fn address(page: &mut Page, address: &Value) {
    line!(page, 0, "Name:\t{}", address.text("metadata.name"));
    page.marks(address);
    let parent = address.at("spec.parentRef");
    if !parent.is_null() {
        line!(page, 0, "Parent Reference:");
        for (title, field) in
            [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")]
        {
            line!(page, 1, "{title}:\t{}", parent.text(field));
        }
    }
}

pub fn volume_attributes_class(page: &mut Page, class: &Value) {
    line!(page, 0, "Name:\t{}", class.text("metadata.name"));
    line!(page, 0, "Annotations:\t{}", joined(class.map("metadata.annotations")));
    line!(page, 0, "DriverName:\t{}", class.text("driverName"));
    line!(page, 0, "Parameters:\t{}", joined(class.map("parameters")));
}

pub fn csi_node(page: &mut Page, node: &Value) {
    line!(page, 0, "Name:\t{}", node.text("metadata.name"));
    page.marks(node);
    line!(page, 0, "CreationTimestamp:\t{}", date(node.text("metadata.creationTimestamp")));
    line!(page, 0, "Spec:");
    if !node.has("spec.drivers") {
        return;
    }
    line!(page, 1, "Drivers:");
    for driver in node.items("spec.drivers") {
        line!(page, 2, "{}:", driver.text("name"));
        line!(page, 3, "Node ID:\t{}", driver.text("nodeID"));
        if let Some(count) = driver.integer("allocatable.count") {
            line!(page, 3, "Allocatables:");
            line!(page, 4, "Count:\t{count}");
        }
        if driver.has("topologyKeys") {
            line!(page, 3, "Topology Keys:\t{}", go_list(driver, "topologyKeys"));
        }
    }
}
