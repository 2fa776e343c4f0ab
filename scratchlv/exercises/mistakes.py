"""Mistakes that learners make: patches to a solution, each with what the learner must be told.

    stage: gradient
    says: the sum over j is missing

    -    return p * (dp - (dp * p).sum(axis=1, keepdims=True))
    +    return p * dp

Lines with a space are there to find the place; ``@@`` parts hunks; the headings of ``diff -u`` are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scratchlv.errors import UserError

STAGES = ("start", "shape", "dtype", "value", "gradient")


@dataclass(frozen=True)
class Mistake:
    """One patch: the name of its file, where it shows, what it is, and its hunks as pairs of lines (before, after)."""

    name: str
    stage: str
    says: str
    hunks: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()

    def planted(self, text: str) -> str:
        """The text of a solution with this mistake in it.

        Raises:
            UserError: a hunk's lines are not there, or more than once.
        """
        lines = text.splitlines()
        for before, after in self.hunks:
            places = [i for i in range(len(lines)) if tuple(lines[i : i + len(before)]) == before]
            if len(places) != 1:
                first = next((line for line in before if line.strip()), "")
                found = "is not in the solution" if not places else f"is there {len(places)} times: add lines around it"
                raise UserError(f"mistakes/{self.name}.patch: `{first.strip()}` {found}")
            lines[places[0] : places[0] + len(before)] = after
        return "\n".join(lines) + "\n"


def read_mistake(path: Path) -> Mistake:
    """
    Raises:
        UserError: it has no stage or no sentence, or changes nothing.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    head, _, body = text.partition("\n\n")
    keys = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    if not keys.get("stage") or not keys.get("says"):
        raise UserError(f"{path} begins with the lines `stage: …` and `says: …`, then an empty line, then the patch")
    hunks = tuple(_hunks(body))
    if not any(before != after for before, after in hunks):
        raise UserError(f"{path} changes nothing: lines that go begin with -, lines that come with +")
    return Mistake(path.stem, keys["stage"].strip(), keys["says"].strip(), hunks)


def _hunks(body: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    hunks: list[tuple[list[str], list[str]]] = [([], [])]
    for line in body.splitlines():
        if line.startswith(("---", "+++")) and line[3:4] in ("", " "):
            continue
        if line.startswith("@@"):
            hunks.append(([], []))
            continue
        if line[:1] in ("-", " ", ""):
            hunks[-1][0].append(line[1:])
        if line[:1] in ("+", " ", ""):
            hunks[-1][1].append(line[1:])
    return [(tuple(_trimmed(before)), tuple(_trimmed(after))) for before, after in hunks if before or after]


def _trimmed(lines: list[str]) -> list[str]:
    """Without empty lines at the end, which an editor adds."""
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines
