"""Learn to find people and places from sentences made up here, then find some never seen.

python examples/entities.py [ENCODER]
"""

import json
import sys
import tempfile
from pathlib import Path

from minidistil import pipeline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.settings import load_recipe

PEOPLE = [
    "Ada Lovelace",
    "Alan Turing",
    "Grace Hopper",
    "Emmy Noether",
    "Kurt Gödel",
    "Mary Jackson",
    "Plato",
]
PLACES = ["London", "New York", "Göttingen", "Vienna", "Paris", "Athens", "Rio de Janeiro", "Oslo"]
SENTENCES = ["{p} was born in {at} .", "In {at} , {p} met {q} .", "The trains to {at} were late .",
             "Letters from {p} reached {at} in May .", "Nobody came .", "{p} taught there ."]  # fmt: skip


def example(sentence: str, **names: str) -> dict:
    """A line of the file: the text, and where in it which names stand."""
    entities, text = [], sentence
    for field in sorted(names, key=lambda f: sentence.find("{" + f + "}")):
        start = text.find("{" + field + "}")
        if start >= 0:
            text = text.replace("{" + field + "}", names[field])
            kind = "place" if field == "at" else "person"
            entities.append({"start": start, "end": start + len(names[field]), "type": kind})
    return {"text": text, "entities": entities}


encoder = sys.argv[1] if len(sys.argv) > 1 else "minilm"
with tempfile.TemporaryDirectory() as place:
    rows = [
        example(s, p=p, q=PEOPLE[i - 1], at=at)
        for s in SENTENCES
        for i, p in enumerate(PEOPLE)
        for at in PLACES
    ]
    file = Path(place) / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = load_recipe(
        FineTuningRecipe, changes=["train.lr=3e-4", "train.max_steps=40", "train.batch_size=16"]
    )
    FineTuning(encoder, "token-classification", file, recipe, Path(place) / "model").run()
    find = pipeline("token-classification", Path(place) / "model")
    for text in [
        "Marie Curie worked in Paris and Warsaw.",
        "Was Niels Bohr ever in San Francisco?",
        "It rained.",
    ]:
        print(text)
        for entity in find(text)[0]:
            print(f"    {entity.type:8} {entity.score:.3f} {entity.start:3}-{entity.end:<3} {entity.text}")
