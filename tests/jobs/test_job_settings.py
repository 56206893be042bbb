"""Settings of all jobs: documented, taken as documented, and printed so that they read again."""

import dataclasses
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from minidistil.errors import ConfigError, MinidistilError
from minidistil.jobs.finetune import FineTuningRecipe
from minidistil.jobs.job_settings import JOBS, commented, page
from minidistil.jobs.multilingual import PairsRecipe
from minidistil.jobs.pretrain import ModelSettings
from minidistil.model.families import FAMILIES
from minidistil.setting_docs import documented
from minidistil.settings import build, load_recipe, shipped
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.registry import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
PAIRS = {"multilingual"}


def schemas(schema):
    """A dataclass and those inside."""
    yield schema
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from schemas(hints[field.name])


ALL: dict[str, Any] = {}
for job in JOBS:
    ALL |= {f"{kind.__module__}.{kind.__name__}": kind for kind in schemas(job.recipe)}
for entry in TASKS.values():
    kind = entry.load().settings_type
    if kind is not None:
        ALL[f"{kind.__module__}.{kind.__name__}"] = kind
FIELDS = [(kind, field) for kind in ALL.values() for field in dataclasses.fields(kind)]
every_field = pytest.mark.parametrize(
    ("schema", "field"), FIELDS, ids=[f"{kind.__name__}.{field.name}" for kind, field in FIELDS]
)

# Settings without which another one is refused.
WITH = {
    "patience": {"keep_best": "loss"},
    "masked": {"kept": 0.0},
    "kept": {"masked": 0.0},
    "keep_dtype": {"keep": "all"},
    "embedding": {"family": "albert"},
    "groups": {"family": "albert"},
}
NUMBER = re.compile(r"(int|float)s?(?: (>=|>) (\d+)| in ([\[(])(\d+), (\d+)([\])]))?$")
OTHERS = {
    "None": ["none"],
    "bool": [True, False],
    "str": ["a word"],
    "mapping": [{}, {"a": 1.0}],
    "mapping of str to float": [{"a": 1.0}],
    "tuple of str": [[], ["a"]],
    "tuple of int": [[0, 2]],
}


def values_of(allowed):
    """Values that a documented type takes, its bounds among them, and values beyond the bounds."""
    good, bad = [], []
    if (choices := re.search(r"\{(.*?)\}", allowed)) is not None:
        good += [word.strip('"') for word in choices[1].split(", ")]
        allowed = allowed.replace(choices[0], "").strip(" ,")
    kinds = re.split(r",? or (?!\d)|, (?!\d)", allowed) if allowed else []
    for kind in filter(None, (kind.strip().removeprefix("or ") for kind in kinds)):
        if kind.startswith('"'):
            good.append(kind.strip('"'))
        elif kind in OTHERS:
            good += OTHERS[kind]
        else:
            many, kind = kind.startswith("two "), kind.removeprefix("two ")
            found = NUMBER.match(kind)
            assert found, f"what is {kind!r}?"
            within, beyond = numbers(*found.groups())
            good += [[value, value] for value in within] if many else within
            bad += [[value, value] for value in beyond] if many else beyond
    return good, bad


def numbers(kind, sign, least, opening, low, high, closing):
    """Numbers in a range and beyond it."""
    whole = kind == "int"
    step = 1 if whole else 0.25
    if sign is None and opening is None:
        return ([3] if whole else [0.5]), []
    if sign is not None:
        bound = int(least)
        inside, outside = [bound + step], [bound - step]
        (inside if sign == ">=" else outside).append(bound if whole else float(bound))
        return inside, outside
    inside, outside = [(int(low) + int(high)) / 2], [int(low) - 0.25, int(high) + 0.25]
    (inside if opening == "[" else outside).append(float(low))
    (inside if closing == "]" else outside).append(float(high))
    return inside, outside


