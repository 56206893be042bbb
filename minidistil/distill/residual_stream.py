"""The residual stream of an encoder: its projection to fewer dimensions, and the distance of two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array, finite_matrix
from minidistil.threads import single_threaded_blas


@dataclass(frozen=True)
class ResidualStream:
    """Projection of the residual stream, and of the matrices and norms that read it and write to it.

    Attributes
    ----------
    projection : float64 [H, W]
        P, with orthonormal columns. A stream x of the wide model is P^T x in the narrow one.
    share : float
        Part of the sample's variance within rows that lies in the span of P: 1 if nothing is lost.

    Notes
    -----
    A layernorm takes off the mean of a row, divides by its standard deviation, and multiplies each column by
    a gain and adds a bias.

    *Mean.* P is such that P^T 1 = sqrt(H/W) 1: the direction of all ones goes to the direction of all ones.
    Then taking off the mean before or after projecting is the same.

    *Deviation.* A centred row c has squared norm H var(c), its projection W var(P^T c). These agree if
    c lies in the span of P, and if not, the second is `share` of the first, in the mean. So P^T LN(x) is
    sqrt(share H/W) LN(P^T x), and that factor goes to the gain. (Up to the epsilon beside the variance.)

    *Bias.* It is written to the stream: P^T b.

    *Gain.* This is the approximation. diag(g) becomes P^T diag(g) P, which a layernorm cannot have, unless
    all gains are equal. It gets the diagonal, sum_i P_ij^2 g_i, which is closest in the least-squares sense
    for streams without a preferred direction.

    At full width P is the identity: there is nothing to project, and a rotation would only cost the gains.
    """

    projection: Array
    share: float = 1.0

    @classmethod
    def of(cls, sample: Array, width: int) -> Self:
        """The projection that keeps most of a stream.

        Parameters
        ----------
        sample : float64 [N, H]
            Rows of the stream.
        width : int
            W.

        Notes
        -----
        The span is that of 1 and of the first W - 1 principal directions of the rows, each row centred.
        (Columns are not: the constant part of a stream is to be kept like any other.) All of them are then
        reflected together, by Householder's I - 2 v v^T / v^T v, so that 1 has the same coordinate in every
        column.
        """
        H = sample.shape[1]
        if width == H:
            return cls(np.eye(H))
        rows = sample - sample.mean(1, keepdims=True)
        moment = rows.T @ rows / len(rows)  # [H, H]
        total = float(np.trace(moment))
        # 1 has eigenvalue 0, as other directions may have. Moved below 0 it comes first, and by itself.
        values, vectors = np.linalg.eigh(moment - (total or 1) / H)
        values, vectors = values[:0:-1][: width - 1], vectors[:, :0:-1][:, : width - 1]  # largest first
        largest = np.take_along_axis(vectors, abs(vectors).argmax(0)[None], axis=0)
        ones = np.full((H, 1), H**-0.5)
        basis = np.concatenate([ones, vectors * np.sign(largest)], axis=1)  # [H, W]; a sign is arbitrary
        v = np.full(width, -(width**-0.5))
        v[0] += 1
        if width > 1:
            basis -= np.outer(basis @ v, v) * (2 / (v @ v))
        return cls(basis, float(values.sum()) / total if total else 1.0)

    def read(self, weight: Array) -> Array:
        """[..., H] -> [..., W]: a matrix that reads the stream, or a table of its rows."""
        return weight @ self.projection

    def write(self, weight: Array) -> Array:
        """[H, ...] -> [W, ...]: a matrix that writes to the stream, or its bias."""
        return self.projection.T @ weight

    def norm(self, gain: Array, bias: Array) -> tuple[Array, Array]:
        """[H] -> [W]: gain and bias of a layernorm."""
        H, W = self.projection.shape
        return (self.share * H / W) ** 0.5 * (np.square(self.projection).T @ gain), self.write(bias)


def unexplained(student_states: npt.ArrayLike, teacher_states: npt.ArrayLike) -> float:
    """Distance of a student's hidden states from its teacher's, after the best linear map between them.

    Parameters
    ----------
    student_states : float [N, W]
    teacher_states : float [N, H]
        Of the same tokens. N has to be well above W, or any states explain any others.

    Returns
    -------
    float
        Share of the teacher's variance that is left after linear regression with an intercept: 0 if a linear
        layer on the student's states gives the teacher's, 1 if they say nothing about them.
    """
    theirs = finite_matrix("teacher_states", teacher_states, (None, None))
    ours = finite_matrix("student_states", student_states, (len(theirs), None))
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    with single_threaded_blas():
        best = np.linalg.lstsq(ours, theirs, rcond=None)[0]
        return float(np.square(theirs - ours @ best).sum() / np.square(theirs).sum())
