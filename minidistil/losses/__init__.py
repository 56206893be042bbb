"""Every training objective: inputs -> (sum, count, gradient of the sum). One objective a file.

All of them raise an InputError for shapes or dtypes that do not fit. A teacher's arrays are constants: there
is no gradient by them.
"""

from minidistil.losses.attention_maps import attention_probabilities_kl, attention_scores_mse
from minidistil.losses.attention_relations import self_attention_relations
from minidistil.losses.attention_scores import BiasedLoss
from minidistil.losses.base import Loss, log_softmax
from minidistil.losses.binary_cross_entropy import binary_cross_entropy
from minidistil.losses.contrastive import contrastive
from minidistil.losses.cosine import cosine
from minidistil.losses.cross_entropy import IGNORE_INDEX, cross_entropy, soft_cross_entropy
from minidistil.losses.hidden_mse import ProjectedLoss, hidden_mse
from minidistil.losses.logits_mse import logits_mse
from minidistil.losses.mse import mean_squared_error
from minidistil.losses.pkd import pkd
from minidistil.losses.soft_labels import soft_binary_kl, soft_label_kl
from minidistil.losses.triplet import triplet_margin

__all__ = [
    "IGNORE_INDEX",
    "BiasedLoss",
    "Loss",
    "ProjectedLoss",
    "attention_probabilities_kl",
    "attention_scores_mse",
    "binary_cross_entropy",
    "contrastive",
    "cosine",
    "cross_entropy",
    "hidden_mse",
    "log_softmax",
    "logits_mse",
    "mean_squared_error",
    "pkd",
    "self_attention_relations",
    "soft_binary_kl",
    "soft_cross_entropy",
    "soft_label_kl",
    "triplet_margin",
]
