"""Recipes: where values come from, what is refused and with which words, and the way back to TOML."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from minidistil.errors import ConfigError
from minidistil.settings import changes, dump, load_recipe, shipped, to_dict


@dataclass(frozen=True)
class Train:
    lr: float = 0.1
    epochs: int = 3
    clip: float | None = 1.0
    every: int | Literal["epoch"] | None = "epoch"
    warmup: float | int = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    names: tuple[str, ...] = ()
    shuffle: bool = True


@dataclass(frozen=True)
class Recipe:
    title: str = "a"
    train: Train = field(default_factory=Train)
    terms: Mapping[str, Any] = field(default_factory=lambda: {"soft": 1.0})


def resolve(text="", *changes, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(text)
    return load_recipe(Recipe, file=file, changes=changes)


def test_the_later_wins_over_the_earlier(tmp_path):
    recipe = resolve('title = "b"\n[train]\nlr = 1\nepochs = 5\n', "train.epochs=7", tmp_path=tmp_path)
    assert recipe == Recipe("b", Train(lr=1.0, epochs=7))
    assert isinstance(recipe.train.lr, float)


def test_values_of_every_kind(tmp_path):
    changes = [
        "train.clip=none",
        "train.every=20",
        "train.betas=[0, 1]",
        "train.names=['x', 'y']",
        "title=two words",
    ]
    recipe = resolve("", *changes, "train.shuffle=false", "terms.hidden.weight=2", tmp_path=tmp_path)
    assert recipe.train == Train(clip=None, every=20, betas=(0.0, 1.0), names=("x", "y"), shuffle=False)
    assert recipe.title == "two words"
    assert recipe.terms == {"soft": 1.0, "hidden": {"weight": 2}}, "beside what is there by default"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.lrr=1", "no setting train.lrr (did you mean train.lr?)"),
        ("lr=1", "no setting lr (did you mean train.lr?)"),
        ("zzz=1", "no setting zzz; there are: title, train, terms"),
        ("train.epochs=1.5", "train.epochs is 1.5: expected a whole number"),
        ("train.epochs=true", "train.epochs is True: expected a whole number"),
        ("train.lr=fast", "train.lr is 'fast': expected a number"),
        ("train.lr=1" + "0" * 400, "0: expected a number"),
        ("train.every=often", "train.every is 'often': expected a whole number or 'epoch' or \"none\""),
        ("train.betas=[1]", "train.betas is [1]: expected a list of a number"),
        ("train=3", "train is 3: expected a table"),
        ("title=4", "title is 4: expected a text"),
        ("train.shuffle=1", "train.shuffle is 1: expected true or false"),
        ("terms=4", "terms is 4: expected a table"),
        ("train.lr", "'train.lr' should look like table.key=value"),
    ],
)
def test_what_is_refused(change, message, tmp_path):
    with pytest.raises(ConfigError) as caught:
        resolve("", change, tmp_path=tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [100, 1, 1.0, 0.25])
def test_a_number_of_steps_is_no_share_of_them(value, tmp_path):
    recipe = resolve("", f"train.warmup={value}", tmp_path=tmp_path)
    for found in (recipe, resolve(dump(recipe), tmp_path=tmp_path)):
        assert (found.train.warmup, type(found.train.warmup)) == (value, type(value))


def test_mistakes_in_a_file_name_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"my\.toml: there is no setting train\.lrr"):
        resolve("[train]\nlrr = 3", tmp_path=tmp_path)
    with pytest.raises(ConfigError, match=r"my\.toml is not TOML: .*line 2"):
        resolve("[train]\nlr = = 3", tmp_path=tmp_path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_recipe(Recipe, file=tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"no recipe 'distilbrt' \(did you mean distilbert\?\)"):
        load_recipe(Recipe, "distilbrt")


def test_the_way_back_to_toml(tmp_path):
    changes = ["train.clip=none", "train.names=['ä\"']", "terms.hidden.weight=2.5", 'title="x = 1"']
    recipe = resolve("", *changes, tmp_path=tmp_path)
    text = dump(recipe)
    assert resolve(text, tmp_path=tmp_path) == recipe
    assert tomllib.loads(text)["train"]["clip"] == "none"
    assert to_dict(recipe)["train"]["betas"] == [0.9, 0.999]


def test_what_is_not_the_default_can_be_asked_for_again(tmp_path):
    given = [
        "train.clip=none",
        "train.names=['ä\"']",
        "terms.hidden.weight=2.5",
        'title="x = 1"',
        "train.lr=0.5",
    ]
    recipe = resolve("", *given, tmp_path=tmp_path)
    asked = changes(recipe)
    assert load_recipe(Recipe, changes=asked) == recipe
    assert len(asked) == len(given)
    assert changes(Recipe()) == []


def test_recipes_are_shipped():
    assert "distilbert" in shipped()


@pytest.mark.parametrize("text", ["a = " + "[" * 20_000, "a = " + "9" * 5000, "a = \x00", "\ufeff[train\n"])
def test_what_is_no_toml_is_said_of_its_file(tmp_path, text):
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"r\.toml is not TOML: "):
        load_recipe(Recipe, file=tmp_path / "r.toml")
    with pytest.raises(ConfigError, match=r"train\.lr"):
        load_recipe(Recipe, changes=[f"train.lr={text.removeprefix('a = ')}"])
