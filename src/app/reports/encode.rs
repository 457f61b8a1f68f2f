//! Rows as bytes, in each of the formats. Bytes are taken as they come, so that memory does not grow with the report.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::app::reports::table::{Cell, Column, Kind};
use crate::export::csv::{escape, rfc3339};

/// Rows of a Parquet row group: enough for its columns to compress, few enough to hold in memory.
const GROUP: usize = 20_000;

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with a header line; what a spreadsheet would take for a formula begins with an apostrophe.
    Csv,
    /// An array of objects, one on a line.
    Json,
    /// An object on each line.
    Ndjson,
    /// Apache Parquet with Snappy compression.
    Parquet,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Ndjson, Self::Parquet];

    /// Its name, which also ends the names of files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let expected = || format!("expected one of {}", Self::ALL.map(Self::as_str).join(", "));
        Self::named(&name).ok_or_else(|| D::Error::custom(expected()))
    }
}

/// How rows are written, and what they have.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The format.
    pub format: Format,
    /// The columns, of which each row has a cell.
    pub columns: &'static [Column],
}

/// Some rows as the format has them, without what stands around and between such.
pub enum Chunk {
    /// Of the formats that are text.
    Text(Vec<u8>),
    /// Of those that take many rows together.
    Rows(Vec<Vec<Cell<'static>>>),
}

impl Shape {
    /// These rows, whatever comes before and after them.
    ///
    /// # Errors
    /// A row is not of the columns' kinds.
    pub fn chunk<'r, R: AsRef<[Cell<'r>]>>(self, rows: impl Iterator<Item = R>) -> io::Result<Chunk> {
        let mut text = Vec::new();
        match self.format {
            Format::Csv => {
                let others = rows.size_hint().0;
                for row in rows {
                    let is_first = text.is_empty();
                    csv_line(&mut text, row.as_ref());
                    if is_first {
                        // They take about as much each; what has to grow is copied.
                        text.reserve(text.len().saturating_mul(others));
                    }
                }
            }
            Format::Ndjson => {
                for row in rows {
                    serde_json::to_writer(&mut text, &Object(self.columns, row.as_ref()))?;
                    text.push(b'\n');
                }
            }
            Format::Json => {
                for row in rows {
                    if !text.is_empty() {
                        text.extend_from_slice(BETWEEN);
                    }
                    serde_json::to_writer(&mut text, &Object(self.columns, row.as_ref()))?;
                }
            }
            Format::Parquet => {
                let owned = |row: R| row.as_ref().iter().cloned().map(Cell::into_owned).collect();
                return Ok(Chunk::Rows(rows.map(owned).collect()));
            }
        }
        Ok(Chunk::Text(text))
    }
}

/// What stands between the objects of an array.
const BETWEEN: &[u8] = b",\n";

/// Puts chunks together to a whole.
pub struct Encoder {
    columns: &'static [Column],
    out: Buffer,
    way: Way,
}

enum Way {
    Lines,
    Array { is_empty: bool },
    Parquet(Box<Columns>),
}

/// Rows that wait to be a row group, and the file that they go to.
struct Columns {
    rows: Vec<Vec<Cell<'static>>>,
    file: SerializedFileWriter<Buffer>,
}

impl Encoder {
    /// An encoder of rows of this shape.
    ///
    /// # Errors
    /// The format cannot hold such columns.
    pub fn new(Shape { format, columns }: Shape) -> io::Result<Self> {
        let mut out = Buffer::default();
        let way = match format {
            Format::Csv => {
                let names: Vec<&str> = columns.iter().map(|it| it.name).collect();
                write!(out, "{}\r\n", names.join(","))?;
                Way::Lines
            }
            Format::Ndjson => Way::Lines,
            Format::Json => {
                out.write_all(b"[")?;
                Way::Array { is_empty: true }
            }
            Format::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                let file = SerializedFileWriter::new(out.clone(), Arc::new(schema(columns)?), Arc::new(properties))?;
                let rows = Vec::new();
                Way::Parquet(Box::new(Columns { rows, file }))
            }
        };
        Ok(Self { columns, out, way })
    }

    /// Adds these rows.
    ///
    /// # Errors
    /// They are of another shape.
    pub fn add(&mut self, chunk: Chunk) -> io::Result<()> {
        match (&mut self.way, chunk) {
            (Way::Lines, Chunk::Text(text)) => {
                self.out.append(text);
                Ok(())
            }
            (Way::Array { is_empty }, Chunk::Text(text)) => {
                if !text.is_empty() {
                    self.out.write_all(if *is_empty { b"\n" } else { BETWEEN })?;
                    *is_empty = false;
                }
                self.out.write_all(&text)
            }
            (Way::Parquet(columns), Chunk::Rows(rows)) => {
                columns.rows.extend(rows);
                if columns.rows.len() >= GROUP {
                    columns.flush(self.columns)?;
                }
                Ok(())
            }
            (Way::Lines | Way::Array { .. }, Chunk::Rows(_)) | (Way::Parquet(_), Chunk::Text(_)) => {
                Err(io::Error::other("rows of another format"))
            }
        }
    }

    /// The bytes since they were last taken.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.out.with(std::mem::take)
    }

    /// The bytes that are left, and those that end the report.
    ///
    /// # Errors
    /// As of [`Encoder::add`].
    pub fn end(mut self) -> io::Result<Vec<u8>> {
        match self.way {
            Way::Lines => {}
            Way::Array { .. } => self.out.write_all(b"\n]\n")?,
            Way::Parquet(mut columns) => {
                columns.flush(self.columns)?;
                columns.file.close()?;
            }
        }
        Ok(self.out.with(std::mem::take))
    }
}

