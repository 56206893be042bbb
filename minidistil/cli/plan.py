"""minidistil plan"""

from __future__ import annotations

import argparse

from minidistil.cli.common import CORPUS, add_recipe_arguments

HELP = "predict how much memory training or prediction will take, or what a distillation will"
EXAMPLES = """\
  minidistil plan runs/demo/teacher --batch-size 32 --length 128
  minidistil plan distilbert-base-uncased --teacher bert-base-uncased --as DistilBertForMaskedLM
  minidistil plan runs/demo/student --predict --json
  minidistil plan --teacher runs/teacher/model --corpus text/ --recipe small   # times a few micro-batches
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="directory, name (minilm) or hub id of a model")
    parser.add_argument("--as", dest="architecture", metavar="CLASS", help="plan for this class")
    parser.add_argument("--layers", type=int, metavar="N", help="plan for a student with this many layers")
    parser.add_argument("--batch-size", type=int, help="sequences in a batch (32)")
    parser.add_argument("--length", type=int, help="tokens in each, on average (128)")
    parser.add_argument("--predict", action="store_true", help="plan a prediction, not a training step")
    parser.add_argument("--teacher", metavar="MODEL", help="a model that runs beside it, left in its file")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    distillation = parser.add_argument_group("a whole distillation, as `minidistil distill` would run it")
    distillation.add_argument("--corpus", **CORPUS)
    add_recipe_arguments(distillation)


def run(args: argparse.Namespace) -> int:
    from minidistil.errors import UsageError

    if (args.model is None) == (args.corpus is None):
        raise UsageError("plan a step of one model, or a distillation (--teacher and --corpus)")
    if args.corpus is not None:
        for name in ("architecture", "layers", "batch_size", "length", "predict"):
            if getattr(args, name):
                flag = "--as" if name == "architecture" else f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} is for a step of one model; a distillation has it in its recipe")
        return _distillation(args)
    if args.recipe or args.config or args.set:
        raise UsageError("a recipe goes with --teacher and --corpus")
    return _step(args)


def _step(args: argparse.Namespace) -> int:
    """Memory of a step."""
    import json
    from dataclasses import asdict

    from minidistil.errors import UsageError
    from minidistil.memory import available_memory
    from minidistil.model import class_or_encoder, model_class
    from minidistil.model.families import load_config
    from minidistil.train.memory_plan import plan_prediction, plan_training
    from minidistil.weights.hub import resolve

    batch_size = 32 if args.batch_size is None else args.batch_size
    length = 128 if args.length is None else args.length
    if min(batch_size, length) < 1 or (args.layers is not None and args.layers < 1):
        raise UsageError("--batch-size, --length and --layers must be at least 1")
    if args.predict and args.teacher:
        raise UsageError("a prediction has no --teacher")
    path = resolve(args.model)
    config = load_config(path)
    model = model_class(args.architecture) if args.architecture else class_or_encoder(config, path)
    if not model.is_of(config):
        raise UsageError(f"{args.model} is no {model.__name__}: its config is a {type(config).__name__}")
    if length > config.max_sequence_length:
        raise UsageError(f"--length {length}: the model has {config.max_sequence_length} positions")
    if args.layers is not None:
        config = config.replace(num_hidden_layers=args.layers)
    tokens = batch_size * length
    if args.predict:
        plan = plan_prediction(model, config, tokens)
    else:
        teacher = None
        if args.teacher:
            path = resolve(args.teacher)
            teacher_config = load_config(path)
            teacher = class_or_encoder(teacher_config, path), teacher_config
        plan = plan_training(model, config, tokens, teacher=teacher, mapped=True)
    available = available_memory()
    if args.json:
        print(json.dumps({**asdict(plan), "total": plan.total, "available": available}))
    else:
        for name, value in asdict(plan).items():
            if value:
                print(f"{name:12}{value / 1e6:10,.0f} MB")
        print(f"{'total':12}{plan.total / 1e6:10,.0f} MB")
        if available is not None:
            print(f"{'available':12}{available / 1e6:10,.0f} MB")
    plan.check(available)
    return 0


def _distillation(args: argparse.Namespace) -> int:
    """Time, memory and disk of a whole run."""
    import json

    from minidistil.errors import UsageError
    from minidistil.jobs.distill import DistillationRecipe
    from minidistil.jobs.estimate import plan_distillation
    from minidistil.progress import duration
    from minidistil.settings import load_recipe

    if args.teacher is None:
        raise UsageError("a distillation needs a --teacher")
    recipe = load_recipe(DistillationRecipe, args.recipe, file=args.config, changes=args.set)
    plan = plan_distillation(args.teacher, args.corpus, recipe, quiet=args.quiet)
    if args.json:
        print(json.dumps(plan.to_dict()))
        return 0
    parts = {"encoding": plan.encoding, "asking the teacher": plan.teacher, "training": plan.training,
             "measuring": plan.evaluation}  # fmt: skip
    spent = ", ".join(f"{name} {duration(value)}" for name, value in parts.items() if value >= 1)
    print(
        f"text    {plan.text_bytes / 1e6:,.1f} MB, about {plan.tokens:,} tokens, {plan.sequences:,} sequences"
    )
    print(f"steps   {plan.steps:,}, {plan.seconds_per_step:.3g} s each")
    print(f"time    {duration(plan.seconds)} ({spent})")
    print(f"memory  {plan.memory.total / 1e6:,.0f} MB")
    print(f"disk    {plan.disk / 1e6:,.0f} MB")
    timed = plan.timed
    print(
        f"timed   {timed.micro_batches} of {timed.of_micro_batches:,} micro-batches "
        f"({timed.tokens:,} tokens), an update, {timed.sequences} sequences of\n"
        f"        held-out text by both models, the encoding of {timed.text_bytes / 1e6:,.1f} MB; "
        "the rest is in proportion"
    )
    return 0
