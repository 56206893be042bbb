"""TREC question classification (Li and Roth 2002, "Learning Question Classifiers")."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from minidistil.errors import DataError
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.text.readers import Examples, read_examples
from minidistil.text.sources import decoded, opened, shown_name
from minidistil.text.tables import FORMATS, suffix_of

COARSE = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
LINE = re.compile(r"([^\s:]+):(\S+) +(\S.*)")


class TrecTask(ClassificationTask):
    """Classes of questions, from files with a line each: `NUM:dist How far is it from Denver to Aspen ?`.

    Tables by their name (csv, tsv, jsonl, parquet) have the columns of the `datasets` library, "text" with
    "coarse_label" and "fine_label".

    Parameters
    ----------
    data : DataSettings
    fine : bool
        The classes with the part behind the colon, 50 of them, as far as the training file has them, instead
        of the six before it.
    """

    data_settings: ClassVar[tuple[str, ...]] = ("max_length",)
    settings_type: ClassVar[type[Any] | None] = None

    def __init__(self, data: DataSettings | None = None, *, fine: bool = False) -> None:
        super().__init__(data, names=None if fine else {name: name for name in COARSE})
        self._fine = fine

    def read(self, path: str | Path) -> Examples:
        if FORMATS.get(suffix_of(path), "text") != "text":
            label = "fine_label" if self._fine else "coarse_label"
            return read_examples(path, usual_labels=(label, "label"), empty=self.empty)
        name = shown_name(path)
        texts, labels, lines = [], [], []
        with opened(path, name) as file:
            for number, line in decoded(file, name, _decode):
                found = LINE.fullmatch(line.strip())
                if self.empty:
                    texts.append(found[3] if found else line.strip())
                    labels.append("")
                elif not line.strip():
                    continue
                elif not found:
                    what = f"a line is CLASS:kind and a question, not {line.strip()!r:.60}"
                    raise DataError(what, path=name, line=number)
                elif not self._fine and found[1] not in COARSE:
                    what = f"there is no class {found[1]!r}: {', '.join(COARSE)}"
                    raise DataError(what, path=name, line=number)
                else:
                    texts.append(found[3])
                    labels.append(f"{found[1]}:{found[2]}" if self._fine else found[1])
                lines.append(number)
        if not texts:
            raise DataError("there are no examples in it", path=name)
        return Examples(texts, None, None if self.empty else labels, lines, name)

    def read_unlabelled(self, path: str | Path) -> Examples:
        """Questions, with a class before them or not."""
        found = self.for_prediction().read(path)
        kept = [i for i, text in enumerate(found.texts) if text.strip()]
        return replace(found.subset(kept), labels=None)


def _decode(line: bytes) -> str:
    """A line: the authors' files are in Latin-1, others' copies in UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
