//! A file's bytes, as they come, into rows: CSV (RFC 4180) or JSON lines. No I/O, and no more memory than one row.

use csv_core::{ReadRecordResult, Reader as CsvReader};
use provisioning_api_contract::{ImportProblem, ImportProblemCode};
use sha2::{Digest as _, Sha256};

/// No row that makes sense is longer.
const MAX_ROW: usize = 64 * 1024;

/// What a file may say of a device, in the order of docs/import.md.
pub(super) const COLUMNS: [&str; 8] =
    ["registrationId", "model", "attestation", "endorsementKey", "region", "ring", "dpsInstance", "site"];

/// More columns than that are none of ours.
const MAX_COLUMNS: usize = 64;

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// With a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// A row's values by [`COLUMNS`]; an empty one is none.
pub(super) type Values = [Option<String>; COLUMNS.len()];

#[derive(Debug)]
pub(super) struct Row {
    /// From 1, without the header.
    pub(super) number: u64,
    /// From 1.
    pub(super) line: u64,
    pub(super) values: Result<Values, ImportProblem>,
    /// SHA-256 over the file from its header to this row's end.
    pub(super) prefix: [u8; 32],
}

/// Takes a file in pieces of any size.
pub(super) struct Rows {
    format: ImportFormat,
    csv: Box<CsvReader>,
    /// The row that is being read: its text, and for CSV where its values end.
    text: Vec<u8>,
    filled: usize,
    ends: Vec<usize>,
    ended: usize,
    too_long: bool,
    /// Whether a byte of it was read.
    begun: bool,
    quotes: u64,
    /// The first bytes, until it is known that they are no mark of another encoding.
    start: Option<Vec<u8>>,
    line: u64,
    row_line: u64,
    number: u64,
    prefix: [u8; 32],
    header: Option<Vec<usize>>,
}

