"""The paper's claims and the verdicts on them as blocks of a page: of one data set, or of several together."""

from pathlib import Path
from typing import Any

from mmfer.report import charts
from mmfer.report.page import Folded, Inline, Picture, Strong, Table
from mmfer.report.verdicts import OPEN

PAPER = "Yi, Wang and Lu, Research on facial expression recognition based on multimodal data fusion and neural network"
NAMES = (
    "The system ours is the paper's network (a branch each for the face image, its 68 landmarks and its HOG) as it is "
    "built here; compact takes the same three in a small residual network for CPUs; NULL, as in the paper, marks a "
    "changed face that is predicted wrong."
)
EFFECT = (
    "Effect: accuracy of the reference minus that of its strongest rival (of a claimed accuracy: minus the claim), in "
    "points, with its 95 % interval. Only from three trainings of each network on does an effect speak of the systems; "
    "below that, of these networks."
)
UNDECIDED = (
    "Open: not decidable by these runs, because the faces are rendered, systems that the claim is about were not run "
    "or are not above chance, networks saw less than one pass over their training rows (the paper: 500), or no "
    "difference is shown. The reason for each stands below."
)
BUDGET = ["trainings of each network", "test faces", "passes over the training rows"]
Verdicts = dict[str, list[dict[str, Any]]]  # by data set, as verdicts.Verdict.to_json gives them


def claim_blocks(found: Verdicts, target: Path) -> list[Any]:
    """A table of all claims, their effects as a picture, and what each verdict rests on.

    The picture is written as `target`/figures/claims.png, `target` being the folder of the page.
    """
    placed, several = _by_claim(found), len(found) > 1
    rows = [[verdict["claim"], *([dataset] if several else []), *_cells(verdict)] for dataset, verdict in placed]
    head = ["the paper claims", *(["data"] if several else []), "verdict", "effect", *BUDGET]
    blocks: list[Any] = [Table(head, rows, text_columns=len(head))]
    if any(verdict["verdict"] == OPEN for _, verdict in placed):
        blocks.append(UNDECIDED)
    effects = [(_name(dataset, v, several), *v["effect"]) for dataset, v in placed if v["effect"]]
    if effects:
        charts.effects(effects, target / "figures/claims.png")
        blocks += [Picture("The effects of the table with their intervals", "figures/claims.png"), EFFECT]
    reasons = [f"{v['claim']}{f' ({dataset})' if several else ''}: {v['reason'].rstrip('.')}." for dataset, v in placed]
    return [*blocks, Folded("What each verdict rests on", [reasons])]


def _by_claim(found: Verdicts) -> list[tuple[str, dict[str, Any]]]:
    """Data sets and verdicts claim by claim; a data set's last claims are the same for all, its first its own."""
    placed = [
        (place - len(verdicts), dataset, verdict)
        for dataset, verdicts in found.items()
        for place, verdict in enumerate(verdicts)
    ]
    return [(dataset, verdict) for _, dataset, verdict in sorted(placed, key=lambda row: row[0])]


def _cells(verdict: dict[str, Any]) -> list[Inline]:
    word: Inline = "open" if verdict["verdict"] == OPEN else Strong(verdict["verdict"])
    if not verdict["tested"]:
        return [word, "nothing was run to test it with", "–", "–", "–"]
    return [word, verdict["effect_text"], verdict["seeds"], f"{verdict['faces']:,}", verdict["passes"]]


def _name(dataset: str, verdict: dict[str, Any], several: bool) -> str:
    claim = f"{verdict['claim']}: against {verdict['against']}"
    return f"{dataset}: {claim}" if several else claim
