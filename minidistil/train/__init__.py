"""Training: `settings`, `objective` (what is minimised), `trainer` (the loop), and below them `optimizer`,
`schedule`, `hooks`, `checkpoint`, `state`, `interrupt`, `log`, `diagnosis`; `memory_plan` is computed before
a run, `learning_rate` tries rates before one, `validation` is the loss on other examples.
"""
