"""Scenes for tests."""

from scratchlv.data import scenes as S
from scratchlv.data.scenes import World, scene, split_index

N = 60  # scenes of each split, where many are looked at


def some(split: str = "train", n: int = N, seed: int = 0, world: World | None = None) -> list[S.Scene]:
    return [scene(seed, split_index(split, i), world) for i in range(n)]


def at(x: float, y: float, shape="circle", colour="red", size="small") -> S.SceneObject:
    return S.SceneObject(shape, colour, size, x, y, sum(S.SIZES[size]) / 2)
