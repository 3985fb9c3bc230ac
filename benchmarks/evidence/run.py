"""Compares our default with what people use, on many pairs, and writes docs/evidence.md.

    make evidence            # all pairs and methods, three seeds: hours
    make evidence QUICK=1    # half of the pairs, the cheapest rivals, one seed: ten minutes

What a run gave is kept in out/evidence/results.jsonl, so that a run that was cut off goes on;
`--again` starts anew. With the page goes what it shows, benchmarks/evidence/results.jsonl: other
machines go on from there. A part of it, with a parameter map of one's own beside the default:

    python benchmarks/evidence/run.py --pairs 'mr/.*both40$' --methods impact,mi-15 --seeds 1 \
      --split choose --fitted mine=affine_mind,my_map.txt --no-docs
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for each in (ROOT, ROOT / "cmake"):
    sys.path.insert(0, str(each))

from benchmarks.evidence import methods, pairs, report, rivals, running, scenes  # noqa: E402
from benchmarks.evidence.methods import Method  # noqa: E402
from benchmarks.evidence.pairs import Pair  # noqa: E402
from benchmarks.evidence.results import Results  # noqa: E402
from benchmarks.evidence.running import Record  # noqa: E402
from benchmarks.evidence.scenes import Data, MissingDataError, Scene  # noqa: E402

OUT = ROOT / "out" / "evidence"
PAGE = ROOT / "docs" / "evidence.md"
PUBLISHED = ROOT / "benchmarks" / "evidence" / "results.jsonl"


class Evidence:
    """What is asked, what is known, and what is missing.

    Args:
        data: Where the images are.
        results: What is known.
        threads: Of each registration.
        again: Measure what is known, too.
    """

    def __init__(self, data: Data, results: Results, threads: int, again: bool) -> None:
        self.data = data
        self.results = results
        self.threads = threads
        self.again = again
        self.missing = dict(rivals.NOT_HAD)  # why, by the name of the pair or rival
        self._pythons: dict[str, Path] = {"": Path(sys.executable)}

    def installed(self, wanted: tuple[Method, ...]) -> tuple[Method, ...]:
        """Install rivals; give the methods that can be run, and keep in mind which cannot."""
        for method in wanted:
            rival = method.rival
            if rival is None or rival.name in self._pythons or rival.name in self.missing:
                continue
            try:
                self._pythons[rival.name] = rival.python(OUT / "env")
            except rivals.RivalError as error:
                self.missing[rival.name] = str(error)
                print(f"without {rival.name}: {error}", flush=True)
        return tuple(m for m in wanted if m.rival is None or m.rival.name in self._pythons)

    def pair(self, pair: Pair, seed: int, wanted: tuple[Method, ...]) -> None:
        """Run what is not known of a pair; say what of its data is missing."""
        scene: Scene | None = None
        images = OUT / "images" / f"{pair.name.replace('/', '-')}-{seed}"
        key = f"{scenes.VERSION} {self.threads}"
        starts: dict[str, Record] = {}
        fit = [method for method in wanted if pair.dimension in method.dimensions]
        for method in sorted(fit, key=lambda each: not each.linear):  # the linear ones first
            start = running.best_start(starts) if method.starts else None
            own_key = f"{method.identity()} {key}" + (
                f" after {starts[start[0]]['key']}" if start else ""
            )
            record = (
                None if self.again else self.results.known(pair.name, method.name, seed, own_key)
            )
            if record is None or "failed" in record:
                if scene is None:
                    try:
                        scene = scenes.make(pair, seed, self.data)
                    except MissingDataError as error:
                        self._miss(pair, error)
                        return
                    running.written(scene, images)
                    unmoved = running.before(scene)
                if method.starts and start is None:
                    record = {"failed": "there is no linear start"}
                else:
                    python = self._pythons["" if method.rival is None else method.rival.name]
                    linear = start[1] if start else None
                    record = running.run(method, scene, images, python, linear, seed, self.threads)
                if start:
                    for spent in ("wall", "cpu"):
                        record[spent] += starts[start[0]][spent]
                record |= {
                    "pair": pair.name,
                    "method": method.name,
                    "seed": seed,
                    "key": own_key,
                    "before": unmoved,
                    "when": time.strftime("%Y-%m-%d %H:%M"),
                }
                self.results.add(record)
                print(f"{pair.name} {seed} {method.name}: {report.shown(record)}", flush=True)
            if method.linear and "failed" not in record:
                starts[method.name] = record
        if scene is not None and not any(images.glob("*/")):  # what failed stays to be looked at
            shutil.rmtree(images)

    def _miss(self, pair: Pair, error: MissingDataError) -> None:
        self.missing[pair.name] = str(error)
        print(f"without {pair.name}: {error}", flush=True)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    found = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    found.add_argument(
        "--data", type=Path, help="folder of the data (default: ../shared/data, cache)"
    )
    found.add_argument("--pairs", metavar="REGEX", help="pairs whose names match somewhere")
    found.add_argument("--split", choices=pairs.SPLITS, help="one half of the pairs")
    found.add_argument("--methods", type=lambda text: text.split(","), metavar="NAME,NAME")
    found.add_argument(
        "--seeds",
        type=lambda text: [int(seed) for seed in text.split(",")],
        metavar="1,2,3",
        help="(default 1,2,3; quick: 1)",
    )
    found.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=FILE[,FILE]",
        help="parameter files of one's own, as they stand, beside the methods",
    )
    found.add_argument(
        "--fitted",
        action="append",
        default=[],
        metavar="NAME=FILE[,FILE]",
        help="the same as presets: fitted to the images; a preset's name may stand for a file",
    )
    found.add_argument("--threads", type=int, default=2, help="of every run (default 2)")
    found.add_argument(
        "--quick", action="store_true", help="half of the pairs, cheapest rivals, a seed"
    )
    found.add_argument("--again", action="store_true", help="measure what is known, too")
    found.add_argument(
        "--table", action="store_true", help="run nothing: the tables of what is known"
    )
    found.add_argument(
        "--list", action="store_true", help="list pairs with their halves, and methods"
    )
    found.add_argument(
        "--no-docs", action="store_true", help=f"do not write {PAGE.relative_to(ROOT)}"
    )
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables and write them."""
    options = parser().parse_args(arguments)
    try:
        more = [methods.own(text, fitted=False) for text in options.map]
        more += [methods.own(text, fitted=True) for text in options.fitted]
        names = options.methods or (list(methods.CHEAP) if options.quick else None)
        wanted = methods.named(names, more)
    except ValueError as error:
        sys.exit(str(error))
    split = options.split or ("report" if options.quick else None)
    seeds = options.seeds or ([1] if options.quick else [1, 2, 3])
    asked = pairs.chosen(pairs.PAIRS, options.pairs, split)
    if not asked:
        sys.exit(f"no pair matches {options.pairs!r}; --list lists them")
    if options.list:
        print("\n".join(f"{pair.split}  {pair.name}" for pair in asked))
        print("\n".join(f"{method.name:14} {method.says}" for method in wanted))
        return
    evidence = Evidence(
        Data.of(options.data),
        Results(OUT / "results.jsonl", PUBLISHED),
        options.threads,
        options.again,
    )
    if any(method.starts for method in wanted):
        wanted = tuple(dict.fromkeys((*methods.LINEAR, *wanted)))
    if not options.table:
        wanted = evidence.installed(wanted)
        for seed in seeds:
            for pair in asked:
                evidence.pair(pair, seed, wanted)
    text = report.page(
        evidence.results.records, asked, wanted, seeds, evidence.missing, options.threads
    )
    print(text)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "evidence.md").write_text(text)
    if not options.no_docs:
        PAGE.write_text(text)
        evidence.results.publish(PUBLISHED, methods.METHODS)
        print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
