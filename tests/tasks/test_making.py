"""`pipeline`: its tasks, its models and its options, by place and by name."""

import logging

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_classifier, make_encoder, make_tokenizer

from minidistil import SentenceEncoder, pipeline
from minidistil.errors import ConfigError, UsageError
from minidistil.model import BertForSequenceClassification, BertForTokenClassification, load_model
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.intents.nearest import NearestPredictor
from minidistil.tasks.summarization.task import SummarizationTask
from minidistil.text.tokenizer import Tokenizer

TEXTS = ["the warm film", "a dull plot"]
ENTRIES = [("the film is warm", "good"), ("the plot is dull", "bad")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("making")


@pytest.fixture(scope="module")
def classifier(place):
    return make_classifier(place / "a")


@pytest.fixture(scope="module")
def encoder(place):
    return make_encoder(place / "b")


def test_a_model_by_path_and_in_memory(classifier):
    by_path = pipeline("text-classification", classifier)(TEXTS)
    model, tokenizer = load_model(classifier), Tokenizer.from_pretrained(classifier)
    for made in (
        pipeline("text-classification", model=str(classifier)),
        pipeline(task="text-classification", model=classifier, tokenizer=classifier),
        pipeline("text-classification", classifier, tokenizer),
        pipeline("text-classification", model, tokenizer),
        pipeline("text-classification", model=model, tokenizer=classifier),
        pipeline(model=classifier),
        pipeline(model=model, tokenizer=tokenizer),
        pipeline("sst2", classifier, batch_size=8, device="cpu"),
        pipeline("text-classification", classifier, device=-1),
    ):
        assert made(TEXTS) == by_path


def test_an_encoder_by_path_and_in_memory(encoder):
    vectors = SentenceEncoder.from_pretrained(encoder).encode(TEXTS)
    model, tokenizer = load_model(encoder), Tokenizer.from_pretrained(encoder)
    for made in (
        pipeline("feature-extraction", encoder),
        pipeline("embeddings", model=model, tokenizer=tokenizer),
        pipeline(model=encoder),
        pipeline(model=model, tokenizer=tokenizer),
        pipeline("sentence-similarity", encoder, batch_size=1),
    ):
        assert isinstance(made, SentenceEncoder)
        np.testing.assert_array_equal(made.encode(TEXTS), vectors)
    first = pipeline("embeddings", encoder, pooling="cls", truncate_dim=5)
    again = pipeline("embeddings", model, tokenizer, pooling="cls", truncate_dim=5)
    np.testing.assert_array_equal(first(TEXTS), again(TEXTS))
    assert first(TEXTS).shape == (2, 5)


def test_tasks_that_an_encoder_answers(encoder):
    model, tokenizer = load_model(encoder), Tokenizer.from_pretrained(encoder)
    for task in ("intents", "faq"):
        asked, again = (
            pipeline(task, encoder, entries=ENTRIES),
            pipeline(task, model, tokenizer, entries=ENTRIES),
        )
        assert isinstance(again, NearestPredictor)
        assert asked(TEXTS) == again(TEXTS)
        assert len(again(TEXTS, top_k=1)[0].candidates) == 1
        assert len(again(TEXTS, top_k=None)[0].candidates) == 2
        assert len(pipeline(task, encoder, entries=ENTRIES, top_k=1)(TEXTS)[0].candidates) == 1
    assert pipeline("intents", encoder, entries=ENTRIES, threshold=0.99999)("a")[0].label == "none"
    text = "The film is warm. The plot is dull. The cast is grim."
    (found,) = pipeline("summarization", model, tokenizer, sentences=1)(text)
    assert found == pipeline("summarization", encoder)(text, sentences=1)[0]
    assert found["summary_text"] == found.text


def test_the_head_tells_the_task(place, classifier):
    tokenizer = make_tokenizer(place / "v")
    summariser = BertForTokenClassification(CONFIG.replace(id2label={0: "rest", 1: "summary"}), seed=1)
    assert isinstance(pipeline(model=summariser, tokenizer=tokenizer).task, SummarizationTask)
    made = pipeline(model=classifier, top_k=None, backend="numpy")
    assert isinstance(made.task, ClassificationTask)
    assert made.model.backend.name == "numpy"
    assert len(made(TEXTS)[0]) == 2


def test_options_of_making_and_of_calls(classifier):
    every = pipeline("text-classification", classifier)(TEXTS, top_k=None)
    assert pipeline("text-classification", classifier, top_k=None)(TEXTS) == every
    assert pipeline("text-classification", classifier, top_k=1)(TEXTS, top_k=None) == every
    short = pipeline("text-classification", classifier, max_length=4)
    assert short("a film is warm")[0].scores == short("a film")[0].scores
    sure = pipeline("text-classification", classifier, threshold=0.999)
    assert sure(TEXTS[0])[0].label == "none"
    assert sure(TEXTS[0], threshold=0.0)[0].label != "none"
    renamed = pipeline("text-classification", classifier, id2label={0: "no", 1: "yes"})
    assert renamed(TEXTS[0])[0].label in ("no", "yes")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("text-classification",), {}, "pipeline needs a model: a directory, a hub id, or a model in memory"),
        ((), {}, "pipeline needs a model"),
        (("text-clasification", "a"), {}, "did you mean text-classification"),
        (("ner",), {"path_or_id": "a"}, "path_or_id is now called model"),
        (("ner", "a"), {"device": 0}, "CPU"),
        (("ner", "a"), {"device": "cuda:0"}, "CPU"),
        (("ner", "a"), {"batch_size": 0}, "batch_size must be an integer of at least 1"),
        (
            ("ner", "a"),
            {"batchsize": 8},
            r"pipeline takes no option 'batchsize' \(did you mean batch_size\?\)",
        ),
        (("ner", "a"), {"agregation": 8}, r"no option 'agregation' \(did you mean aggregation\?\)"),
        (("ner", "a"), {"top_k": 3}, "no option 'top_k'"),
        (("embeddings", "a"), {"poling": "cls"}, r"no option 'poling' \(did you mean pooling\?\)"),
        (("faq", "a"), {"entrys": []}, r"no option 'entrys' \(did you mean entries\?\)"),
        (("ner", 5), {}, "the model of a pipeline must be Model or str or PathLike, not int"),
    ],
)
def test_what_is_refused_before_anything_is_loaded(arguments, options, message):
    with pytest.raises(UsageError, match=message):
        pipeline(*arguments, **options)


