//! Bodies in Kubernetes' protobuf form, which newer kubectls send for the objects they make themselves.
//!
//! Picture to hold in mind: a clerk with a list of numbers. The envelope says which kind is inside; the atlas
//! ([`clusterarium::api::schema`]) says what a field may hold, the list which number it goes by.
//!
//! `field_numbers.txt` holds the numbers of `k8s.io/api/*/generated.proto` of 1.36: a heading a package, then a line a
//! message with `name=number` for each field, named as in JSON; `@Message=number` is a message whose fields stand in the
//! JSON of the outer one. Follows `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`. Definitions of custom resources
//! are not in the list: nobody sends them in this form.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use clusterarium::api::base64::STANDARD;
use clusterarium::api::schema::{Schema, SchemaType, Shape};
use clusterarium::api::{Text, Value, time};

pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// Why a body was not read.
#[derive(Debug, PartialEq)]
pub enum Error {
    /// It is no protobuf, or not what its envelope says.
    Malformed,
    /// A kind whose numbers are not known here.
    Unknown,
}

/// Fields by number, of each message: (package, message).
type Numbers = BTreeMap<(&'static str, &'static str), Vec<(u64, &'static str)>>;

static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| {
    let mut numbers = Numbers::new();
    let mut package = "";
    for line in include_str!("field_numbers.txt").lines() {
        if let Some(heading) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            package = heading;
            continue;
        }
        let mut words = line.split(' ');
        let name = words.next().unwrap_or("");
        let fields = words.filter_map(|word| {
            let (field, number) = word.split_once('=')?;
            Some((number.parse().ok()?, field))
        });
        numbers.insert((package, name), fields.collect());
    }
    numbers
});

/// What stands behind a field's key.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Fixed64([u8; 8]),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Error::Malformed)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Error::Malformed)
    }
    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let length = usize::try_from(length).map_err(|_| Error::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Error::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
    fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let wire = match key & 7 {
            0 => Wire::Number(self.number()?),
            1 => Wire::Fixed64(self.take(8)?.try_into().map_err(|_| Error::Malformed)?),
            2 => {
                let length = self.number()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return Err(Error::Malformed),
        };
        Ok(Some((key >> 3, wire)))
    }
    /// The last value of field `wanted`.
    fn find(bytes: &'a [u8], wanted: u64) -> Result<Option<Wire<'a>>, Error> {
        let mut fields = Fields(bytes);
        let mut found = None;
        while let Some((number, wire)) = fields.next()? {
            if number == wanted {
                found = Some(wire);
            }
        }
        Ok(found)
    }
    fn find_bytes(bytes: &'a [u8], wanted: u64) -> Result<&'a [u8], Error> {
        match Fields::find(bytes, wanted)? {
            Some(Wire::Bytes(bytes)) => Ok(bytes),
            None => Ok(&[]),
            _ => Err(Error::Malformed),
        }
    }
    fn find_number(bytes: &'a [u8], wanted: u64) -> Result<i64, Error> {
        match Fields::find(bytes, wanted)? {
            Some(Wire::Number(number)) => Ok(number as i64),
            None => Ok(0),
            _ => Err(Error::Malformed),
        }
    }
}

fn text(bytes: &[u8]) -> Result<Text, Error> {
    std::str::from_utf8(bytes).map(Text::from).map_err(|_| Error::Malformed)
}

/// The object in an envelope.
pub fn decode(bytes: &[u8]) -> Result<Value, Error> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(Error::Malformed)?;
    let type_meta = Fields::find_bytes(envelope, 1)?;
    let (api_version, kind) =
        (text(Fields::find_bytes(type_meta, 1)?)?, text(Fields::find_bytes(type_meta, 2)?)?);
    let mut object = Value::object();
    object.set("apiVersion", &api_version);
    object.set("kind", &kind);
    let own = Schema::built_in().kind(&api_version, &kind);
    // Options are at home in every group.
    let place = own.or_else(|| Schema::built_in().kind("v1", &kind).filter(|_| kind.ends_with("Options")));
    message(place.ok_or(Error::Unknown)?, Fields::find_bytes(envelope, 2)?, &mut object)?;
    Ok(object)
}

/// Reads a message of an object type into `object`.
fn message(place: SchemaType, bytes: &[u8], object: &mut Value) -> Result<(), Error> {
    let definition = place.definition_name().ok_or(Error::Unknown)?;
    let (package, name) = definition.rsplit_once('.').ok_or(Error::Unknown)?;
    fields(place, package, name, bytes, object)
}

fn fields(
    place: SchemaType,
    package: &str,
    name: &str,
    bytes: &[u8],
    object: &mut Value,
) -> Result<(), Error> {
    let numbers = NUMBERS.get(&(package, name)).ok_or(Error::Unknown)?;
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        // A field of a newer client: as upstream, it is passed over.
        let Some((_, name)) = numbers.iter().find(|(known, _)| *known == number) else { continue };
        if let Some(inner) = name.strip_prefix('@') {
            let Wire::Bytes(bytes) = wire else { return Err(Error::Malformed) };
            self::fields(place, package, inner, bytes, object)?;
            continue;
        }
        let Some(field) = place.field(name) else { continue };
        let own = field.type_();
        match own.shape() {
            Shape::List { .. } => {
                let element = own.element().ok_or(Error::Unknown)?;
                let mut items = object.items(name).to_vec();
                items.extend(list(element, wire)?);
                object.make_object().insert(*name, items);
            }
            Shape::Map { .. } => {
                let Wire::Bytes(entry) = wire else { return Err(Error::Malformed) };
                let key = text(Fields::find_bytes(entry, 1)?)?;
                let found = Fields::find(entry, 2)?.unwrap_or(Wire::Bytes(&[]));
                let element = own.element().ok_or(Error::Unknown)?;
                let element = value(element, found)?.unwrap_or_else(|| Value::from(""));
                let mut all = object.get(name).cloned().unwrap_or_else(Value::object);
                all.make_object().insert(key, element);
                object.make_object().insert(*name, all);
            }
            _ => {
                if let Some(value) = value(own, wire)?
                    && (field.info().pointer || !is_zero(&value))
                {
                    object.make_object().insert(*name, value);
                }
            }
        }
    }
    Ok(())
}

