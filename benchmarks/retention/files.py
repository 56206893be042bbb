"""Files of examples of a setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Files:
    """Examples of a setting as files: to learn from, to measure by, and further texts without labels."""

    train: Path
    evaluate: Path
    unlabelled: Path | None = None

    def all(self) -> dict[str, Path]:
        """The files that there are, by these names."""
        found = {"train": self.train, "evaluate": self.evaluate, "unlabelled": self.unlabelled}
        return {name: path for name, path in found.items() if path is not None}
