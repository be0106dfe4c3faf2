//! Numbers and times as people type them (`10k`, `1m30s`, `~500:20s`) and read them (`12,345`, `1.2 s`).
//!
//! In: text or figures. Out: figures or text; a text that is neither is refused with an example.
//! Never: I/O.
//! Tests: below.

use shanty_proto::v1;
use std::time::Duration;

/// A length of time: a number and a unit, several in a row allowed (`500ms`, `1.5s`, `1m30s`, `2h`).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || {
        let hint = if text.parse::<f64>().is_ok() { format!("{text}s") } else { "10s".to_owned() };
        format!("a time needs a unit (ms, s, m, h), for example {hint} or 1m30s")
    };
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let seconds_per = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(refuse()),
        };
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let part = Duration::try_from_secs_f64(number * seconds_per).map_err(|_| refuse())?;
        total = total.checked_add(part).ok_or_else(refuse)?;
        rest = next.trim_start();
    }
    // Binary fractions of a second come out as 1.499999999s; nobody types nanoseconds.
    let micros = total.as_nanos().saturating_add(500) / 1_000;
    Ok(u64::try_from(micros).map_or(total, Duration::from_micros))
}

/// A number of things per second or of things: `2000`, `0.5`, `10k`, `1.5m`.
pub(crate) fn amount(text: &str) -> Result<f64, String> {
    let refuse = || "a number, with k or m for thousands or millions if you like: 2000, 0.5, 10k".to_owned();
    let lower = text.trim().to_ascii_lowercase();
    let (number, factor) = match lower.strip_suffix('k') {
        Some(number) => (number, 1e3),
        None => match lower.strip_suffix('m') {
            Some(number) => (number, 1e6),
            None => (lower.as_str(), 1.0),
        },
    };
    let number: f64 = number.parse().map_err(|_| refuse())?;
    let value = number * factor;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(refuse()) }
}

/// A whole number of things: `5000`, `10k`.
pub(crate) fn whole(text: &str) -> Result<u32, String> {
    let value = amount(text)?;
    // Through text: a cast could cut a fraction or the upper end off.
    format!("{value}")
        .parse()
        .map_err(|_| "a whole number below 4,294,967,296, for example 5000 or 10k".to_owned())
}

/// A number of bytes: `1048576`, `64KiB`, `20MB`, `1.5GiB`.
pub(crate) fn size(text: &str) -> Result<i64, String> {
    let refuse =
        || "a number of bytes, with kB, MB, GB, KiB, MiB or GiB if you like: 65536, 20MiB".to_owned();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return Err(refuse()),
    };
    let number: f64 = number.parse().map_err(|_| refuse())?;
    format!("{:.0}", number * factor).parse().map_err(|_| refuse())
}

/// A stage of a load schedule: `100:10s` holds, `~500:20s` ramps up or down to 500.
pub(crate) fn stage(text: &str) -> Result<v1::LoadStage, String> {
    let refuse =
        || "a stage is RATE:TIME (100:10s), with ~ before it for a ramp to RATE (~500:20s)".to_owned();
    let (ramp, plain) = match text.strip_prefix('~') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (rate, time) = plain.split_once(':').ok_or_else(refuse)?;
    let rate = amount(rate).map_err(|_| refuse())?;
    let length = duration(time).map_err(|_| refuse())?;
    Ok(v1::LoadStage { rate, duration: Some(proto_duration(length)), ramp })
}

/// A header: `name: value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let refuse = || "a header is NAME: VALUE, for example 'accept: text/html'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(refuse)?;
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(refuse());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// A label: `key=value`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE, for example team=shop".to_owned()),
    }
}

/// The same time as the wire has it.
pub(crate) fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A time of the wire; negative ones are 0.
pub(crate) fn std_duration(duration: &prost_types::Duration) -> Duration {
    Duration::try_from(*duration).unwrap_or_default()
}

/// `12,345`.
pub(crate) fn count(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0 { format!("-{grouped}") } else { grouped }
}

/// `1 worker`, `3 workers`.
pub(crate) fn things(number: u32, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {word}{plural}", count(i64::from(number)))
}