impl Rows {
    pub(super) fn new(format: ImportFormat) -> Self {
        let name: &[u8] = match format {
            ImportFormat::Csv => b"lowtouch import v1 csv\0",
            ImportFormat::JsonLines => b"lowtouch import v1 jsonl\0",
        };
        Self {
            format,
            csv: Box::new(CsvReader::new()),
            text: vec![0; MAX_ROW],
            filled: 0,
            ends: vec![0; MAX_COLUMNS],
            ended: 0,
            too_long: false,
            begun: false,
            quotes: 0,
            start: Some(Vec::new()),
            line: 1,
            row_line: 1,
            number: 0,
            prefix: Sha256::digest(name).into(),
            header: None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What is wrong with the file as a whole; nothing more is to be read then.
    pub(super) fn push(&mut self, bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), ImportProblem> {
        let Some(start) = &mut self.start else { return self.read(bytes, rows) };
        start.extend_from_slice(bytes);
        if start.len() < 3 {
            return Ok(());
        }
        let start = self.start.take().unwrap_or_default();
        self.read(without_mark(&start)?, rows)
    }

    /// The file is at its end.
    pub(super) fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), ImportProblem> {
        if let Some(start) = self.start.take() {
            self.read(without_mark(&start)?, rows)?;
        }
        if self.begun {
            // A last line without a line feed is a line; one that ends within quotes is not all of it.
            if self.format == ImportFormat::Csv && self.quotes % 2 == 1 {
                let torn =
                    "the file ends within quotes: the row's quote is not closed, or the end of the file is missing";
                self.row_ends(rows, Some(problem(ImportProblemCode::Torn, "", torn)))?;
            } else if self.format == ImportFormat::Csv {
                let csv = self.csv.read_record(&[], &mut self.text[self.filled..], &mut self.ends[self.ended..]);
                self.filled += csv.2;
                self.ended += csv.3;
                self.row_ends(rows, None)?;
            } else {
                self.row_ends(rows, None)?;
            }
        }
        if self.number == 0 && (self.header.is_none() || rows.is_empty()) {
            return Err(problem(ImportProblemCode::Empty, "", "the file has no rows"));
        }
        Ok(())
    }

    fn read(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), ImportProblem> {
        while !bytes.is_empty() {
            if !self.begun {
                // Line ends before a row are counted here, so that the row's line is its own.
                let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.count(&bytes[..blank]);
                bytes = &bytes[blank..];
                if bytes.is_empty() {
                    return Ok(());
                }
                self.begun = true;
                self.row_line = self.line;
            }
            let (read, ended) = match self.format {
                ImportFormat::Csv => self.read_csv(bytes),
                ImportFormat::JsonLines => self.read_line(bytes),
            };
            self.count(&bytes[..read]);
            bytes = &bytes[read..];
            if ended {
                self.row_ends(rows, None)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    /// How many bytes were taken, and whether a row ended with them.
    fn read_csv(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let (result, read, wrote, ends) =
                self.csv.read_record(&bytes[taken..], &mut self.text[self.filled..], &mut self.ends[self.ended..]);
            self.quotes += bytes[taken..taken + read].iter().filter(|byte| **byte == b'"').count() as u64;
            taken += read;
            self.filled += wrote;
            self.ended += ends;
            match result {
                ReadRecordResult::InputEmpty => return (taken, false),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    // The rest of it is read into the same place, to find where it ends.
                    self.too_long = true;
                    (self.filled, self.ended) = (0, 0);
                }
                ReadRecordResult::Record => return (taken, true),
                // Not before an empty input.
                ReadRecordResult::End => return (taken, false),
            }
        }
    }

    fn read_line(&mut self, bytes: &[u8]) -> (usize, bool) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.too_long || self.filled + part.len() > MAX_ROW {
            self.too_long = true;
            self.filled = 0;
        } else {
            self.text[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
        }
        (part.len() + usize::from(end.is_some()), end.is_some())
    }

    fn row_ends(&mut self, rows: &mut Vec<Row>, fault: Option<ImportProblem>) -> Result<(), ImportProblem> {
        let mut hash = Sha256::new_with_prefix(self.prefix);
        hash.update((self.filled as u64).to_be_bytes());
        hash.update(&self.text[..self.filled]);
        for end in &self.ends[..self.ended] {
            hash.update((*end as u64).to_be_bytes());
        }
        self.prefix = hash.finalize().into();
        let values = self.values(fault);
        let is_header = self.format == ImportFormat::Csv && self.header.is_none();
        (self.filled, self.ended, self.quotes) = (0, 0, 0);
        (self.too_long, self.begun) = (false, false);
        if is_header {
            self.header =
                Some(values.and_then(header).map_err(|problem| ImportProblem { line: self.row_line, ..problem })?);
            return Ok(());
        }
        self.number += 1;
        let (number, line) = (self.number, self.row_line);
        let values = values.and_then(|values| match (&self.header, values) {
            (Some(header), Read::Csv(values)) => by_column(header, values),
            (_, Read::Json(values)) => Ok(*values),
            (None, Read::Csv(_)) => Err(problem(ImportProblemCode::Missing, "", "there is no header")),
        });
        let values = values.map_err(|problem| ImportProblem { row: number, line, ..problem });
        rows.push(Row { number, line, values, prefix: self.prefix });
        Ok(())
    }

    fn values(&self, fault: Option<ImportProblem>) -> Result<Read, ImportProblem> {
        if let Some(fault) = fault {
            return Err(fault);
        }
        if self.too_long {
            let long = "the row is longer than 64 KiB, or has more than 64 columns; in CSV, look for a quote that is not closed";
            return Err(problem(ImportProblemCode::RowTooLong, "", long));
        }
        let text = &self.text[..self.filled];
        let not_text = |_| problem(ImportProblemCode::WrongEncoding, "", "the row is not UTF-8");
        match self.format {
            ImportFormat::Csv => {
                let mut from = 0;
                let mut values = Vec::with_capacity(self.ended);
                for end in &self.ends[..self.ended] {
                    values.push(std::str::from_utf8(&text[from..*end]).map_err(not_text)?.to_owned());
                    from = *end;
                }
                Ok(Read::Csv(values))
            }
            ImportFormat::JsonLines => json(std::str::from_utf8(text).map_err(not_text)?).map(Box::new).map(Read::Json),
        }
    }
}

enum Read {
    Csv(Vec<String>),
    Json(Box<Values>),
}

/// Without the UTF-8 mark that some programs put first.
fn without_mark(start: &[u8]) -> Result<&[u8], ImportProblem> {
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) || start.contains(&0) {
        let text = "the file is UTF-16; save it as UTF-8";
        return Err(problem(ImportProblemCode::WrongEncoding, "", text));
    }
    Ok(start.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(start))
}

fn header(read: Read) -> Result<Vec<usize>, ImportProblem> {
    let Read::Csv(names) = read else { return Ok(Vec::new()) };
    let mut columns = Vec::with_capacity(names.len());
    for name in &names {
        let column = column(name).ok_or_else(|| unknown_column(name))?;
        if columns.contains(&column) {
            return Err(problem(
                ImportProblemCode::DuplicateColumn,
                COLUMNS[column],
                "the header has this column twice",
            ));
        }
        columns.push(column);
    }
    if !columns.contains(&0) {
        return Err(problem(ImportProblemCode::Missing, COLUMNS[0], "the header lacks this column"));
    }
    Ok(columns)
}

/// Case, spaces, dashes and underscores do not matter.
fn column(name: &str) -> Option<usize> {
    let name = plain(name);
    COLUMNS.iter().position(|column| plain(column) == name)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).flat_map(char::to_lowercase).collect()
}

