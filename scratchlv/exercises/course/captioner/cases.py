"""Loss, gradients and decoding on small inputs; then training on drawn scenes, and whether the captions are true."""

import numpy as np

from scratchlv.data import scenes
from scratchlv.exercises import call, pair

PAD, START, END = 0, 1, 2


def shapes(D, R, A, E, H, V):
    """Of the parameters, by name; H wide states, and so on."""
    attention = {"Wx": (R, A), "Wh": (H, A), "b": (A,), "v": (A,)}
    decoder = {"Ww": (E, 4 * H), "Wz": (R, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
    output = {"Lh": (H, E), "Lz": (R, E), "Lo": (E, V), "bo": (V,)}
    parts = {"encoder": {"W": (D, R), "b": (R,)}, "embedding": {"W": (V, E)}}
    parts |= {"attention": attention, "decoder": decoder, "output": output}
    return {f"{part}.{name}": shape for part, own in parts.items() for name, shape in own.items()}


def cases(rng, N, T, L, D, R, A, E, H, V):
    def parameters(D=D, R=R, A=A, E=E, H=H, V=V, size=0.5):
        return {name: size * rng.standard_normal(shape) for name, shape in shapes(D, R, A, E, H, V).items()}

    def sentences(lengths, T):
        """(T + 1, N): <start>, words, <end>, and padding."""
        tokens = np.full((T + 1, len(lengths)), PAD)
        tokens[0] = START
        for n, length in enumerate(lengths):
            tokens[1:length, n] = rng.integers(3, V, length - 1)
            tokens[length, n] = END
        return tokens

    def loss(case, lengths, T=T, params=None):
        features = rng.standard_normal((len(lengths), L, D))
        inputs = {"params": params or parameters(), "features": features, "tokens": sentences(lengths, T)}
        return pair("forward", "backward", case=case, fixed=("features",), **inputs)

    yield loss("one picture, one word", [1], T=1)
    yield loss("one picture, two words", [2], T=2)
    yield loss("several pictures, as many words for each", [T] * N)
    yield loss("captions of several lengths", [T - n % T for n in range(N)])
    yield loss("more room than words", [2] * N, T=T + 1)

    def decoding(case, end, length):
        params = parameters(size=1.0)
        params["output.bo"][[PAD, START]] -= 50  # never said
        params["output.bo"][END] += end
        features = 2 * rng.standard_normal((2 * N + 3, L, D))
        return call("greedy", case=case, params=params, features=features, length=length)

    yield decoding("one word", -50.0, 1)
    yield decoding("sentences that do not end", -50.0, T)
    yield decoding("sentences that end", 2.0, 2 * T)
    yield decoding("sentences that end at once", 50.0, T)


# --- the training -----------------------------------------------------------------------------------------------------

WORLD = scenes.World(n_objects=(2, 2))
PICTURES, UNSEEN, STEPS, BATCH = 2000, 200, 600, 64
SIZES = {"R": 32, "A": 32, "E": 24, "H": 64}
LONGEST = 18  # words of a caption, with <end>
RATE = 0.01  # of Adam, at its highest
SHARE = 0.5  # of true captions that is asked for
VOCABULARY = ("<pad>", "<start>", "<end>", *scenes.vocabulary_words())


def grade(learner, rng, **sizes):
    learner.say(f"drawing {PICTURES:,} scenes")
    seen = list(scenes.first_scenes(0, "train", PICTURES, WORLD))
    unseen = list(scenes.first_scenes(0, "val", UNSEEN, WORLD))
    pictures = np.stack([scenes.draw(scene) for scene in unseen])
    x = features_of(np.stack([scenes.draw(scene) for scene in seen]))
    mean, std = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    x, x_unseen = ((each - mean) / std for each in (x, features_of(pictures)))
    tokens = np.stack([_tokens(scenes.caption(scene).words) for scene in seen], axis=1)

    params = _initial(rng, x.shape[2])
    batches = rng.integers(0, PICTURES, (STEPS, BATCH))
    learner.say(f"training {STEPS} steps, less than a minute")
    trained = learner.call("train", params, x, tokens, batches, RATE, seconds=240)
    trained, losses = _trained(learner, trained, params)
    learner.say(f"the loss went from {losses[0]:.2f} to {np.mean(losses[-20:]):.2f} per word")

    said = learner.call("greedy", trained, x_unseen, LONGEST, seconds=60)
    words, probabilities, alphas = _decoded(learner, said, x_unseen)
    captions = [_words(words[:, n]) for n in range(UNSEEN)]
    true = np.mean([_true(each, scene) for each, scene in zip(captions, unseen, strict=True)])
    blind = np.mean([_true(each, scene) for each, scene in zip(captions, unseen[1:] + unseen[:1], strict=True)])
    said = f"true of pictures it has not seen: {true:.0%} of its captions; of another picture: {blind:.0%}"
    learner.say(said)
    if true < SHARE or true < 4 * blind:
        sentence = f"after training, {true:.0%} of its captions are true: this training reaches {SHARE:.0%} and more"
        learner.refuse(sentence, stage="training", expected=f"at least {SHARE:.0%}", came=said)
    _draw(learner, pictures, captions, probabilities, alphas, unseen)


def _initial(rng, D):
    V = len(VOCABULARY)
    params = {}
    for name, shape in shapes(D=D, V=V, **SIZES).items():
        if name == "embedding.W":
            params[name] = 0.3 * rng.standard_normal(shape)
        elif name == "attention.v":
            params[name] = rng.standard_normal(shape) * shape[0] ** -0.5
        elif len(shape) == 2:
            params[name] = rng.uniform(-1, 1, shape) * shape[0] ** -0.5
        else:
            params[name] = np.zeros(shape)
    H = SIZES["H"]
    params["decoder.b"][H : 2 * H] = 1  # the forget gate begins open
    return {name: value.astype(np.float32) for name, value in params.items()}


def _trained(learner, came, params):
    """What train returned, if it can be used."""
    whole = isinstance(came, tuple) and len(came) == 2 and isinstance(came[0], dict) and set(came[0]) == set(params)
    if not whole or any(np.shape(came[0][name]) != value.shape for name, value in params.items()):
        learner.refuse("train does not return the parameters and the losses, as it did in the stub", stage="training")
    losses = np.asarray(came[1], float)
    if losses.shape != (STEPS,) or not np.isfinite(losses).all():
        learner.refuse("the loss of the training is not finite, or not there for every step", stage="training")
    return came[0], losses


def _decoded(learner, came, x):
    """What greedy returned, if it can be used: it did so for small inputs."""
    wanted = [(LONGEST, len(x)), (LONGEST, len(x)), (LONGEST, *x.shape[:2])]
    whole = isinstance(came, tuple | list) and [np.shape(each) for each in came] == wanted
    if not whole or not all(np.isfinite(each).all() for each in came):
        learner.refuse(
            "greedy does not return words, probabilities and alphas for the trained weights", stage="training"
        )
    return came


def _tokens(words):
    tokens = [START, *(VOCABULARY.index(word) for word in words), END]
    return np.array(tokens + [PAD] * (LONGEST + 1 - len(tokens)))


def _words(tokens):
    """Until <end>."""
    words = [VOCABULARY[int(token)] if 0 <= token < len(VOCABULARY) else "?" for token in tokens]
    return words[: words.index("<end>")] if "<end>" in words else words


def _true(words, scene):
    """Whether a caption names two objects, and both are there, at their places."""
    parsed = scenes.parse(words)
    whole = parsed is not None and len(parsed.phrases) == 2 and all(phrase.place for phrase in parsed.phrases)
    return whole and scenes.judge(words, scene).true


def _draw(learner, pictures, captions, probabilities, alphas, unseen):
    """The attention of the first caption that is true, as a picture in the learner's folder."""
    from scratchlv.show.attention_sheet import attention_sheet

    n = next(n for n, words in enumerate(captions) if _true(words, unseen[n]))
    T = len(captions[n])
    grids = np.abs(alphas[:T, n]).reshape(T, GRID, GRID)
    path = learner.folder / "captioner.png"
    try:
        attention_sheet(pictures[n], captions[n], probabilities[:T, n].tolist(), grids).save(path)
    except OSError as error:
        learner.say(f"its picture could not be written to {path}: {error.strerror or error}")
    else:
        learner.say(f"{' '.join(captions[n])}: where it looked is in {path.name}")


# --- the features of a picture ----------------------------------------------------------------------------------------

GRID = 8  # regions on a side
_DIRECTIONS = 8  # of edges


def features_of(pictures):
    """(N, 64, 64, 3) uint8 -> (N, 64, 15): of each region its colour, the edges around it by direction, and its place.

    There is nothing in them that was learned: a fixed encoder.
    """
    x = pictures.astype(np.float32) / 255
    N = len(x)
    x = x.reshape(N, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    colour = x - np.median(x.reshape(N, -1, 3), axis=1)[:, None, None]  # unlike the background
    there = np.minimum(np.abs(colour).max(axis=3) / 0.3, 1)
    across, down = np.zeros_like(there), np.zeros_like(there)
    across[:, :, 1:-1] = there[:, :, 2:] - there[:, :, :-2]
    down[:, 1:-1] = there[:, 2:] - there[:, :-2]
    turn = np.arctan2(down, across)[..., None] * (_DIRECTIONS / (2 * np.pi)) - np.arange(_DIRECTIONS)
    off = np.abs((turn + _DIRECTIONS / 2) % _DIRECTIONS - _DIRECTIONS / 2)
    edges = np.hypot(across, down)[..., None] * np.maximum(1 - off, 0)
    near = _pooled(np.concatenate([colour, there[..., None]], axis=3), 0)
    wide = _pooled(np.concatenate([edges, there[..., None]], axis=3), 3)
    at = (np.arange(GRID) - (GRID - 1) / 2) / (GRID / 2)
    place = np.broadcast_to(np.stack(np.meshgrid(at, at), axis=-1), (N, GRID, GRID, 2))
    return np.concatenate([near, wide, place], axis=3).reshape(N, GRID * GRID, -1).astype(np.float32)


def _pooled(maps, beyond):
    """The mean of each cell of the grid (4 x 4) and ``beyond`` pixels around it; (N, 32, 32, C) -> (N, 8, 8, C)."""
    cell = maps.shape[1] // GRID
    border = ((0, 0), (beyond + 1, beyond), (beyond + 1, beyond), (0, 0))
    total = np.pad(maps, border).cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    first, last = np.arange(GRID) * cell, np.arange(GRID) * cell + cell + 2 * beyond
    rows = total[:, last] - total[:, first]
    return (rows[:, :, last] - rows[:, :, first]) / (cell + 2 * beyond) ** 2
