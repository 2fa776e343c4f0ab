"""Where can a captioner point that knows everything of the scene, but not what it is about to say?

    python benchmarks/ideal_pointing.py [--n 500]

A caption of the grammar "relations" is about two objects that nobody can foresee. An ideal decoder says at each word what is
likeliest, and looks alike at every object that the words it has read leave possible. Asked with h_{t-1}, attention has not read
the last word yet; asked with h_t, it has. The share of looks that fall on what the phrase then names is printed for both: it is
what the pointing game can give, however fine the grid and however good the features.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter

from scratchlv.data.scenes import Scene, SceneObject, relation_between
from scratchlv.data.scenes.world import World, first_scenes

ATTRIBUTES = ("size", "colour", "shape")
Pair = tuple[SceneObject, SceneObject, str]  # the first, the second, and how the first lies to it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500, help="scenes of the split val, of 3 to 8 objects")
    scenes = list(first_scenes(0, "val", parser.parse_args().n, World((3, 8))))
    print("share of looks that hit, by the word that is about to be said\n")
    print(
        "query".ljust(10) + "".join(f"{which} {a}".rjust(15) for which in ("first", "second") for a in ATTRIBUTES),
        "all",
        sep="  ",
    )
    for query, unread in (("h_{t-1}", 1), ("h_t", 0)):
        looks = [looks_of(scene, unread) for scene in scenes]
        means = [sum(column) / len(looks) for column in zip(*looks, strict=True)]
        print(query.ljust(10) + "".join(f"{mean:15.1%}" for mean in means), f"{sum(means) / len(means):.1%}", sep="  ")


def looks_of(scene: Scene, unread: int) -> list[float]:
    """For the six attribute words of the likeliest caption, the probability that the look before each hits."""
    pairs: list[Pair] = [
        (a, b, relation)
        for a, b in itertools.permutations(scene.objects, 2)
        if (relation := relation_between(a, b)) is not None
    ]
    found = []
    for which in (0, 1):
        said: list[str] = []
        seen = []  # how often each object is possible, at each look
        for attribute in ATTRIBUTES:
            read = said[: max(0, len(said) - unread)]
            seen.append(Counter(pair[which] for pair in pairs if agrees(pair[which], read)))
            possible = Counter(getattr(pair[which], attribute) for pair in pairs if agrees(pair[which], said))
            said.append(possible.most_common(1)[0][0])
        for counts in seen:
            most = [o for o, count in counts.items() if count == max(counts.values())]
            found.append(sum(agrees(o, said) for o in most) / len(most))
        pairs = [pair for pair in pairs if agrees(pair[which], said)]
        if which == 0:  # its place, and the relation
            place = Counter(pair[0].place for pair in pairs).most_common(1)[0][0]
            relation = Counter(pair[2] for pair in pairs if pair[0].place == place).most_common(1)[0][0]
            pairs = [pair for pair in pairs if pair[0].place == place and pair[2] == relation]
    return found


def agrees(o: SceneObject, words: list[str]) -> bool:
    """Whether the first attributes of an object are these."""
    return all(getattr(o, attribute) == word for attribute, word in zip(ATTRIBUTES, words, strict=False))


if __name__ == "__main__":
    main()
