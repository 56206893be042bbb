"""Types and ranges of the fields of a config, each named by its key in config.json."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from numbers import Integral
from typing import Any

from minidistil.errors import ConfigError

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")

# Far beyond any model, so that a damaged number is found before names or memory are made for it.
MOST_LAYERS = 10_000
MOST_LABELS = 1_000_000
LARGEST = 2**31 - 1  # ids are 32-bit integers

# transformers' `gelu_python` is the same function as its `gelu`.
SAME_ACTIVATION = {"gelu_python": "gelu"}

# A misspelt name is close to one of ours; these are close to one too, but are themselves.
OTHER_FAMILIES = frozenset(
    (  # noqa: SIM905
        "bart bert-generation big_bird canine convbert data2vec-text deberta deberta-v2 "
        "distilroberta ernie ernie_m esm eurobert flaubert fnet funnel gpt2 gpt_neo ibert jina_bert "
        "layoutlm layoutlmv2 layoutlmv3 lilt llama longformer luke lxmert markuplm mbart mega megatron-bert "
        "mobilebert modernbert mra mt5 neobert nezha nomic_bert nystromformer pegasus qdqbert reformer "
        "rembert roberta-prelayernorm roc_bert splinter squeezebert t5 tapas visual_bert xlm "
        "xlm-roberta-xl xlnet xmod yoso roformer"
    ).split()
)


def integer(least: int, most: int = LARGEST) -> Callable[[Any], str]:
    """A check that gives "" for an integer in a range, else what was expected."""

    def check(value: Any) -> str:
        good = type(value) is int and least <= value <= most  # JSON's true is no 1
        return "" if good else f"an integer from {least} to {most}"

    return check


def number(least: float, most: float, *, open_end: bool = False) -> Callable[[Any], str]:
    """A check for a finite number in a range; with `open_end` below its end."""

    def check(value: Any) -> str:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = good and least <= value <= most and not (open_end and value == most)  # NaN is in no range
        return "" if good else f"a number in [{least:g}, {most:g}{')' if open_end else ']'}"

    return check


def truth(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def optional(check: Callable[[Any], str]) -> Callable[[Any], str]:
    """The same check, but null is allowed."""

    def either(value: Any) -> str:
        wanted = "" if value is None else check(value)
        return wanted and f"{wanted}, or null"

    return either


def one_of(choices: Collection[str]) -> Callable[[Any], str]:
    """A check for one of `words`."""

    def check(value: Any) -> str:
        return "" if isinstance(value, str) and value in choices else f"one of {', '.join(choices)}"

    return check


PROBABILITY = number(0, 1, open_end=True)

# By the name of a field, or of a property that every config has.
CHECKS: dict[str, Callable[[Any], str]] = {
    "vocab_size": integer(1),
    "max_position_embeddings": integer(1),
    "hidden_size": integer(1),
    "num_hidden_layers": integer(0, MOST_LAYERS),
    "num_attention_heads": integer(1),
    "intermediate_size": integer(1),
    "type_vocab_size": integer(0),
    "pad_token_id": optional(integer(-LARGEST)),
    "initializer_range": number(0, 100),
    "layer_norm_eps": number(0, 1, open_end=True),
    "tie_word_embeddings": truth,
    "sinusoidal_pos_embds": truth,
    "hidden_act": one_of(ACTIVATIONS),
    "problem_type": optional(one_of(PROBLEM_TYPES)),
    "classifier_dropout": optional(PROBABILITY),
    "qa_dropout": PROBABILITY,
    "seq_classif_dropout": PROBABILITY,
    "hidden_dropout_prob": PROBABILITY,
    "attention_probs_dropout_prob": PROBABILITY,
}

LABELS = ("num_labels", "id2label", "label2id")  # as arguments, in any combination


def checked_labels(labels: Any) -> dict[int, str]:
    """{"0": "no", "1": "yes"} of a config.json, or the same with integers, in order.

    Raises
    ------
    ConfigError
        Numbers with gaps, or a name that is none.
    """
    if not isinstance(labels, Mapping):
        raise ConfigError(f"id2label must map numbers to names, not {short(labels)}")
    found: dict[int, str] = {}
    for key, name in labels.items():
        try:
            i = int(key) if isinstance(key, (str, int)) and not isinstance(key, bool) else -1
        except ValueError:
            i = -1
        if i < 0 or i in found:
            raise ConfigError(f"id2label must map numbers to names, each number once; it has {short(key)}")
        if not isinstance(name, (str, int, float)) or isinstance(name, bool):
            raise ConfigError(f"id2label must map numbers to names; it maps {short(key)} to {short(name)}")
        found[i] = str(name)
    if sorted(found) != list(range(len(found))) or not found:
        raise ConfigError(f"id2label must number the labels from 0 without gaps, got {short(sorted(found))}")
    return dict(sorted(found.items()))


def numbered_labels(count: Any) -> dict[int, str]:
    """Default names of `count` labels, as in transformers.

    Raises
    ------
    ConfigError
        Not a number of labels.
    """
    if wanted := integer(1, MOST_LABELS)(count):
        raise ConfigError(f"num_labels must be {wanted}, not {short(count)}")
    return {i: f"LABEL_{i}" for i in range(count)}


def named_labels(given: Mapping[str, Any]) -> dict[int, str]:
    """Names of the labels from one or several of `id2label`, `label2id` and `num_labels`.

    Raises
    ------
    ConfigError
        They contradict each other, or one of them makes no sense.
    """
    count, by_id, by_name = (given.get(name) for name in LABELS)
    if by_id is not None:
        labels = checked_labels(by_id)
    elif by_name is not None:
        if not isinstance(by_name, Mapping):
            raise ConfigError(f"label2id must map names to numbers, not {short(by_name)}")
        for name, i in by_name.items():
            if type(i) is bool or not isinstance(i, Integral):
                raise ConfigError(f"label2id must map names to numbers; it maps {short(name)} to {short(i)}")
        if len(set(by_name.values())) < len(by_name):
            raise ConfigError(f"label2id must give each name a number of its own, not {short(dict(by_name))}")
        labels = checked_labels({int(i): name for name, i in by_name.items()})
    else:
        labels = numbered_labels(count)
    if count is not None and count != len(labels):
        raise ConfigError(f"num_labels is {short(count)}, but there are names for {len(labels)} labels")
    if by_name is not None and by_name != {name: i for i, name in labels.items()}:
        raise ConfigError(f"label2id {short(by_name)} does not fit id2label {short(labels)}")
    return labels


def names(value: Any, key: str) -> tuple[str, ...]:
    """A list of names, or null."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{key} must be a list of names, not {short(value)}")
    return tuple(value)


def did_you_mean(word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """A hint at the known word that is most like `word`; "" if none is."""
    close = get_close_matches(word, known, n=1, cutoff=cutoff)
    return f" (did you mean {close[0]!r}?)" if close else ""


def short(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value) if type(value) is not int or abs(value) < 10**30 else "a number of very many digits"
    return text if len(text) <= 80 else text[:77] + "..."
