"""Summaries: sentences of the text, in its order; learnt, measured, on the command line."""

import io
import json

import numpy as np
import pytest
from tiny import BAD, CONFIG, GOOD, OTHER, make_encoder, make_tokenizer, predictor_of

from minidistil.cli.main import main
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.model import BertForTokenClassification, load_model
from minidistil.ops.philox import random_order
from minidistil.tasks.registry import named_task
from minidistil.tasks.summarization.oracle import oracle
from minidistil.tasks.summarization.summary import SummarySettings
from minidistil.tasks.summarization.task import SummarizationTask
from minidistil.tasks.token_classification.task import TokenClassificationTask
from minidistil.text.sentences import split_sentences

FAST = [
    "--epochs=8", "--lr=3e-3", "--batch-size=8", "--set", "data.max_length=24", "--set", "train.save_every=5",
]  # fmt: skip
METHODS = ("centroid", "mmr", "lead")
DOCUMENT = (
    "The film is warm.\r\nIt has 3.5 stars — “The plot?” she asked. \u200bTHE CAST is lovely! 😀\n\n***\n"
    "A dull plot… is grim. The film is warm. Café of cafe\u0301."
)


def document(i):
    """Of six sentences those for a summary, as a word in each of them says, and all."""
    sentences = []
    for place in range(6):
        a, b, c = (int(x) for x in random_order(8, i, place)[:3])
        word = GOOD[a % 4] if (i + b) % 3 == 0 or place == i % 6 else BAD[a % 4]
        sentences.append(f"The {OTHER[b]} is {word} {' '.join(OTHER[: c % 3])}".strip() + ".")
    return [s for s in sentences if any(word in s for word in GOOD)], sentences


def write(path, first, n, *, summaries=True):
    rows = []
    for i in range(first, first + n):
        best, sentences = document(i)
        rows.append({"dialogue": "\n".join(sentences), **({"summary": " ".join(best)} if summaries else {})})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("summaries")
    make_encoder(here)
    write(here / "train.jsonl", 0, 60)
    write(here / "dev.jsonl", 60, 20)
    write(here / "plain.jsonl", 100, 60, summaries=False)
    return here


@pytest.fixture(scope="module")
def encoder(place):
    return SentenceEncoder.from_pretrained(place / "encoder")


def finetune(place, out, *more, train="train.jsonl"):
    files = ["--train", str(place / train), "--eval", str(place / "dev.jsonl"), "--out", str(out)]
    return main(["finetune", "-q", str(place / "encoder"), "--task", "summarization", *files, *FAST, *more])


@pytest.fixture(scope="module")
def tuned(place):
    assert finetune(place, place / "tuned") == 0
    return place / "tuned"


def facts(summary):
    return [(s.text, s.start, s.end, s.index) for s in summary.sentences]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", ["sentence", "line"])
