"""Documentation of settings: read from docstrings, in the words of TOML, as comments that change nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minidistil.setting_docs import comments, describe, documented, in_words, summary
from minidistil.settings import ANY_TEXT, dump, load_recipe


@dataclass(frozen=True)
class Base:
    """Settings of a base. With a second sentence.

    More about them.

    Attributes
    ----------
    lr : float >= 0
        Learning rate.
    a, b : int or None
        One of two; None: nothing
        on two lines.

    Raises
    ------
    ConfigError
        Never.
    """

    lr: float = 0.1
    a: int | None = None
    b: int | None = 2


@dataclass(frozen=True)
class Inner(Base):
    """Settings of an inner table.

    Attributes
    ----------
    kind : {"x", "y", "z"}
        Kind.
    name : str or None
        Column. None: a usual one.
    """

    kind: str = "x"
    name: str | None = field(default=None, metadata=ANY_TEXT)


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes
    ----------
    terms : mapping
        Weights.
    """

    title: str = "t"
    inner: Inner = field(default_factory=Inner)
    terms: Mapping[str, Any] = field(default_factory=lambda: {"soft": 1.0})


def test_a_docstring_is_read():
    found = documented(Inner)
    assert list(found) == ["lr", "a", "b", "kind", "name"], "those of the parent too"
    assert found["lr"] == ("float >= 0", "Learning rate.")
    assert found["b"] == ("int or None", "One of two; None: nothing on two lines.")
    assert documented(Recipe).keys() == {"terms"}, "what is not documented is not there"
    assert summary(Base) == "Settings of a base. With a second sentence."


def test_words_of_toml():
    assert in_words('{"x", "y", "z"}') == '"x", "y" or "z"'
    assert in_words("float in [0, 1] or int >= 0") == "number in [0, 1] or integer >= 0"
    assert in_words("tuple of str") == "list of texts"
    words = in_words('"balanced", mapping of str to float or None')
    assert words == '"balanced", table of numbers by name or "none"'
    assert in_words("str, int or None", any_text=True) == "text, integer or left out"
    assert in_words('{"x", "y"} or None') == '"x", "y" or "none"'
    assert in_words("{float16}") == "float16"


def test_a_recipe_described():
    found = {setting.name: setting for setting in describe(Recipe())}
    assert list(found) == [
        "title", "inner", "inner.lr", "inner.a", "inner.b", "inner.kind", "inner.name", "terms",
    ]  # fmt: skip
    assert found["inner"].meaning == "Settings of an inner table."
    meaning = 'One of two; "none": nothing on two lines.'
    assert found["inner.a"][1:] == ('"none"', 'integer or "none"', meaning)
    assert found["inner.name"].default == "left out"
    assert found["terms"].default == "{soft = 1.0}"


def test_comments_change_nothing(tmp_path):
    recipe = load_recipe(Recipe, changes=["inner.a=3", "terms.odd=1", "inner.kind=y", "terms.two words=2"])
    text = dump(recipe, comments(Recipe(), {"task": {"inner.name": "none", "inner.b": 7}}))
    (tmp_path / "my.toml").write_text(text)
    assert load_recipe(Recipe, file=tmp_path / "my.toml") == recipe
    above = '# One of two; "none": nothing on two lines.\n# Allowed: integer or "none". Default: "none".\n'
    assert f"{above}a = 3\n" in text
    assert '# Unless it is set, task has "none".\n# name = "none"\n' in text, "left out, and what it would be"
    assert "# Unless it is set, task has 7.\nb = 2\n" in text
    assert "[inner]\n# Settings of an inner table.\n" in text
    assert '"two words" = 2' in text


def test_settings_left_out_of_the_text(tmp_path):
    text = dump(Recipe(), comments(Recipe()), ["inner.a", "inner.name", "title"])
    assert "a = " not in text.replace("# ", "")
    assert "name" not in text
    (tmp_path / "my.toml").write_text(text)
    assert load_recipe(Recipe, file=tmp_path / "my.toml") == Recipe()
