"""The line of a bug: single edits of backward, tried until every gradient is right."""

from scratchlv.gradcheck.repair.find import find_repairs
from scratchlv.gradcheck.repair.search import Repair

__all__ = ["Repair", "find_repairs"]
