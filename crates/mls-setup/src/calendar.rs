//! Schedules for cron: the calendar expressions of systemd.time(7) that crontab(5) can express.

/// The five fields of a crontab line for a calendar expression; `None` if cron has no such schedule.
///
/// Supports `hourly` and similar words, `23:59`, `*:0/15`, `Mon 06:00`, `Mon..Fri 08,17:30`.
pub(crate) fn cron_fields(expression: &str) -> Option<String> {
    let named = match expression {
        "minutely" => "* * * * *",
        "hourly" => "0 * * * *",
        "daily" => "0 0 * * *",
        "weekly" => "0 0 * * 1",
        "monthly" => "0 0 1 * *",
        _ => return clock(expression),
    };
    Some(named.to_owned())
}

fn clock(expression: &str) -> Option<String> {
    let words: Vec<&str> = expression.split_whitespace().collect();
    let (days, time) = match words.as_slice() {
        [time] => ("*".to_owned(), *time),
        [days, time] => (weekdays(days)?, *time),
        _ => return None,
    };
    let parts: Vec<&str> = time.split(':').collect();
    let (hours, minutes) = match parts.as_slice() {
        [hours, minutes] | [hours, minutes, "0" | "00"] => (*hours, *minutes),
        _ => return None,
    };
    Some(format!("{} {} * * {days}", numbers(minutes, 59)?, numbers(hours, 23)?))
}

/// Converts `*`, `5`, `0/15`, or a list such as `8,17` to the form of crontab(5).
fn numbers(text: &str, most: u32) -> Option<String> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten().filter(|number| *number <= most)
    };
    let one = |text: &str| match text.split_once('/') {
        None if text == "*" => Some(text.to_owned()),
        None => number(text).map(|number| number.to_string()),
        Some((start, step)) => {
            let step = number(step).filter(|step| *step > 0)?;
            match start {
                "*" | "0" | "00" => Some(format!("*/{step}")),
                start => Some(format!("{}-{most}/{step}", number(start)?)),
            }
        }
    };
    Some(text.split(',').map(one).collect::<Option<Vec<_>>>()?.join(","))
}

/// Converts `Mon`, `Mon..Fri`, or a list such as `Mon,Sat..Sun` to the form of crontab(5).
fn weekdays(text: &str) -> Option<String> {
    let day = |text: &str| {
        let name = text.get(..3)?.to_ascii_lowercase();
        let known = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].contains(&name.as_str());
        known.then_some(name)
    };
    let one = |text: &str| match text.split_once("..") {
        None => day(text),
        Some((first, last)) => Some(format!("{}-{}", day(first)?, day(last)?)),
    };
    Some(text.split(',').map(one).collect::<Option<Vec<_>>>()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_cron_has_becomes_its_five_fields() {
        for (expression, fields) in [
            ("hourly", "0 * * * *"),
            ("weekly", "0 0 * * 1"),
            ("23:59", "59 23 * * *"),
            ("06:05:00", "5 6 * * *"),
            ("*:0/15", "*/15 * * * *"),
            ("*:5/20", "5-59/20 * * * *"),
            ("Mon 06:00", "0 6 * * mon"),
            ("Monday,Wed..Fri 08,17:30", "30 8,17 * * mon,wed-fri"),
        ] {
            assert_eq!(cron_fields(expression).as_deref(), Some(fields), "{expression}");
        }
    }

    #[test]
    fn a_schedule_that_cron_cannot_express_has_no_fields() {
        for expression in [
            "follow",
            "",
            "*:*:0/10",
            "25:00",
            "2100-01-01",
            "*:0/0",
            "1-5 06:00",
            "06:00 UTC",
            "%:5",
            "é 06:00",
        ] {
            assert_eq!(cron_fields(expression), None, "{expression}");
        }
    }
}
