"""The top of the page: what was reached in a few figures, then all scores, then what they cost."""

from collections.abc import Sequence

from pipelines import cost
from pipelines.reports import charts, scores
from pipelines.reports.charts import Mark
from pipelines.reports.gathered import Block, Trained
from pipelines.reports.grid import Column, beside, table
from pipelines.reports.markup import Markup, element, joined
from pipelines.score import Score

SHAPES = {
    "score": "recurrent network",
    "memoryless": "trained network without memory, of equal size",
    "simple": "best simple method of the field",
    "published": "published",
    "best": "best possible",
}
"""Of the marks on a strip."""
SPELLED = {
    "bleu": "BLEU",
    "bleu_4": "BLEU-4",
    "chrf": "chrF",
    "cider": "CIDEr-D",
    "crps": "CRPS",
    "f1": "F1",
    "mase": "MASE",
    "owa": "OWA",
    "rouge": "ROUGE-L",
    "smape": "sMAPE",
}
SCORE_COLUMNS = [
    Column("task"),
    Column("metric"),
    Column("recurrent", "number main"),
    Column("worse to better"),
    Column("memoryless", "number"),
    Column("simple baseline", "number"),
    Column("best possible", "number"),
    Column("gap closed", "number"),
    Column("published", "number source"),
]
COST_COLUMNS = [
    Column("training"),
    Column("parameters", "number"),
    Column("updates", "number"),
    Column("epochs", "number"),
    Column("seconds", "number"),
    Column("core-seconds", "number"),
    Column("tokens a second", "number"),
    Column("hardware"),
]


def figures(blocks: Sequence[Block]) -> Markup:
    """The suite in a few numbers."""
    found = [block.score for block in blocks if block.score]
    shown = [("tasks measured", f"{len(found)} of {len(blocks)}")]
    closed = [100 * score.gap_closed for score in found if score.gap_closed is not None]
    if closed:
        shown.append(("gap to the best possible closed", f"{min(closed):.1f} to {max(closed):.1f} %"))
    published = [_reaches(score) for score in found if score.published]
    if published:
        shown.append(("published scores reached", f"{sum(published)} of {len(published)}"))
    beside_memoryless = [ahead for score in found if (ahead := _beats_memoryless(score)) is not None]
    if beside_memoryless:
        shown.append(("better than without memory", f"{sum(beside_memoryless)} of {len(beside_memoryless)}"))
    if found:
        shown.append(("training of the recurrent networks", duration(sum(score.seconds for score in found))))
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in shown),
        class_="figures",
    )


def score_table(blocks: Sequence[Block]) -> Markup:
    """All blocks with what their score is to be read beside."""
    key = [
        element(
            "li",
            element("svg", charts.shape(name, 9, 12), viewBox="0 0 18 24", width=15, height=20, aria_hidden="true"),
            what,
        )
        for name, what in SHAPES.items()
    ]
    caption = (
        "Scores on test data. The gap lies between the best score that is possible without memory and the best "
        "possible, where the corpus's generator knows them: how much of it is closed is what a network has learnt "
        "of the sequence."
    )
    rows = [_score_row(block) for block in blocks]
    return joined([element("ul", *key, class_="legend"), table(caption, SCORE_COLUMNS, [rows])])


def cost_table(blocks: Sequence[Block]) -> Markup:
    """What each training took; of blocks that were not trained here, what their score file says."""
    caption = (
        "Of training alone. Core-seconds are the seconds times all threads of all workers; tokens are steps of "
        "sequences (words, subwords, frames, hours), the median over the training."
    )
    groups = [
        [_cost_row(block, trained) for trained in block.trainings] or [_cost_from_score(block.name, block.score)]
        for block in blocks
        if block.trainings or block.score
    ]
    return table(caption, COST_COLUMNS, groups, "short")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def metric_name(metric: str) -> str:
    """As the field writes it."""
    return SPELLED.get(metric, metric.replace("_", " "))


