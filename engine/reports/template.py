"""A self-contained offline page from a template beside this file: how every report is written."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.errors import RunError


def write_page(file: Path, template: str, **values: Any) -> Path:
    """Fill in a template, whose ``script`` becomes plotly's, write it and return its path.

    Raises
    ------
    RunError
        If the extra ``report`` is not installed, or the file cannot be written.
    """
    try:
        import jinja2
        import plotly
    except ImportError as error:
        raise RunError(
            f"{file}: the page needs {error.name}; install the extra: pip install tickwright[report]"
        ) from None
    text = files("engine.reports").joinpath(template).read_text(encoding="utf-8")
    script = files(plotly).joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True).from_string(text).render(script=script, **values)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{file}: cannot be written ({error.strerror}); choose another file") from None
    return file
