"""A few steps of every task of GLUE that a folder holds: not a result, but a look at all of it.

python examples/glue.py FOLDER [ENCODER] [STEPS]
"""

import sys
import tempfile

from minidistil.jobs.finetune import FineTuningRecipe
from minidistil.jobs.glue import Glue, glue_table
from minidistil.settings import load_recipe

folder = sys.argv[1]
encoder = sys.argv[2] if len(sys.argv) > 2 else "minilm"
steps = sys.argv[3] if len(sys.argv) > 3 else "20"
recipe = load_recipe(
    FineTuningRecipe,
    changes=[f"train.max_steps={steps}", "train.lr=2e-4", "data.max_length=48", "train.eval_every=none"],
)
with tempfile.TemporaryDirectory() as place:
    print(glue_table(Glue(encoder, folder, lambda task: recipe, place).run()))