def capital(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def _score_row(block: Block) -> list[str]:
    score = block.score
    name = element("a", element("code", block.name), href=f"#{block.name}")
    if score is None:
        return [beside(name, "not measured yet"), *[""] * 8]
    simple = scores.simple(score)
    better = "higher is better" if score.direction == "max" else "lower is better"
    return [
        beside(name, "" if score.dataset == "sample" else score.dataset),
        beside(metric_name(score.metric), better),
        _own(block, score),
        _strip(score),
        _or_nothing(score.baselines.get("memoryless"), score),
        beside(_or_nothing(score.baselines.get(simple), score), simple.replace("_", " ")),
        _or_nothing(score.best_possible, score),
        "" if score.gap_closed is None else scores.gap(score),
        beside(scores.number(score.published.score, score.metric), score.published.source) if score.published else "",
    ]


def _own(block: Block, score: Score) -> Markup:
    spread = ""
    if score.spread:
        spread = " to ".join(scores.number(value, score.metric) for value in (score.spread.min, score.spread.max))
    seeds = f"{len(score.seeds)} seeds" if score.spread else ""
    older = scores.OLDER.removeprefix(", ") if block.older else ""
    return beside(scores.number(score.score, score.metric), spread, seeds, older)


def _strip(score: Score) -> Markup:
    simple = scores.simple(score)
    known = {
        "best": ("best possible", score.best_possible),
        "memoryless": ("memoryless", score.baselines.get("memoryless")),
        "simple": (simple.replace("_", " "), score.baselines.get(simple)),
        "published": ("published", score.published.score if score.published else None),
        "score": ("recurrent", score.score),
    }
    marks = [
        Mark(f"{label} {scores.number(value, score.metric)}", shape, value)
        for shape, (label, value) in known.items()
        if value is not None
    ]
    return charts.strip(marks, higher_is_better=score.direction == "max", logarithmic=score.metric == "perplexity")


def _or_nothing(value: float | None, score: Score) -> str:
    return "" if value is None else scores.number(value, score.metric)


def _cost_row(block: Block, trained: Trained) -> list[str]:
    facts = trained.facts
    held = cost.device_seconds(facts)
    rate = trained.tokens_per_second
    return [
        beside(element("code", block.name), trained.label),
        _count(facts.get("parameters")),
        _count(facts.get("steps")),
        f"{facts['epochs']:.3g}" if "epochs" in facts else "",
        f"{facts['seconds']:,.1f}" if "seconds" in facts else "",
        _held(held),
        "" if rate is None else f"{rate:,.0f}",
        _hardware(trained),
    ]


def _held(seconds: dict[str, float]) -> str:
    """Of GPUs where they computed, else of cores."""
    if not seconds:
        return ""
    on_gpu = seconds["gpu_seconds"] > 0
    return beside(f"{seconds['gpu_seconds' if on_gpu else 'core_seconds']:,.1f}", "GPU" if on_gpu else "")


def _cost_from_score(name: str, score: Score | None) -> list[str]:
    assert score is not None
    seconds = f"{score.seconds:,.1f}"
    heading = beside(element("code", name), "recurrent, from its score file")
    return [heading, _count(score.parameters), "", "", seconds, "", "", ""]


def _hardware(trained: Trained) -> str:
    facts = trained.facts
    if not all(key in facts for key in ("workers", "threads", "device")):
        return ""
    workers, threads = facts["workers"], facts["threads"]
    said = f"{workers} worker{'s' * (workers > 1)}, {threads} thread{'s' * (threads > 1)}"
    return said if facts["device"] == "cpu" else f"{said}, {facts['device']}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _reaches(score: Score) -> bool:
    assert score.published is not None
    return _at_least(score, score.published.score)


def _beats_memoryless(score: Score) -> bool | None:
    floor = score.baselines.get("memoryless")
    return None if floor is None else _at_least(score, floor) and score.score != floor


def _at_least(score: Score, other: float) -> bool:
    return score.score >= other if score.direction == "max" else score.score <= other
