"""A fine-tuning that is stopped in the middle."""

import pytest

from minidistil.jobs.finetune import FineTuning


def stop_after(steps, run, monkeypatch):
    """Run a fine-tuning, and press Ctrl-C after some steps."""
    trainer = FineTuning.trainer

    def interrupted(self, *arguments, **options):
        made = trainer(self, *arguments, **options)
        update, taken = made._update, []

        def stop():
            taken.append(1)
            if len(taken) > steps:
                raise KeyboardInterrupt
            return update()

        made._update = stop
        return made

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, "trainer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.run()
