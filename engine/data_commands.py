"""What ``tickwright data …`` does. Importers are joined by name: the engine imports no feed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.cli import OK, Output, say
from engine.config import read_setting
from engine.errors import ConfigError, TapeError
from engine.reports.formats import counts
from engine.shipped import shipped_tapes
from engine.spelling import did_you_mean
from engine.tape import Tape


def import_command(
    form: str, files: Sequence[Path], out: Path, sets: Sequence[str], overwrite: bool, output: Output
) -> int:
    """Files to tapes, each with its data verdict."""
    importers = importlib.import_module("feeds.importers").IMPORTERS
    if form not in importers:
        raise ConfigError(f"'{form}' is no form to import{did_you_mean(form, importers)}")
    for file in files:
        if not file.exists():
            raise TapeError(f"{file}: no such file; name the files that {form} is to read")
    try:
        tapes = importers[form](*files, **dict(read_setting(setting) for setting in sets))
    except TypeError as error:
        raise ConfigError(f"data import {form}: {_misuse(error)}; see `tickwright data import --help`") from error
    folders = [out] if len(tapes) == 1 else [out / (tape.manifest.name or str(n)) for n, tape in enumerate(tapes)]
    for tape, folder in zip(tapes, folders, strict=True):
        tape.save(folder, overwrite=overwrite)
    lines, answer = [], []
    for tape, folder in zip(tapes, folders, strict=True):
        verdict, content = _verdict(tape), tape.manifest.content
        lines += [f"tape      {folder}", *verdict.lines(), f"content   {content}"]
        answer.append({"tape": str(folder), "verdict": verdict, "content": content})
    say(output, {"tapes": answer}, lines)
    return OK


def inspect_command(name: str, output: Output) -> int:
    """The manifest and the data verdict."""
    tape = find_tape(name)
    manifest, verdict = tape.manifest, _verdict(tape)
    lines = [f"tape      {tape.path}", f"name      {manifest.name}"]
    for instrument in manifest.instruments[:20]:
        book = f"{instrument.book}, {instrument.levels or 'all'} levels" if instrument.book != "NONE" else "no book"
        tick = f"tick {instrument.quoted(instrument.tick):g}, lot {instrument.lot}"
        lines.append(f"trades    {instrument.symbol}: {instrument.kind}, {book}, {tick}, {instrument.currency}")
    if len(manifest.instruments) > 20:
        lines.append(f"          and {len(manifest.instruments) - 20} more")
    lines.append(f"sessions  {len(manifest.sessions)}, corporate actions {len(manifest.actions)}")
    lines += verdict.lines()
    known = [("imported", counts(manifest.verdict)), ("source", manifest.source), ("licence", manifest.licence)]
    known += [("recipe", manifest.recipe), ("content", manifest.content)]
    lines += [f"{what:<10}{text}" for what, text in known if text]
    if manifest.synthetic:
        lines.append("          SYNTHETIC: generated, not recorded")
    say(output, {"tape": str(tape.path), "manifest": manifest, "verdict": verdict}, lines)
    return OK


def verify_tape_command(name: str, output: Output) -> int:
    """The content hash and the rules of a sealed tape."""
    from engine.verdict import check

    tape = find_tape(name)
    check(tape)
    content = tape.content_hash()
    if content != tape.manifest.content:
        raise TapeError(
            f"{tape.path}: its content is {content[:16]}…, but the manifest says {tape.manifest.content[:16]}…; "
            "the file was changed or is damaged, import it again"
        )
    answer = {"tape": str(tape.path), "rows": len(tape), "content": content}
    say(output, answer, [f"ok        {len(tape):,} rows in order", f"content   {content}"])
    return OK


def export_command(name: str, parquet: Path, overwrite: bool, output: Output) -> int:
    """A tape as one parquet file."""
    tape = find_tape(name)
    file = importlib.import_module("feeds.export").export_parquet(tape, parquet, overwrite=overwrite)
    size = file.stat().st_size
    answer = {"file": str(file), "rows": len(tape), "bytes": size}
    say(output, answer, [f"wrote     {file}: {len(tape):,} rows, {size:,} bytes"])
    return OK


def find_tape(name: str) -> Tape:
    """A tape by its folder, or by its name if it ships."""
    shipped = shipped_tapes()
    if not Path(name).exists() and name in shipped:
        return Tape.load(shipped[name])
    if not Path(name).exists() and "/" not in name:
        raise TapeError(f"{name}: no such folder, and no tape of that name ships{did_you_mean(name, shipped)}")
    return Tape.load(name)


def _verdict(tape: Tape) -> Any:
    from engine.verdict import verdict

    return verdict(tape)


def _misuse(error: TypeError) -> str:
    """Python's complaint about arguments, without the function's name."""
    text = re.sub(r"^[\w.]+\(\) ", "", str(error))
    return text.replace("keyword argument", "option").replace("positional arguments", "files")
