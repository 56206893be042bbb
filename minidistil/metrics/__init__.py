"""How good predictions are: plain functions of labels and predictions, which know of no model."""

from minidistil.metrics.base import Average, ClassScores
from minidistil.metrics.classification import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    f1,
    matthews_correlation,
    precision_recall_f1,
)
from minidistil.metrics.multilabel import multilabel_f1, multilabel_precision_recall_f1, subset_accuracy
from minidistil.metrics.ranking import auroc, average_precision, mean_reciprocal_rank, ndcg_at_k, recall_at_k
from minidistil.metrics.regression import mean_absolute_error, mean_squared_error, pearson, spearman

__all__ = [
    "Average",
    "ClassScores",
    "accuracy",
    "auroc",
    "average_precision",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "matthews_correlation",
    "mean_absolute_error",
    "mean_reciprocal_rank",
    "mean_squared_error",
    "multilabel_f1",
    "multilabel_precision_recall_f1",
    "ndcg_at_k",
    "pearson",
    "precision_recall_f1",
    "recall_at_k",
    "spearman",
    "subset_accuracy",
]
