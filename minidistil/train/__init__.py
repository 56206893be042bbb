"""Training: `settings`, `objective` (what is minimised), `trainer` (the loop), and below them `optimizer`,
`schedule`, `checkpoint`, `state`, `interrupt`, `log`; `memory_plan` is computed before a run.
"""
