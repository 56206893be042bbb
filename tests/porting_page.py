"""The tables and scripts of docs/porting.md, run under a package; and the models that they name."""

import ast
import re
import string
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minidistil import model as models
from minidistil.text.tokenizer import Tokenizer

PAGE = (Path(__file__).parents[1] / "docs" / "porting.md").read_text(encoding="utf-8")
CELL = re.compile(r"`([^`]*)`")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SETUP = next(block for block in BLOCKS if not block.startswith("from"))
SCRIPTS = [block for block in BLOCKS if block.startswith("from transformers import")]
OURS = {
    "from transformers import": "from minidistil import",
    "from torch import tensor": "from numpy import asarray as tensor",
}

WORDS = (
    "a warm film was good dull it is no word story of two people and one very long road home on the who "
    "funny un ##funny ##s mask"
)
VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS.split()), ",", ".", "?", "!",
    *(letter for letter in string.ascii_lowercase if letter not in WORDS.split()),
    *(f"##{letter}" for letter in string.ascii_lowercase if letter != "s"),
]  # fmt: skip
SIZES = {
    "vocab_size": len(VOCABULARY), "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 40, "initializer_range": 0.3,
}  # fmt: skip
MODELS = {
    "classifier": ("BertForSequenceClassification", {"id2label": {0: "negative", 1: "positive"}}),
    "encoder": ("BertModel", {}),
    "questions": ("BertForQuestionAnswering", {"id2label": {0: "start", 1: "end"}}),
    "words": ("BertForMaskedLM", {}),
    "tags": (
        "BertForTokenClassification",
        {"id2label": {0: "O", 1: "B-FUN", 2: "I-FUN", 3: "B-SAD", 4: "I-SAD"}},
    ),
    "distilled": ("DistilBertForSequenceClassification", {}),
}


def rows():
    """(code in transformers, code here, None or the words of the error) of every row of a call."""
    found = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| `") else []
        if not cells or cells[-1].split(":")[0] not in ("yes", "yes, so", "no"):
            continue
        code = CELL.fullmatch(cells[0])[1]
        here = CELL.fullmatch(cells[1])
        assert (cells[-1] == "yes, so") == (here is not None), line
        words = CELL.search(cells[-1])
        assert (words is None) == cells[-1].startswith("yes"), line
        found.append((code, here[1] if here else code, words and words[1]))
    return found


def make_models(directory):
    """Tiny models of random weights, saved under the names of the page."""
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(directory, model_max_length=40)
    for seed, (name, (kind, changes)) in enumerate(MODELS.items()):
        kind = getattr(models, kind)
        model = kind(kind.config_class(**SIZES, **changes), seed=seed)
        model.save_pretrained(directory / name, tokenizer=tokenizer)


def namespace(package, tensor):
    """Names that the rows of the page use, after its setup."""
    names = {"tensor": tensor} | {name: getattr(package, name) for name in capitals(SETUP)}
    exec(SETUP, names)
    pipeline = names["pipeline"] = package.pipeline
    names["classify"] = pipeline("sentiment-analysis", model="classifier")
    names["find"] = pipeline("ner", model="tags", aggregation_strategy="simple")
    names["fill"] = pipeline("fill-mask", model="words")
    return names


def capitals(code):
    """Names of classes in a piece of code, such as AutoModel."""
    nodes = ast.walk(ast.parse(code))
    return {node.id for node in nodes if isinstance(node, ast.Name) and node.id[:1].isupper()}


def run(code, package, names):
    """Value of an expression; None of a statement."""
    names |= {name: getattr(package, name) for name in capitals(code)}
    if isinstance(ast.parse(code).body[0], ast.Expr):
        return eval(code, names)
    return exec(code, names)


def plain(value):
    """Values of both packages in one form: tensors as arrays, mappings as dicts, tuples as lists."""
    if hasattr(value, "detach"):
        return value.detach().numpy()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value


def assert_same(ours, theirs, about):
    """Exact but for floats, which may differ by rounding."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs) or set(ours) == set(theirs), about
        for key in theirs:
            assert_same(ours[key], theirs[key], (*about, key))
    elif isinstance(theirs, list):
        assert isinstance(ours, list), about
        assert len(ours) == len(theirs), about
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, (*about, i))
    elif isinstance(theirs, (np.ndarray, float)):
        assert np.shape(ours) == np.shape(theirs), about
        assert (np.asarray(ours).dtype.kind == "f") == (np.asarray(theirs).dtype.kind == "f"), about
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=str(about))
    else:
        assert type(ours) is type(theirs), about
        assert ours == theirs, about


def ours_of(script):
    """A script of the page with the import lines of this package."""
    for theirs, here in OURS.items():
        assert script.count(theirs) == 1
        script = script.replace(theirs, here)
    return script
