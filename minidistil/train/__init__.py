"""Training: `settings` (what one can choose), `objective` (what is minimised), `trainer` (the loop), and
what they stand on: `optimizer`, `schedule`, `checkpoint`, `state`, `interrupt`, `log`, `progress`.
"""
