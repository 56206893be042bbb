"""Token classification from files to entities: reading, tags to learn, long texts, scores, a whole run."""

import json

import numpy as np
import pytest
from tiny import CONFIG, make_encoder, make_tokenizer

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.errors import DataError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.results import table
from minidistil.model import BertForTokenClassification, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.tasks.data import DataSettings
from minidistil.tasks.inference import token_outputs
from minidistil.tasks.registry import named_task
from minidistil.tasks.token_classification.conll import read_tagged
from minidistil.tasks.token_classification.entities import EntitySpan, WordTags
from minidistil.tasks.token_classification.task import TokenClassificationTask
from minidistil.tasks.training_settings import TrainingRecord

CONLL = """-DOCSTART- -X- -X- O

the DT B-NP O
warm JJ I-NP I-FUN
film NN I-NP I-FUN
funny JJ O B-FUN
plot NN O I-SAD

dull JJ B-NP I-SAD
"""


def test_columns(tmp_path):
    path = tmp_path / "eng.testa"
    path.write_text(CONLL)
    found = read_tagged(path)
    assert found.texts == ["the warm film funny plot", "dull"]
    assert found.words[0] == [(0, 3), (4, 8), (9, 13), (14, 19), (20, 24)]
    assert found.entities[0] == [
        EntitySpan(4, 13, "FUN"),
        EntitySpan(14, 19, "FUN"),
        EntitySpan(20, 24, "SAD"),
    ]
    assert found.entities[1] == [EntitySpan(0, 4, "SAD")]
    assert found.lines == [3, 9]
    chunks = read_tagged(path, column=2)
    assert chunks.entities[0] == [EntitySpan(0, 13, "NP")]
    for scheme in (
        "the O\nwarm B-FUN\nfilm I-FUN\nfunny B-FUN\nplot B-SAD\n",
        "the O\nwarm B-FUN\nfilm E-FUN\nfunny S-FUN\nplot S-SAD\n",
    ):
        path.write_bytes(b"\xef\xbb\xbf" + scheme.replace("\n", "\r\n").encode())
        assert read_tagged(path).entities == found.entities[:1]


