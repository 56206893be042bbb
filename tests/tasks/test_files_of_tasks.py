"""The files that people have of each task: columns with comments, lists of tokens, rows of SQuAD."""

import json
from dataclasses import replace

import pyarrow
import pytest
from pyarrow import parquet

from minidistil.errors import ConfigError, DataError
from minidistil.jobs.finetune import FineTuningRecipe
from minidistil.settings import dump, load_recipe
from minidistil.tasks.data import DataSettings
from minidistil.tasks.question_answering.squad import read_squad
from minidistil.tasks.registry import named_task
from minidistil.tasks.token_classification.conll import are_columns, read_tagged


def written(path, content):
    path.write_text(
        content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
    )
    return path


def entities(found):
    return [
        [(text[e.start : e.end], e.type) for e in marked]
        for text, marked in zip(found.texts, found.entities, strict=True)
    ]


# Entities


@pytest.mark.parametrize(
    ("content", "texts", "marked"),
    [
        ("new oslo\tB-LOC\nis\tO\n", ["new oslo is"], [[("new oslo", "LOC")]]),
        ("# id 1\nada B-PER\n\n# id 2\n#1 O\n# O\n", ["ada", "#1 #"], [[("ada", "PER")], []]),
        ("# text = ada sings\nada\tNN\tB-PER\nsings\tVB\tO\n", ["ada sings"], [[("ada", "PER")]]),
        ("ada \t B-PER \nbob  \tB-PER\n", ["ada bob"], [[("ada", "PER"), ("bob", "PER")]]),
        ("ada\tB-PER\nbob B-PER\n", ["ada bob"], [[("ada", "PER"), ("bob", "PER")]]),
    ],
)
def test_columns(tmp_path, content, texts, marked):
    found = read_tagged(written(tmp_path / "a.conll", content))
    assert (found.texts, entities(found)) == (texts, marked)


def test_a_comment_within_a_sentence_is_none(tmp_path):
    with pytest.raises(DataError, match="line 2: 3 columns where there were 2 before: '# id 1'"):
        read_tagged(written(tmp_path / "a.conll", "ada B-PER\n# id 1\n"))


def test_columns_are_recognised():
    assert are_columns(["# id 1\n", "a O\n", "\n", "b NN B-X\n"]) is False, "of different numbers"
    assert are_columns(["-DOCSTART- O\n", "\n", "a O\n", "b B-X\n"])
    for lines in (["I got an O\n"], ["a film\n", "an O\n"], ["O\n", "O\n"], []):
        assert not are_columns(lines)


def test_lists_of_tokens(tmp_path):
    rows = [
        {"id": "7", "tokens": ["ada", "lives", "in", "oslo"], "ner_tags": ["B-PER", "O", "O", "B-LOC"]},
        {"tokens": [], "ner_tags": []},
    ]
    for path in (written(tmp_path / "a.jsonl", rows), written(tmp_path / "a.json", json.dumps(rows))):
        found = read_tagged(path)
        assert entities(found) == [[("ada", "PER"), ("oslo", "LOC")], []]
        assert found.words[0] == [(0, 3), (4, 9), (10, 12), (13, 17)]
        assert found.ids == [{"id": "7"}, {}]
    names = ["O", "B-PER", "B-LOC"]
    features = {"ner_tags": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}}
    table = pyarrow.table({"tokens": [["ada", "sings"]], "ner_tags": [[1, 0]]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert entities(read_tagged(tmp_path / "a.parquet")) == [[("ada", "PER")]]


def test_numbers_of_tags_are_a_models(tmp_path):
    path = written(tmp_path / "a.jsonl", [{"words": ["ada", "a"], "tags": [1, 0]}, {"words": [], "tags": []}])
    found = read_tagged(path)
    assert entities(found.named({0: "O", 1: "B-PER"})) == [[("ada", "PER")], []]
    with pytest.raises(DataError, match="line 1: there is no tag 1; the model has O"):
        found.named({0: "O"})
    with pytest.raises(DataError, match="tags are numbers, and nothing says what they are called"):
        named_task("ner").config_overrides(found)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tokens": ["a", 1], "ner_tags": [0, 0]}, "words are texts"),
        (
            {"tokens": ["a", "b"], "ner_tags": [0]},
            "2 words need as many tags, under .*; there are 1",
        ),
        ({"tokens": ["a"]}, "there are none"),
        ({"tokens": ["a"], "ner_tags": [True]}, "tags are names, or all numbers"),
        ({"tokens": ["a"], "ner_tags": ["O"], "text": "a"}, None),
        ({"text": "a", "entities": []}, "other lines have it otherwise"),
        ({"tokens": ["a"], "ner_tags": [0]}, "other lines have it otherwise"),
    ],
)
def test_lists_that_are_none(tmp_path, row, says):
    path = written(tmp_path / "a.jsonl", [{"tokens": ["a"], "ner_tags": ["O"]}, row])
    if says is None:
        assert len(read_tagged(path)) == 2
        return
    with pytest.raises(DataError, match=says):
        read_tagged(path)


