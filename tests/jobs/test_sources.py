"""Name and licence of the model that another was made from."""

import pytest

from minidistil.jobs import sources
from minidistil.jobs.sources import origin
from minidistil.weights.encoders import MINILM


@pytest.mark.parametrize(
    ("front", "base", "license"),
    [
        ("---\nlicense: apache-2.0\nbase_model: org/big\n---\n", "org/big", "apache-2.0"),
        ('---\nlicense: "mit"\nbase_model:\n- org/big\n- org/other\ntags: [a]\n---\n', "org/big", "mit"),
        ("---\ntags:\n- license: no\n---\nlicense: none\n", None, None),
        ("# license: mit\n", None, None),
        (None, None, None),
    ],
)
def test_what_a_card_says_of_where_a_model_comes_from(tmp_path, monkeypatch, front, base, license):
    place = tmp_path / "lm" / "model"
    place.mkdir(parents=True)
    if front is not None:
        (place / "README.md").write_text(front)
    assert origin(str(place)) == ("lm", base, license)
    fetched = tmp_path / MINILM.directory
    fetched.mkdir()
    assert origin(str(fetched))[:2] == (MINILM.name, f"sentence-transformers/{MINILM.name}")
    monkeypatch.setattr(sources, "resolve", lambda _: place)  # as a hub id is found in the cache
    assert origin("org/small") == ("small", "org/small", license)
