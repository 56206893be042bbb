"""Learn to answer from sentences made up here, then ask about others.

python examples/questions.py [ENCODER]
"""

import json
import sys
import tempfile
from pathlib import Path

from minidistil import pipeline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.settings import load_recipe

PEOPLE = ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether", "Kurt Gödel", "Mary Jackson"]
PLACES = ["London", "New York", "Göttingen", "Vienna", "Paris", "Rio de Janeiro"]
TRADES = ["a teacher", "an engineer", "a printer of books", "a physician", "a clerk"]
ASKED = {"Who is it about?": "p", "Where was {p} born?": "l", "What did {p} work as?": "t", "When?": "y"}


def paragraph(number: int) -> dict:
    """As SQuAD has it: a context, questions, and where in it the answers begin."""
    lists = {"p": PEOPLE, "l": PLACES, "t": TRADES}
    facts = {
        key: names[number * step % len(names)]
        for (key, names), step in zip(lists.items(), (1, 5, 3), strict=True)
    }
    facts["y"] = str(1800 + number * 7 % 200)
    context = "{p} was born in {l} in {y} , and worked as {t} for many years .".format(**facts)
    questions = [
        {"id": f"{number}-{key}", "question": question.format(**facts),
         "answers": [{"text": facts[key], "answer_start": context.index(facts[key])}]}
        for question, key in ASKED.items()
    ]  # fmt: skip
    return {"context": context, "qas": questions}


encoder = sys.argv[1] if len(sys.argv) > 1 else "minilm"
with tempfile.TemporaryDirectory() as place:
    file = Path(place) / "train.json"
    file.write_text(
        json.dumps({"data": [{"paragraphs": [paragraph(i) for i in range(150)]}]}), encoding="utf-8"
    )
    recipe = load_recipe(
        FineTuningRecipe, changes=["train.lr=3e-4", "train.max_steps=60", "train.batch_size=16"]
    )
    FineTuning(encoder, "question-answering", file, recipe, Path(place) / "model").run()
    answer = pipeline("question-answering", Path(place) / "model")
    context = "Marie Curie was born in Warsaw in 1867, and worked as a governess for some years."
    for question in ("Where was Marie Curie born?", "What did Marie Curie work as?", "When?"):
        best = answer(question, context)[0].best
        print(f"{question:32} {best.text}   ({best.score:.2f}, characters {best.start} to {best.end})")
