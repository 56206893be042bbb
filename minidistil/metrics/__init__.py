"""Metrics: plain functions of labels and predictions, without a model.

Shares are from 0 to 1; SQuAD's are percentages, as its scripts print them.
"""

from minidistil.metrics.base import Average, ClassScores, retained
from minidistil.metrics.classification import (
    CalibrationBin,
    accuracy,
    calibration_bins,
    confusion_matrix,
    expected_calibration_error,
    f1,
    matthews_correlation,
    precision_recall_f1,
)
from minidistil.metrics.entities import (
    EntityScore,
    EntityScores,
    Mode,
    Scheme,
    Span,
    convert_tags,
    entity_scores,
    read_spans,
    span_scores,
    write_tags,
)
from minidistil.metrics.multilabel import multilabel_f1, multilabel_precision_recall_f1, subset_accuracy
from minidistil.metrics.ranking import (
    auroc,
    average_precision,
    mean_reciprocal_rank,
    ndcg_at_k,
    ranking_scores,
    recall_at_k,
)
from minidistil.metrics.regression import mean_absolute_error, mean_squared_error, pearson, spearman
from minidistil.metrics.rouge import (
    RougeScore,
    ascii_words,
    rouge_l,
    rouge_lsum,
    rouge_n,
    rouge_scores,
    unicode_words,
)
from minidistil.metrics.selective import (
    OUT_OF_SCOPE,
    Threshold,
    best_threshold,
    rejection_accuracy,
    selective_scores,
)
from minidistil.metrics.squad import answer_f1, exact_match, normalize_answer, squad_v1, squad_v2
from minidistil.metrics.uncertainty import proportion_standard_error, standard_error

__all__ = [
    "OUT_OF_SCOPE",
    "Average",
    "CalibrationBin",
    "ClassScores",
    "EntityScore",
    "EntityScores",
    "Mode",
    "RougeScore",
    "Scheme",
    "Span",
    "Threshold",
    "accuracy",
    "answer_f1",
    "ascii_words",
    "auroc",
    "average_precision",
    "best_threshold",
    "calibration_bins",
    "confusion_matrix",
    "convert_tags",
    "entity_scores",
    "exact_match",
    "expected_calibration_error",
    "f1",
    "matthews_correlation",
    "mean_absolute_error",
    "mean_reciprocal_rank",
    "mean_squared_error",
    "multilabel_f1",
    "multilabel_precision_recall_f1",
    "ndcg_at_k",
    "normalize_answer",
    "pearson",
    "precision_recall_f1",
    "proportion_standard_error",
    "ranking_scores",
    "read_spans",
    "recall_at_k",
    "rejection_accuracy",
    "retained",
    "rouge_l",
    "rouge_lsum",
    "rouge_n",
    "rouge_scores",
    "selective_scores",
    "span_scores",
    "spearman",
    "squad_v1",
    "squad_v2",
    "standard_error",
    "subset_accuracy",
    "unicode_words",
    "write_tags",
]