def test_sentences_of_the_text(encoder, method, unit):
    settings = SummarySettings(method=method, sentences=3, unit=unit)
    task = SummarizationTask(settings=settings)
    texts = [DOCUMENT, "One.", " ", "A plot. A film. A cast. The plot of the film.", "***\n---", DOCUMENT]
    together = task.predict(encoder, texts)
    for text, summary in zip(texts, together, strict=True):
        parts = settings.split(text)
        assert all(s.text == text[s.start : s.end] == parts[s.index].text for s in summary.sentences)
        assert sorted({s.index for s in summary.sentences}) == [s.index for s in summary.sentences]
        assert summary.method == method
        assert summary.text == "\n".join(" ".join(s.text.split()) for s in summary.sentences)
        alone = task.predict(encoder, [text])[0]
        assert facts(alone) == facts(summary)
        scores = [[s.score for s in x.sentences] for x in (alone, summary)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert [len(s.sentences) for s in together[1:3]] == [1, 0]
    assert len(together[4].sentences) <= 2
    assert not any("*" in s.text for s in together[0].sentences), "what says nothing is not taken"
    if method == "lead":
        assert [s.index for s in together[3].sentences] == ([0, 1, 2] if unit == "sentence" else [0])
    if method != "lead":
        assert len({s.text for s in together[0].sentences}) == len(together[0].sentences)
    backwards = task.predict(encoder, texts[::-1])[::-1]
    assert list(map(facts, backwards)) == list(map(facts, together))


def test_how_many(encoder):
    text = "A film. The plot is grim. The cast of the film is warm and lovely. A cast."

    def summarise(**settings):
        (found,) = SummarizationTask(settings=SummarySettings(**settings)).predict(encoder, [text])
        return [s.text for s in found.sentences]

    sentences = [s.text for s in split_sentences(text)]
    assert summarise(method="lead") == sentences[:3], "three, if nobody says how many"
    assert summarise(method="lead", words=9) == [sentences[0], sentences[1], sentences[3]]
    assert summarise(method="lead", words=9, sentences=2) == sentences[:2]
    assert summarise(method="mmr", words=1) == []
    assert len(summarise(method="centroid", sentences=99)) == 4
    assert summarise(method="mmr", mmr_lambda=1.0) == summarise(method="centroid")


def test_documents_in_groups(encoder, monkeypatch):
    texts = [" ".join(document(i)[1]) for i in range(7)]
    task = SummarizationTask(settings=SummarySettings(sentences=2))
    whole = task.predict(encoder, texts)
    monkeypatch.setattr("minidistil.tasks.summarization.task.CHARACTERS_AT_ONCE", 2 * len(texts[0]))
    assert list(map(facts, task.predict(encoder, texts))) == list(map(facts, whole))
    assert task.predict(encoder, []) == []


def test_every_token_learns_what_its_sentence_is(place, tmp_path):
    tokenizer = make_tokenizer(tmp_path)
    task = named_task("summarization")
    examples = task.read(place / "train.jsonl")
    data = task.dataset(tokenizer, examples, CONFIG)
    windows = task.windows(tokenizer, examples.texts, CONFIG)
    assert len(windows) > len(examples), "documents longer than the model takes"
    seen = []
    for w, i in enumerate(windows.examples):
        sentences = split_sentences(examples.texts[i])
        wanted = oracle([s.text for s in sentences], examples.summaries[i])
        assert [sentences[j].text for j in wanted] == document(int(i))[0]
        for t in range(windows.offsets[w], windows.offsets[w + 1]):
            label = data.token_targets["labels"][t]
            if windows.spans[t, 0] < 0:
                assert label == IGNORE_INDEX
            else:
                (own,) = (j for j, s in enumerate(sentences) if s.start <= windows.spans[t, 0] < s.end)
                assert label == (own in wanted)
                seen.append(label)
    assert 0.2 < np.mean(seen) < 0.8
    assert "labels" not in task.dataset(tokenizer, examples, CONFIG, labelled=False).token_targets


def test_it_learns(place, tuned, capsys):
    found = json.loads((tuned / "report.json").read_text())["models"]["model"]
    assert found["method"] == "trained"
    assert found["rouge1"] > found["lead_rouge1"] + 0.1
    assert found["oracle_rouge1"] > 0.99
    assert load_model(tuned).config.id2label == {0: "rest", 1: "summary"}
    arguments = ["evaluate", "-q", "--task", "summarization", "--data", str(place / "dev.jsonl"), "--json"]
    assert main([*arguments, str(tuned), "--set", "data.max_length=24"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {k: again[k] for k in again.keys() & found} == pytest.approx(
        {k: found[k] for k in again.keys() & found}
    )
    assert (
        main([*arguments, str(place / "encoder"), "--set", "task.method=mmr", "--set", "task.sentences=2"])
        == 0
    )
    untrained = json.loads(capsys.readouterr().out)
    assert (untrained["method"], untrained["examples"]) == ("mmr", 20)
    assert untrained["oracle_rouge1"] == found["oracle_rouge1"]
    assert untrained["lead_rouge1"] != found["lead_rouge1"], "as many sentences as the others"


def test_what_is_trained_says_which(tuned):
    summarise = predictor_of(tuned)
    assert isinstance(summarise.task, SummarizationTask)
    right, texts = 0, []
    for i in range(60, 80):
        best, sentences = document(i)
        texts.append("\n".join(sentences))
        found = summarise(texts[-1], sentences=len(best))[0]
        assert found.method == "trained"
        assert all(0 <= s.score <= 1 for s in found.sentences)
        right += [s.text for s in found.sentences] == best
    assert right >= 16
    long = " ".join(texts)  # 120 sentences, many windows
    (found,) = summarise(long, sentences=20)
    assert np.mean([any(word in s.text for word in GOOD) for s in found.sentences]) > 0.9
    assert summarise(texts)[3].sentences[0].score == pytest.approx(summarise(texts[3])[0].sentences[0].score)
    same = "The film is warm with the cast. " * 3
    assert len(summarise(same)[0].sentences) == 3
    assert len(summarise(same, block_trigrams=True)[0].sentences) == 1


def test_resumed_and_taught(place, tuned, tmp_path, capsys):
    teach = ["--distill-from", str(tuned), "--set", "teaching.terms={soft = 1.0, hard = 0.0}"]
    small = ["--set", "model.layers=alternate"]
    assert finetune(place, tmp_path / "small", *teach, *small, train="plain.jsonl") == 0
    found = json.loads((tmp_path / "small" / "report.json").read_text())["models"]
    assert found["student"]["layers"] == 3
    assert found["student"]["rouge1"] > found["student"]["lead_rouge1"] + 0.05
    (tuned / "model.safetensors").rename(tmp_path / "before")
    (tuned / "config.json").unlink()  # as if it had been stopped before it was written
    assert finetune(place, tuned) == 0
    assert (tuned / "model.safetensors").read_bytes() == (tmp_path / "before").read_bytes()
    capsys.readouterr()
    assert finetune(place, tuned, "--set", "task.unit=line") == 3
    assert "holds another run" in capsys.readouterr().err


def test_predict(place, tuned, tmp_path, capsys, monkeypatch):
    (tmp_path / "a.txt").write_bytes(DOCUMENT.encode())
    (tmp_path / "b.txt").write_text("A film. The plot is grim.\n")
    paths = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    encoder = ["predict", str(place / "encoder"), "--task", "summarization"]
    documents = ["--document", paths[0], "--document", paths[1]]
    assert main([*encoder, *documents, "--sentences", "2", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f["document"] for f in found] == paths
    assert [f["text"] for f in found] == [DOCUMENT, "A film. The plot is grim.\n"]
    for f in found:
        assert len(f["sentences"]) == 2
        assert all(f["text"][s["start"] : s["end"]] == s["text"] for s in f["sentences"])
    assert main([*encoder, *documents, "--method", "lead", "--sentences", "1"]) == 0
    assert capsys.readouterr().out == "The film is warm.\n\nA film.\n"
    # Standard input is one document, with all its lines.
    for more in ([], ["-"], ["--document", "-"]):
        stdin = io.TextIOWrapper(io.BytesIO(b"A film.\nThe plot\nA cast"))
        monkeypatch.setattr("sys.stdin", stdin)
        assert main([*encoder, "--method", "lead", "--words", "4", *more]) == 0
        assert capsys.readouterr().out == "A film.\nThe plot\n"
    column = ["--data", str(place / "dev.jsonl")]
    assert main(["predict", str(tuned), *column, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f["line"] for f in found] == list(range(1, 21))
    assert {f["method"] for f in found} == {"trained"}
    page = tmp_path / "page.html"
    assert main([*encoder, "--document", paths[1], "--sentences", "1", "--html", str(page)]) == 0
    assert page.read_text().count("<mark") == 1
    capsys.readouterr()
    for arguments, code, message in (
        ([*encoder, "A film.", *documents], 2, "take one of them"),
        ([*encoder, "A film.", "--text-column", "x"], 2, "say how --data is read"),
        ([*encoder, "--data", str(place / "dev.jsonl"), "--text-column", "x"], 3, "no column 'x'"),
        ([*encoder, "--document", str(tmp_path / "no.txt")], 3, "no.txt: cannot be read"),
        ([*encoder, "A film.", "--sentences", "0"], 2, "sentences must be at least 1"),
        ([*encoder, "A film.", "--method", "trained"], 3, "has not learnt to summarise"),
        ([*encoder, "A film.", "--n-best", "3"], 2, "does not take --n-best"),
    ):
        assert main(arguments) == code
        assert message in capsys.readouterr().err
    (tmp_path / "b.txt").write_text(" \n")
    assert main([*encoder, *documents]) == 3
    assert "b.txt: there is no text in it" in capsys.readouterr().err


def test_documents_and_tables_for_other_kinds(tmp_path, capsys):
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    tags = {0: "O", 1: "B-FUN"}
    model = BertForTokenClassification(CONFIG.replace(id2label=tags), seed=5)
    model.save_pretrained(tmp_path / "tokens", tokenizer=tokenizer)
    assert isinstance(predictor_of(tmp_path / "tokens").task, TokenClassificationTask)
    (tmp_path / "a.txt").write_bytes(DOCUMENT.encode())
    assert main(["predict", str(tmp_path / "tokens"), "--document", str(tmp_path / "a.txt"), "--json"]) == 0
    (found,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert found["text"] == DOCUMENT
    assert all(DOCUMENT[e["start"] : e["end"]] == e["text"] for e in found["entities"])
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2\na film,the plot\n")
    pairs = ["predict", str(tmp_path / "tokens"), "--data", str(tmp_path / "pairs.csv")]
    assert main(pairs) == 2
    assert "has pairs of texts" in capsys.readouterr().err
    assert main([*pairs, "--text-column", "sentence2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "the plot"


def test_what_is_refused(place, tmp_path, capsys):
    with pytest.raises(UsageError, match="method is 'best', which is none of trained, centroid"):
        SummarySettings(method="best")
    with pytest.raises(UsageError, match="unit is 'word'"):
        SummarySettings(unit="word")
    with pytest.raises(UsageError, match="words must be at least 1, not 0"):
        SummarySettings(words=0)
    with pytest.raises(UsageError, match="mmr_lambda is from 0 to 1, not 2"):
        SummarySettings(mmr_lambda=2)
    with pytest.raises(ConfigError, match=r"no setting task\.sentence \(did you mean task\.sentences"):
        named_task("summarization", settings={"sentence": 3})
    with pytest.raises(ConfigError, match=r"task\.sentences is 'many': expected"):
        named_task("summarization", settings={"sentences": "many"})
    with pytest.raises(ConfigError, match=r"no setting task\.sentences: stsb has none of its own"):
        named_task("stsb", settings={"sentences": 3})
    task = named_task("summarization")
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    with pytest.raises(DataError, match="line 1: there is no summary of it"):
        task.dataset(tokenizer, task.read(place / "plain.jsonl"), CONFIG)
    strange = tmp_path / "strange.jsonl"
    strange.write_text('{"text": "A film.", "summary": "Nothing."}\n')
    with pytest.raises(DataError, match="no summary has a word of its document"):
        task.dataset(tokenizer, task.read(strange), CONFIG)
    arguments = ["evaluate", "-q", str(place / "encoder"), "--task", "summarization", "--data"]
    assert main([*arguments, str(place / "plain.jsonl")]) == 3
    assert "plain.jsonl, line 1: there is no summary to compare with" in capsys.readouterr().err
    assert finetune(place, tmp_path / "out", train="plain.jsonl") == 3
    assert not (tmp_path / "out").exists(), "nothing half-written is left"
