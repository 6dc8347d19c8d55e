//! Traces: who came when, for which object, in place of an arrival process.
//!
//! One line a download, as CSV with a header, or as JSON objects (a line each). Columns by name,
//! in any order; `docs/simulation.md` lists them. Objects and users are names: the same name is the
//! same object or user.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Downloads in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The downloads.
    pub entries: Vec<Entry>,
    /// Bytes of each object.
    pub objects: Vec<u64>,
    /// How many users there are.
    pub users: u32,
}

/// One download of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Seconds since the start.
    pub at_s: f64,
    /// Its place among the objects.
    pub object: u32,
    /// Its place among the users.
    pub user: u32,
    /// The user's own downlink, if told.
    pub down_mbit: Option<f64>,
    /// The user's own uplink, if told.
    pub up_mbit: Option<f64>,
    /// Whether the user uploads, if told.
    pub shares: Option<bool>,
    /// Seconds until the user is gone mid-way, if told.
    pub killed_after_s: Option<f64>,
    /// Seconds from the end of the download until the user is gone, if told.
    pub leaves_after_s: Option<f64>,
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// What is wrong, in one line.
    pub message: String,
}

/// One line as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    at_s: f64,
    object: String,
    size_bytes: u64,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    down_mbit: Option<f64>,
    #[serde(default)]
    up_mbit: Option<f64>,
    #[serde(default)]
    shares: Option<bool>,
    #[serde(default)]
    killed_after_s: Option<f64>,
    #[serde(default)]
    leaves_after_s: Option<f64>,
}

impl Trace {
    /// Lines of one trace: what the flow-level model can hold.
    const ROWS_MAX: usize = 4_000_000;
    /// Characters of a name.
    const NAME_MAX: usize = 200;

    /// Reads a trace: JSON lines when it begins with a brace, else CSV.
    ///
    /// # Errors
    ///
    /// [`TraceError`] with the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let lines = (text.lines().enumerate())
            .map(|(at, line)| (at + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut builder = Builder::default();
        if text.trim_start().starts_with('{') {
            for (number, line) in lines {
                let row = serde_json::from_str(line).map_err(|error| TraceError {
                    line: number,
                    message: error.to_string().replace('\n', " "),
                });
                builder.add(row?, number)?;
            }
        } else {
            read_csv(lines, &mut builder)?;
        }
        builder.finish()
    }
}

/// Any bytes as a trace.
pub fn fuzz_trace(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Trace::parse(text);
    }
}

fn read_csv<'a>(
    mut lines: impl Iterator<Item = (usize, &'a str)>,
    builder: &mut Builder,
) -> Result<(), TraceError> {
    let Some((number, header)) = lines.next() else {
        return Ok(());
    };
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    for column in &columns {
        if !COLUMNS.contains(column) {
            let columns = COLUMNS.join(", ");
            return Err(mistake(
                number,
                format!("`{column}` is no column: {columns}"),
            ));
        }
    }
    for needed in ["at_s", "object", "size_bytes"] {
        if !columns.contains(&needed) {
            return Err(mistake(number, format!("there is no column `{needed}`")));
        }
    }
    for (number, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if fields.len() != columns.len() {
            let (got, want) = (fields.len(), columns.len());
            return Err(mistake(number, format!("{got} fields instead of {want}")));
        }
        let mut row = Row::default();
        for (column, field) in columns.iter().zip(fields) {
            fill(&mut row, column, field).map_err(|message| mistake(number, message))?;
        }
        builder.add(row, number)?;
    }
    Ok(())
}

const COLUMNS: [&str; 9] = [
    "at_s",
    "object",
    "size_bytes",
    "user",
    "down_mbit",
    "up_mbit",
    "shares",
    "killed_after_s",
    "leaves_after_s",
];

fn fill(row: &mut Row, column: &str, field: &str) -> Result<(), String> {
    let number = || {
        let number = field.parse::<f64>();
        number.map_err(|_| format!("{column}: `{field}` is no number"))
    };
    let optional = || (!field.is_empty()).then(number).transpose();
    match column {
        "at_s" => row.at_s = number()?,
        "object" => row.object = field.to_owned(),
        "size_bytes" => {
            let size = field.parse();
            row.size_bytes = size.map_err(|_| format!("size_bytes: `{field}` is no number"))?;
        }
        "user" => row.user = (!field.is_empty()).then(|| field.to_owned()),
        "down_mbit" => row.down_mbit = optional()?,
        "up_mbit" => row.up_mbit = optional()?,
        "killed_after_s" => row.killed_after_s = optional()?,
        "leaves_after_s" => row.leaves_after_s = optional()?,
        "shares" => {
            row.shares = match field {
                "" => None,
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => return Err(format!("shares: `{field}` is neither true nor false")),
            }
        }
        _ => unreachable!("columns were looked at"),
    }
    Ok(())
}

