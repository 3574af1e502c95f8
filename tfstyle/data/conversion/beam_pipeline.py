"""Conversion of pictures by an Apache Beam pipeline, on one machine or on many.

The workers need the folders of the pictures and of the records at the same paths, as on
a shared disk, and tfstyle without TensorFlow. They write files of the spool; what
follows, splits and records, is the same as without Beam, and so are the records.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.options.pipeline_options import PipelineOptions

from tfstyle.core.cli import UserError
from tfstyle.core.files import temporary_folder
from tfstyle.data.collections import conversion_pool
from tfstyle.data.collections.sources import Source
from tfstyle.data.conversion import spool as spools
from tfstyle.data.pictures import Conversion, PictureError
from tfstyle.data.pictures.faces import Face

_TEMPORARY = ".beam"  # folder in the spool, while the pipeline runs


def fill_spool(
    spool: spools.Spool,
    wanted: Mapping[str, Source],
    conversion: Conversion,
    options: Sequence[str],
) -> None:
    """Convert pictures and load them into a spool.

    Unusable pictures are left out: whoever converts the rest learns why.

    Args:
        spool: where to write.
        wanted: the sources by their keys.
        conversion: how to convert them.
        options: of the pipeline, such as "--runner=DirectRunner".

    Raises:
        UserError: there is no such runner.
    """
    naming = fileio.default_file_naming(spool.make_name(), spools.SUFFIX)
    header = spools.make_header(conversion)
    try:
        pipeline = beam.Pipeline(options=PipelineOptions([*options]))
    except ValueError as error:
        raise UserError(f"--runner: {error}") from None
    folder = os.path.abspath(spool.folder)
    with temporary_folder(f"{folder}/{_TEMPORARY}") as temporary:
        listing = temporary / "sources.jsonl"
        with listing.open("w", encoding="ascii") as file:
            for key, source in wanted.items():
                face = source.face and dataclasses.asdict(source.face)
                row = [key, os.path.abspath(source.path), face]
                file.write(json.dumps(row) + "\n")
        with pipeline:
            (
                pipeline
                | beam.io.ReadFromText(str(listing))
                | beam.Reshuffle()
                | beam.FlatMap(_convert_line, conversion)
                | fileio.WriteToFiles(folder, naming, sink=lambda _: _Sink(header))
            )
    spool.load(wanted)


class _Sink(fileio.FileSink):
    """Writes a file of a spool."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def open(self, fh: BinaryIO) -> None:
        self._file = fh
        fh.write(self._header)

    def write(self, record: bytes) -> None:
        self._file.write(record)

    def flush(self) -> None:
        pass  # nothing is kept here


def _convert_line(line: str, conversion: Conversion) -> Iterator[bytes]:
    """Yield the entry of a line of the listing, unless the picture is unusable."""
    key, path, face = json.loads(line)
    source = Source(path, artist="", name="", face=face and Face(**face))
    result = conversion_pool.convert(conversion, source)
    if not isinstance(result, PictureError):
        yield spools.make_entry(key, result)