@every_field
def test_every_setting_is_documented(schema, field):
    if dataclasses.is_dataclass(get_type_hints(schema)[field.name]):
        assert schema.__doc__
        return
    assert field.name in documented(schema), "its dataclass says nothing of it under Attributes"
    allowed, meaning = documented(schema)[field.name]
    assert allowed
    assert meaning.endswith((".", "None: all.")), meaning


@every_field
def test_a_setting_takes_what_is_documented(schema, field):
    if dataclasses.is_dataclass(get_type_hints(schema)[field.name]):
        return
    good, bad = values_of(documented(schema)[field.name].allowed)
    assert good
    others = {other.name for other in dataclasses.fields(schema)}
    more = {name: value for name, value in WITH.get(field.name, {}).items() if name in others}
    for value in good:
        build(schema, {**more, field.name: value}, "")
    for value in bad:
        with pytest.raises(MinidistilError):
            build(schema, {**more, field.name: value}, "")


def test_the_range_of_a_documented_type():
    assert values_of('int >= 1, "epoch" or None') == ([2, 1, "epoch", "none"], [0])
    assert values_of("two floats in [0, 1)") == ([[0.5] * 2, [0.0] * 2], [[-0.25] * 2, [1.25] * 2, [1.0] * 2])
    assert values_of('{"a", "b"} or None') == (["a", "b", "none"], [])
    assert values_of("float in [0, 1] or int >= 0")[1] == [-0.25, 1.25, -1]


def test_every_family_is_documented():
    assert values_of(documented(ModelSettings)["family"].allowed)[0] == list(FAMILIES)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.command)
@pytest.mark.parametrize("name", [None, *shipped()])
def test_a_printed_recipe_reads_as_the_same(job, name, tmp_path):
    if name is not None and (name in PAIRS) != (job.recipe is PairsRecipe):
        return
    try:
        recipe = load_recipe(job.recipe, name)
    except ConfigError:
        assert job.recipe not in (PairsRecipe,), "a recipe of another job"
        return
    (tmp_path / "my.toml").write_text(commented(recipe), encoding="utf-8")
    assert load_recipe(job.recipe, file=tmp_path / "my.toml") == recipe


LEARNT = [name for name, entry in TASKS.items() if issubclass(entry.load(), TrainableTask)]


@pytest.mark.parametrize("task", LEARNT)
def test_a_printed_recipe_of_a_task(task, tmp_path):
    changes = ["train.lr=1e-3", "train.class_weights.two words=2.5", "data.max_length=40", "train.clip=none"]
    recipe = load_recipe(FineTuningRecipe, changes=changes)
    text = commented(recipe, task)
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    assert load_recipe(FineTuningRecipe, file=tmp_path / "my.toml") == recipe
    kind = TASKS[task].load()
    own = dataclasses.fields(kind.settings_type) if kind.settings_type else ()
    for name in (field.name for field in own):
        assert re.search(rf"^# {name} = ", text, re.MULTILINE), "what it could set, behind a #"
    for name in ("text", "scheme", "separator"):
        said = re.search(rf"^(# )?{name} = ", text, re.MULTILINE) is not None
        assert said == (name in kind.data_settings)


def test_a_task_says_what_its_files_have():
    text = commented(FineTuningRecipe(), "sst2")
    assert '# Unless it is set, sst2 has "sentence".\n# text = "sentence"\n' in text
    assert '# Unless it is set, sst2 has "tsv".\nformat = "none"\n' in text
    own = load_recipe(FineTuningRecipe, changes=["task.sentences=2"])
    assert "\nsentences = 2\n" in commented(own, "summarization")
    with pytest.raises(ConfigError, match=r"did you mean task\.sentences"):
        commented(load_recipe(FineTuningRecipe, changes=["task.sentence=2"]), "summarization")


def test_the_page_is_up_to_date():
    command = "python -m minidistil.jobs.job_settings docs/settings.md"
    made = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert made == page(), f"the settings have changed since it was made; run: {command}"
