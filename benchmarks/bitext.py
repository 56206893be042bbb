"""Bitext mining in two files that are not aligned, measured, for docs/results.md.

    python benchmarks/bitext.py ENCODER val.en val.de test.en test.de

The files are aligned, a sentence a line. Of each pair the source loses its last third and the target its
first, and the target is shuffled: half of the sentences then have no translation, and no order tells which.
The threshold on the score is that with the best F1 on the first two files; precision, recall and F1 are
measured on the other two.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil import SentenceEncoder
from minidistil.embeddings.bitext import mine_bitext


class Found(NamedTuple):
    """Mined pairs, best first, and the number that there was to find.

    Attributes
    ----------
    right : bool [P]
        Whether each pair is a translation.
    scores : float [P]
    total : int
        Translations in the files.
    """

    right: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.floating[Any]]
    total: int

    def measured(self, threshold: float) -> tuple[float, float, float]:
        """Precision, recall and F1 of the pairs that score as much or more."""
        kept = self.right[self.scores >= threshold]
        precision, recall = kept.sum() / max(len(kept), 1), kept.sum() / self.total
        return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def mine(source: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> Found:
    """Of aligned vectors [N, H]: a third of each side hidden from the other, the target shuffled."""
    n = len(source)
    rows = np.random.default_rng(0).permutation(np.arange(n // 3, n))
    pairs, scores = mine_bitext(source[: n - n // 3], target[rows])
    return Found(pairs[:, 0] == rows[pairs[:, 1]], scores, n - 2 * (n // 3))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoder")
    parser.add_argument("files", nargs=4, type=Path, metavar="FILE")
    args = parser.parse_args()
    encoder = SentenceEncoder.from_pretrained(args.encoder)
    vectors = [encoder.encode(path.read_text(encoding="utf-8").splitlines()) for path in args.files]
    known, found = mine(*vectors[:2]), mine(*vectors[2:])
    threshold = max(known.scores, key=lambda score: known.measured(score)[2])
    precision, recall, f1 = found.measured(threshold)
    print(f"precision {precision:.1%}, recall {recall:.1%}, F1 {f1:.1%} at {threshold:.3f}")
    print(f"{found.total} translations among {len(vectors[2]) - len(vectors[2]) // 3} and as many sentences")


if __name__ == "__main__":
    main()
