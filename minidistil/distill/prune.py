"""Structured pruning: fewer attention heads, a thinner residual stream, fewer intermediate neurons.

Heads and neurons that matter least are left out. The residual stream has no such units: every layer reads all
of it and writes to all of it. So it is projected, everywhere by one matrix P [H, W] with orthonormal columns:
a matrix that reads the stream becomes M P, one that writes to it P^T M. As far as matrices go, a stream that
keeps to the span of P then loses nothing. That a rotation of the whole stream can be merged into the weights
is the observation of SliceGPT (Ashkboos et al. 2024, arXiv:2401.15024), for models whose layernorm lies off
the residual path. BERT's lies on it; `ResidualStream` says what that costs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, finite_matrix
from minidistil.config import ModelConfig
from minidistil.distill.residual_stream import ResidualStream
from minidistil.errors import ConfigError
from minidistil.model.heads import Head, PooledHead, Pooler
from minidistil.model.model import Model
from minidistil.model.modules import FeedForward, Linear, Norm, SelfAttention
from minidistil.model.token_heads import MaskedLMHead
from minidistil.ops.layernorm import layernorm_forward
from minidistil.threads import single_threaded_blas

Indices = npt.NDArray[np.intp]
Values = Iterator[tuple[str, Array]]  # names and values of the narrow model's parameters


def prune_width(
    model: Model,
    width: int | None = None,
    heads: int | None = None,
    intermediate: int | None = None,
    *,
    hidden_states: npt.ArrayLike | None = None,
    head_importance: npt.ArrayLike | None = None,
    fresh: Collection[str] = (),
    seed: int = 0,
) -> Model:
    """A narrower model of the same class that starts as close to `model` as its shape allows.

    Parameters
    ----------
    model : Model
    width, heads, intermediate : int, optional
        Hidden size W, attention heads and intermediate size; see `pruned_config`.
    hidden_states : float [N, H], optional
        A sample of the stream: rows of `forward(..., hidden_states=True)`, best of all layers together. P
        spans the directions in which they are largest. Without them the embeddings decide, each word counting
        the same, which knows nothing of what layers write. At full width nothing is projected.
    head_importance : float [L, A], optional
        Each layer keeps the heads with the highest values, those of layers that share parameters added up; by
        default those of `head_scores`.
        Michel et al. 2019 (arXiv:1905.10650) measure importance on data: the mean over examples of
        |dLoss/dgate| for a gate, at 1, that multiplies the head's output.
    fresh : collection of str
        Parameters that shall not come from `model` but be new.
    seed : int
        For these.

    Returns
    -------
    Model
        With the dtype and backend of `model`.

    Raises
    ------
    ConfigError
        Sizes that `model` does not have, or that do not fit each other.
    InputError
        An array of another shape, or with values that are not finite.

    Notes
    -----
    *Attention.* Heads keep their size D, so scores keep their scale. When a head goes, its value bias stays:
    a token's attention sums to 1, so the head adds W_o b_v wherever it looks, and that constant moves into
    the output's bias.

    *Feed-forward.* Neuron i adds D_i act(U_i x + b_i) to the stream. The product of |D_i| and the standard
    deviation of U_i x over the sample says how far that varies. Those with the largest are kept.

    *Pooler.* Its outputs are no part of the stream, since the activation acts on each by itself. They are
    chosen like neurons, by |U_i| |D_i| with the classifier for D: it reads first tokens only, so the sample
    says little of what it reads.

    *Tables* of a width of their own, which a linear layer projects to the stream, stay as they are.

    *Masked-LM transform.* It has to end in the stream, where the word table is its decoder, and becomes
    P^T M P. Its activation does not commute with P, but half of it does: GELU(x) and ReLU(x) are x/2 plus an
    even function.
    """
    config = pruned_config(model.config, width, heads, intermediate)
    shape = (config.depth, model.config.num_attention_heads)
    small = type(model)(config, dtype=model.params.dtype, backend=model.backend.name, seed=seed)
    if head_importance is None:
        scores = head_scores(model, hidden_states)
    else:
        scores = finite_matrix("head_importance", head_importance, shape)
    with single_threaded_blas():  # or the machine's number of cores would have a say in the rounding
        sample = _sample(model, hidden_states)
        stream = ResidualStream.of(sample, config.hidden_size)
        for name, value in _values(model, config, stream, _covariance(sample), scores):
            if name not in fresh:
                small.params[name][...] = value
    return small


def pruned_config(
    config: ModelConfig, width: int | None = None, heads: int | None = None, intermediate: int | None = None
) -> ModelConfig:
    """A config with a narrower shape.

    Parameters
    ----------
    config : ModelConfig
    width, heads : int, optional
        Hidden size and attention heads. The size of a head stays, so each gives the other.
    intermediate : int, optional
        Intermediate size. What is not given stays, this too.

    Raises
    ------
    ConfigError
        Sizes larger than those of `config`, or a width that is not heads times the size of a head.
    """
    size = config.hidden_size // config.num_attention_heads
    for name, value, most in (
        ("width", width, config.hidden_size),
        ("heads", heads, config.num_attention_heads),
        ("intermediate", intermediate, config.intermediate_size),
    ):
        if value is not None and not 1 <= value <= most:
            raise ConfigError(f"{name} {value}: the teacher's is {most}, a narrower student's 1 to {most}")
    if width is None:
        width = config.hidden_size if heads is None else heads * size
    if width != size * (width // size if heads is None else heads):
        count = "a whole number of" if heads is None else heads
        raise ConfigError(
            f"width {width} is not that of {count} heads, which keep the teacher's size of {size}: "
            f"a width is {size}, {2 * size}, ... {config.hidden_size}"
        )
    heads = width // size
    intermediate = config.intermediate_size if intermediate is None else intermediate
    return config.replace(hidden_size=width, num_attention_heads=heads, intermediate_size=intermediate)


def head_scores(model: Model, hidden_states: npt.ArrayLike | None = None) -> Array:
    """Importance of each attention head by its weights alone.

    Parameters
    ----------
    model : Model
    hidden_states : float [N, H], optional
        A sample of the stream; the embeddings by default.

    Returns
    -------
    float64 [L, A]
        The product of two standard deviations over independent rows x, y of the sample: that of the scores
        (W_q x) . (W_k y), and that of what is passed on, W_o W_v x. They are the two circuits of a head in
        Elhage et al. 2021 (transformer-circuits.pub/2021/framework).

    Notes
    -----
    Either is not enough. A head whose scores hardly vary attends to all tokens alike and adds about the same
    to each, however large. With C the covariance of the sample, the squares are

        E (x^T W_q^T W_k y)^2 = tr(W_q C W_q^T  W_k C W_k^T)
        E |W_o W_v x|^2       = tr(W_o^T W_o  W_v C W_v^T)

    for centred x and y: traces of products [D, D], which are sums over elements, as all four are symmetric.
    """
    H, A = model.config.hidden_size, model.config.num_attention_heads
    sample = _sample(model, hidden_states)
    scores = np.zeros((model.config.depth, A))
    with single_threaded_blas():
        covariance = _covariance(sample)
        for i, layer_scores in enumerate(scores):
            attention = model.encoder.layers[i].attention
            squares = []
            for part in (attention.query, attention.key, attention.value):
                w = _read(model, part.names[0]).reshape(A, -1, H)  # [A, D, H]
                squares.append(w @ covariance @ w.transpose(0, 2, 1))  # [A, D, D]
            w_o = _read(model, attention.out.names[0]).T.reshape(A, -1, H)
            squares.append(w_o @ w_o.transpose(0, 2, 1))
            query, key, value, output = squares
            layer_scores[:] = np.sqrt((query * key).sum((1, 2)) * (value * output).sum((1, 2)))
    return scores


def _values(
    model: Model, config: ModelConfig, stream: ResidualStream, covariance: Array, scores: Array
) -> Values:
    """Every parameter of the narrow model."""
    project = type(model).encoder_of(config).embeddings.project
    yield from _embeddings(model, project, stream)
    if (bias := model.encoder.relative_bias) is not None:  # all layers share its columns: they keep the same
        scores = np.broadcast_to(scores.sum(0), scores.shape)
        yield bias.name, _read(model, bias.name)[:, _highest(scores[0], config.num_attention_heads)]
    for layer, uses in model.encoder.uses().items():
        for sublayer in layer.sublayers:
            if isinstance(sublayer.f, SelfAttention):
                kept = _highest(scores[uses].sum(0), config.num_attention_heads)
                yield from _attention(model, sublayer.f, stream, kept)
            else:
                yield from _feed_forward(model, sublayer.f, stream, covariance, config.intermediate_size)
            yield from _norm(model, sublayer.norm, stream)
    for head in model.heads:
        yield from _head(model, head, stream, project is not None)


def _embeddings(model: Model, project: Linear | None, stream: ResidualStream) -> Values:
    """Tables and their norm; where they keep a width of their own, what the narrow model projects them by."""
    embeddings = model.encoder.embeddings
    if project is None:
        for table in embeddings.tables:
            yield table.name, stream.read(_read(model, table.name))
        yield from _norm(model, embeddings.norm, stream)
        return
    for table in embeddings.tables:
        yield table.name, _read(model, table.name)
    yield from _named(embeddings.norm, *_linear(model, embeddings.norm))
    H = model.config.hidden_size
    weight, bias = (
        (np.eye(H), np.zeros(H)) if embeddings.project is None else _linear(model, embeddings.project)
    )
    yield from _named(project, stream.write(weight), stream.write(bias))


def _attention(model: Model, attention: SelfAttention, stream: ResidualStream, heads: Indices) -> Values:
    """Some heads of a layer, between projected ends."""
    size = model.config.hidden_size // attention.heads
    kept = np.zeros(model.config.hidden_size, bool)
    kept[(heads[:, None] * size + np.arange(size)).ravel()] = True  # a head has D neighbouring rows
    for part in (attention.query, attention.key, attention.value):
        weight, part_bias = _linear(model, part)
        yield from _named(part, stream.read(weight[kept]), part_bias[kept])
    weight, bias = _linear(model, attention.out)
    constant = weight[:, ~kept] @ part_bias[~kept]  # of the values: heads that go add it wherever they look
    yield from _named(attention.out, stream.write(weight[:, kept]), stream.write(bias + constant))


def _feed_forward(
    model: Model, block: FeedForward, stream: ResidualStream, covariance: Array, neurons: int
) -> Values:
    """Some neurons of a layer, between projected ends."""
    (up, up_bias), (down, down_bias) = _linear(model, block.up), _linear(model, block.down)
    variance = (up @ covariance * up).sum(1)  # [I], of what each neuron reads
    kept = _highest(variance * np.square(down).sum(0), neurons)
    yield from _named(block.up, stream.read(up[kept]), up_bias[kept])
    yield from _named(block.down, stream.write(down[:, kept]), stream.write(down_bias))


def _head(model: Model, head: Head, stream: ResidualStream, own_width: bool) -> Values:
    """A head on the stream; tables may have a width of their own."""
    match head:
        case Pooler():
            yield from _pooler(model, head, stream, np.ones(head.dense.outputs))[1]
        case PooledHead():
            weight, bias = _linear(model, head.classifier)
            kept, pooler = _pooler(model, head.pooler, stream, np.linalg.norm(weight, axis=0))
            yield from _named(head.classifier, weight[:, kept], bias)
            yield from pooler
        case MaskedLMHead():
            yield from _masked_lm(model, head, stream, own_width)
        case _:  # one linear layer on every token
            weight_spec, bias_spec = head.specs()
            yield weight_spec.name, stream.read(_read(model, weight_spec.name))
            yield bias_spec.name, _read(model, bias_spec.name)


def _masked_lm(model: Model, head: MaskedLMHead, stream: ResidualStream, own_width: bool) -> Values:
    """A masked-LM head, which ends in the stream; or, where tables have a width of their own, in theirs."""
    weight, bias = _linear(model, head.dense)
    weight = stream.read(weight)
    decoder, decoder_bias = head.decoder_names
    words = _read(model, decoder)
    if own_width:
        yield from _named(head.dense, weight, bias)
        yield from _named(head.norm, *_linear(model, head.norm))
    else:
        yield from _named(head.dense, stream.write(weight), stream.write(bias))
        yield from _norm(model, head.norm, stream)
        words = stream.read(words)
    if decoder != head.word:  # untied
        yield decoder, words
    yield decoder_bias, _read(model, decoder_bias)


def _pooler(model: Model, pooler: Pooler, stream: ResidualStream, use: Array) -> tuple[Indices, Values]:
    """Units of a pooler that are kept, and their parameters; `use` [H] is the weight of what reads each."""
    weight, bias = _linear(model, pooler.dense)
    kept = _highest(np.linalg.norm(weight, axis=1) * use, stream.projection.shape[1])
    return kept, _named(pooler.dense, stream.read(weight[kept]), bias[kept])


def _norm(model: Model, norm: Norm, stream: ResidualStream) -> Values:
    return _named(norm, *stream.norm(*_linear(model, norm)))


def _linear(model: Model, module: Linear | Norm) -> tuple[Array, Array]:
    """Weight and bias of a linear layer, or gain and bias of a norm."""
    weight, bias = module.names
    return _read(model, weight), _read(model, bias)


def _named(module: Linear | Norm, weight: Array, bias: Array) -> Values:
    """The two parameters of a module with their names."""
    return zip(module.names, (weight, bias), strict=True)


def _read(model: Model, name: str) -> Array:
    """A parameter in float64, in which all of this is computed."""
    return model.params[name].astype(np.float64)


def _highest(scores: Array, count: int) -> Indices:
    """Indices of the `count` highest scores, ascending; of equals the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def _covariance(sample: Array) -> Array:
    """[H, H] of the columns of a sample [N, H]."""
    centred = sample - sample.mean(0)
    return np.asarray(centred.T @ centred / len(centred))


def _sample(model: Model, hidden_states: npt.ArrayLike | None) -> Array:
    """Rows of the stream [N, H]: those given, or else what enters the first layer.

    That is every word, at positions taken in turn, so that both tables are used whole.
    """
    if hidden_states is not None:
        return finite_matrix("hidden_states", hidden_states, (None, model.config.hidden_size))
    embeddings = model.encoder.embeddings
    word, position = _read(model, embeddings.word.name), _read(model, embeddings.position.name)
    i = np.arange(max(len(word), len(position)))
    rows = word[i % len(word)] + position[i % len(position)]
    for table in embeddings.types:
        rows += _read(model, table.name)[0]
    states: Array = layernorm_forward(rows, *_linear(model, embeddings.norm))[0]
    if embeddings.project is None:
        return states
    weight, bias = _linear(model, embeddings.project)
    return np.asarray(states @ weight.T + bias)
