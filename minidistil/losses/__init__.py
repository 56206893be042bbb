"""Every training objective: inputs -> (sum, count, gradient of the sum). One objective a file."""

from minidistil.losses.base import Loss, log_softmax
from minidistil.losses.binary_cross_entropy import binary_cross_entropy
from minidistil.losses.cosine import cosine
from minidistil.losses.cross_entropy import IGNORE_INDEX, cross_entropy, soft_cross_entropy
from minidistil.losses.mean_squared import mean_squared_error
from minidistil.losses.soft_labels import soft_label_kl

__all__ = [
    "IGNORE_INDEX",
    "Loss",
    "binary_cross_entropy",
    "cosine",
    "cross_entropy",
    "log_softmax",
    "mean_squared_error",
    "soft_cross_entropy",
    "soft_label_kl",
]
