"""Nothing is lost, nothing held out was learnt."""

import json

from benchmarks.split import held_out, of_contexts, of_lines


def test_lines():
    lines = [f"ham\tmessage {i % 50}" for i in range(100)]
    train, test = (part.splitlines() for part in of_lines("\r\n".join(lines), 5))
    assert sorted(train + test) == sorted(lines)
    assert not set(train) & set(test)
    assert 4 <= len(test) <= 40


def test_contexts():
    paragraphs = [{"context": f"a film {i}", "qas": [{"id": str(i)}]} for i in range(60)]
    text = json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})
    train, test = (json.loads(part) for part in of_contexts(text, 4))
    assert train["version"] == test["version"] == "1.1"
    parts = [part["data"][0]["paragraphs"] for part in (train, test)]
    assert sorted(p["context"] for part in parts for p in part) == sorted(p["context"] for p in paragraphs)
    assert all(held_out(p["context"], 4) for p in parts[1])
    assert 3 <= len(parts[1]) <= 30


def test_spaces_and_case_do_not_part_what_is_alike():
    assert held_out("A  Film", 3) == held_out("a film ", 3)
