"""A job that is stopped in the middle."""

import pytest

from minidistil.jobs.run import Job


def stop_after(steps, run, monkeypatch):
    """Run a job, and press Ctrl-C after some steps."""
    train = Job.train

    def interrupted(self, trainer):
        update, taken = trainer._update, []

        def stop():
            taken.append(1)
            if len(taken) > steps:
                raise KeyboardInterrupt
            return update()

        trainer._update = stop
        train(self, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.run()
