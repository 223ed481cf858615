use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::format::{TimeFormat, TimeItem};

/// A time as text, in UTC.
pub(super) fn format(format: &TimeFormat, time: SystemTime) -> String {
    let civil = Civil::of(time);
    let mut out = String::with_capacity(24);
    for item in &format.items {
        // Writing to a string cannot fail.
        let _ = civil.write(item, &mut out);
    }
    out
}

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

const SECONDS_A_DAY: u64 = 86_400;
/// The calendar repeats after 400 years.
const DAYS_AN_ERA: u64 = 146_097;
/// From 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;

/// A time taken apart.
struct Civil {
    epoch: u64,
    nanoseconds: u32,
    year: u64,
    /// 1 is January.
    month: u64,
    day: u64,
    day_of_year: u64,
    /// 0 is Sunday.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// A time before 1970 counts as 1970.
    fn of(time: SystemTime) -> Self {
        let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = since.as_secs();
        let days = epoch / SECONDS_A_DAY;
        let left = epoch % SECONDS_A_DAY;
        // Years that begin in March, so that a leap day is the last (Howard Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = days.saturating_add(DAYS_TO_1970);
        let era = shifted / DAYS_AN_ERA;
        let day_of_era = shifted % DAYS_AN_ERA;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let march_day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * march_day + 2) / 153;
        let day = march_day - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        // 1 March is day 60, or 61.
        let day_of_year = if month > 2 { march_day + 60 + u64::from(leap) } else { march_day - 305 };
        Self {
            epoch,
            nanoseconds: since.subsec_nanos(),
            year,
            month,
            day,
            day_of_year,
            // 1 January 1970 was a Thursday.
            weekday: (days + 4) % 7,
            hour: left / 3600,
            minute: left / 60 % 60,
            second: left % 60,
        }
    }

    fn write(&self, item: &TimeItem, out: &mut String) -> std::fmt::Result {
        match item {
            TimeItem::Literal(text) => out.write_str(text),
            TimeItem::Year => write!(out, "{}", self.year),
            TimeItem::Century => write!(out, "{:02}", self.year / 100),
            TimeItem::YearOfCentury => write!(out, "{:02}", self.year % 100),
            TimeItem::Month => write!(out, "{:02}", self.month),
            TimeItem::MonthShort => out.write_str(short(self.month_name())),
            TimeItem::MonthLong => out.write_str(self.month_name()),
            TimeItem::Day => write!(out, "{:02}", self.day),
            TimeItem::DayPadded => write!(out, "{:2}", self.day),
            TimeItem::DayOfYear => write!(out, "{:03}", self.day_of_year),
            TimeItem::WeekdayShort => out.write_str(short(self.weekday_name())),
            TimeItem::WeekdayLong => out.write_str(self.weekday_name()),
            TimeItem::WeekdayFromMonday => write!(out, "{}", if self.weekday == 0 { 7 } else { self.weekday }),
            TimeItem::WeekdayFromSunday => write!(out, "{}", self.weekday),
            TimeItem::Hour => write!(out, "{:02}", self.hour),
            TimeItem::HourOfTwelve => write!(out, "{:02}", if self.hour.is_multiple_of(12) { 12 } else { self.hour % 12 }),
            TimeItem::AmPm => out.write_str(if self.hour < 12 { "AM" } else { "PM" }),
            TimeItem::Minute => write!(out, "{:02}", self.minute),
            TimeItem::Second => write!(out, "{:02}", self.second),
            TimeItem::Epoch => write!(out, "{}", self.epoch),
            TimeItem::Fraction(digits) => out.write_str(self.fraction().get(..*digits).unwrap_or_default()),
            TimeItem::FractionExact => out.write_str(exact(&self.fraction(), "0")),
            TimeItem::SecondExact => match exact(&self.fraction(), "") {
                "" => write!(out, "{:02}", self.second),
                fraction => write!(out, "{:02}.{fraction}", self.second),
            },
        }
    }

    fn fraction(&self) -> String {
        format!("{:09}", self.nanoseconds)
    }

    fn month_name(&self) -> &'static str {
        name(&MONTHS, self.month.saturating_sub(1))
    }

    fn weekday_name(&self) -> &'static str {
        name(&WEEKDAYS, self.weekday)
    }
}

fn name(names: &[&'static str], index: u64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

fn short(name: &'static str) -> &'static str {
    name.get(..3).unwrap_or(name)
}

fn exact<'a>(fraction: &'a str, nothing: &'a str) -> &'a str {
    match fraction.trim_end_matches('0') {
        "" => nothing,
        digits => digits,
    }
}