/// What Go writes for a field that nobody has set.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Integer(number) => *number == 0,
        Value::Float(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.iter().next().is_none(),
    }
}

/// One item of a list, or several numbers in a pack.
fn list(element: SchemaType, wire: Wire) -> Result<Vec<Value>, Error> {
    let is_number = matches!(element.shape(), Shape::Integer { .. } | Shape::Boolean);
    match wire {
        Wire::Bytes(bytes) if is_number => {
            let mut pack = Fields(bytes);
            let mut items = Vec::new();
            while !pack.0.is_empty() {
                let number = Wire::Number(pack.number()?);
                items.extend(value(element, number)?);
            }
            Ok(items)
        }
        wire => Ok(value(element, wire)?.into_iter().collect()),
    }
}

/// One value; `None` for a time that is not set.
fn value(place: SchemaType, wire: Wire) -> Result<Option<Value>, Error> {
    let value = match (place.shape(), wire) {
        (Shape::String, Wire::Bytes(bytes)) => Value::from(text(bytes)?),
        (Shape::Boolean, Wire::Number(number)) => Value::from(number != 0),
        (Shape::Integer { .. }, Wire::Number(number)) => Value::from(number as i64),
        (Shape::Float, Wire::Fixed64(bytes)) => Value::Float(f64::from_le_bytes(bytes)),
        (Shape::Bytes, Wire::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        (Shape::Quantity, Wire::Bytes(bytes)) => Value::from(text(Fields::find_bytes(bytes, 1)?)?),
        (Shape::IntOrString, Wire::Bytes(bytes)) => match Fields::find_number(bytes, 1)? {
            0 => Value::from(Fields::find_number(bytes, 2)?),
            _ => Value::from(text(Fields::find_bytes(bytes, 3)?)?),
        },
        (Shape::Time | Shape::MicroTime, Wire::Bytes([])) => return Ok(None),
        (Shape::Time, Wire::Bytes(bytes)) => {
            Value::from(time::rfc3339_of(in_calendar(Fields::find_number(bytes, 1)?)?))
        }
        (Shape::MicroTime, Wire::Bytes(bytes)) => {
            let seconds = in_calendar(Fields::find_number(bytes, 1)?)?;
            let us = Fields::find_number(bytes, 2)?.clamp(0, 999_999_999) / 1000;
            Value::from(time::micro_time_of(seconds * 1_000_000 + us))
        }
        (Shape::Any, Wire::Bytes(bytes)) => match Fields::find_bytes(bytes, 1)? {
            [] => return Ok(None),
            raw => serde_json::from_slice(raw).map_err(|_| Error::Malformed)?,
        },
        // A list inside of a map is a message of its own.
        (Shape::List { .. }, Wire::Bytes(bytes)) => {
            let element = place.element().ok_or(Error::Unknown)?;
            let mut items = Vec::new();
            let mut fields = Fields(bytes);
            while let Some((number, wire)) = fields.next()? {
                if number == 1 {
                    items.extend(list(element, wire)?);
                }
            }
            Value::from(items)
        }
        (Shape::Object(_), Wire::Bytes(bytes)) => {
            let mut object = Value::object();
            message(place, bytes, &mut object)?;
            object
        }
        (Shape::Either { .. } | Shape::Duration | Shape::Map { .. }, _) => return Err(Error::Unknown),
        _ => return Err(Error::Malformed),
    };
    Ok(Some(value))
}

/// Seconds of a date that Go can write: the years 1 to 9999.
fn in_calendar(seconds: i64) -> Result<i64, Error> {
    if (-62_135_596_800..253_402_300_800).contains(&seconds) { Ok(seconds) } else { Err(Error::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(field: u8, bytes: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
    }
    fn number(field: u8, number: u8) -> Vec<u8> {
        vec![field << 3, number]
    }
    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [put(1, api_version.as_bytes()), put(2, kind.as_bytes())].concat();
        [MAGIC, &put(1, &type_meta), &put(2, raw)].concat()
    }

    #[test]
    fn objects_are_read() {
        let meta =
            put(1, &[put(1, b"web"), put(8, &[]), put(11, &[put(1, b"a"), put(2, b"b")].concat())].concat());
        let requests = put(2, &[put(1, b"cpu"), put(2, &put(1, b"100m"))].concat());
        let port = [put(1, b""), number(3, 80)].concat();
        let container = [put(1, b"c"), put(2, b"nginx"), put(6, &port), put(8, &requests)].concat();
        let probe = put(
            10,
            &[put(1, &put(2, &put(2, &[number(1, 1), put(3, b"http")].concat()))), number(2, 5)].concat(),
        );
        let container = put(2, &[container, probe].concat());
        let volume = put(1, &[put(1, b"v"), put(2, &put(2, &put(1, b"Memory")))].concat());
        let pod = [meta, put(2, &[volume, container, number(4, 0)].concat()), put(3, &[])].concat();
        assert_eq!(
            decode(&envelope("v1", "Pod", &pod)).map(|pod| pod.to_string()),
            Ok(concat!(
                r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"a":"b"},"name":"web"},"#,
                r#""spec":{"containers":[{"image":"nginx","livenessProbe":{"httpGet":{"port":"http"},"initialDelaySeconds":5},"#,
                r#""name":"c","ports":[{"containerPort":80}],"resources":{"requests":{"cpu":"100m"}}}],"#,
                r#""terminationGracePeriodSeconds":0,"volumes":[{"emptyDir":{"medium":"Memory"},"name":"v"}]}}"#
            )
            .to_owned())
        );
        let secret = put(2, &[put(1, b"k"), put(2, &[0xff, 0])].concat());
        assert_eq!(decode(&envelope("v1", "Secret", &secret)).unwrap().text("data.k"), "/wA=");
        let options = decode(&envelope("apps/v1", "DeleteOptions", &number(1, 0))).unwrap();
        assert_eq!(options.integer("gracePeriodSeconds"), Some(0));
    }

    #[test]
    fn what_is_none_is_refused() {
        let crd = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", b"");
        assert_eq!(decode(&crd), Err(Error::Unknown));
        for bad in [&b"{}"[..], b"k8s\0\xff", b"k8s\0\x0a\x7f", b"", b"k8s\0\x0b"] {
            assert_eq!(decode(bad), Err(Error::Malformed), "{bad:?}");
        }
        // Every beginning of a good body is read or refused.
        let pod = envelope("v1", "Pod", &[put(1, &put(1, b"web")), put(2, &put(2, &put(1, b"c")))].concat());
        for end in 0..pod.len() {
            let _ = decode(&pod[..end]);
        }
    }
}
