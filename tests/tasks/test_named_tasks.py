"""Named tasks: their official files, the settings they imply, lengths, labels, and what is refused."""

import json

import pytest
import window_toy

from minidistil import BertConfig
from minidistil.errors import ConfigError, DataError
from minidistil.tasks.data import DataSettings
from minidistil.tasks.registry import TASKS, named_task
from minidistil.tasks.training_settings import TrainingRecord

# As the tasks' authors write their files; names of columns from the files themselves.
FILES = {
    "cola": "gj04\t0\t*\tThe film is warm.\ngj04\t1\t\tA \"film\" is.\n",
    "sst2": "sentence\tlabel\na film\t1\nthe plot\t0\n",
    "mrpc": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    "1\t1\t2\t\" A film\tthe film\n0\t3\t4\ta\tb\n",
    "qqp": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    "0\t1\t2\ta film\tthe film\t1\n1\t1\t2\ta\tb\t0\n",
    "mnli": "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
    + "0\t1\t2\tx\t()\t()\t()\t()\ta film\tthe film\tneutral\tneutral\n"
    + "1\t1\t2\tx\t()\t()\t()\t()\ta film\tthe film\tneutral\tentailment\n",
    "ax": "index\tsentence1\tsentence2\tlabel\n0\ta film\tthe film\tentailment\n1\ta\tb\tcontradiction\n",
    "qnli": "index\tquestion\tsentence\tlabel\n0\ta film\tthe film\tentailment\n1\ta\tb\tnot_entailment\n",
    "rte": "index\tsentence1\tsentence2\tlabel\n0\ta film\tthe film\tentailment\n1\ta\tb\tnot_entailment\n",
    "wnli": "index\tsentence1\tsentence2\tlabel\n0\ta film\tthe film\t1\n1\ta\tb\t0\n",
    "stsb": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    "0\tx\ty\t2012\t1\tn\tn\ta film\tthe film\t5.000\n1\tx\ty\t2012\t1\tn\tn\ta\tb\t0.5\n",
    "agnews": '"3","A film, a plot","The cast said ""warm"" things"\n"1","b","c"\n',
    "sms": "ham\ta \"film\nspam\tthe plot\n",
}  # fmt: skip
PAIRS = {"mrpc", "qqp", "mnli", "ax", "qnli", "rte", "wnli", "stsb", "agnews"}


@pytest.mark.parametrize("name", FILES)
def test_named_tasks_read_their_official_files(name, tmp_path):
    assert name in TASKS
    path = tmp_path / "file.txt"  # whatever it is called
    path.write_text(FILES[name], encoding="utf-8")
    task = named_task(name)
    examples = task.read(path)
    assert len(examples) == 2
    assert (examples.pairs is not None) == (name in PAIRS)
    changes = task.config_overrides(examples)
    if name == "stsb":
        assert changes["id2label"] == {0: "score"}
    else:
        assert set(examples.labels) <= set(changes["id2label"].values())
    crlf = tmp_path / "crlf.txt"
    crlf.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    again = task.read(crlf)
    assert (again.texts, again.pairs, again.labels) == (examples.texts, examples.pairs, examples.labels)
    if name in ("cola", "sms", "mrpc"):
        assert any('"' in text for text in examples.texts), "quotes mean nothing in these"


@pytest.mark.parametrize(
    ("name", "said", "usual"),
    [
        ("sst2", {"text": "words"}, "sentence"),
        ("cola", {"header": True}, False),
        ("qqp", {"skip_broken": False}, True),
        ("cola", {"format": "csv"}, "tsv"),
    ],
)
def test_what_is_said_goes_before_what_the_name_says(name, said, usual):
    ((key, value),) = said.items()
    assert getattr(named_task(name).data, key) == usual
    assert getattr(named_task(name, DataSettings(**said)).data, key) == value


@pytest.mark.parametrize(
    ("name", "usual"), [("sst2", 128), ("squad", 384), ("summarization", 512), ("conll2003", 128)]
)
def test_lengths_are_what_is_said_or_learnt_or_what_the_model_has(name, usual):
    tokenizer = window_toy.make_tokenizer()

    def lengths(said=None, kept=None, positions=512, model_max_length=512):
        """Lengths that are learnt from, and that are read."""
        extra = TrainingRecord(max_length=kept).merged_into({})
        config = BertConfig(max_position_embeddings=positions, extra=extra)
        task, own = (
            named_task(name, DataSettings(max_length=said)),
            tokenizer.with_max_length(model_max_length),
        )
        return task.training_length(own, config), task.max_length(own, config)

    read = 384 if name == "squad" else 512  # windows of a model that keeps no length are SQuAD's
    assert lengths() == (usual, read)
    assert lengths(kept=30) == (usual, 30)
    assert lengths(said=100, kept=30) == (100, 100)
    assert lengths(positions=64) == (64, 64)
    assert lengths(model_max_length=50) == (50, 50)
    assert lengths(kept=40, model_max_length=40) == (usual, 40), (
        "what another task was learnt with is no limit"
    )
    assert lengths(said=60, model_max_length=50) == (60, 60)
    with pytest.raises(ConfigError, match=r"data.max_length is 400, but the model has 64 positions"):
        lengths(said=400, positions=64)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("similarity", {"max_length": 3}),
        ("translations", {"format": "csv"}),
        ("swag", {"skip_label": "-"}),
        ("squad", {"text": "context"}),
        ("trec", {"skip_broken": True}),
        ("conll2003", {"header": False}),
        ("retrieval", {"label": "x"}),
    ],
)
def test_what_does_not_count_for_a_task_is_refused(name, said):
    with pytest.raises(ConfigError, match=f"data.{next(iter(said))} is no setting of {name}; "):
        named_task(name, DataSettings(**said))


def test_labels_of_a_named_task_however_they_are_written(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"sentence": "a", "label": label} for label in (1, 1.0, "1", True, 0)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = named_task("sst2", DataSettings(format="jsonl"))
    assert task.read(path).labels == ["positive"] * 4 + ["negative"]
    path.write_text('{"sentence": "a", "label": 1}\n{"sentence": "a", "label": NaN}\n')
    examples = task.read(path)
    with pytest.raises(DataError, match="line 2: the label is empty"):
        task.targets(examples, BertConfig(id2label={0: "negative", 1: "positive"}))