fn csv_line(out: &mut Vec<u8>, row: &[Cell<'_>]) {
    for (index, cell) in row.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Empty => {}
            Cell::Text(text) => out.extend_from_slice(escape(text).as_bytes()),
            Cell::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Cell::Time(at) => out.extend_from_slice(rfc3339(*at).as_bytes()),
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A row as a JSON object, with every column; what is empty is null.
struct Object<'a, 'r>(&'static [Column], &'a [Cell<'r>]);

impl Serialize for Object<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (column, cell) in self.0.iter().zip(self.1) {
            match cell {
                Cell::Empty => map.serialize_entry(column.name, &())?,
                Cell::Text(text) => map.serialize_entry(column.name, text)?,
                Cell::Integer(number) => map.serialize_entry(column.name, number)?,
                Cell::Time(at) => map.serialize_entry(column.name, &rfc3339(*at))?,
            }
        }
        map.end()
    }
}

fn schema(columns: &[Column]) -> Result<Type, ParquetError> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Integer => (Physical::INT64, None),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        };
        let builder = Type::primitive_type_builder(column.name, physical);
        let field = builder
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build();
        field.map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("row").with_fields(fields).build()
}

impl Columns {
    fn flush(&mut self, columns: &[Column]) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for (index, column) in columns.iter().enumerate() {
            let cells = rows.iter().filter_map(|row| row.get(index));
            match column.kind {
                Kind::Text => text_column(&mut group, cells)?,
                Kind::Integer | Kind::Time => number_column(&mut group, cells)?,
            }
        }
        group.close()?;
        Ok(())
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Buffer>;

fn text_column<'a>(group: &mut Group<'_>, cells: impl Iterator<Item = &'a Cell<'static>>) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        if let Cell::Text(text) = cell {
            values.push(ByteArray::from(&**text));
        }
        levels.push(i16::from(*cell != Cell::Empty));
    }
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, Some(&levels), None)?;
    column.close()
}

fn number_column<'a>(
    group: &mut Group<'_>,
    cells: impl Iterator<Item = &'a Cell<'static>>,
) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        match cell {
            Cell::Integer(number) => values.push(*number),
            Cell::Time(at) => values.push(at.timestamp_micros()),
            Cell::Empty | Cell::Text(_) => {}
        }
        levels.push(i16::from(*cell != Cell::Empty));
    }
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
    column.close()
}

fn no_column() -> ParquetError {
    ParquetError::General("fewer columns in the schema than in the report".to_owned())
}

/// Bytes that wait to be taken, by whoever writes them and whoever takes them.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn with<T>(&self, f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds these bytes, which are millions, without copying them where there are no others.
    fn append(&self, bytes: Vec<u8>) {
        self.with(|out| {
            if out.is_empty() {
                *out = bytes;
            } else {
                out.extend(bytes);
            }
        });
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|out| out.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use serde_json::{Value, json};

    use super::*;
    use crate::store::DateTime;

    const COLUMNS: [Column; 3] = [
        Column {
            name: "name",
            kind: Kind::Text,
        },
        Column {
            name: "count",
            kind: Kind::Integer,
        },
        Column {
            name: "at",
            kind: Kind::Time,
        },
    ];

    fn rows() -> Vec<Vec<Cell<'static>>> {
        let at = DateTime::from_timestamp_millis(1_795_255_200_250).unwrap();
        vec![
            vec![Cell::text("=a,\"b\""), Cell::Integer(-7), Cell::Time(at)],
            vec![Cell::Empty, Cell::Empty, Cell::Empty],
        ]
    }

    fn shape(format: Format) -> Shape {
        Shape {
            format,
            columns: &COLUMNS,
        }
    }

    /// In as many chunks as there are rows, and one without rows between any two.
    fn encoded(format: Format) -> Vec<u8> {
        let shape = shape(format);
        let mut encoder = Encoder::new(shape).unwrap();
        let mut bytes = Vec::new();
        for row in rows() {
            encoder.add(shape.chunk([row].into_iter()).unwrap()).unwrap();
            encoder.add(shape.chunk([[]; 0].into_iter()).unwrap()).unwrap();
            bytes.extend(encoder.take());
        }
        bytes.extend(encoder.end().unwrap());
        bytes
    }

    #[test]
    fn csv_has_a_header_and_disarmed_quoted_fields() {
        let text = String::from_utf8(encoded(Format::Csv)).unwrap();
        assert_eq!(
            text,
            "name,count,at\r\n\"'=a,\"\"b\"\"\",-7,2026-11-21T10:00:00.250Z\r\n,,\r\n"
        );
    }

    #[test]
    fn json_and_ndjson_have_every_column_in_every_row() {
        let expected = json!([
            {"name": "=a,\"b\"", "count": -7, "at": "2026-11-21T10:00:00.250Z"},
            {"name": null, "count": null, "at": null},
        ]);
        let whole: Value = serde_json::from_slice(&encoded(Format::Json)).unwrap();
        assert_eq!(whole, expected);
        let text = String::from_utf8(encoded(Format::Ndjson)).unwrap();
        let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(Value::from(lines), expected);
        let empty = Encoder::new(shape(Format::Json)).unwrap().end().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&empty).unwrap(), json!([]));
    }

    #[test]
    fn parquet_reads_back_as_it_was_written() {
        let bytes = bytes::Bytes::from(encoded(Format::Parquet));
        let reader = SerializedFileReader::new(bytes).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 2);
        let rows = reader.get_row_iter(None).unwrap();
        let read: Vec<String> = rows.map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            read,
            [
                r#"{name: "=a,"b"", count: -7, at: 2026-11-21 10:00:00.250000 +00:00}"#,
                "{name: null, count: null, at: null}"
            ]
        );
    }
}