def test_what_a_model_in_memory_needs(classifier):
    model, tokenizer = load_model(classifier), Tokenizer.from_pretrained(classifier)
    with pytest.raises(
        UsageError, match=r"needs its tokenizer: pipeline\(task, model, tokenizer=tokenizer\)"
    ):
        pipeline("text-classification", model)
    with pytest.raises(UsageError, match="is loaded: dtype can only be said of a directory"):
        pipeline("text-classification", model, tokenizer, dtype="float64")
    with pytest.raises(ConfigError, match="does not classify tokens"):
        pipeline("ner", model, tokenizer)


def test_a_path_in_place_of_the_task(classifier):
    with pytest.raises(UsageError, match=r"is a model, and no task: pipeline\(model="):
        pipeline(str(classifier))


def test_a_model_that_was_saved_without_its_tokenizer(classifier, tmp_path):
    BertForSequenceClassification(CONFIG.replace(id2label=LABELS)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"save_pretrained\(path, tokenizer=tokenizer\)"):
        pipeline("text-classification", tmp_path)
    assert pipeline("text-classification", tmp_path, tokenizer=classifier)(TEXTS)


def test_a_classifier_as_an_encoder_is_warned_of(classifier, encoder, caplog):
    with caplog.at_level(logging.WARNING):
        SentenceEncoder.from_pretrained(encoder)
        SentenceEncoder.from_pretrained(classifier, quiet=True)
        pipeline("summarization", classifier)
        assert not caplog.records
        SentenceEncoder.from_pretrained(classifier)
    assert (
        "is a BertForSequenceClassification: its vectors are those of its task, text-classification"
        in caplog.text
    )


def test_options_of_loading_under_the_names_of_transformers(classifier):
    config = load_model(classifier).config.replace(id2label={0: "no", 1: "yes"})
    assert pipeline("text-classification", classifier, config=config)(TEXTS[0])[0].label in ("no", "yes")
    named = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    assert pipeline(model=classifier, **named)(TEXTS[0])[0].label in ("a", "b")
