"""Models: parameters, the encoder written once over either backend, heads, and the two families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.config import DistilBertConfig, ModelConfig, load_config
from minidistil.errors import ConfigError
from minidistil.model.families.bert import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from minidistil.model.families.distilbert import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
)
from minidistil.model.model import Model

MODELS: dict[str, type[Model]] = {
    c.__name__: c
    for c in (
        BertModel,
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        DistilBertModel,
        DistilBertForMaskedLM,
        DistilBertForMultipleChoice,
        DistilBertForQuestionAnswering,
        DistilBertForSequenceClassification,
        DistilBertForTokenClassification,
    )
}


# By the heads that a file holds, where they leave no doubt. A classifier on BERT's pooler may be one of
# sequences or of choices, and old files of token classifiers hold a pooler too.
_HEADS_IN_FILE: dict[frozenset[str | None], str] = {
    frozenset(): "Model",
    frozenset({"pooler"}): "Model",
    frozenset({"cls.predictions"}): "ForMaskedLM",
    frozenset({"vocab_transform", "vocab_layer_norm"}): "ForMaskedLM",
    frozenset({"vocab_transform", "vocab_layer_norm", "vocab_projector"}): "ForMaskedLM",
    frozenset({"pooler", "cls.predictions", "cls.seq_relationship"}): "ForPreTraining",
    frozenset({"pooler", "cls.seq_relationship"}): "ForNextSentencePrediction",
    frozenset({"qa_outputs"}): "ForQuestionAnswering",
    frozenset({"pooler", "qa_outputs"}): "ForQuestionAnswering",
    frozenset({"classifier"}): "ForTokenClassification",
}


def model_class(architecture: str) -> type[Model]:
    """The class of that name, or an error that names those supported."""
    try:
        return MODELS[architecture]
    except KeyError:
        raise ConfigError(
            f"architecture {architecture!r} is not supported; supported: {', '.join(MODELS)}"
        ) from None


def load_model(path_or_id: str | Path, *, revision: str | None = None, **options: Any) -> Model:
    """Load whatever a directory or hub id holds, as the class that config.json names.

    Takes the options of `Model.from_pretrained`.
    """
    from minidistil.weights.hub import resolve

    path = resolve(path_or_id, revision=revision)
    return class_of(load_config(path), path).from_pretrained(path, **options)


def load_to_answer(path_or_id: str | Path, head: str | None = None, **options: Any) -> Model:
    """Load a model that predicts or measures, and say nothing about new parameters.

    Whoever asks a head checks that it was trained, see `Model.check_trained`.

    Parameters
    ----------
    path_or_id : directory or hub id
    head : str, optional
        What the class's name ends with where config.json names none: "ForSequenceClassification", or "Model"
        for an encoder of which no head is asked.
    **options
        Of `Model.from_pretrained`: `mapped=True` for a command, which ends soon. Without it all is in memory,
        and what becomes of the file makes no difference.
    """
    from minidistil.weights.hub import resolve

    path = resolve(path_or_id)
    kind = class_of(load_config(path), path, head)
    return kind.from_pretrained(path, quiet=True, **options).eval()


def class_of(config: ModelConfig, path: Path, head: str | None = None) -> type[Model]:
    """The class that a directory is to be loaded as.

    Parameters
    ----------
    config : ModelConfig
        The directory's. The class that it names comes first.
    path : Path
        The directory, whose tensors decide where config.json names no class that is known here.
    head : str, optional
        What decides in their place, see `load_to_answer`.

    Raises
    ------
    ConfigError
        The tensors fit no class, or several.
    """
    named = config.architectures[0] if config.architectures else None
    if named in MODELS:
        return MODELS[named]
    family = "DistilBert" if isinstance(config, DistilBertConfig) else "Bert"
    if head is None:
        head = _head_in(path, family)
    if head is not None:
        return MODELS[family + head]
    what = "names no architecture" if named is None else f"names the architecture {named!r}, unknown here"
    classes = ", ".join(name for name in MODELS if name.startswith(family))
    raise ConfigError(
        f"{path}/config.json {what}, and its tensors do not tell which it is: say the task (--task), or load "
        f"it with its class, one of {classes}"
    )


def class_or_encoder(config: ModelConfig, path: Path) -> type[Model]:
    """As `class_of`, but the bare encoder where the class is in doubt: for facts that go by the encoder."""
    try:
        return class_of(config, path)
    except ConfigError:
        return class_of(config, path, "Model")


def _head_in(path: Path, family: str) -> str | None:
    """Name of the class that a directory's tensors fit, if it is just one; "Model" without any head."""
    from minidistil.weights.checkpoint import open_checkpoint
    from minidistil.weights.names import head_of, in_encoder, is_buffer

    base = family.lower()
    names = [name for name in open_checkpoint(path).without_wrapper(base) if not is_buffer(name, base)]
    heads = frozenset(head_of(name, base) for name in names if not in_encoder(name, base))
    return _HEADS_IN_FILE.get(heads)


__all__ = [
    "MODELS",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "DistilBertForMaskedLM",
    "DistilBertForMultipleChoice",
    "DistilBertForQuestionAnswering",
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
    "DistilBertModel",
    "Model",
    "class_of",
    "class_or_encoder",
    "load_model",
    "load_to_answer",
    "model_class",
]
