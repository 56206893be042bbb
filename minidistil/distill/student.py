"""A student from its teacher: the same width, some of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from minidistil.config import DistilBertConfig, ModelConfig
from minidistil.errors import ConfigError
from minidistil.model.arena import ParameterSpec
from minidistil.model.base import Model
from minidistil.model.heads import Head, Pooler, SequenceHead
from minidistil.model.naming import embedding_views, layer_views

# extract_distilbert.py of the published recipe: not quite every other layer.
DISTILBERT_LAYERS = (0, 2, 4, 7, 9, 11)


def alternate_layers(depth: int) -> list[int]:
    """Half of a teacher's layers: the published choice for 12, else every other one from the first."""
    return list(DISTILBERT_LAYERS) if depth == 12 else list(range(0, depth, 2))


def init_student(
    teacher: Model,
    layers: Sequence[int] | None = None,
    student_class: type[Model] | None = None,
    *,
    seed: int = 0,
) -> Model:
    """A shallower model that starts from the teacher's own weights.

    Parameters
    ----------
    teacher : Model
    layers : sequence of int, optional
        Teacher layers for student layers 0, 1, ...; `alternate_layers` by default.
    student_class : type, optional
        The teacher's class by default. A BERT teacher can give a DistilBERT student: token types and
        pooler are then dropped, as in the published recipe; word and position tables, every norm, and
        a masked-LM, token or span head are copied whole.
    seed : int
        For what has no counterpart in the teacher, such as DistilBERT's `pre_classifier`.

    Returns
    -------
    Model
        With the teacher's dtype and backend.

    Raises
    ------
    ConfigError
        A layer that the teacher does not have, or a family that cannot be made from it.
    """
    depth = teacher.config.num_hidden_layers
    chosen = alternate_layers(depth) if layers is None else list(layers)
    bad = [i for i in chosen if not 0 <= i < depth]
    if bad or not chosen:
        raise ConfigError(
            f"layers {chosen} of a teacher with layers 0 to {depth - 1}: {bad or 'none chosen'}"
        )
    cls = type(teacher) if student_class is None else student_class
    config = _student_config(teacher, cls, len(chosen))
    student = cls(config, dtype=teacher.params.dtype, backend=teacher.backend.name, seed=seed)

    ours = embedding_views(student.params, student.naming)
    theirs = embedding_views(teacher.params, teacher.naming)
    pairs = list(zip(ours, theirs, strict=True))
    for i, layer in enumerate(chosen):
        ours_i = layer_views(student.params, student.naming, i)
        pairs += zip(ours_i, layer_views(teacher.params, teacher.naming, layer), strict=True)
    for own, given in pairs:
        if own is not None and given is not None:
            own[...] = given
    for own_name, given_name in _matching_heads(student, teacher):
        student.params[own_name][...] = teacher.params[given_name]
    return student


def _student_config(teacher: Model, cls: type[Model], depth: int) -> ModelConfig:
    """The teacher's config with fewer layers, in the student's family."""
    config = teacher.config
    if cls.config_class is type(config):
        return config.replace(num_hidden_layers=depth)
    if cls.config_class is not DistilBertConfig:
        raise ConfigError(f"a {cls.__name__} cannot be made from a {type(teacher).__name__}")
    shared = {f.name for f in fields(ModelConfig)} - {"extra", "architectures", "num_hidden_layers"}
    if config.layer_norm_eps != DistilBertConfig.constants["layer_norm_eps"]:
        raise ConfigError(
            f"DistilBERT's layernorm has eps 1e-12, this teacher's {config.layer_norm_eps}: "
            "choose a student of the teacher's family"
        )
    values = {name: getattr(config, name) for name in shared - set(DistilBertConfig.constants)}
    return DistilBertConfig(**values, num_hidden_layers=depth)


def _matching_heads(student: Model, teacher: Model) -> list[tuple[str, str]]:
    """Pairs of head parameters (student's name, teacher's name) that mean the same."""
    theirs = {_meaning(part): part.specs(teacher.config) for head in teacher.heads for part in _parts(head)}
    pairs = []
    for head in student.heads:
        for part in _parts(head):
            specs: list[ParameterSpec] = theirs.get(_meaning(part), [])
            own = part.specs(student.config)
            if [s.shape for s in own] == [s.shape for s in specs]:
                pairs += [(a.name, b.name) for a, b in zip(own, specs, strict=True)]
    return pairs


def _parts(head: Head) -> list[Head]:
    """A head and, apart, the pooler inside it: a bare encoder's pooler serves a classifier too."""
    return [head.pooler, head] if isinstance(head, SequenceHead) else [head]


def _meaning(part: Head) -> tuple[object, ...]:
    """What must agree for weights to mean the same: what the head does, and on top of which pooler."""
    if isinstance(part, Pooler):
        return (Pooler, part.activation)
    if isinstance(part, SequenceHead):
        return (type(part), part.pooler.activation)
    return (type(part),)
