"""Distillation: initial weights of a student, its objective, and the teacher's outputs on disk."""

from minidistil.distill.objective import Distillation
from minidistil.distill.prune import head_scores, prune_width
from minidistil.distill.residual_stream import unexplained
from minidistil.distill.student import alternate_layers, choose_layers, init_student
from minidistil.distill.teacher_cache import TeacherCache
from minidistil.distill.teacher_mean import TeacherMean
from minidistil.distill.trainer import DistillationTrainer

__all__ = [
    "Distillation",
    "DistillationTrainer",
    "TeacherCache",
    "TeacherMean",
    "alternate_layers",
    "choose_layers",
    "head_scores",
    "init_student",
    "prune_width",
    "unexplained",
]
