"""Teaches an encoder to choose: which answer goes with the question? Takes about a minute.

    python examples/multiple_choice.py [ENCODER]

ENCODER is a directory or hub id, by default minilm, which is fetched.
"""

import json
import sys
import tempfile
from pathlib import Path

from minidistil import pipeline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.settings import load_recipe

ANSWERS = {
    "Where": ["In London.", "At the station.", "On the roof.", "In the garden."],
    "When": ["At noon.", "In 1840.", "Last week.", "On Monday."],
    "Who": ["My sister.", "The doctor.", "Ada did.", "A friend of hers."],
    "Why": ["Because it rained.", "To save time.", "Because she was tired.", "To be alone."],
}
EVENTS = ["did they meet", "was it built", "did he fall asleep", "was the letter written", "did the dog bark"]

encoder = sys.argv[1] if len(sys.argv) > 1 else "minilm"
with tempfile.TemporaryDirectory() as place:
    train = Path(place) / "train.jsonl"
    with open(train, "w", encoding="utf-8") as file:
        for i, event in enumerate(EVENTS * 3):
            for label, word in enumerate(ANSWERS):
                choices = [
                    answers[(i + label) % 3] for answers in ANSWERS.values()
                ]  # the fourth is kept back
                row = {"question": f"{word} {event}?", "choices": choices, "label": label}
                file.write(json.dumps(row) + "\n")
    recipe = load_recipe(FineTuningRecipe, changes=["train.epochs=6", "train.lr=3e-4", "train.batch_size=8"])
    FineTuning(encoder, "multiple-choice", train, recipe, Path(place) / "chooser").run()

    choose = pipeline("multiple-choice", Path(place) / "chooser")
    unseen = [answers[3] for answers in ANSWERS.values()]
    for question in ("Where is the key?", "When does it open?", "Who sang?", "Why did you leave?"):
        best = choose(question, unseen)[0]
        print(f"{question:20} {best.text:24} {best.score:.3f}")
