"""Exercises that grade themselves, and what their authors write them with: see ``course/README.md``."""

from scratchlv.exercises.authoring import Learner, Mistake, call, pair, source

__all__ = ["Learner", "Mistake", "call", "pair", "source"]
