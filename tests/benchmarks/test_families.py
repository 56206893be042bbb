"""The comparison of families' times."""

import pytest

from benchmarks.families import encoder, main, rounds_of, work
from minidistil.model.families import FAMILIES


def test_every_family_is_made_in_the_shape_and_timed_in_turns(monkeypatch, capsys):
    argv = ["families", "--width", "24", "--layers", "1", "--length", "8", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", argv)
    main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(FAMILIES)


def test_work_is_that_of_the_products_with_weights():
    bert = encoder("bert", 24, 2)
    assert work(bert, 5) == 5 * 2 * (4 * 24 * 24 + 2 * 24 * 96)


def test_turns_are_taken_and_the_first_does_not_count():
    order = []
    seconds = rounds_of({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == list("ababab")
    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_are_alike(family):
    model = encoder(family, 24, 1)
    assert model.config.hidden_size == 24
    assert model.config.num_attention_heads == 12
