"""Small sound data files of every kind: ending, content, and the tasks that read it."""

SAMPLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("csv", "text,label\na warm film,pos\na dull film,neg\n", ("classification", "intents", "masked-lm")),
    (
        "csv",
        '"text","text_pair","label"\n"a, b","c\nd","1"\n"e","f","2"\n',
        ("classification", "regression", "similarity"),
    ),
    ("csv", '"3","Oil up","Prices rose"\n"1","Talks","Leaders met"\n', ("agnews",)),
    (
        "csv",
        "comment_text,toxic,severe_toxic,obscene,threat,insult,identity_hate\na,0,1,0,0,0,0\n",
        ("moderation",),
    ),
    ("csv", "question,answer\nwho?,ada\nwhere?,oslo\n", ("faq",)),
    ("tsv", 'sentence\tlabel\na warm film\t1\na dull "film\t0\n', ("sst2",)),
    ("tsv", "sentence1\tsentence2\tscore\na\tb\t2.5\nc\td\t0.0\n", ("stsb", "stsb-similarity")),
    ("tsv", "ham\tcome home\nspam\tfree film\n", ("sms",)),
    (
        "jsonl",
        '{"text": "a", "label": "pos"}\n{"text": "b", "label": "neg"}\n',
        ("classification", "intents"),
    ),
    (
        "jsonl",
        '{"text": "ada lives", "entities": [{"start": 0, "end": 3, "type": "PER"}]}\n',
        ("token-classification",),
    ),
    ("jsonl", '{"tokens": ["ada", "lives"], "ner_tags": ["B-PER", "O"]}\n', ("token-classification",)),
    (
        "jsonl",
        '{"id": "1", "context": "ada lives", "question": "who", '
        '"answers": {"text": ["ada"], "answer_start": [0]}}\n',
        ("squad",),
    ),
    ("jsonl", '{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n', ("multi-label",)),
    ("jsonl", '{"document": "One. Two. Three.", "summary": "Two."}\n', ("summarization",)),
    ("jsonl", '{"context": "a film", "choices": ["warm", "dull"], "label": 1}\n', ("multiple-choice",)),
    (
        "json",
        '{"data": [{"title": "t", "paragraphs": [{"context": "ada lives in oslo", "qas": [{"id": "1", '
        '"question": "who", "answers": [{"text": "ada", "answer_start": 0}], "is_impossible": false}]}]}]}',
        ("squad", "question-answering"),
    ),
    ("json", '[{"text": "a film", "label": "pos"}, {"text": "b", "label": "neg"}]', ("classification",)),
    ("json", '{"train": [["hello", "greet"]], "val": [["bye", "part"]], "test": []}', ("intents",)),
    ("conll", "ada B-PER\nlives O\n\noslo B-LOC\n", ("conll2003", "token-classification")),
    ("txt", "-DOCSTART- -X- O O\n\nada NNP I-NP I-PER\nlives VBZ O O\n", ("conll2003",)),
    ("txt", "a warm film\na dull film\n", ("masked-lm", "translations")),
    ("label", "NUM:dist How far is it ?\nLOC:city Where is it ?\n", ("trec", "trec-fine")),
)
