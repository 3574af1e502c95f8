"""Rows of JSON, CSV, and Parquet files, as mappings from column to value."""

import codecs
import contextlib
import csv
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfstyle.core import cli, names
from tfstyle.core.cli import UserError

FILE_NAME = "file_name"  # of imagefolder, instead of path
_BYTES_READ = 512  # to see how a file begins
_MOST_CHARACTERS = 10_000_000  # of a cell


class RowError(ValueError):
    """Why a row cannot be used: the reason, such as "no_json", and a detail."""


def _read_json(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    """Read a list of objects, or lines of one object each."""
    with path.open("rb") as file:
        start = file.read(_BYTES_READ)
    _refuse_utf_16(path, start)
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(path.read_text("utf-8-sig"))
            return enumerate(values, 1)
    return _read_json_lines(path)


def _read_json_lines(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    # Bytes: a line that is not UTF-8 is one faulty row, not the end of the file.
    with path.open("rb") as file:
        for row, line in enumerate(file, 1):
            if row == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                yield row, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield row, RowError("no_json", str(error))


def _refuse_utf_16(path: pathlib.Path, start: bytes) -> None:
    """Raise UserError if a file begins as Windows programs' "Unicode text" does."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(
            f"--manifest={names.show(str(path))} is UTF-16 text: save it as UTF-8"
        )


def _check_columns(path: pathlib.Path, columns: Sequence[str]) -> None:
    """Raise UserError unless a table names pictures."""
    if columns and not {"path", FILE_NAME} & set(columns):
        found = ", ".join(names.show(column) for column in columns)
        raise UserError(
            f"--manifest={names.show(str(path))} has no column 'path', but"
            f" {found:.200}: a table begins with the names of its columns, such as"
            " path,artist (in CSV, separated by commas)"
        )


def _read_csv(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(_MOST_CHARACTERS)
    with path.open("rb") as stored:
        _refuse_utf_16(path, stored.read(2))
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            _check_columns(path, rows.fieldnames or [])
        except (csv.Error, UnicodeError) as error:
            raise UserError(f"--manifest={path}, row 1: {error}") from None
        while True:
            first = max(rows.line_num, 1) + 1  # behind the head
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # What follows a quote that is not closed is lost in one cell.
                if rows.reader.line_num > first:
                    shown = names.show(str(path))
                    raise UserError(
                        f"--manifest={shown}, row {first}: a quote is not closed there"
                    ) from None
                yield first, RowError("no_table", str(error))
                continue
            # More cells than columns have the key None.
            if None in values:
                yield first, RowError("no_table", "has too many cells")
            else:
                yield first, values


def _read_parquet(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    need = f"--manifest={path}: Parquet needs the package pyarrow"
    with cli.importing_extra(need, "parquet"):
        from pyarrow import ArrowException, parquet
    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            row = 0
            for batch in file.iter_batches():
                for values in _list_rows(batch):
                    row += 1
                    yield row, values
    except ArrowException as error:
        raise UserError(
            f"--manifest={path} is damaged, or no Parquet file: {error}"
        ) from None


def _list_rows(batch: Any) -> Iterator[Any]:
    """Yield the rows of a batch, and a RowError for each that is no Python value.

    Such as text that is not UTF-8, and times that `datetime` cannot hold.
    """
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0]
        except (ValueError, OverflowError) as error:
            yield RowError("no_value", str(error))


# By suffix; they yield the number of each row, and its values or a RowError.
READERS: dict[str, Callable[[pathlib.Path], Iterator[tuple[int, Any]]]] = {
    ".jsonl": _read_json,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