#[derive(Default)]
struct Builder {
    trace: Trace,
    objects: BTreeMap<String, u32>,
    users: BTreeMap<String, u32>,
}

impl Builder {
    fn add(&mut self, row: Row, line: usize) -> Result<(), TraceError> {
        check(&row).map_err(|message| mistake(line, message))?;
        if self.trace.entries.len() >= Trace::ROWS_MAX {
            let most = Trace::ROWS_MAX;
            return Err(mistake(line, format!("there are more than {most}")));
        }
        let next = u32::try_from(self.objects.len()).expect("bounded");
        let object = *self.objects.entry(row.object).or_insert(next);
        if object == next {
            self.trace.objects.push(row.size_bytes);
        } else if self.trace.objects[object as usize] != row.size_bytes {
            return Err(mistake(
                line,
                "size_bytes: the object had another size before".into(),
            ));
        }
        let user = match row.user {
            Some(name) => *self.users.entry(name).or_insert(self.trace.users),
            None => self.trace.users,
        };
        self.trace.users = self.trace.users.max(user + 1);
        self.trace.entries.push(Entry {
            at_s: row.at_s,
            object,
            user,
            down_mbit: row.down_mbit,
            up_mbit: row.up_mbit,
            shares: row.shares,
            killed_after_s: row.killed_after_s,
            leaves_after_s: row.leaves_after_s,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Trace, TraceError> {
        if self.trace.entries.is_empty() {
            return Err(mistake(1, "there is no download in it".into()));
        }
        let by_time = |a: &Entry, b: &Entry| a.at_s.total_cmp(&b.at_s);
        self.trace.entries.sort_by(by_time);
        Ok(self.trace)
    }
}

fn check(row: &Row) -> Result<(), String> {
    let between = |key: &str, value: Option<f64>, low: f64, high: f64| match value {
        Some(value) if !(value >= low && value <= high) => {
            Err(format!("{key}: {value} is not between {low} and {high}"))
        }
        Some(_) | None => Ok(()),
    };
    between("at_s", Some(row.at_s), 0.0, 1e8)?;
    between("down_mbit", row.down_mbit, 0.01, 1e7)?;
    between("up_mbit", row.up_mbit, 0.01, 1e7)?;
    between("killed_after_s", row.killed_after_s, 0.0, 1e8)?;
    between("leaves_after_s", row.leaves_after_s, 0.0, 1e8)?;
    let names = [Some(&row.object), row.user.as_ref()];
    for name in names.into_iter().flatten() {
        if name.is_empty() || name.len() > Trace::NAME_MAX {
            return Err(format!("names have 1 to {} characters", Trace::NAME_MAX));
        }
    }
    if row.size_bytes == 0 || row.size_bytes > 1 << 40 {
        return Err("size_bytes: between 1 and 2^40".to_owned());
    }
    Ok(())
}

fn mistake(line: usize, message: String) -> TraceError {
    TraceError { line, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = "at_s, object, size_bytes, user, shares\n5, b, 20, ann, true\n0.5, a, 10, ,\n";
        let json = r#"{"at_s": 5, "object": "b", "size_bytes": 20, "user": "ann", "shares": true}
            {"at_s": 0.5, "object": "a", "size_bytes": 10}"#;
        let (csv, json) = (Trace::parse(csv).unwrap(), Trace::parse(json).unwrap());
        assert_eq!(csv, json);
        assert_eq!((csv.entries[0].at_s, csv.entries[0].user), (0.5, 1));
        assert_eq!((csv.objects, csv.users), (vec![20, 10], 2));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, want) in [
            ("", "line 1: there is no download in it"),
            (
                "at_s,object\n1,a",
                "line 1: there is no column `size_bytes`",
            ),
            ("at_s,object,size_bytes,colour\n", "line 1: `colour` is no"),
            (
                "at_s,object,size_bytes\n1,a",
                "line 2: 2 fields instead of 3",
            ),
            (
                "at_s,object,size_bytes\n\n1,a,x",
                "line 3: size_bytes: `x` is no number",
            ),
            ("at_s,object,size_bytes\nnan,a,1", "line 2: at_s: NaN"),
            (
                "at_s,object,size_bytes\n1,a,1\n1,a,2",
                "line 3: size_bytes: the",
            ),
            ("{\"at_s\": 1}", "line 1: missing field `object`"),
        ] {
            let error = Trace::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text:?}: {error}");
        }
    }
}