/// A rate with as many decimals as tell something: `0.5`, `101`, `2,000.4`.
pub(crate) fn rate(value: f64) -> String {
    let rounded = format!("{value:.1}");
    let (whole, tenth) = rounded.split_once('.').unwrap_or((&rounded, "0"));
    let whole_text = whole.parse().map_or_else(|_| whole.to_owned(), count);
    if value != 0.0 && value.abs() < 1.0 {
        return format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if tenth == "0" { whole_text } else { format!("{whole_text}.{tenth}") }
}

/// A rate for a column: always one decimal, `2,000.0`.
pub(crate) fn rate_tenths(value: f64) -> String {
    let text = rate(value);
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Milliseconds with three digits that count: `0.042`, `1.23`, `45.6`, `1,234`.
pub(crate) fn millis(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 999.5 => return rate(value.round()),
        v if v >= 99.95 => 1,
        v if v >= 9.995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// A part of one as percent: `0 %`, `0.034 %`, `12.5 %`.
pub(crate) fn percent(part: f64) -> String {
    let value = part * 100.0;
    let text = if value.abs() >= 1.0 { format!("{value:.1}") } else { format!("{value:.3}") };
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short} %")
}

/// A time for reading: `850 ms`, `10.0 s`, `2m 05s`, `3h 12m`, `4d 3h`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Bytes: `512 B`, `1.4 KiB`, `3.2 GiB`.
pub(crate) fn bytes(value: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = value as f64;
    if amount.abs() < 1024.0 {
        return format!("{value} B");
    }
    let mut unit = "B";
    for next in UNITS {
        if amount.abs() < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    format!("{amount:.1} {unit}")
}

/// How long ago `then` was at `now_ms` (Unix milliseconds); empty without a time.
pub(crate) fn ago(then: Option<&prost_types::Timestamp>, now_ms: i64) -> String {
    let Some(then) = then else { return String::new() };
    let then_ms = then.seconds.saturating_mul(1000).saturating_add(i64::from(then.nanos) / 1_000_000);
    let past = u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0);
    match past {
        0..1000 => "now".to_owned(),
        _ => format!("{} ago", time(Duration::from_millis(past))),
    }
}

/// Time of day in UTC: `14:03:21.482`.
pub(crate) fn clock(at: Option<&prost_types::Timestamp>) -> String {
    let Some(at) = at else { return "--:--:--".to_owned() };
    let day = at.seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}.{:03}", day / 3600, day % 3600 / 60, day % 60, at.nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_take_units_in_a_row_and_say_what_is_missing() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.1s"), Ok(Duration::from_millis(1100)));
        assert!(duration("10").is_err_and(|e| e.contains("10s")));
        for bad in ["", "s", "1x", "-1s", "1e400s", "99999999999999999999h", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_take_k_and_m() {
        assert_eq!(amount("10k"), Ok(10_000.0));
        assert_eq!(amount("1.5M"), Ok(1_500_000.0));
        assert_eq!(amount("0.5"), Ok(0.5));
        for bad in ["", "k", "-1", "nan", "inf", "10kk"] {
            assert!(amount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_and_sizes_are_exact() {
        assert_eq!((whole("10k"), whole("0"), whole("4294967295")), (Ok(10_000), Ok(0), Ok(u32::MAX)));
        assert!(whole("0.5").is_err() && whole("5000m").is_err());
        assert_eq!(
            (size("64KiB"), size("1.5 GiB"), size("20MB")),
            (Ok(65_536), Ok(1_610_612_736), Ok(20_000_000))
        );
        for bad in ["", "MiB", "-1", "5q", "1e30", "99999999999999999999"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tilde_makes_a_ramp() {
        let hold = stage("100:10s").unwrap();
        assert!(!hold.ramp && hold.rate == 100.0);
        let ramp = stage("~1k:500ms").unwrap();
        assert!(ramp.ramp && ramp.rate == 1000.0);
        assert_eq!(ramp.duration.unwrap().nanos, 500_000_000);
        assert!(stage("100").is_err() && stage("100:10").is_err());
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-1000), "-1,000");
        assert_eq!((rate(0.5), rate(101.0), rate(2000.44)), ("0.5".into(), "101".into(), "2,000.4".into()));
        assert_eq!(
            (millis(0.0421), millis(12.345), millis(1234.5)),
            ("0.042".into(), "12.35".into(), "1,235".into())
        );
        assert_eq!(
            (percent(0.0), percent(0.00034), percent(0.125)),
            ("0 %".into(), "0.034 %".into(), "12.5 %".into())
        );
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(time(Duration::from_secs(125)), "2m 05s");
        assert_eq!(bytes(1536), "1.5 KiB");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,20}") {
            let _ = (duration(&text), amount(&text), whole(&text), size(&text), stage(&text), header(&text), label(&text));
        }

        #[test]
        fn whole_milliseconds_survive(ms in 0_u64..100_000_000) {
            prop_assert_eq!(duration(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
        }
    }
}