fn unknown_column(name: &str) -> ImportProblem {
    let named = plain(name);
    let nearest = COLUMNS.iter().map(|column| (strsim::osa_distance(&named, &plain(column)), column)).min();
    let hint = match nearest {
        Some((distance, column)) if distance * 2 <= column.len() => format!("did you mean {column}?"),
        _ => format!("the columns are {}", COLUMNS.join(", ")),
    };
    problem(ImportProblemCode::UnknownColumn, &shown(name), &format!("this column is not known; {hint}"))
}

/// What came in, short and without anything that a terminal or a page would take for more than text.
fn shown(name: &str) -> String {
    name.chars().take(40).map(|c| if c.is_alphanumeric() || " _-.".contains(c) { c } else { '?' }).collect()
}

fn by_column(header: &[usize], read: Vec<String>) -> Result<Values, ImportProblem> {
    if read.len() != header.len() {
        let text = format!("the row has {} values and the header {} columns", read.len(), header.len());
        return Err(problem(ImportProblemCode::WrongNumberOfValues, "", &text));
    }
    let mut values = Values::default();
    for (column, value) in header.iter().zip(read) {
        let value = value.trim();
        values[*column] = (!value.is_empty()).then(|| value.to_owned());
    }
    Ok(values)
}

fn json(line: &str) -> Result<Values, ImportProblem> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).map_err(|error| {
        problem(ImportProblemCode::NotJson, "", &format!("the line is no JSON object, at column {}", error.column()))
    })?;
    let mut values = Values::default();
    for (name, value) in object {
        let column = COLUMNS.iter().position(|column| *column == name).ok_or_else(|| unknown_column(&name))?;
        values[column] = match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            _ => return Err(problem(ImportProblemCode::WrongType, COLUMNS[column], "the value must be text")),
        };
    }
    Ok(values)
}

