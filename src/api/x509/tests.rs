use super::*;
use crate::api::base64::STANDARD;

fn field(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    wrap(tag, parts)
}

/// A request for `system:node:n` of `system:nodes`, with other names.
fn request() -> Vec<u8> {
    let attribute = |number: u8, text: &str| {
        let identifier = field(OBJECT_IDENTIFIER, &[&[0x55, 4, number]]);
        field(SET, &[&field(SEQUENCE, &[&identifier, &field(0x0c, &[text.as_bytes()])])])
    };
    let name = field(
        SEQUENCE,
        &[&attribute(ORGANIZATION, "system:nodes"), &attribute(COMMON_NAME, "system:node:n")],
    );
    let names = field(SEQUENCE, &[&field(DNS_NAME, &[b"n.example"]), &field(IP_ADDRESS, &[&[10, 0, 0, 1]])]);
    let extensions = field(SEQUENCE, &[&extended_by(SUBJECT_ALTERNATIVE_NAME, false, &names)]);
    let wish =
        field(SEQUENCE, &[&field(OBJECT_IDENTIFIER, &[EXTENSION_REQUEST]), &field(SET, &[&extensions])]);
    let key = field(SEQUENCE, &[&field(BIT_STRING, &[&[0; 70]])]);
    let info = field(SEQUENCE, &[&[INTEGER, 1, 0], &name, &key, &field(0xa0, &[&wish])]);
    field(SEQUENCE, &[&info, ECDSA_SHA256, &field(BIT_STRING, &[&[0; 65]])])
}

#[test]
fn a_request_is_read_and_becomes_a_certificate() {
    let text = STANDARD.encode(pem::write("CERTIFICATE REQUEST", &request()).as_bytes());
    let request = Request::read(&text).unwrap();
    assert_eq!(request.common_name(), "system:node:n");
    assert_eq!(request.subject(ORGANIZATION), ["system:nodes"]);
    assert_eq!((request.names(DNS_NAME), request.names(IP_ADDRESS)), (vec!["n.example"], vec!["10.0.0.1"]));
    let issuer = Issuer::read(include_str!("../../controllers/ca.crt")).unwrap();
    assert_eq!(time::rfc3339_of(issuer.not_after_s).as_str(), "2036-11-20T09:32:37Z");
    let usages = ["digital signature", "decipher only", "client auth", "any"].map(Value::from);
    for end_s in [1_767_254_400, 2_600_000_000] {
        let signed = to_be_signed(&request, &usages, &issuer, ECDSA_SHA256, &[0xff; 16], (0, end_s));
        let text = certificate(&signed, ECDSA_SHA256, &ecdsa_signature([[0xff; 32], [1; 32]]));
        assert_eq!(not_after_s(&text), Some(end_s));
    }
}

#[test]
fn what_is_cut_off_or_damaged_is_none_and_harms_nobody() {
    let whole = request();
    for end in 0..whole.len() {
        assert!(Request::of(&whole[..end]).is_none(), "{end}");
        for bit in [0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[end] ^= bit;
            let _ = Request::of(&damaged);
            let _ = Issuer::read(&pem::write("CERTIFICATE", &damaged));
        }
    }
}
