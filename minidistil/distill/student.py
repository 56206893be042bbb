"""A student from its teacher: some of the layers, and their width or less."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import numpy.typing as npt

from minidistil.arguments import check_type, with_article
from minidistil.arrays import finite_matrix
from minidistil.config import ModelConfig
from minidistil.distill.prune import prune_width, pruned_config
from minidistil.errors import ConfigError
from minidistil.model.model import Model

# extract_distilbert.py of the published recipe: not quite every other layer.
DISTILBERT_LAYERS = (0, 2, 4, 7, 9, 11)


def alternate_layers(depth: int) -> list[int]:
    """Half of a teacher's layers: the published choice for 12, else every other one from the first."""
    return list(DISTILBERT_LAYERS) if depth == 12 else list(range(0, depth, 2))


def even_layers(count: int, depth: int) -> list[int]:
    """`count` of `depth` layers, from the first to the last at equal distances.

    Layer i is i (depth - 1) / (count - 1), rounded, a half upwards; in integers, so that no machine's
    arithmetic has a say. Distances are at least 1, so no layer comes twice. One layer is the first.
    """
    gaps = max(count - 1, 1)
    return [(2 * i * (depth - 1) + gaps) // (2 * gaps) for i in range(count)]


# Choices that take a number: (how many, of how many) -> layers.
COUNTED: dict[str, Callable[[int, int], list[int]]] = {
    "first": lambda count, depth: list(range(count)),
    "last": lambda count, depth: list(range(depth - count, depth)),
    "even": even_layers,
}
CHOICES = 'all, alternate, first:K, last:K, even:K, random:K, or numbers such as "0,2,4"'


def choose_layers(choice: str | Sequence[int], depth: int) -> list[int] | list[None]:
    """Teacher layers that the layers of a student start from.

    Parameters
    ----------
    choice : str or sequence of int
        Teacher layers, counted from 0, as numbers or as text such as "0,2,4"; a layer may come twice. Or:

        - "all": every layer; "alternate": `alternate_layers`;
        - "first:K", "last:K": K neighbouring layers from either end;
        - "even:K": `even_layers`;
        - "random:K": K layers that take nothing from the teacher.
    depth : int
        Layers of the teacher.

    Returns
    -------
    list of int, or list of None
        One entry for each layer of the student. None means new weights, for all layers or for none.

    Raises
    ------
    ConfigError
        No such choice, or layers that the teacher does not have.

    Notes
    -----
    Which layers are best depends on the task. Sajjad et al. 2020 (arXiv:2004.03844) drop layers from either
    end and in between, without distillation, and find that the lower ones matter most.
    """
    if not isinstance(choice, str):
        return _checked(choice, choice, depth)
    name, colon, number = choice.strip().partition(":")
    if choice.strip() == "all":
        return _checked(choice, range(depth), depth)
    if choice.strip() == "alternate":
        return _checked(choice, alternate_layers(depth), depth)
    if colon and (name in COUNTED or name == "random"):
        counted = name in COUNTED
        count = int(number) if number.strip().isdecimal() else 0
        if count < 1 or (counted and count > depth):
            most = f"to {depth}, the teacher's layers" if counted else "or more"
            raise ConfigError(f"layers {choice!r}: {name}:K takes a K of 1 {most}")
        return COUNTED[name](count, depth) if counted else [None] * count
    try:
        numbers = [int(part) for part in choice.split(",")]
    except ValueError:
        raise ConfigError(f"layers {choice!r} is no choice of layers; possible: {CHOICES}") from None
    return _checked(choice, numbers, depth)


def _checked(choice: object, numbers: Sequence[int], depth: int) -> list[int]:
    """Check numbers of layers: each must exist, and there must be one."""
    try:
        chosen = [operator.index(i) for i in numbers]  # NumPy's integers too, but no 2.0
    except TypeError:
        raise ConfigError(f"layers {choice!r}: neither numbers of layers nor one of {CHOICES}") from None
    bad = [i for i in chosen if not 0 <= i < depth]
    if bad or not chosen:
        raise ConfigError(
            f"layers {choice!r} of a teacher with layers 0 to {depth - 1}: {bad or 'none chosen'}"
        )
    return chosen


def init_student(
    teacher: Model,
    layers: str | Sequence[int] | None = None,
    student_class: type[Model] | None = None,
    *,
    width: int | None = None,
    heads: int | None = None,
    intermediate: int | None = None,
    hidden_states: npt.ArrayLike | None = None,
    head_importance: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Model:
    """A shallower, and maybe narrower, model that starts from the teacher's own weights.

    Parameters
    ----------
    teacher : Model
    layers : str or sequence of int, optional
        Teacher layers for student layers 0, 1, ..., see `choose_layers`; "alternate" by default. "random:K"
        takes nothing from the teacher but its shape: embeddings and heads are new too.
    student_class : type, optional
        The teacher's by default. A BERT can give a student of any family with its layers. One that becomes
        a DistilBERT loses token types and pooler, as in the published recipe; word and position tables,
        every norm, and a masked-LM, token or span head are copied whole. Positions are those of the teacher
        from its first on.
    width, heads, intermediate : int, optional
        A narrower shape, see `prune_width`. Heads keep the teacher's size: width and heads give each other.
    hidden_states : float [N, teacher's hidden size], optional
        A sample of the teacher's hidden states, which decides what a narrower stream keeps.
    head_importance : float [teacher's layers, teacher's heads], optional
        Scores of heads: a narrower student keeps those with the highest values in each layer.
    seed : int
        For what has no counterpart in the teacher, such as DistilBERT's `pre_classifier`.

    Returns
    -------
    Model
        With the teacher's dtype and backend.

    Raises
    ------
    ConfigError
        A layer that the teacher does not have, a shape that does not fit, or a family that cannot be made
        from the teacher's.
    InputError
        Hidden states or importances of another shape, or that are not finite.
    """
    check_type("the teacher", teacher, Model)
    if student_class is not None:
        check_type("student_class", student_class, type)
    for name, value in (("width", width), ("heads", heads), ("intermediate", intermediate)):
        if value is not None:
            check_type(name, value, int)
    chosen = choose_layers("alternate" if layers is None else layers, teacher.config.num_hidden_layers)
    cls = type(teacher) if student_class is None else student_class
    taken = [i for i in chosen if i is not None]
    config = _student_config(teacher, cls, len(chosen), taken)
    narrower = pruned_config(config, width, heads, intermediate)
    student = cls(
        config if taken else narrower,
        dtype=teacher.params.dtype,
        backend=teacher.backend.name,
        seed=seed,
    )
    if not taken:
        return student
    pairs = dict(_counterparts(student, teacher, taken))
    for own, given in pairs.items():
        student.params[own][...] = teacher.params[given]
    ours, theirs = student.encoder.embeddings.position, teacher.encoder.embeddings.position
    before = min(ours.first, theirs.first)  # rows that no token has, where both families leave some out
    own_rows, given_rows = student.params[ours.name], teacher.params[theirs.name]
    own_rows[ours.first - before :] = given_rows[theirs.first - before :]
    pairs[ours.name] = theirs.name
    if narrower == config:
        return student
    if head_importance is not None:
        shape = (teacher.config.depth, teacher.config.num_attention_heads)
        rows = [theirs for _, theirs in _layer_pairs(student, teacher, taken)]
        head_importance = finite_matrix("head_importance", head_importance, shape)[rows]
    return prune_width(
        student,
        width,
        heads,
        intermediate,
        hidden_states=hidden_states,
        head_importance=head_importance,
        fresh=student.params.keys() - pairs.keys(),
        seed=seed,
    )


def _counterparts(student: Model, teacher: Model, layers: Sequence[int]) -> list[tuple[str, str]]:
    """Pairs of parameters (student's name, teacher's name) of which the first starts as the second."""
    ours, theirs = student.encoder, teacher.encoder
    if len(ours.embeddings.modules) != len(theirs.embeddings.modules):
        raise ConfigError(
            f"{_cannot(type(student), teacher)}: one of them has tables of another width than its layers, "
            "the other has not"
        )
    tables = {table.ids: table.name for table in (theirs.embeddings.word, *theirs.embeddings.types)}
    mine = (ours.embeddings.word, *ours.embeddings.types)
    pairs = [(table.name, tables[table.ids]) for table in mine if table.ids in tables]
    modules = list(zip(ours.embeddings.modules, theirs.embeddings.modules, strict=True))
    if ours.relative_bias is not None and theirs.relative_bias is not None:
        pairs.append((ours.relative_bias.name, theirs.relative_bias.name))
    for i, layer in _layer_pairs(student, teacher, layers):
        modules.append((ours.layers[i], theirs.layers[layer]))  # type: ignore[arg-type]
    for one, other in modules:
        pairs += [(a.name, b.name) for a, b in zip(one.specs(), other.specs(), strict=True)]
    return pairs + _matching_heads(student, teacher)


def _cannot(cls: type[Model], teacher: Model) -> str:
    ours, theirs = (with_article(kind.__name__) for kind in (cls, type(teacher)))
    return f"{ours} cannot be made from {theirs}"


def _layer_pairs(student: Model, teacher: Model, layers: Sequence[int]) -> list[tuple[int, int]]:
    """Layers that a token passes through, (student's, teacher's): those of a group for each of its uses."""
    several = student.config.depth // len(layers)
    return [(i * several + j, layer * several + j) for i, layer in enumerate(layers) for j in range(several)]


def _student_config(teacher: Model, cls: type[Model], depth: int, layers: Sequence[int]) -> ModelConfig:
    """The teacher's config in the student's family, with some of its layers, or so many new ones."""
    try:
        config = cls.config_class.of(teacher.config)
    except ConfigError as error:
        raise ConfigError(f"{_cannot(cls, teacher)}: {error}") from error
    return config.with_layers(layers) if layers else config.replace(num_hidden_layers=depth)


def _matching_heads(student: Model, teacher: Model) -> list[tuple[str, str]]:
    """Pairs of head parameters (student's name, teacher's name) that mean the same."""
    theirs = {part.signature: part.specs() for head in teacher.heads for part in head.parts()}
    pairs = []
    for part in (part for head in student.heads for part in head.parts()):
        own, specs = part.specs(), theirs.get(part.signature, [])
        if [s.shape for s in own] == [s.shape for s in specs]:
            pairs += [(a.name, b.name) for a, b in zip(own, specs, strict=True)]
    return pairs
