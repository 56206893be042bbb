"""What a question asks for (Li and Roth 2002, "Learning Question Classifiers")."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from minidistil.errors import DataError
from minidistil.tasks.base import DataSettings
from minidistil.tasks.sequence import SequenceTask
from minidistil.text.readers import Examples, opened, shown_name

COARSE = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


class TrecTask(SequenceTask):
    """Classes of questions, from files with a line each: `NUM:dist How far is it from Denver to Aspen ?`.

    Parameters
    ----------
    data : DataSettings
    fine : bool
        The classes with the part behind the colon, 50 of them, as far as the training file has them, instead
        of the six before it.
    """

    reads: ClassVar[tuple[str, ...]] = ("max_length",)

    def __init__(self, data: DataSettings | None = None, *, fine: bool = False) -> None:
        super().__init__("single", data, names=None if fine else {name: name for name in COARSE})
        self._fine = fine

    def read(self, path: str | Path) -> Examples:
        name = shown_name(path)
        texts, labels, lines = [], [], []
        for number, line in _lines(path, name):
            label, _, text = line.strip().partition(" ")
            coarse, colon, fine = label.partition(":")
            if not (coarse and colon and fine and text.strip()):
                raise DataError(
                    f"a line is CLASS:kind and a question, not {line.strip()!r:.60}", path=name, line=number
                )
            if not self._fine and coarse not in COARSE:
                raise DataError(f"there is no class {coarse!r}: {', '.join(COARSE)}", path=name, line=number)
            texts.append(text.strip())
            labels.append(label if self._fine else coarse)
            lines.append(number)
        if not texts:
            raise DataError("there are no examples in it", path=name)
        return Examples(texts, None, labels, lines, name)


def _lines(path: str | Path, name: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank. The authors' files are in Latin-1, others' copies in UTF-8."""
    with opened(path, name) as file:
        for number, raw in enumerate(file, 1):
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            try:
                line = raw.decode()
            except UnicodeDecodeError:
                line = raw.decode("latin-1")
            if line.strip():
                yield number, line
