"""The tables of `make evidence`."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.evidence.methods import DEFAULT, Method
from benchmarks.evidence.pairs import KINDS, Pair
from benchmarks.evidence.ratios import Mean, over_seeds
from benchmarks.evidence.results import Record, Run

RUN_IT = (
    "`make evidence` measures all, which takes hours, and `make evidence QUICK=1` half of the "
    "pairs with the cheapest rivals in some ten minutes; what is known is not measured again. Data "
    "are looked for in `DATA=FOLDER`, else in `../shared/data` and the cache, and fetched from the "
    "public repositories that they come from, pinned by commit and compared by checksum "
    "(`benchmarks/evidence/fetching.py`: all but the native images). Other programs are installed "
    "into `out/evidence/env`. A parameter map of one's own beside the default, on some "
    "pairs (`--fitted` takes it as a preset, whose lengths are fitted to the images, `--map` as it "
    "stands):",
    "",
    "    python benchmarks/evidence/run.py --pairs 'mr/.*both40$' --split choose --seeds 1 \\",
    "      --methods impact,mi-15 --fitted mine=affine_mind,my_map.txt --no-docs",
    "",
)

SAID = Path(__file__).with_name("kinds.md")
"""What there is to say of each kind, under its name as a heading; written by hand."""

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"

LEAST = 1e-3  # mm: an error below it counts as it, in ratios


def score(record: Record) -> float | None:
    """Give what is to be small: the mean error, mm, or 1 - Dice where labels are the truth."""
    if "failed" in record:
        return None
    value = record["mean"] if "mean" in record else 1 - record["dice"]
    return max(float(value), LEAST)


def shown(record: Record) -> str:
    """Say in a line what a run gave."""
    if "failed" in record:
        return f"failed: {record['failed']}"
    agreement = (
        f"{record['mean']:.2f} mm, 95 % {record['p95']:.2f}"
        if "mean" in record
        else f"Dice {record['dice']:.3f}"
    )
    return (
        f"{agreement}, folding {100 * record['folding']:.3g} %, {record['wall']:.0f} s, "
        f"processors {record['cpu']:.0f} s, {record['peak'] / 2**30:.1f} GiB"
    )


def ratios(
    records: Mapping[Run, Record],
    pairs: Sequence[Pair],
    method: Method,
    rivals: Sequence[Method],
    seed: int,
) -> dict[str, float]:
    """Give by pair a method's error over the best rival's, of one seed, where both are known."""
    found = {}
    for pair in pairs:
        ours = _score_of(records, pair, method, seed)
        theirs = [_score_of(records, pair, rival, seed) for rival in rivals]
        known = [score for score in theirs if score is not None]
        if ours is not None and known:
            found[pair.name] = ours / min(known)
    return found


def mean_ratio(
    records: Mapping[Run, Record],
    pairs: Sequence[Pair],
    method: Method,
    rivals: Sequence[Method],
    seeds: Sequence[int],
) -> Mean | None:
    """Average those ratios over pairs and seeds; None where there is none."""
    of_seeds = {seed: list(ratios(records, pairs, method, rivals, seed).values()) for seed in seeds}
    return over_seeds(of_seeds) if any(of_seeds.values()) else None


def page(
    records: Mapping[Run, Record],
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    seeds: Sequence[int],
    missing: Mapping[str, str],
    threads: int,
) -> str:
    """Give the text of docs/evidence.md."""
    ours = [method for method in methods if method.ours]
    rivals = [method for method in methods if not method.ours and not method.linear]
    rows = [pair for pair in pairs if any(_of(records, pair, m, seeds) for m in methods)]
    lines = [
        "# Evidence",
        "",
        "Made by `make evidence` (`benchmarks/evidence/`): do not edit. "
        f"{len(rows)} pairs of {len({pair.kind for pair in rows})} kinds, seeds "
        f"{', '.join(map(str, seeds))}; itk-elastix {version('itk-elastix')}, torch "
        f"{version('torch')}, on the CPU, {threads} threads, {os.cpu_count()} cores.",
        "",
        *RUN_IT,
        *_missing(missing, records, pairs, methods, seeds),
        "## Ours over the best rival",
        "",
        "Geometric mean, over the pairs of a kind, of the error over that of the best rival on the "
        "same pair; below 1 ours is better. The best is chosen pair by pair, which no single rival "
        "is; the linear methods are no rivals, for they cannot deform. In brackets the interval of "
        "95 % over the seeds (Student's; a seed draws the transforms, the noise and the samples). "
        "Error: the mean distance from the truth, and 1 - Dice where labels are the truth. Presets "
        "are chosen on one half of the pairs, and reported on the other; a pair's name decides in "
        "which half it is.",
        "",
        *_ratio_table(records, rows, ours, rivals, seeds),
        "",
        "## Kind by kind",
        "",
        "The best, the median and the worst pair of `report` by that ratio, seed 1 "
        "(`benchmarks/evidence/pictures.py`): chequers of fixed and moving image before and after, "
        "and what is wrong with it.",
        "",
        *_kind_by_kind(dict.fromkeys(pair.kind for pair in rows)),
        "## Each method over our default",
        "",
        "Geometric mean of the error over that of `impact`, on the pairs that both have; "
        "above 1 `impact` is better.",
        "",
        *_default_table(records, rows, methods, seeds),
        "",
        "## Pair by pair",
        "",
        "Mean error, mm (histology: pixels), or Dice; of several seeds the median. Bold: the best. "
        "`start`: before the registration. `both40`: 8 degrees, 10 mm and a B-spline of a 40 mm "
        "grid with coefficients of 6 mm; `rigid15`: 15 degrees, 20 mm; in histology all lengths "
        "are three times these (`benchmarks/evidence/motions.py`).",
        "",
        *_pair_table(records, rows, methods, seeds, "mean"),
        "",
        "## 95th percentiles, mm",
        "",
        *_pair_table(records, rows, methods, seeds, "p95"),
        "",
        "## What it costs, and folding",
        "",
        "Medians over all runs of whole processes: with their start, reading and writing. A "
        "rival's time has that of its linear start. Folding: the largest share of voxels whose "
        "determinant is at most 0.",
        "",
        *_cost_table(records, rows, methods, seeds),
        "",
        "## Identity",
        "",
        "Where the identity is the truth every mm is made up: the mean error in voxels.",
        "",
        *_pair_table(records, [p for p in rows if p.kind == "identity"], methods, seeds, "voxels"),
        "",
        "## Methods and data",
        "",
        *(f"- `{method.name}`: {method.says}." for method in methods),
        "",
        "The linear start of those that need one (greedy, ConvexAdam, ANTs) is the better of the "
        "two affine transforms, by mutual information; it is the same for all of them. No method "
        "gets a mask. Heads are taken at 2 mm. Data: open_ms_data (CC BY 4.0, Lesjak et al. 2018; "
        "`mr`, `mr_one`, `native`, `identity`), mne-tools' sample data (BSD; `heads`), BIRL's "
        "example data (BSD-3; `histology`), test data of elastix and ITK (Apache-2.0; `lung`, "
        "`slices`).",
        "",
    ]
    return "\n".join(lines)


def _kind_by_kind(kinds: Iterable[str]) -> list[str]:
    """Give a section per kind: what is said of it, and its picture, where there are such."""
    said = dict(re.findall(r"^## (\w+)\n+(.*?)\n*(?=^## |\Z)", SAID.read_text(), re.M | re.S))
    lines = []
    for kind in kinds:
        picture = PICTURES / f"evidence_{kind}.png"
        text = [said[kind], ""] if kind in said else []
        shown = [f"![{kind}: best, median, worst]({picture.parent.name}/{picture.name})", ""]
        if text or picture.is_file():
            lines += [f"### `{kind}`: {KINDS[kind]}", "", *text]
            lines += shown if picture.is_file() else []
    return lines


def _score_of(records: Mapping[Run, Record], pair: Pair, method: Method, seed: int) -> float | None:
    record = records.get((pair.name, method.name, seed))
    return None if record is None else score(record)


def _of(
    records: Mapping[Run, Record], pair: Pair, method: Method, seeds: Iterable[int]
) -> list[Record]:
    found = (records.get((pair.name, method.name, seed)) for seed in seeds)
    return [record for record in found if record is not None]


def _missing(
    missing: Mapping[str, str],
    records: Mapping[Run, Record],
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    seeds: Sequence[int],
) -> list[str]:
    """Say what the tables lack."""
    found = [f"- Without {name}: {reason}." for name, reason in missing.items()]
    asked = [
        (pair.name, method.name, seed)
        for pair in pairs
        for method in methods
        for seed in seeds
        if pair.dimension in method.dimensions
    ]
    if lacking := [run for run in asked if run not in records]:
        found.append(
            f"- {len(lacking)} of {len(asked)} runs are not done, blank below; a ratio is to the "
            "best of the rivals that are."
        )
    digests = {method.name: method.identity() for method in methods}
    earlier = sum(
        records[run]["key"].split()[0] != digests[run[1]] for run in asked if run in records
    )
    if earlier:
        found.append(
            f"- {earlier} of {len(asked)} runs are of an earlier build, preset, or version of a "
            "rival than the one at hand."
        )
    known = {name for name, _, _ in records} | missing.keys()
    if absent := {name for name, _, _ in lacking} - known:
        found.append(f"- Pairs not run: {', '.join(sorted(absent))}.")
    return ["## What is missing", "", *found, ""] if found else []


def _ratio_table(
    records: Mapping[Run, Record],
    rows: Sequence[Pair],
    ours: Sequence[Method],
    rivals: Sequence[Method],
    seeds: Sequence[int],
) -> list[str]:
    lines = [
        "| Kind | What | Pairs | Method | all | `choose` | `report` | worst pair |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, what in KINDS.items():
        of_kind = [pair for pair in rows if pair.kind == kind]
        for method in ours if of_kind else ():
            halves = (
                of_kind,
                *([p for p in of_kind if p.split == s] for s in ("choose", "report")),
            )
            means = [mean_ratio(records, half, method, rivals, seeds) for half in halves]
            worst = [
                statistics.geometric_mean(known)
                for pair in of_kind
                if (
                    known := [
                        r
                        for s in seeds
                        for r in ratios(records, [pair], method, rivals, s).values()
                    ]
                )
            ]
            cells = [str(mean or "-") for mean in means] + [f"{max(worst):.2f}" if worst else "-"]
            row = f"`{kind}` | {what} | {len(of_kind)} | `{method.name}`"
            lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def _default_table(
    records: Mapping[Run, Record],
    rows: Sequence[Pair],
    methods: Sequence[Method],
    seeds: Sequence[int],
) -> list[str]:
    others = [method for method in methods if method is not DEFAULT]
    lines = [
        f"| Kind | {' | '.join(f'`{method.name}`' for method in others)} |",
        "|---" * (len(others) + 1) + "|",
    ]
    for kind in KINDS:
        of_kind = [pair for pair in rows if pair.kind == kind]
        if not of_kind:
            continue
        means = [mean_ratio(records, of_kind, method, [DEFAULT], seeds) for method in others]
        cells = ("-" if mean is None else f"{mean.value:.2f}" for mean in means)
        lines.append(f"| `{kind}` | {' | '.join(cells)} |")
    return lines


def _pair_table(
    records: Mapping[Run, Record],
    rows: Sequence[Pair],
    methods: Sequence[Method],
    seeds: Sequence[int],
    quantity: str,
) -> list[str]:
    shown = [pair for pair in rows if quantity == "mean" or pair.kind != "heads"]
    lines = [
        f"| Pair | half | start | {' | '.join(f'`{method.name}`' for method in methods)} |",
        "|---" * (len(methods) + 3) + "|",
    ]
    for pair in shown:
        of_methods = [_of(records, pair, method, seeds) for method in methods]
        first = [each["before"] for of_method in of_methods for each in of_method][:1]
        values = [_median(of_method, quantity) for of_method in of_methods]
        known = [value for value in values if value is not None]
        best = (max if pair.kind == "heads" else min)(known, default=None)
        cells = [_cell(value, bool(of)) for value, of in zip(values, of_methods, strict=True)]
        cells = [
            f"**{cell}**" if value is not None and value == best else cell
            for cell, value in zip(cells, values, strict=True)
        ]
        start = _cell(_median([each | {"before": each} for each in first], quantity), True)
        lines.append(f"| `{pair.name}` | {pair.split} | {start} | {' | '.join(cells)} |")
    return lines


def _median(records: Sequence[Record], quantity: str) -> float | None:
    """Give the median of a quantity over runs that did not fail; mean stands for Dice, too."""
    whole = [record for record in records if "failed" not in record]
    if quantity == "voxels":
        values = [record["mean"] / record["before"]["voxel"] for record in whole]
    elif quantity == "mean":
        values = [record.get("mean", record.get("dice")) for record in whole]
    else:
        values = [record[quantity] for record in whole]
    return statistics.median(values) if values else None


def _cell(value: float | None, was_run: bool) -> str:
    if value is None:
        return "failed" if was_run else ""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _cost_table(
    records: Mapping[Run, Record],
    rows: Sequence[Pair],
    methods: Sequence[Method],
    seeds: Sequence[int],
) -> list[str]:
    lines = [
        "| Method | runs | failed | wall, s | processors, s | peak memory, GiB | folding, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        runs = [record for pair in rows for record in _of(records, pair, method, seeds)]
        whole = [record for record in runs if "failed" not in record]
        cells = [str(len(runs)), str(len(runs) - len(whole))]
        if whole:
            wall, cpu, peak = (
                statistics.median(r[what] for r in whole) for what in ("wall", "cpu", "peak")
            )
            folded = 100 * max(record["folding"] for record in whole)
            cells += [f"{wall:.0f}", f"{cpu:.0f}", f"{peak / 2**30:.1f}", f"{folded:.3g}"]
        lines.append(f"| `{method.name}` | {' | '.join(cells + [''] * (6 - len(cells)))} |")
    return lines
