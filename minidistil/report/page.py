"""Pages from templates: the one place where they are loaded and filled in."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from minidistil.errors import DataError, UsageError
from minidistil.files import atomic_write
from minidistil.report.chart import line_layout
from minidistil.report.maps import csp_hash
from minidistil.report.marks import pieces

TEMPLATES = Path(__file__).with_name("templates")


class Page:
    """A template, with what it includes; every value that it shows is escaped.

    Parameters
    ----------
    template : str
        "run.html", "predictions.html" or "explore.html".
    folder : str or Path, optional
        Templates of the user. A file there goes before the file of the same name in `TEMPLATES`.

    Raises
    ------
    UsageError
        No such folder.
    DataError
        The template is no Jinja template.
    """

    def __init__(self, template: str, folder: str | Path | None = None) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise UsageError(
                f"{folder} is not a folder of templates; copy those of {TEMPLATES} and change them"
            )
        self.folder = None if folder is None else Path(folder)
        with self._blame():
            self.template = environment(self.folder).get_template(template)

    def render(self, **values: Any) -> str:
        """The whole page.

        Raises
        ------
        DataError
            A template of the user asks for a value that there is not, or cannot do with it what it says.
        """
        with self._blame():
            return self.template.render(values)

    @contextmanager
    def _blame(self) -> Iterator[None]:
        """Name the user's template, and the line in it, at which an error arises."""
        try:
            yield
        except Exception as error:
            if self.folder is None:
                raise
            frames = traceback.extract_tb(error.__traceback__)
            inside = [frame for frame in frames if Path(frame.filename).is_relative_to(self.folder)]
            path, line = (inside[-1].filename, inside[-1].lineno) if inside else (self.folder, None)
            raise DataError(f"{type(error).__name__}: {error}", path=path, line=line) from error


def write_page(out: str | Path, html: str) -> Path:
    """Write a page, wholly or not at all; errors as of `atomic_write`. Returns its path."""
    with atomic_write(out) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(out)


def environment(folder: Path | None = None) -> Environment:
    """Jinja's settings and the functions that templates may call."""
    made = Environment(
        loader=FileSystemLoader([folder, TEMPLATES] if folder else TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"csp_hash": csp_hash, "line_layout": line_layout, "pieces": pieces, "zip": zip}
    return made
