"""The search for an edit that makes every gradient right: in the order of guilt, of likelihood and of what fits."""

from __future__ import annotations

import ast
import os
import warnings
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from types import CodeType
from typing import Any

import numpy as np

from scratchlv.gradcheck.causes import cause
from scratchlv.gradcheck.evidence import Evidence, Test
from scratchlv.gradcheck.repair.activations import Activations
from scratchlv.gradcheck.repair.apart import PATIENCE, Counter, Emit, Overdue, Stopwatch, at_most
from scratchlv.gradcheck.repair.edits import Edit
from scratchlv.gradcheck.repair.edits_of_what_is_kept import kept_edits
from scratchlv.gradcheck.repair.edits_that_fit import fitting_edits
from scratchlv.gradcheck.repair.facts import Facts, observe
from scratchlv.gradcheck.repair.guilt import Guilt
from scratchlv.gradcheck.repair.meaning import meaning
from scratchlv.gradcheck.repair.mend import line_of, mended
from scratchlv.gradcheck.repair.sites import narrow_edits, wide_edits
from scratchlv.gradcheck.repair.source import Function, called, functions, replaced, unwrapped
from scratchlv.gradcheck.repair.state import State

LONGEST = 100  # characters of a line that is shown
SIMPLE = ast.Name | ast.Attribute | ast.Subscript
FIRST = 400  # edits of likely lines, before expressions are looked for that fit
LIKELY = 1.6  # guilt of the lines whose edits are tried first
SIMPLER = 0.15  # of the time, for simpler edits where one serves
PAIRS = 300  # of partial repairs that are tried together


@dataclass(frozen=True)
class Repair:
    """An edit of one line, and the gradients that are right with it."""

    file: str
    line: int
    code: str  # the line as it stands, stripped
    mend: str  # the line as it would be; "" if it goes or moves
    how: str  # in words: "with +=", "without .T", "with h[t] for h[t + 1]"
    cause: str  # the words of causes.cause that this edit shows, or "" where an edit alone does not tell
    right: tuple[str, ...]  # the gradients that it makes right; all, unless partial
    partial: bool = False
    also: tuple[Repair, ...] = ()  # lines that must be changed together with this one

    def sentence(self, show_mend: bool = True) -> str:
        """Where, how and what for; without ``show_mend`` where and what for alone."""
        parts = (self, *self.also)
        names = ", ".join(f"d{name}" for name in self.right)
        what = f"{names} {'is' if len(self.right) == 1 else 'are'} right" if self.partial else "every gradient is right"
        if show_mend:
            shown = [
                f"line {each.line}, `{_short(each.code)}`: {_short(each.how)}"
                + (f" (`{_short(each.mend, each.code)}`)" if each.mend else "")
                for each in parts
            ]
            return f"{'; and '.join(shown)} {what}"
        where = " and ".join(f"line {each.line}, `{_short(each.code)}`" for each in parts)
        return f"{where}: if {'this line is' if len(parts) == 1 else 'these lines are'} changed, {what}"


