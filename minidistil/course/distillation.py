"""Lesson 5: distillation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidistil import losses
from minidistil.arrays import Array
from minidistil.course.comparison import slopes
from minidistil.course.exercises import BY_DIFFERENCES, Call, Choice, Function, Lesson, Number
from minidistil.distill.student import even_layers
from minidistil.losses import log_softmax, soft_label_kl
from minidistil.model.families.bert import BertConfig, BertModel
from minidistil.model.families.distilbert import DistilBertConfig, DistilBertModel


def soft_gradient() -> float:
    return float(soft_label_kl(np.zeros((1, 2)), np.log([[1.0, 3.0]]), temperature=2.0).grad[0, 0])


def distilbert_share() -> float:
    student, teacher = (
        sum(spec.size for spec in kind.specs(config))
        for kind, config in ((DistilBertModel, DistilBertConfig()), (BertModel, BertConfig()))
    )
    return student / teacher


def student_layers_calls(rng: np.random.Generator) -> Iterator[Call]:
    for count, depth in ((3, 6), (4, 12), (1, 12), (5, 5)):
        layers = np.array(even_layers(count, depth))
        yield Call({"count": count, "depth": depth}, {"layers": layers})


def soft_label_loss_calls(rng: np.random.Generator) -> Iterator[Call]:
    student, teacher = 2 * rng.normal(size=(4, 5)), 2 * rng.normal(size=(4, 5))
    for temperature in (1.0, 3.0):
        given = {"student": student, "teacher": teacher, "temperature": temperature}
        loss = soft_label_kl(student, teacher, temperature=temperature)
        yield Call(given, {"sum": loss.sum, "grad": loss.grad})
    numeric = slopes(lambda z: np.float64(soft_label_kl(z, teacher, temperature=temperature).sum), student)
    yield Call(given, {"sum": loss.sum, "grad": numeric}, **BY_DIFFERENCES)


def cosine_loss_calls(rng: np.random.Generator) -> Iterator[Call]:
    student, teacher = 2 * rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    loss, given = losses.cosine(student, teacher), {"student": student, "teacher": teacher}
    yield Call(given, {"sum": loss.sum, "grad": loss.grad})
    numeric = slopes(lambda s: np.float64(losses.cosine(s, teacher).sum), student)
    yield Call(given, {"sum": loss.sum, "grad": numeric}, **BY_DIFFERENCES)


def jensen_shannon(student: Array, teacher: Array) -> float:
    """Jensen-Shannon divergence of the softmaxes of two arrays of logits, summed over rows."""
    log_p, log_q = log_softmax(student), log_softmax(teacher)
    p, q = np.exp(log_p), np.exp(log_q)
    log_m = np.log((p + q) / 2)
    return float((p * (log_p - log_m) + q * (log_q - log_m)).sum() / 2)


def js_loss_calls(rng: np.random.Generator) -> Iterator[Call]:
    student, teacher = 2 * rng.normal(size=(4, 5)), 2 * rng.normal(size=(4, 5))
    numeric = slopes(lambda z: jensen_shannon(z, teacher), student)
    given = {"student": student, "teacher": teacher}
    yield Call(given, {"sum": jensen_shannon(student, teacher), "grad": numeric}, **BY_DIFFERENCES)


LESSON = Lesson(
    5,
    "distillation",
    "distillation",
    (
        Number(
            "soft_gradient",
            "A gradient on paper",
            """
            The teacher's logits are (log 1, log 3), the student's (0, 0), and T = 2. What is the gradient of
            the soft labels' loss, T^2 included, by the student's first logit?
            """,
            soft_gradient,
        ),
        Number(
            "distilbert_share",
            "60 % of the size",
            """
            A BERT-base without a task head has 12 layers, a table of 30,522 words, 512 positions, 2 token
            types, a layernorm above the tables, and a pooler. A DistilBERT has half of the layers, and
            neither token types nor a pooler. What share of the parameters is left, as a number from 0 to 1?
            """,
            distilbert_share,
            tolerance=5e-3,
        ),
        Function(
            "student_layers",
            "Layers of a student",
            """
            Return a list of the count layers of a teacher of depth layers that the student starts from: from
            0 to depth - 1 at equal distances, layer i being i (depth - 1) / (count - 1), rounded, a half
            upwards. One layer is the first. Do it in integers.
            """,
            "count, depth",
            student_layers_calls,
        ),
        Function(
            "soft_label_loss",
            "Soft labels",
            """
            Return (sum, grad) for logits student and teacher [N, C]: T^2 KL(softmax(teacher / T) ||
            softmax(student / T)) summed over the rows, and its gradient by the student's logits [N, C].
            """,
            "student, teacher, temperature",
            soft_label_loss_calls,
        ),
        Choice(
            "hot_limit",
            "Very high temperature",
            """
            The logits z_s and z_t of each row have mean 0, there are C classes, and T grows without bound.
            What does the gradient tend to with the factor T^2 (a, b or c), and how does it fall without it
            (d, e or f)?
            """,
            (
                "0",
                "(z_s - z_t) / C",
                "p_s - p_t, both at T = 1",
                "as 1 / T",
                "as 1 / T^2",
                "not at all",
            ),
            "542b1b81ba83dad7",
        ),
        Function(
            "cosine_loss",
            "Directions of hidden states",
            """
            Return (sum, grad) for hidden states student and teacher [N, H]: one minus the cosine of the angle
            between the two, summed over the rows, and its gradient by the student's [N, H].
            """,
            "student, teacher",
            cosine_loss_calls,
        ),
        Function(
            "js_loss",
            "A loss that is not in the package",
            """
            The Jensen-Shannon divergence of p and q is (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2. It
            is symmetric, and at most log 2. Return (sum, grad) for logits student and teacher [N, C], p and q
            being their softmaxes at T = 1. m moves with the student.
            """,
            "student, teacher",
            js_loss_calls,
        ),
    ),
)
