"""Runs that were never trained, probed as if they lay in folders."""

from pathlib import Path

from scratchlv.tasks import captioning, probe, training

SMALL = ["batch=4", "n_train=12", "n_val=8", "hidden=16", "embedding=8"]


def made(model="attention", more=(), seed=0, **options):
    """A run that was never trained."""
    config = captioning.config("caption", "scenes", model, "quick", seed, [*SMALL, *more], **options)
    return captioning.prepare(config, None, False, lambda line: None, Path()).run


def probing(monkeypatch):
    """``of(run, …)`` probes runs."""

    def of(*runs, **options):
        folders = {Path(f"runs/{k}-{run.config.model}"): run for k, run in enumerate(runs)}
        monkeypatch.setattr(training, "load", lambda folder, *tasks, **more: folders[folder])
        return probe.probe([*folders], show_progress=False, **options)

    return of