def test_running_text(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"text": "Été, warm film", "entities": [{"start": 5, "end": 9, "label": "FUN", "text": "warm"}]}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    found = read_tagged(path)
    assert found.words is None
    assert found.entities == [[EntitySpan(5, 9, "FUN", "warm")]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "the O\nwarm\n", r"a\.txt, line 2: a word and its tag are expected.*'warm'"),
        ("a.txt", "the O\nwarm B-FUN\nfilm FUN\n", r"line 3: 'FUN' is no tag.*; say scheme=plain"),
        ("a.txt", "the DET\nfilm NOUN\n", r"line 1: 'DET' is no tag: expected O, or a type after B-"),
        ("a.txt", "\n\n", "no examples"),
        ("a.txt", "the X O\nwarm film Y B-FUN\n", "line 2: 4 columns where there were 3 before"),
        (
            "a.jsonl",
            '{"text": "a b", "entities": [{"start": 1, "end": 2, "type": "X"}]}',
            "line 1: from 1 to 2 there is only white space",
        ),
        ("a.jsonl", '{"text": "a"}\n', r'line 1: expected "text" and a list of "entities"'),
        (
            "a.jsonl",
            '{"text": "ab", "entities": [{"start": 1, "end": 3, "type": "X"}]}',
            "not at characters 1 to 3",
        ),
        (
            "a.jsonl",
            '{"text": "ab", "entities": [{"start": 0, "end": 1, "type": "X", "text": "b"}]}',
            "'b' is not at characters 0 to 1, where the text has 'a'",
        ),
        (
            "a.jsonl",
            '{"text": "ab", "entities": [[0, 1]]}',
            'an entity has numbers "start" and "end", and a "type"',
        ),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_tagged(tmp_path / name)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_the_first_piece_of_a_word_is_learnt(tokenizer, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the O\nwarmly I-FUN\nfilm I-FUN\nis O\n")
    task = TokenClassificationTask(DataSettings(max_length=20))
    examples = task.read(path)
    config = CONFIG.replace(**task.config_overrides(examples))
    assert config.id2label == {0: "O", 1: "B-FUN", 2: "I-FUN"}
    batch = task.dataset(tokenizer, examples, config).batch([0])
    # [CLS] the warm ##ly film is [SEP]
    assert batch.targets["labels"].tolist() == [-100, 0, 1, -100, 2, 0, -100]
    assert batch.targets["compared"].tolist() == [False, True, True, False, True, True, False]
    unlabelled = task.without_labels().read(path)
    batch = task.dataset(tokenizer, unlabelled, config, labelled=False).batch([0])
    assert list(batch.targets) == ["compared"], "a teacher's scores of these can be learnt"
    assert batch.targets["compared"].tolist() == [False, True, True, False, True, True, False]
    with pytest.raises(DataError, match=r"a\.txt, line 1: there is no tag 'B-FUN'; the tags are: O, B-SAD"):
        task.dataset(tokenizer, examples, CONFIG.replace(id2label={0: "O", 1: "B-SAD", 2: "I-SAD"}))


def test_scores_are_of_their_tokens(tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join("\n".join(["warm I-FUN", *["the O"] * n]) for n in (3, 30, 0, 7)) + "\n")
    task = TokenClassificationTask(DataSettings(max_length=12))
    examples = task.read(path)
    config = CONFIG.replace(**task.config_overrides(examples))
    model = BertForTokenClassification(config, seed=1)
    data = task.dataset(tokenizer, examples, config)
    assert len(data) > 4, "the second is cut"
    (rows,) = token_outputs(model, data, "logits")
    for i in range(len(data)):
        expected = model.forward(data.batch([i]))[0]["logits"]
        np.testing.assert_allclose(rows[data.offsets[i] : data.offsets[i + 1]], expected, atol=1e-6)
    whole, parts = (task.predict(model, tokenizer, texts) for texts in (examples.texts, examples.texts[:1]))
    assert whole[0] == parts[0], "what else is asked changes nothing"
    monkeypatch.setattr("minidistil.tasks.inference.TEXTS_AT_ONCE", 3)
    assert task.predict(model, tokenizer, examples.texts) == whole
    scores = task.evaluate(model, tokenizer, examples)
    monkeypatch.setattr("minidistil.tasks.inference.TEXTS_AT_ONCE", 64)
    assert task.evaluate(model, tokenizer, examples) == scores
    assert all(e.text == examples.texts[i][e.start : e.end] for i, found in enumerate(whole) for e in found)


GOODS, BADS = ["warm", "funny", "bright", "lovely"], ["dull", "grim", "tired", "clumsy"]


def write_conll(path, first, n):
    """A kind word, and the noun after it, are FUN; an unkind one is SAD."""
    lines = []
    for i in range(first, first + n):
        a, b, c = (int(x) for x in random_order(8, i)[:3])
        sentence = [
            ("the", "O"),
            (GOODS[a % 4], "B-FUN"),
            (["film", "plot", "cast"][b % 3], "I-FUN"),
            ("is", "O"),
        ]
        sentence += [(BADS[c % 4], "B-SAD")] if c % 2 else [("and", "O")]
        lines += [f"{word} {tag}" for word, tag in sentence] + [""]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_whole_run(tmp_path, capsys):
    encoder = make_encoder(tmp_path)
    train, dev = write_conll(tmp_path / "train.txt", 0, 80), write_conll(tmp_path / "dev.txt", 80, 30)
    changes = ["train.epochs=8", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16"]
    recipe = load_recipe(FineTuningRecipe, changes=changes)
    report = FineTuning(
        str(encoder), "conll2003", train, recipe, tmp_path / "out", evaluate=dev, quiet=True
    ).run()
    found = report["models"]["model"]
    assert found["f1"] > 0.95
    assert set(found["types"]) == {"FUN", "SAD"}
    assert "types" not in table(report), "a line holds one number"
    arguments = ["evaluate", "-q", str(tmp_path / "out"), "--task", "conll2003", "--data", str(dev), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == pytest.approx(found["f1"])
    model = load_model(tmp_path / "out", strict=True)
    assert isinstance(model, BertForTokenClassification)
    task, tokenizer = named_task("token-classification"), make_tokenizer(tmp_path / "t")
    entities = task.predict(model, tokenizer, ["The WARM  film is grim"])[0]
    assert [(e.text, e.type) for e in entities] == [("WARM  film", "FUN"), ("grim", "SAD")]

    student = load_recipe(FineTuningRecipe, changes=[*changes, "model.layers=even:2"])
    taught = FineTuning(
        str(tmp_path / "out"), "conll2003", train, student, tmp_path / "small",
        evaluate=dev, teacher=str(tmp_path / "out"), quiet=True,
    ).run()["models"]  # fmt: skip
    assert taught["student"]["layers"] == 2
    assert taught["student"]["f1"] > 0.9
    assert taught["teacher"]["f1"] == pytest.approx(found["f1"])


def random_tags(n, seed=0):
    """Sentences with words of several pieces, dots and marks, and their tags at random."""
    rng, sentences = np.random.default_rng(seed), []
    words = ["the", "warm", "film", "u.s.", "warmly", "film-plot", "cast's", "inc.", "dull", ".", ","]
    for _ in range(n):
        some = [*rng.choice(words, rng.integers(2, 9)), "."]
        sentences.append([(word, rng.choice(["O", "O", "B-FUN", "I-FUN", "B-SAD"])) for word in some])
    return sentences


@pytest.fixture
def tagger(tokenizer, tmp_path):
    """A model of random weights that learnt from words, and a file of words."""
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join("\n".join(" ".join(w) for w in s) for s in random_tags(40)) + "\n")
    names = dict(enumerate(["O", "B-FUN", "I-FUN", "B-SAD", "I-SAD"]))
    extra = TrainingRecord(max_length=12, whitespace_words=True, scheme="IOB2").merged_into({})
    model = BertForTokenClassification(
        CONFIG.replace(id2label=names, extra=extra, initializer_range=1.0), seed=2
    )
    model.save_pretrained(tmp_path / "model", tokenizer=tokenizer)
    return tmp_path / "model", path


def test_sentences_of_words_are_found_as_they_are_measured(tagger, capsys):
    place, path = tagger
    assert main(["evaluate", str(place), "--task", "conll2003", "--data", str(path), "--json", "-q"]) == 0
    scores = json.loads(capsys.readouterr().out)
    examples = read_tagged(path)
    find = pipeline("token-classification", place)
    found = [{(e.start, e.end, e.type) for e in some} for some in find(examples.texts)]
    gold = [{(e.start, e.end, e.type) for e in some} for some in examples.entities]
    right = sum(len(a & b) for a, b in zip(found, gold, strict=True))
    assert right > 5
    assert scores["precision"] == right / sum(map(len, found))
    assert scores["recall"] == right / sum(map(len, gold))
    others = find(examples.texts, aggregation="first")
    assert [{(e.start, e.end, e.type) for e in some} for some in others] != found, "the tokenizer's words"


def saying(monkeypatch, names, tags, spans):
    """Let every model give a text's words these tags."""
    said = WordTags(np.array([names.index(tag) for tag in tags]), np.ones(len(tags)), np.array(spans))
    monkeypatch.setattr(
        TokenClassificationTask,
        "_word_tags",
        lambda self, model, tokenizer, texts, *_, **__: [said] * len(texts),
    )


def test_accuracy_is_of_the_tags_that_the_model_gave(tokenizer, tmp_path, monkeypatch):
    """As seqeval's; read as entities and written again, I-A after B-B would be B-A."""
    path = tmp_path / "a.txt"
    path.write_text("the B-A\nwarm I-A\nfilm I-A\n")
    names = ["O", "B-A", "I-A", "B-B", "I-B"]
    model = BertForTokenClassification(CONFIG.replace(id2label=dict(enumerate(names))))
    saying(monkeypatch, names, ["B-B", "I-A", "I-A"], [(0, 3), (4, 8), (9, 13)])
    found = TokenClassificationTask().evaluate(model, tokenizer, read_tagged(path))
    assert (found["accuracy"], found["f1"]) == (2 / 3, 0)
    path.write_text("the I-A\nwarm B-A\nfilm O\n")  # IOB1, as the model gives it
    saying(monkeypatch, names, ["I-A", "B-A", "O"], [(0, 3), (4, 8), (9, 13)])
    found = TokenClassificationTask().evaluate(model, tokenizer, read_tagged(path))
    assert (found["accuracy"], found["f1"]) == (1, 1)


def test_marked_characters_are_what_is_scored(tokenizer, tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.jsonl"
    text = "warmly film is dull"
    marked = [{"start": 0, "end": 4, "type": "FUN"}, {"start": 15, "end": 18, "type": "SAD"}]
    rows = [{"text": text, "entities": []}, {"text": text, "entities": marked}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = ["O", "B-FUN", "I-FUN", "B-SAD", "I-SAD"]
    task, examples = TokenClassificationTask(), read_tagged(path)
    config = CONFIG.replace(id2label=dict(enumerate(names)))
    task.dataset(tokenizer, examples, config)
    message = (
        "2 of 2 entities do not begin and end where words do, and cannot be found; the first is on line 2"
    )
    assert message in caplog.text
    caplog.clear()
    model = BertForTokenClassification(config)
    saying(monkeypatch, names, ["B-FUN", "O", "O", "B-SAD"], [(0, 6), (7, 11), (12, 14), (15, 19)])
    assert task.evaluate(model, tokenizer, examples)["f1"] == 0
    assert message in caplog.text


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        ("O I-FUN B-FUN", None, [0, 1, 1, 2]),
        ("O B-FUN I-FUN", "IOB1", [0, 2, 2, 1]),
        ("O B-FUN I-FUN L-FUN U-FUN", None, [0, 1, 3, 4]),
        ("O FUN", None, [0, 1, 1, 1]),
        ("O B I", None, [0, 1, 2, 1]),
        ("0 B-FUN I-FUN [CLS] X", None, [0, 1, 2, 1]),
        ("O I-FUN I-SAD B-SAD", None, [0, 1, 1, 1]),
    ],
)
def test_labels_are_written_in_the_scheme_of_the_models_tags(tokenizer, tmp_path, tags, scheme, expected):
    path = tmp_path / "a.txt"
    path.write_text(
        "the O\nwarm B-FUN\nfilm I-FUN\nfunny B-FUN\n".replace("-FUN", "" if tags == "O B I" else "-FUN")
    )
    extra = TrainingRecord(scheme=scheme).merged_into({})
    config = CONFIG.replace(id2label=dict(enumerate(tags.split())), extra=extra)
    if tags == "O I-FUN B-FUN":  # cannot be told from the tags
        config = config.replace(extra=TrainingRecord(scheme="IOB2").merged_into({}))
        expected = [0, 2, 1, 2]
    batch = TokenClassificationTask().dataset(tokenizer, read_tagged(path), config).batch([0])
    assert batch.targets["labels"][1:-1].tolist() == expected


def test_how_a_teacher_writes_its_tags_is_seen(tokenizer, tmp_path, monkeypatch):
    path = write_conll(tmp_path / "a.txt", 0, 8)
    examples, names = read_tagged(path), ["O", "B-FUN", "I-FUN", "B-SAD", "I-SAD"]
    teacher = BertForTokenClassification(CONFIG.replace(id2label=dict(enumerate(names)))), tokenizer
    for given, scheme in ((["O", "I-FUN", "I-FUN", "O"], "IOB1"), (["O", "B-FUN", "I-FUN", "O"], "IOB2")):
        saying(monkeypatch, names, given, [(0, 1)] * 4)
        learnt = TokenClassificationTask().training_record(examples, CONFIG, tokenizer, teacher)
        assert (learnt.scheme, learnt.whitespace_words) == (scheme, True)
    assert TokenClassificationTask(DataSettings(scheme="BILOU")).config_overrides(examples)["id2label"] == {
        0: "O", 1: "B-FUN", 2: "I-FUN", 3: "L-FUN", 4: "U-FUN", 5: "B-SAD", 6: "I-SAD", 7: "L-SAD", 8: "U-SAD"
    }  # fmt: skip


def test_files_of_any_scheme(tmp_path):
    path, expected = tmp_path / "a.txt", [EntitySpan(4, 13, "FUN"), EntitySpan(14, 19, "SAD")]
    for tags in (
        *("O B-FUN L-FUN U-SAD", "O B-FUN E-FUN S-SAD", "O B-FUN M-FUN B-SAD"),
        *("O FUN FUN SAD", "0 B-FUN I-FUN B-SAD"),
    ):
        words = zip(["the", "warm", "film", "funny"], tags.split(), strict=True)
        path.write_text("".join(f"{word} {tag}\n" for word, tag in words))
        assert read_tagged(path).entities == [expected]
    path.write_text("the O\nwarm B\nfilm I\nfunny B\n")
    assert read_tagged(path).entities == [[EntitySpan(4, 13, ""), EntitySpan(14, 19, "")]]
    path.write_text("the DET\nwarm ADJ\nfilm NOUN\n")
    assert [e.type for e in read_tagged(path, scheme="plain").entities[0]] == ["DET", "ADJ", "NOUN"]


def test_a_scheme_can_be_named(tokenizer, tmp_path, capsys):
    names = {0: "O", 1: "B-CELL", 2: "T-CELL"}
    model = BertForTokenClassification(CONFIG.replace(id2label=names), seed=2)
    model.params["classifier.bias"][:] = [0, 9, 0]
    model.save_pretrained(tmp_path / "m", tokenizer=tokenizer)
    guessed, plain = (
        pipeline("token-classification", tmp_path / "m", **how)("the warm film")[0]
        for how in ({}, {"scheme": "plain"})
    )
    assert [(e.text, e.type) for e in plain] == [("the warm film", "B-CELL")]
    assert [(e.text, e.type) for e in guessed] == [("the", "CELL"), ("warm", "CELL"), ("film", "CELL")]
    assert main(["predict", str(tmp_path / "m"), "the warm film", "--scheme", "plain", "-q"]) == 0
    assert "B-CELL" in capsys.readouterr().out


def test_a_scheme_is_of_the_tags_it_was_kept_with():
    """Tags that were renamed by hand are read by what they look like, not by what was kept of others."""
    kept = {"minidistil": {"scheme": "IOB1", "tags": ["O", "B-A", "I-A"]}}
    config = CONFIG.replace(extra=kept)
    for tags, scheme, certain in (
        (["O", "B-A", "I-A"], "IOB1", True),
        (["O", "I-A", "B-A"], "IOB2", False),
        (["O", "U-A", "L-A"], "BILOU", True),
    ):
        found = TokenClassificationTask(DataSettings()).tag_set(
            config.replace(id2label=dict(enumerate(tags)))
        )
        assert (found.scheme, found.certain) == (scheme, certain)
