"""A folder of GLUE's files as its authors hand them out, with eight examples in each."""

from pathlib import Path

from tiny import BAD, GOOD, OTHER

N = 8


def sentence(i: int) -> str:
    return f'the {OTHER[i % 6]} " is {(GOOD if i % 2 else BAD)[i % 4]}'  # a quote that none closes


def _table(columns: str, row, n: int = N) -> str:
    """`row(i)` gives the cells of a line, between bars."""
    lines = [columns, *(row(i) for i in range(n))]
    return "".join(line.replace("|", "\t") + "\n" for line in lines)


def _pairs(columns: str, cells: str, labels) -> tuple[str, str]:
    """A labelled file and its test file; in `cells` A and B are the sentences, X the label, # the number."""

    def row(cells: str, i: int) -> str:
        cells = cells.replace("#", str(i)).replace("X", str(labels[i % len(labels)]))
        return cells.replace("A", sentence(i)).replace("B", sentence(i + 1))

    bare = [column.rsplit("|", 1)[0] for column in (columns, cells)]
    return _table(columns, lambda i: row(cells, i)), _table(bare[0], lambda i: row(bare[1], i))


ENTAILMENT = ("entailment", "not_entailment")
NLI = ("entailment", "neutral", "contradiction")
PARSES = "sentence1_binary_parse|sentence2_binary_parse|sentence1_parse|sentence2_parse|sentence1|sentence2"
mnli, mnli_test = _pairs(
    f"index|promptID|pairID|genre|{PARSES}|gold_label", "#|1|2|fiction|()|()|()|()|A|B|X", NLI
)
qqp, _ = _pairs("id|qid1|qid2|question1|question2|is_duplicate", "#|1|2|A|B|X", (0, 1))
mrpc, _ = _pairs("Quality|#1 ID|#2 ID|#1 String|#2 String", "X|1|2|A|B", (0, 1))
stsb, stsb_test = _pairs(
    "index|genre|filename|year|old_index|source1|source2|sentence1|sentence2|score",
    "#|x|y|2012|0|n|n|A|B|X", ("0.000", "2.500", "4.200"),
)  # fmt: skip
qnli, qnli_test = _pairs("index|question|sentence|label", "#|A|B|X", ENTAILMENT)
rte, rte_test = _pairs("index|sentence1|sentence2|label", "#|A|B|X", ENTAILMENT)
wnli, wnli_test = _pairs("index|sentence1|sentence2|label", "#|A|B|X", (0, 1))
ax, _ = _pairs("index|sentence1|sentence2|label", "#|A|B|X", NLI)
cola = _table("", lambda i: f"gj04|{i % 2}|{'' if i % 2 else '*'}|{sentence(i)}").lstrip("\n")
sst = _table("sentence|label", lambda i: f"{sentence(i)}|{i % 2}")
single = _table("index|sentence", lambda i: f"{i}|{sentence(i)}")

GLUE_FILES = {
    "CoLA": {"train.tsv": cola, "dev.tsv": cola, "test.tsv": single},
    "SST-2": {"train.tsv": sst, "dev.tsv": sst, "test.tsv": single},
    "MRPC": {
        "train.tsv": "\ufeff" + mrpc,
        "dev.tsv": "\ufeff" + mrpc,
        "test.tsv": "\ufeff"
        + _table("index|#1 ID|#2 ID|#1 String|#2 String", lambda i: f"{i}|1|2|{sentence(i)}|{sentence(i)}"),
    },
    "STS-B": {"train.tsv": stsb, "dev.tsv": stsb, "test.tsv": stsb_test},
    "QQP": {
        "train.tsv": qqp,
        "dev.tsv": qqp,
        "test.tsv": _table("id|question1|question2", lambda i: f"{i}|{sentence(i)}|{sentence(i + 1)}"),
    },
    "MNLI": {
        "train.tsv": mnli,
        "dev_matched.tsv": mnli,
        "dev_mismatched.tsv": mnli,
        "test_matched.tsv": mnli_test,
        "test_mismatched.tsv": mnli_test,
    },
    "QNLI": {"train.tsv": qnli, "dev.tsv": qnli, "test.tsv": qnli_test},
    "RTE": {"train.tsv": rte, "dev.tsv": rte, "test.tsv": rte_test},
    "WNLI": {"train.tsv": wnli, "dev.tsv": wnli, "test.tsv": wnli_test},
    "AX": {"AX.tsv": ax},
}


def write_glue(folder: Path, titles=None) -> Path:
    """Write the files of some tasks, or of all."""
    for title in titles or GLUE_FILES:
        (folder / title).mkdir(parents=True, exist_ok=True)
        for name, text in GLUE_FILES[title].items():
            (folder / title / name).write_bytes(text.encode())
    return folder