# Questions


SQUAD = {"id": "1", "context": "ada lives in oslo .", "question": "where?"}


def test_rows_of_squad(tmp_path):
    answers = [{"text": ["oslo"], "answer_start": [13]}, {"text": [], "answer_start": []}]
    rows = [{**SQUAD, "id": i, "answers": given} for i, given in enumerate(answers)]
    for name in ("a.jsonl", "a.json"):
        found = read_squad(written(tmp_path / name, rows))
        assert (found.ids, found.answers) == (["0", "1"], [[(13, "oslo")], []])
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_squad(tmp_path / "a.parquet").answers == [[(13, "oslo")], []]
    array = written(tmp_path / "b.json", json.dumps(rows, indent=1))
    assert named_task("squad").read(array).answers == [[(13, "oslo")], []]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"is_impossible": "False"}, "is_impossible is true or false, not 'False'"),
        ({"is_impossible": 0}, "is_impossible is true or false, not 0"),
        ({"is_impossible": True}, "is_impossible, and has answers, .* one of the two is a mistake"),
        ({"answers": {"text": ["oslo"], "answer_start": []}}, "as many texts as starts"),
        ({"answers": {"text": ["oslo"]}}, "a list of answers is expected"),
    ],
)
def test_answers_that_contradict(tmp_path, changes, says):
    row = {**SQUAD, "answers": {"text": ["oslo"], "answer_start": [13]}, **changes}
    with pytest.raises(DataError, match=f"question 1:? {says}"):
        read_squad(written(tmp_path / "a.jsonl", [row]))


# Named tasks


def test_a_named_task_reads_what_the_files_name_says(tmp_path):
    rows = [{"idx": 0, "sentence": "a film", "label": 1}, {"idx": 1, "sentence": "a plot", "label": 0}]
    assert named_task("sst2").read(written(tmp_path / "a.jsonl", rows)).labels == ["positive", "negative"]
    csv = written(tmp_path / "a.csv", 'sentence,label\n"a, film",1.0\na plot,0.0\n')
    assert named_task("sst2").read(csv).labels == ["positive", "negative"]
    assert named_task("cola").read(csv).texts == ["a, film", "a plot"], "by usual names, with a header"
    rows = [
        {"premise": "a", "hypothesis": "b", "label": "neutral"},
        {"premise": "c", "hypothesis": "d", "label": None},
    ]
    found = named_task("snli").read(written(tmp_path / "b.jsonl", rows))
    assert (found.texts, found.pairs, found.labels) == (["a"], ["b"], ["neutral"]), "not all are labelled"
    rows = [{"#1 String": "a", "#2 String": "b", "Quality": 1}]
    assert named_task("mrpc").read(written(tmp_path / "c.jsonl", rows)).pairs == ["b"]
    with pytest.raises(DataError, match="which column holds the second text"):
        named_task("rte").read(written(tmp_path / "d.jsonl", [{"sentence1": "a", "label": "x"}]))
    rows = [{"text": "how?", "coarse_label": "DESC", "fine_label": "DESC:manner"}]
    path = written(tmp_path / "e.jsonl", rows)
    assert [named_task(name).read(path).labels for name in ("trec", "trec-fine")] == [
        ["DESC"],
        ["DESC:manner"],
    ]
    table = written(tmp_path / "msr_paraphrase_test.txt", "Quality\t#1 String\t#2 String\n1\ta\tb\n")
    assert named_task("mrpc").read(table).pairs == ["b"], ".txt tells nothing"


def test_a_first_line_that_names_the_columns(tmp_path):
    path = written(tmp_path / "ag.csv", "topic,head,body\n3,Oil up,Prices rose\n1,Talks,Leaders met\n")
    with pytest.raises(DataError, match=r"line 1: unknown label 'topic'; .*, say header=true"):
        named_task("agnews").read(path)
    found = named_task("agnews", DataSettings(header=True)).read(path)
    assert found.labels == ["Business", "World"]


def test_a_copy_with_a_line_of_names(tmp_path):
    for names in ("Class Index,Title,Description", "label,title,text"):
        path = written(tmp_path / "ag.csv", f"{names}\n3,Oil up,Prices rose\n1,Talks,Leaders met\n")
        found = named_task("agnews").read(path)
        assert (found.labels, found.pairs) == (["Business", "World"], ["Prices rose", "Leaders met"])
        assert len(named_task("agnews").for_prediction().read(path)) == 2
    path = written(tmp_path / "test.tsv", "index\tsentence\n0\ta film\n1\t\n")
    found = named_task("cola").for_prediction().read(path)
    assert (found.texts, found.ids) == (["a film", ""], [{"index": "0"}, {"index": "1"}])


