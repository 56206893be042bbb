"""Distillation: a student from a teacher's layers, what it minimises, and the teacher's outputs on disk."""

from minidistil.distill.objective import TaskDistillation
from minidistil.distill.student import alternate_layers, choose_layers, init_student
from minidistil.distill.teacher_cache import teacher_logits
from minidistil.distill.trainer import DistillationTrainer

__all__ = [
    "DistillationTrainer",
    "TaskDistillation",
    "alternate_layers",
    "choose_layers",
    "init_student",
    "teacher_logits",
]
