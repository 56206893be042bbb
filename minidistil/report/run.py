"""Reading the directory of a run: that of `minidistil distill`, `pretrain` or `demo`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.errors import DataError


@dataclass(frozen=True)
class RunRecord:
    """What a run left.

    Attributes
    ----------
    path : Path
    report : dict
        report.json; empty while the run goes on.
    settings : dict
        The resolved recipe.
    made_with : dict
        Versions and the machine, if the run says.
    metrics : dict of str to list of dict
        Records of metrics.jsonl by stage; a run of one stage has the one "".
    teacher : dict
        The teacher on held-out text, if measured.
    """

    path: Path
    report: dict[str, Any]
    settings: dict[str, Any]
    made_with: dict[str, Any]
    metrics: dict[str, list[dict[str, Any]]]
    teacher: dict[str, Any]


def read_run(path: str | Path) -> RunRecord:
    """Read a run, finished or not.

    Raises
    ------
    DataError
        Not the directory of a run, or a file in it is damaged.
    """
    path = Path(path)
    about, demo = _json(path / "run.json"), _json(path / "settings.json")
    if not about and not demo:
        raise DataError("holds no run: expected run.json or settings.json", path=path)
    metrics: dict[str, list[dict[str, Any]]] = {}
    for file in (path / "metrics.jsonl", path / "work" / "metrics.jsonl"):
        if file.exists() and not metrics:
            for record in _lines(file):
                metrics.setdefault(str(record.pop("stage", "")), []).append(record)
    return RunRecord(
        path=path,
        report=_json(path / "report.json"),
        settings=about.get("recipe", demo),
        made_with=about.get("made_with", {}),
        metrics=metrics,
        teacher=_json(path / "teacher.json"),
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", path=path) from error
    if not isinstance(value, dict):
        raise DataError("is not a JSON object", path=path)
    return value


def _lines(path: Path) -> list[dict[str, Any]]:
    """Records, but for a last line that is being written."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
            if not isinstance(records[-1], dict):
                raise DataError("is not a JSON object", path=path, line=number)
        except ValueError as error:
            if number == len(lines):
                break
            raise DataError(f"is not JSON: {error}", path=path, line=number) from error
    return records
