//! Kinds that are seldom described: certificates asked for, address ranges, drivers.
//!
//! Picture to hold in mind: the drawer at the bottom of the desk.

use crate::api::{Value, time_format};
use crate::arrange::Gather;

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
    let subject = Subject::of(request.text("spec.request"));
    line!(page, 0, "\tCommon Name:\t{}", subject.first(COMMON_NAME));
    line!(page, 0, "\tSerial Number:\t{}", subject.first(SERIAL_NUMBER));
    for (title, attribute) in [
        ("Organization", ORGANIZATION),
        ("Organizational Unit", ORGANIZATIONAL_UNIT),
        ("Country", COUNTRY),
        ("Locality", LOCALITY),
        ("Province", PROVINCE),
        ("StreetAddress", STREET),
        ("PostalCode", POSTAL_CODE),
    ] {
        let values = subject.all(attribute);
        if !values.is_empty() {
            line!(page, 0, "\t{title}:\t{}", values.join("\n\t\t"));
        }
    }
}

const COMMON_NAME: u8 = 3;
const SERIAL_NUMBER: u8 = 5;
const COUNTRY: u8 = 6;
const LOCALITY: u8 = 7;
const PROVINCE: u8 = 8;
const STREET: u8 = 9;
const ORGANIZATION: u8 = 10;
const ORGANIZATIONAL_UNIT: u8 = 11;
const POSTAL_CODE: u8 = 17;

/// The attributes of an X.509 name inside of a request, by the last number of their identifiers (2.5.4.x).
struct Subject(Vec<(u8, String)>);

impl Subject {
    /// Reads a request as objects carry it: PEM in base64. What is none has no attributes.
    fn of(request: &str) -> Subject {
        let decode = |text: &str| crate::shell::tools::base64_decode(text).unwrap_or_default();
        let pem = decode(request);
        let pem = String::from_utf8_lossy(&pem);
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = decode(&body);
        let mut found = Vec::new();
        // An identifier 2.5.4.x in DER, then a string with its length.
        for (at, window) in bytes.windows(7).enumerate() {
            if let [0x06, 0x03, 0x55, 0x04, attribute, _, length] = window {
                let value = bytes.get(at + 7..at + 7 + usize::from(*length)).unwrap_or_default();
                found.push((*attribute, String::from_utf8_lossy(value).into_owned()));
            }
        }
        Subject(found)
    }
    fn all(&self, attribute: u8) -> Vec<&str> {
        self.0.iter().filter(|(own, _)| *own == attribute).map(|(_, value)| value.as_str()).gather()
    }
    fn first(&self, attribute: u8) -> &str {
        self.all(attribute).first().copied().unwrap_or("")
    }
}

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