def _short(text: str, other: str = "") -> str:
    """A long line cut down to where it differs from another, or to its beginning."""
    if len(text) <= LONGEST:
        return text
    begin = max(len(os.path.commonprefix([text, other])) - LONGEST // 3, 0)
    shown = text[begin : begin + LONGEST]
    return "…" * (begin > 0) + shown + "…" * (begin + LONGEST < len(text))


@dataclass
class Found:
    """A repair as it is found; the lower its score, the more natural it is."""

    score: float
    repair: Repair


@dataclass(eq=False)
class _Suspect:
    function: Function
    facts: Facts
    guilt: Guilt


@dataclass(eq=False)
class _Candidate:
    edit: Edit
    cost: float  # the order in which it is tried
    natural: float  # the lower the better, among those that serve
    gains: frozenset[str] = frozenset()
    tried: bool = False


@dataclass(eq=False)
class Search:
    backward: Callable
    evidence: Evidence
    tests: Sequence[Test]
    forward: Callable | None
    seconds: float
    emit: Emit
    at: Counter
    skipped: set[int]
    wrong: frozenset[str] = frozenset()
    right: frozenset[str] = frozenset()
    limit: float = 1.0
    helpful: list[_Candidate] = field(default_factory=list)
    mends: list[_Candidate] = field(default_factory=list)
    tried: int = 0
    activations: Activations | None = None
    remembers: bool = False  # something besides the cache, from one forward to the next backward

    def run(self) -> None:
        warnings.simplefilter("ignore")
        np.seterr(all="ignore")
        self.watch = Stopwatch()
        evidence = self.evidence = _of_right_shape(self.evidence)
        self.state = State([evidence.inputs, evidence.y, evidence.dy, evidence.cache, evidence.backward, *self.tests])
        now = self._tested(self.tests[0])
        self.limit = max(0.25, 20 * PATIENCE * self.watch.spent)
        self.state.freeze(lambda: [self._tested(test) for test in self.tests])
        try:
            self._search(now)
        finally:
            self.state.release()

    def _search(self, now: dict[str, bool]) -> None:
        self.right = frozenset(name for name, good in now.items() if good)
        self.wrong = (frozenset(now) | frozenset(self.evidence.wrong)) - self.right
        if not self.wrong:
            return
        self.remembers = self._remembers()
        suspects = self._suspects()
        likely = self._candidates(suspects, self._likely)
        if self._singles(likely[:FIRST], 0.5):
            self._simpler(likely)
            return
        fitting = self._singles(self._candidates(suspects, self._fitting), 0.6)
        spent = self._time() / self.seconds
        if self._singles(likely[FIRST:], min(0.6, 1.5 * spent) if fitting else 0.6) or fitting:
            self._simpler(likely)
            return
        if self._kept():
            return
        others = self._others(suspects)
        if others is not None:
            self._pairs() or self._second(likely + others)
            self._partial()

    def _kept(self) -> bool:
        """Whether backward is right if forward keeps another array for it, or keeps it earlier, and its outputs stay."""
        forget = [test.forget for test in self.tests if hasattr(test, "forget")]
        if self.forward is None or len(forget) < len(self.tests):
            return False
        inputs, forward, roots = self.evidence.inputs, self.forward, unwrapped(self.forward)
        candidates = []
        for function in functions(roots, roots):
            facts = observe(function, lambda: forward(**inputs))
            candidates += [_Candidate(edit, edit.cost, edit.cost) for edit in kept_edits(function, facts)]
        for each in forget:
            each()
        helpful = list(self.helpful)
        found = self._singles(sorted(candidates, key=lambda candidate: candidate.cost), 0.85)
        self.helpful = helpful  # what forward keeps is changed alone
        return found

    def _others(self, suspects: list[_Suspect]) -> list[_Candidate] | None:
        """Edits of the less likely lines, that are all tried; None if one of them serves."""
        tried: list[_Candidate] = []
        levels = {
            each.guilt.least(line) for each in suspects for line in each.facts.scopes if isinstance(line, ast.stmt)
        }
        for level in sorted(level for level in levels if level > LIKELY):
            new = self._candidates(suspects, partial(self._of_level, level))
            if self._singles(new, 0.7):
                return None
            tried += new
            if self._time() > 0.7 * self.seconds:
                break
        return tried

    # --- Candidates, in order ---

    def _functions(self) -> list[Function]:
        roots = unwrapped(self.backward)
        codes = called(lambda: self._tested(self.tests[0]), roots)
        of_forward: set[CodeType] = set()
        if self.forward is not None:
            inputs, forward = self.evidence.inputs, self.forward
            of_forward = set(called(lambda: forward(**inputs), unwrapped(forward))) - set(roots)
        return functions([code for code in codes if code not in of_forward], roots)

    def _suspects(self) -> list[_Suspect]:
        found = []
        listed = self._functions()
        for function in listed:
            facts = observe(function, lambda: self._tested(self.tests[0]))
            facts.ratio = _ratio(self.evidence)
            seconds = 0.25 * self.seconds / len(listed)
            guilt = Guilt(function, facts, self.evidence, set(self.wrong), self._gradients, seconds)
            found.append(_Suspect(function, facts, guilt))
        return found

    def _likely(self, each: _Suspect) -> list[Edit]:
        narrow = narrow_edits(each.function, each.facts, lambda line: each.guilt.least(line) <= LIKELY)
        return [*narrow, *wide_edits(each.function, each.facts)]

    def _of_level(self, level: float, each: _Suspect) -> list[Edit]:
        return list(narrow_edits(each.function, each.facts, lambda line: each.guilt.least(line) == level))

    def _fitting(self, each: _Suspect) -> list[Edit]:
        return list(fitting_edits(each.function, each.guilt, self._gradients, 0.15 * self.seconds, each.facts.numpy))

    def _candidates(self, suspects: list[_Suspect], edits_of: Callable[[_Suspect], list[Edit]]) -> list[_Candidate]:
        """Edits, in the order in which they are to be tried."""
        found: list[_Candidate] = []
        for each in suspects:
            counts: Counts[str] = Counts()
            for edit in sorted(edits_of(each), key=lambda edit: edit.cost):
                count = counts[edit.group]
                counts[edit.group] += 1
                natural = edit.cost + 0.01 * edit.nodes + (0 if each.function.own else 0.3) + 0.7 * _late(edit)
                hint = edit.hint + (1.0 if edit.key == "sign" and (each.facts.ratio or 0) < 0 else 0)
                cost = natural + each.guilt.of(edit) + 0.3 * float(np.log1p(count)) - hint
                found.append(_Candidate(edit, cost, natural))
        return sorted(found, key=lambda candidate: candidate.cost)

    def _gradients(self) -> dict[str, Any]:
        """As in the check that failed; where forward leaves something behind for backward, after the first test."""
        if self.evidence.backward is None:
            raise LookupError("no gradients but those of the check that failed")
        with at_most(self.limit):
            if self.remembers:
                self.tests[0]()
            return self.evidence.backward(self.evidence.dy)

    def _remembers(self) -> bool:
        """The gradients are not those of the check that failed, unless a test has run forward."""
        try:
            grads, analytic = self._gradients(), self.evidence.analytic
            return not all(np.allclose(grads[name], analytic[name], equal_nan=True) for name in analytic)
        except (Exception, Overdue):
            return bool(self.evidence.analytic)  # there have been some

    # --- Tests ---

    def _tested(self, test: Test) -> dict[str, bool]:
        try:
            with at_most(self.limit):
                return test()
        except (Exception, Overdue):
            return {}

    def _with(self, edits: Sequence[Edit], judge: Callable[[], Any]) -> Any:
        """What ``judge`` says while the edits are made; None if that cannot be compiled."""
        try:
            for edit in edits:
                edit.apply()
            with ExitStack() as stack:
                for function in {edit.function: None for edit in edits}:
                    code = function.compiled()
                    if code is None:
                        return None
                    stack.enter_context(replaced(function, code))
                return judge()
        except (LookupError, AttributeError, RecursionError):
            return None
        finally:
            for edit in reversed(edits):
                edit.revert()
            self.state.restore()

    def _all_right(self, tests: Sequence[Test]) -> bool:
        for test in tests:
            got = self._tested(test)
            if not got or not all(got.values()):
                return False
        return True

    # --- Searches ---

    def _time(self) -> float:
        return self.watch.spent

    def _singles(self, candidates: list[_Candidate], share: float) -> bool:
        """Whether an edit alone makes everything right; those that do some good are kept."""
        found, until = False, share * self.seconds
        for candidate in candidates:
            if self._time() > until:
                break
            self.tried += 1
            candidate.tried = True
            self.at.value = self.tried
            if self.tried in self.skipped:
                continue
            got = self._with([candidate.edit], lambda: self._tested(self.tests[0]))
            if not got:
                continue
            good = {name for name, fine in got.items() if fine}
            if self.wrong <= good and self.right <= good and all(got.values()):
                if self._with([candidate.edit], lambda: self._all_right(self.tests[1:])):
                    self._emit([candidate], self.right | self.wrong)
                    self.mends.append(candidate)
                    if not found:
                        until = min(until, self._time() + max(0.3, 0.3 * self._time()))
                    found = True
            elif self.right <= good and good & self.wrong:
                candidate.gains = frozenset(good & self.wrong)
                self.helpful.append(candidate)
        return found

    def _simpler(self, candidates: list[_Candidate]) -> None:
        """Of the statements that a mend was found in, the simpler edits that were not tried yet."""
        most = {id(each.edit.statement): each.natural for each in sorted(self.mends, key=lambda each: -each.natural)}
        left = [
            each for each in candidates if not each.tried and each.natural < most.get(id(each.edit.statement), -9.0)
        ]
        share = min(1.0, self._time() / self.seconds + SIMPLER)
        self._singles(sorted(left, key=lambda each: each.natural), share)

    def _pairs(self) -> bool:
        """Two edits that each make some gradients right, and together all."""
        pairs = [
            (one.natural + other.natural, one, other)
            for number, one in enumerate(self.helpful[:60])
            for other in self.helpful[number + 1 : 60]
            if one.gains | other.gains == self.wrong and one.gains != self.wrong
        ]
        for _, one, other in sorted(pairs, key=lambda pair: pair[0])[:PAIRS]:
            if self._time() > self.seconds:
                return False
            if self._with([one.edit, other.edit], lambda: self._all_right(self.tests)):
                self._emit([one, other], self.right | self.wrong)
                return True
        return False

    def _second(self, candidates: list[_Candidate]) -> bool:
        """On top of the edit that does most good, another one."""
        firsts = sorted(self.helpful, key=lambda each: (-len(each.gains), each.cost))[:2]
        for number, first in enumerate(firsts):
            until = self._time() + (self.seconds - self._time()) / (len(firsts) - number) * 0.9
            for other in candidates:
                if self._time() > until:
                    break
                if other is not first and self._with([first.edit, other.edit], lambda: self._all_right(self.tests)):
                    self._emit([first, other], self.right | self.wrong)
                    return True
        return False

    def _partial(self) -> None:
        """The edits that make most gradients right, on all tests."""
        best = sorted(self.helpful, key=lambda each: (-len(each.gains), each.cost))[:40]
        for candidate in best:
            if self._with([candidate.edit], partial(self._keeps, candidate.gains)):
                self._emit([candidate], candidate.gains, partial=True)
                return

    def _keeps(self, gains: frozenset[str]) -> bool:
        return all(gains <= {name for name, good in self._tested(test).items() if good} for test in self.tests)

    def _emit(self, candidates: Sequence[_Candidate], right: Iterable[str], partial: bool = False) -> None:
        repairs = [self._repair(each.edit, right, partial) for each in candidates]
        score = sum(each.natural for each in candidates)
        self.emit(Found(score, replace(repairs[0], also=tuple(repairs[1:]))))

    def _repair(self, edit: Edit, right: Iterable[str], partial: bool) -> Repair:
        if self.activations is None:
            self.activations = Activations(self.evidence)
        key, details = meaning(edit, self.evidence, self.activations)
        return _repair(edit, right, self.evidence, partial, cause(key, **details) if key else "")


def _late(edit: Edit) -> bool:
    """It changes what is returned, where it was computed in another line."""
    return isinstance(edit.statement, ast.Return) and edit.site is not None and isinstance(edit.site.node, SIMPLE)


def _repair(edit: Edit, right: Iterable[str], evidence: Evidence, partial: bool, words: str) -> Repair:
    line = line_of(edit)
    names = [name for name in evidence.inputs if name in set(right)]
    return Repair(
        file=edit.function.file,
        line=line,
        code=edit.function.lines[line - 1].strip(),
        mend=mended(edit),
        how=edit.described(),
        cause=words,
        right=tuple(names or sorted(right)),
        partial=partial,
    )


def _of_right_shape(evidence: Evidence) -> Evidence:
    """Without the gradients that cannot be compared."""
    shapes = {name: np.shape(grad) for name, grad in evidence.numeric.items()}
    analytic = {name: grad for name, grad in evidence.analytic.items() if np.shape(grad) == shapes.get(name)}
    return replace(evidence, analytic=analytic)


def _ratio(evidence: Evidence) -> float | None:
    """The number that all wrong gradients are too large by, if it is one."""
    found: list[float] = []
    for name in evidence.wrong:
        if name not in evidence.analytic or name not in evidence.numeric:
            return None
        a, n = evidence.analytic[name], evidence.numeric[name]
        known = np.isfinite(n) & np.isfinite(a)
        square = float((n[known] ** 2).sum())
        if not square:
            return None
        c = float((a[known] * n[known]).sum()) / square
        if not c or not np.allclose(a[known], c * n[known], rtol=1e-4, atol=1e-6 * abs(c) * np.sqrt(square)):
            return None
        found.append(c)
    return found[0] if found and np.allclose(found, found[0], rtol=1e-4) else None
