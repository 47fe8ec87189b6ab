//! What `-j FILE` writes, from mstflint 4.31 on.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{Card, Keeper, Setting, Settings, Unreadable, Value};

/// A card.
#[derive(Deserialize)]
struct Entry {
    device: Option<String>,
    device_type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    tlv_configuration: Map<String, Json>,
}

/// A setting; there is a `modified` besides, which follows from the values.
#[derive(Deserialize)]
struct Tlv {
    #[serde(default)]
    read_only: bool,
    default_value: Option<Json>,
    current_value: Option<Json>,
    next_value: Option<Json>,
}

pub(super) fn read(output: &str, keeper: Keeper) -> Result<Vec<Settings>, Unreadable> {
    let devices: Map<String, Json> = serde_json::from_str(output).map_err(|error| {
        let line = output.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        Unreadable::new(error.line(), "not JSON", line)
    })?;
    devices.into_iter().map(|(name, device)| card(output, &name, device, keeper)).collect()
}

fn card(output: &str, name: &str, device: Json, keeper: Keeper) -> Result<Settings, Unreadable> {
    let Ok(device) = serde_json::from_value::<Entry>(device) else {
        return Err(at(output, name, "a device without `tlv_configuration`"));
    };
    // Text has each of these on one line.
    let told = |text: Option<String>| {
        let text = text?.replace(char::is_control, " ");
        Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text != "N/A")
    };
    let card = Card {
        device: told(device.device),
        kind: told(device.device_type),
        part: told(device.name),
        description: told(device.description),
    };
    let settings = device.tlv_configuration.into_iter().map(|(name, tlv)| {
        let read = || {
            let tlv: Tlv = serde_json::from_value(tlv).ok()?;
            Some(Setting {
                name: name.parse().ok()?,
                default: value(tlv.default_value).ok()?,
                current: value(tlv.current_value).ok()?,
                next: value(tlv.next_value).ok()?,
                read_only: tlv.read_only,
                keeper,
            })
        };
        read().ok_or_else(|| at(output, &name, "no setting with its values"))
    });
    let settings: Vec<Setting> = settings.collect::<Result<_, _>>()?;
    if settings.is_empty() {
        return Err(at(output, name, "no setting follows"));
    }
    Ok(Settings { card, settings, not_asked: None })
}

/// A value, if it is told.
fn value(json: Option<Json>) -> Result<Option<Value>, NoValue> {
    match json {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(number)) => {
            number.as_u64().map(|number| Some(Value::Number(number))).ok_or(NoValue)
        }
        Some(Json::String(text)) if text == "N/A" => Ok(None),
        Some(Json::String(text)) => text.parse().map(Some).map_err(|_| NoValue),
        Some(_) => Err(NoValue),
    }
}

/// What stands for a value is none.
struct NoValue;

/// The mistake at the first line with `key`.
fn at(output: &str, key: &str, why: &'static str) -> Unreadable {
    let key = Json::from(key).to_string();
    let found = output.lines().enumerate().find(|(_, line)| line.contains(&key));
    let (index, line) = found.unwrap_or((0, output.lines().next().unwrap_or_default()));
    Unreadable::new(index + 1, why, line)
}
