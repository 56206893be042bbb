"""Text and teacher of benchmarks that distil a masked LM over text.

The text is 22,000 sentences of reviews, editorials and tweets, which `make distill` fetches, and files that
are given. The teacher is all-MiniLM-L6-v2, made a masked LM again on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.files import atomic_write, read_json, sha256_file
from minidistil.jobs.demo.corpora import movie_split, other_texts
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.jobs.sources import content
from minidistil.settings import load_recipe
from minidistil.weights.assets import fetch_minilm

TEACHER = ["train.epochs=3", "train.lr=2e-4", "train.save_every=100", "data.held_out=0.03"]
# Small steps, about 280 tokens: of many steps an overnight run is made. In so little text most words are
# rare, so that smoothing would ask for hardly anything else.
STUDENT = ["data.held_out=0.03", "data.max_length=64", "masking.smoothing=0", "train.batch_size=8"]


def sentences(out: Path) -> Path:
    """The sentences of the corpus that `make distill` fetches, a line each."""
    split = movie_split()
    return _lines([*split.train_texts, *split.test_texts, *other_texts()], out / "sentences.txt")


def plain(path: Path, out: Path) -> Path:
    """A file of text; of SQuAD's JSON its contexts, a line each."""
    if path.suffix != ".json":
        return path
    articles = read_json(path)["data"]
    contexts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    return _lines(list(dict.fromkeys(contexts)), out / f"{path.stem}.txt")


def _lines(texts: Sequence[str], path: Path) -> Path:
    text = "".join(" ".join(text.split()) + "\n" for text in texts)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def masked_lm_teacher(texts: Sequence[Path], out: Path) -> Path:
    """MiniLM as a masked LM: trained once."""
    recipe = load_recipe(PretrainingRecipe, changes=TEACHER)
    job = Pretraining(str(fetch_minilm()), texts, recipe, out / "teacher")
    _ = job.finished() or job.run()
    return out / "teacher" / "model"


@dataclass(frozen=True)
class GeneralText:
    """Files of text, and a masked LM that teaches on them.

    Attributes
    ----------
    texts : sequence of Path
    teacher : Path
    """

    texts: Sequence[Path]
    teacher: Path

    @classmethod
    def make(cls, given: Sequence[Path], teacher: Path | None, out: Path) -> GeneralText:
        """The demo's sentences and the given files, with a teacher that by default is made on them."""
        texts = [sentences(out), *(plain(path, out) for path in given)]
        return cls(texts, masked_lm_teacher(texts, out) if teacher is None else teacher)

    def identity(self) -> dict[str, Any]:
        """Hashes of text and teacher, for the settings of a trial."""
        return {"texts": [sha256_file(path) for path in self.texts], "teacher": content(str(self.teacher))}

    def distillation(self, recipe: DistillationRecipe, out: Path) -> GeneralDistillation:
        """A distillation over this text in a directory."""
        return GeneralDistillation(str(self.teacher), self.texts, recipe, out, quiet=True)