def test_other_files_are_read_as_the_training_file_was(tmp_path):
    train = written(tmp_path / "train.csv", "sentence,label\na,1\nb,0\n")
    dev = written(tmp_path / "dev.csv", "text,sentence,label\nx,a,1\ny,b,0\n")
    task = named_task("classification")
    assert task.read(dev).texts == ["x", "y"]
    assert task.with_columns_of(task.read(train)).read(dev).texts == ["a", "b"]
    chosen = named_task("classification", DataSettings(text="text"))
    assert chosen.with_columns_of(task.read(train)).read(dev).texts == ["x", "y"], "settings go first"
    pairs = written(tmp_path / "pairs.csv", "text,text_pair,label\na,b,1\nc,d,0\n")
    with pytest.raises(DataError, match="no column 'text_pair'"):
        task.with_columns_of(task.read(pairs)).read(written(tmp_path / "c.csv", "text,label\na,1\n"))
    assert (
        task.with_columns_of(task.read(written(tmp_path / "c.csv", "text,label\na,1\n"))).read(pairs).pairs
        is None
    )
    learnt = replace(task.data, first={"text": "sentence", "label": "label"})
    assert learnt.read(dev).texts == ["a", "b"], "what a model learnt from is looked for first"
    assert learnt.read(pairs).texts == ["a", "c"], "but need not be there"


def test_rows_of_intents_and_queries_in_an_array(tmp_path):
    rows = [{"text": "where is it?", "intent": "track"}, {"text": "what?", "intent": None}]
    found = named_task("intents").read(written(tmp_path / "a.json", json.dumps(rows)))
    assert (found.texts, found.labels) == (["where is it?", "what?"], ["track", "none"])
    rows = [{"query": "where?", "positive": "here"}]
    assert named_task("retrieval").read(written(tmp_path / "b.json", json.dumps(rows))).corpus == ["here"]


# Labels


@pytest.mark.parametrize("word", ["none", '"none"', "null", "-"])
def test_any_word_may_be_a_label(tmp_path, word):
    recipe = load_recipe(FineTuningRecipe, changes=[f"data.skip_label={word}", f"data.text={word}"])
    plain = word.strip('"')
    assert (recipe.data.skip_label, recipe.data.text, recipe.data.pair) == (plain, plain, None)
    again = tmp_path / "again.toml"
    again.write_text(dump(recipe))
    assert load_recipe(FineTuningRecipe, file=again) == recipe
    rows = [{plain: "a", "label": plain}, {plain: "b", "label": "x"}]
    assert recipe.data.read(written(tmp_path / "a.jsonl", rows)).texts == ["b"]


def test_a_number_as_label_to_skip(tmp_path):
    path = written(tmp_path / "a.csv", "text,label\na,1\nb,2.0\nc,\n")
    for value, texts in (("2", ["a", "c"]), ("''", ["a", "b"])):
        recipe = load_recipe(FineTuningRecipe, changes=[f"data.skip_label={value}"])
        assert recipe.data.read(path).texts == texts


def test_labels_that_are_numbers(tmp_path, caplog):
    task = named_task("classification")

    def learnt(*labels):
        path = written(tmp_path / "a.jsonl", [{"text": "a", "label": label} for label in labels])
        return list(task.config_overrides(task.read(path))["id2label"].values())

    with pytest.raises(DataError, match=r"are 40 different numbers in 40 .* take the task regression"):
        learnt(*(f"{i / 7:.3f}" for i in range(40)))
    assert learnt("1", "1.0", 0, "0") == ["0", "1"]
    assert learnt(*range(5)) * 1 == list("01234")
    assert caplog.text == ""
    assert len(learnt(*range(40))) == 40
    assert "the classes are 40 different numbers in 40 examples" in caplog.text
    learnt("Pos", "pos", "neg")
    assert "the labels 'Pos' and 'pos' are two classes" in caplog.text


def test_a_label_is_found_however_it_is_written(tmp_path):
    from minidistil.text.labels import LabelMap

    for names, written_so, number in (
        (("0", "1"), "1.0", 1),
        (("0.0", "1.0"), "1", 1),
        (("False", "True"), "1", 1),
        (("False", "True"), "true", 1),
        (("false", "true", "1"), "True", None),
        (("1", "1.0"), "1.0", 1),
        (("a", "b"), "A", None),
    ):
        assert LabelMap(names).number(written_so) == number, (names, written_so)


def test_a_model_of_pairs_is_not_measured_on_texts_alone(tmp_path):
    from tiny import CONFIG

    task = named_task("classification")
    single = task.read(written(tmp_path / "a.csv", "text,label\na,1\nb,0\n"))
    config = CONFIG.replace(extra={"minidistil": {"pairs": True, "columns": {"text": "t", "pair": "p"}}})
    with pytest.raises(ConfigError, match="has texts alone, and x learnt from pairs of texts, named 't'"):
        task.check_examples(single, config, "x")
    task.check_examples(single, CONFIG, "x")