pub(super) fn problem(code: ImportProblemCode, column: &str, text: &str) -> ImportProblem {
    ImportProblem { row: 0, line: 0, column: column.into(), code, text: text.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(format: ImportFormat, bytes: &[u8], piece: usize) -> Result<Vec<Row>, ImportProblem> {
        let mut rows = Vec::new();
        let mut reader = Rows::new(format);
        for some in bytes.chunks(piece.max(1)) {
            reader.push(some, &mut rows)?;
        }
        reader.finish(&mut rows).map(|()| rows)
    }

    fn csv(text: impl AsRef<[u8]>) -> Result<Vec<Row>, ImportProblem> {
        read(ImportFormat::Csv, text.as_ref(), usize::MAX)
    }

    fn ids(rows: &[Row]) -> Vec<(u64, u64, String)> {
        rows.iter().map(|row| (row.number, row.line, row.values.as_ref().unwrap()[0].clone().unwrap())).collect()
    }

    #[test]
    fn marks_line_ends_blank_lines_quotes_and_spellings_of_columns_do_not_matter() {
        let expected = vec![(1, 2, "SN-1".to_owned()), (2, 4, "SN-2".to_owned())];
        for text in [
            "registrationId,model\nSN-1,pump\n\nSN-2,\"a \"\"big\"\" one\"\n",
            "registrationId,model\r\nSN-1,pump\r\n\r\nSN-2,x",
            "\u{feff}Registration ID,MODEL\nSN-1,pump\n\n\"SN-2\",x\n",
            "model,registration_id\npump,SN-1\n\n x , SN-2 ",
        ] {
            assert_eq!(ids(&csv(text).unwrap()), expected, "{text}");
        }
        let rows = csv("registrationId,model\n\"SN-1\",\"two\nlines\"\nSN-2,x\n").unwrap();
        assert_eq!(ids(&rows)[1], (2, 4, "SN-2".into()));
        assert_eq!(rows[0].values.as_ref().unwrap()[1].as_deref(), Some("two\nlines"));
        let jsonl = "\u{feff}{\"registrationId\":\"SN-1\"}\r\n\n{\"registrationId\":\"SN-2\",\"model\":null}";
        let rows = read(ImportFormat::JsonLines, jsonl.as_bytes(), 7).unwrap();
        assert_eq!(ids(&rows), [(1, 1, "SN-1".into()), (2, 3, "SN-2".into())]);
    }

    #[test]
    fn a_header_that_is_wrong_is_told_with_the_nearest_column() {
        let told = |text: &str| csv(text).unwrap_err();
        let misspelled = told("registrationId,modle\nSN-1,x\n");
        assert_eq!((misspelled.code, misspelled.column.as_str()), (ImportProblemCode::UnknownColumn, "modle"));
        assert!(misspelled.text.contains("did you mean model?"), "{}", misspelled.text);
        assert!(told("registrationId,\u{1b}[31m<b>\nx,y").column.contains("?"));
        assert_eq!(told("model\nx\n").code, ImportProblemCode::Missing);
        assert_eq!(told("model,registrationId,Model\nx,y,z\n").code, ImportProblemCode::DuplicateColumn);
        assert_eq!(told("registrationId;model\nSN-1;x\n").code, ImportProblemCode::UnknownColumn);
        assert_eq!(told("").code, ImportProblemCode::Empty);
        assert_eq!(told("registrationId\n").code, ImportProblemCode::Empty);
    }

    #[test]
    fn another_encoding_is_told() {
        let utf16: Vec<u8> = "registrationId\nSN-1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(csv([&[0xff, 0xfe], &utf16[..]].concat()).unwrap_err().code, ImportProblemCode::WrongEncoding);
        assert_eq!(csv(&utf16).unwrap_err().code, ImportProblemCode::WrongEncoding);
        let rows = csv(b"registrationId,model\nSN-1,caf\xe9\nSN-2,x\n").unwrap();
        assert_eq!(rows[0].values.as_ref().unwrap_err().code, ImportProblemCode::WrongEncoding);
        assert!(rows[1].values.is_ok());
    }

    #[test]
    fn torn_and_endless_rows_are_told_and_cost_no_memory() {
        let rows = csv("registrationId,model\nSN-1,x\nSN-2\nSN-3,y,z\nSN-4,\"never closed\nSN-5,x\n").unwrap();
        let codes: Vec<_> = rows.iter().map(|row| row.values.as_ref().err().map(|p| (p.code, p.line))).collect();
        assert_eq!(
            codes,
            [
                None,
                Some((ImportProblemCode::WrongNumberOfValues, 3)),
                Some((ImportProblemCode::WrongNumberOfValues, 4)),
                Some((ImportProblemCode::Torn, 5)),
            ]
        );

        let long = "x".repeat(10 << 20);
        for (format, text) in [
            (ImportFormat::Csv, format!("registrationId,model\nSN-1,{long}\nSN-2,x\n")),
            (ImportFormat::Csv, format!("registrationId,model\nSN-1,\"{long}\"\nSN-2,x\n")),
            (ImportFormat::JsonLines, format!("{{\"registrationId\":\"{long}\"}}\n{{\"registrationId\":\"SN-2\"}}\n")),
        ] {
            let rows = read(format, text.as_bytes(), 10_000).unwrap();
            assert_eq!(rows[0].values.as_ref().unwrap_err().code, ImportProblemCode::RowTooLong);
            assert_eq!(rows[1].values.as_ref().unwrap()[0].as_deref(), Some("SN-2"));
        }
    }

    #[test]
    fn lines_that_are_no_device_are_told() {
        let text = "{\n[]\n{\"registrationId\":1}\n{\"modle\":\"x\"}\n{\"registrationId\":\"SN-1\"}\n";
        let rows = read(ImportFormat::JsonLines, text.as_bytes(), 3).unwrap();
        let codes: Vec<_> = rows.iter().map(|row| row.values.as_ref().err().map(|problem| problem.code)).collect();
        assert_eq!(
            codes,
            [
                Some(ImportProblemCode::NotJson),
                Some(ImportProblemCode::NotJson),
                Some(ImportProblemCode::WrongType),
                Some(ImportProblemCode::UnknownColumn),
                None
            ]
        );
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(
            names in prop::collection::vec("[a-z\", \r\n]{0,12}", 1..20), piece in 1..40_usize, is_csv: bool
        ) {
            let (format, text) = if is_csv {
                let quoted = names.iter().map(|name| format!("SN,\"{}\"\r\n", name.replace('"', "\"\"")));
                (ImportFormat::Csv, format!("registrationId,model\n{}", quoted.collect::<String>()))
            } else {
                let lines = names.iter().map(|name| format!("{}\n", serde_json::json!({ "registrationId": "SN", "model": name })));
                (ImportFormat::JsonLines, lines.collect::<String>())
            };
            let whole = read(format, text.as_bytes(), usize::MAX).unwrap();
            let cut = read(format, text.as_bytes(), piece).unwrap();
            prop_assert_eq!(whole.len(), names.len());
            for ((one, other), name) in whole.iter().zip(&cut).zip(&names) {
                prop_assert_eq!((one.number, one.line, one.prefix), (other.number, other.line, other.prefix));
                let values = one.values.as_ref().unwrap();
                prop_assert_eq!(values, other.values.as_ref().unwrap());
                prop_assert_eq!(values[1].as_deref().unwrap_or_default(), name.trim());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize, is_csv: bool) {
            let format = if is_csv { ImportFormat::Csv } else { ImportFormat::JsonLines };
            let _ = read(format, &bytes, piece);
            let _ = read(format, &[b"registrationId,model\n", &bytes[..]].concat(), piece);
        }
    }
}
