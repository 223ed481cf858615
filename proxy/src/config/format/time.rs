use std::borrow::Cow;

/// How a time is written: a subset of `strftime`, with Envoy's `%3f` and Abseil's `%E3S`. Times are in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat {
    /// Parts in order.
    pub items: Vec<TimeItem>,
}

/// A part of a [`TimeFormat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeItem {
    /// As it is.
    Literal(String),
    /// `%Y`.
    Year,
    /// `%C`: the first two digits of the year.
    Century,
    /// `%y`: the last two.
    YearOfCentury,
    /// `%m`.
    Month,
    /// `%b`, `%h`: `Nov`.
    MonthShort,
    /// `%B`: `November`.
    MonthLong,
    /// `%d`.
    Day,
    /// `%e`: padded with a space.
    DayPadded,
    /// `%j`.
    DayOfYear,
    /// `%a`: `Sat`.
    WeekdayShort,
    /// `%A`: `Saturday`.
    WeekdayLong,
    /// `%u`: 1 is Monday.
    WeekdayFromMonday,
    /// `%w`: 0 is Sunday.
    WeekdayFromSunday,
    /// `%H`.
    Hour,
    /// `%I`.
    HourOfTwelve,
    /// `%p`.
    AmPm,
    /// `%M`.
    Minute,
    /// `%S`.
    Second,
    /// `%s`: seconds since 1970.
    Epoch,
    /// `%3f`, `%E3f`: digits of the fraction of a second.
    Fraction(usize),
    /// `%E*f`: the fraction without trailing zeros.
    FractionExact,
    /// `%E*S`: the seconds with such a fraction.
    SecondExact,
}

impl Default for TimeFormat {
    /// `2026-11-21T12:34:18.129Z`.
    fn default() -> Self {
        Self::parse("%Y-%m-%dT%H:%M:%E3SZ").unwrap_or(Self { items: Vec::new() })
    }
}

impl TimeFormat {
    /// Reads a format; an empty one is the default.
    pub(super) fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut format = Self { items: Vec::new() };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            format.literal(before);
            rest = format.specifier(after)?;
        }
        format.literal(rest);
        Ok(format)
    }

    fn literal(&mut self, text: &str) {
        match self.items.last_mut() {
            Some(TimeItem::Literal(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.items.push(TimeItem::Literal(text.to_owned())),
        }
    }

    /// Takes what follows a `%`, and gives what is left.
    fn specifier<'a>(&mut self, text: &'a str) -> Result<&'a str, Cow<'static, str>> {
        let mut characters = text.chars();
        match characters.next() {
            Some('E') => return self.extended(characters.as_str()),
            Some(digit @ '1'..='9') => {
                let rest = characters.as_str().strip_prefix('f').ok_or_else(|| unknown(text))?;
                self.items.push(TimeItem::Fraction(digits(digit)));
                return Ok(rest);
            }
            Some('T') => self.compound(&[TimeItem::Hour, TimeItem::Minute, TimeItem::Second], ":"),
            Some('R') => self.compound(&[TimeItem::Hour, TimeItem::Minute], ":"),
            Some('F') => self.compound(&[TimeItem::Year, TimeItem::Month, TimeItem::Day], "-"),
            Some('D') => self.compound(&[TimeItem::Month, TimeItem::Day, TimeItem::YearOfCentury], "/"),
            Some('z') => self.literal("+0000"),
            Some('Z') => self.literal("UTC"),
            Some('t') => self.literal("\t"),
            Some('%') => self.literal("%"),
            // Envoy: a line end would let one line look like two.
            Some('n') => return Err("%n: a time cannot hold a line end".into()),
            Some(letter) => self.items.push(simple(letter).ok_or_else(|| unknown(text))?),
            // Envoy, too, writes a `%` at the end as it is.
            None => self.literal("%"),
        }
        Ok(characters.as_str())
    }

    /// Takes what follows `%E`.
    fn extended<'a>(&mut self, text: &'a str) -> Result<&'a str, Cow<'static, str>> {
        let mut characters = text.chars();
        let refusal = || -> Cow<'static, str> { format!("there is no %E{} in a time", text.chars().take(2).collect::<String>()).into() };
        let count = characters.next().ok_or_else(refusal)?;
        if count == 'z' {
            self.literal("+00:00");
            return Ok(characters.as_str());
        }
        if count != '*' && !count.is_ascii_digit() {
            return Err(refusal());
        }
        match characters.next() {
            Some('S') if count == '*' => self.items.push(TimeItem::SecondExact),
            Some('f') if count == '*' => self.items.push(TimeItem::FractionExact),
            Some('S') => {
                self.items.push(TimeItem::Second);
                if count != '0' {
                    self.literal(".");
                    self.items.push(TimeItem::Fraction(digits(count)));
                }
            }
            Some('f') if count != '0' => self.items.push(TimeItem::Fraction(digits(count))),
            _ => return Err(refusal()),
        }
        Ok(characters.as_str())
    }

    fn compound(&mut self, items: &[TimeItem], separator: &str) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.literal(separator);
            }
            self.items.push(item.clone());
        }
    }
}

fn simple(letter: char) -> Option<TimeItem> {
    Some(match letter {
        'Y' => TimeItem::Year,
        'C' => TimeItem::Century,
        'y' => TimeItem::YearOfCentury,
        'm' => TimeItem::Month,
        'b' | 'h' => TimeItem::MonthShort,
        'B' => TimeItem::MonthLong,
        'd' => TimeItem::Day,
        'e' => TimeItem::DayPadded,
        'j' => TimeItem::DayOfYear,
        'a' => TimeItem::WeekdayShort,
        'A' => TimeItem::WeekdayLong,
        'u' => TimeItem::WeekdayFromMonday,
        'w' => TimeItem::WeekdayFromSunday,
        'H' => TimeItem::Hour,
        'I' => TimeItem::HourOfTwelve,
        'p' => TimeItem::AmPm,
        'M' => TimeItem::Minute,
        'S' => TimeItem::Second,
        's' => TimeItem::Epoch,
        // Envoy: without a digit all nine are written.
        'f' => TimeItem::Fraction(9),
        _ => return None,
    })
}

fn digits(digit: char) -> usize {
    digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(0)
}

fn unknown(text: &str) -> Cow<'static, str> {
    format!("there is no %{} in a time", text.chars().take(1).collect::<String>()).into()
}
