"""A tape as one parquet file, and back, row for row."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import TapeError
from engine.tape import ROW, TAPE_VERSION, Manifest, Tape
from engine.verdict import check
from feeds.table import header

MANIFEST = b"tickwright.manifest"
PANEL = b"tickwright.panel."
STEP = 1 << 20  # rows in memory at a time


def export_parquet(tape: Tape, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the rows as columns named like ROW's fields, whole or not at all.

    Prices and sizes stay integers; the manifest (with ``price_unit`` and ``size_unit`` of each instrument) and the
    panels are in the file's metadata, so ``import_parquet`` gives the same tape.

    Raises
    ------
    TapeError
        If the file exists and ``overwrite`` is not set.
    """
    file = Path(path)
    if file.exists() and not overwrite:
        raise TapeError(f"{file} exists; name another file or allow overwriting")
    metadata = {MANIFEST: msgspec.json.encode(tape.manifest)}
    for name, panel in tape.panels.items():
        buffer = io.BytesIO()
        np.save(buffer, panel, allow_pickle=False)
        metadata[PANEL + name.encode()] = buffer.getvalue()
    schema = pa.schema([(name, pa.from_numpy_dtype(ROW[name])) for name in ROW.names or ()], metadata=metadata)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    os.close(handle)
    try:
        with pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            for at in range(0, len(tape), STEP):
                part = tape.rows[at : at + STEP]
                columns = [np.ascontiguousarray(part[name]) for name in schema.names]
                writer.write_table(pa.table(columns, schema=schema))
        os.chmod(scratch, 0o644)
        os.replace(scratch, file)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return file


def import_parquet(path: str | os.PathLike[str]) -> list[Tape]:
    """A parquet file that ``export_parquet`` wrote, as the same tape again.

    Raises
    ------
    TapeError
        A file of another maker (import it with a column map), of another version, damaged, or with rows out of order.
    """
    file = Path(path)
    header(file)  # says what is wrong with a file that cannot be read
    metadata = pq.read_schema(file).metadata or {}
    if MANIFEST not in metadata:
        raise TapeError(f"{file}: no tape was exported to it; give a column map to import other files")
    try:
        manifest = msgspec.json.decode(metadata[MANIFEST], type=Manifest)
        table = pq.read_table(file, columns=list(ROW.names or ()))
        panels = {
            key.removeprefix(PANEL).decode(): np.load(io.BytesIO(value), allow_pickle=False)
            for key, value in metadata.items()
            if key.startswith(PANEL)
        }
    except (msgspec.DecodeError, pa.ArrowInvalid, OSError, ValueError) as error:
        raise TapeError(f"{file}: cannot be read as an exported tape ({error}); export it again") from None
    if manifest.version != TAPE_VERSION:
        raise TapeError(f"{file}: tape version {manifest.version}, this engine reads {TAPE_VERSION}; export it again")
    rows = np.empty(len(table), ROW)
    for name in ROW.names or ():
        rows[name] = table[name].to_numpy()
    tape = Tape(rows, manifest, panels)
    check(tape)
    return [tape]
