"""Small jobs of every task, to be trained by one process and by several."""

from scratchlv.tasks import captioning, language_modelling, question_answering, story_answering, translation

STEPS = 3
_COMMON = [f"steps={STEPS}", "warmup=1", "n_train=40", "n_val=12", "batch=13"]
_WIDTHS = ["embedding=6", "hidden=10"]


def _quiet(line):
    pass


def _lm(folder, *more, steps=STEPS, model="lstm", **options):
    settings = [*_COMMON, *_WIDTHS, f"steps={steps}", "dropout=0.3", "unroll=9", "layers=2", *more]
    config = language_modelling.config("lm", "scenes", model, "quick", 3, settings, **options)
    return language_modelling.prepare(config, None, False, _quiet, folder)


def _caption(folder, *more, steps=STEPS, model="attention"):
    attention = ["attention=8"] if model.endswith("attention") else []
    settings = [*_COMMON, *_WIDTHS, f"steps={steps}", "dropout=0.2", "input_dropout=0.2", *attention, *more]
    config = captioning.config("caption", "scenes", model, "quick", 3, settings)
    return captioning.prepare(config, None, False, _quiet, folder)


def _vqa(folder, *more, steps=STEPS, model="attention"):
    attention = ["attention=8", "hops=2"] if model == "attention" else []
    settings = [*_COMMON, *_WIDTHS, f"steps={steps}", *attention, "encoder_steps=2", "questions=3", *more]
    settings += [] if model == "memory" else ["dropout=0.2"]
    config = question_answering.config("vqa", "scenes", model, "quick", 3, settings)
    return question_answering.prepare(config, None, False, _quiet, folder)


def _translate(folder, *more, steps=STEPS, model="additive", task="translate"):
    attention = [] if model == "naive" else ["attention=8"]
    settings = [*_COMMON, *_WIDTHS, f"steps={steps}", "dropout=0.2", "layers=2", *attention, *more]
    config = translation.config(task, "scenes", model, "quick", 3, settings)
    return translation.prepare(config, None, False, _quiet, folder)


def _babi(folder, steps=STEPS):
    rooms = ("kitchen", "garden", "hall")
    (folder / "data").mkdir(exist_ok=True)
    stories = [
        f"1 Mary went to the {rooms[k % 3]}.\n2 Mary moved to the {rooms[k * k % 3]}.\n"
        f"3 Where is Mary? \t{rooms[k * k % 3]}\t2\n"
        for k in range(24)
    ]
    (folder / "data" / "qa1_single-supporting-fact_train.txt").write_text("".join(stories))
    settings = [f"steps={steps}", "warmup=1", "batch=7", "width=8", "noise=0.3"]
    settings += ["restarts=1", "linear_steps=0", "tied_answers=false"]
    config = story_answering.config("babi", f"babi:{folder / 'data'}:1", "memory", "quick", 0, settings)
    return story_answering.prepare(config, None, False, _quiet, folder)


#: how each is made, by name; the first of a task are the ones that are trained for long
JOBS = {
    "lm": (_lm,),
    "lm, of every trick": (
        _lm,
        "variational=true",
        "embedding_dropout=0.2",
        "weight_drop=0.2",
        "tied=true",
        "hidden=6",
        "scheduled_sampling=0.4",
        "label_smoothing=0.1",
    ),
    "captioner": (_caption,),
    "captioner, gated": (
        _caption,
        "gate=true",
        "init_state=mean",
        "doubly_stochastic=0.5",
        "scheduled_sampling=0.4",
        "query=current",
    ),
    "captioner, hard": (_caption, "hard-attention"),
    "captioner, naive": (_caption, "naive"),
    "vqa": (_vqa,),
    "vqa, naive": (_vqa, "naive"),
    "vqa, memory": (_vqa, "memory"),
    "translator": (_translate,),
    "translator, naive": (_translate, "naive"),
    "summarizer": (_translate, "summarize"),
    "babi": (_babi,),
}


def make(name, folder, steps=STEPS):
    """The job of that name, in ``folder``."""
    function, *rest = JOBS[name]
    options = {}
    if rest and rest[0] in ("hard-attention", "naive", "memory"):
        options["model"] = rest.pop(0)
    if rest and rest[0] == "summarize":
        options["task"] = rest.pop(0)
    return function(folder, *rest, steps=steps, **options)
