"""The quality of the front that each sampler finds, in simulated searches on a tabular benchmark.

    python benchmarks/search_quality.py --table nb201_cifar10.csv --costs params,latency_ms_pixel3

A search observes `val_accuracy` of one training. Two scores are computed from `test_accuracy`: the
hypervolume of all trained architectures as a share of the exact front's, with costs on log axes. "all" has
the error on a linear axis, ideal and nadir of the exact front scaled to 0 and 1, and the reference point 1.1.
"useful" counts only what a user would take: the error is on a log axis from the least of the table to a
floor, the geometric mean of the least and that of guessing; the costs extend over the members of the exact
front that are better than the floor. A setting that is proposed again costs nothing.

Each sampler observes the settings and, for trained ones, accuracy and costs. The default sampler, and those
of _informed_samplers.py, also know what a search knows about candidates before training: the costs, and how
the operations are connected (columns `x_edge_0-1`: edges of a cell, from node to node).

With `--runs FILE` each finished run is added to the file, and runs in the file are not repeated.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from _common import RESULTS, conditions, emit, figure_axes
from _common import table as markdown
from _samplers import SAMPLERS, missing
from _simulation import SCORES, Run, simulate

from nas.errors import NasError
from nas.testing.tabular_benchmark import TabularBenchmark

MARKS = (25, 50, 100, 200)
SINGLE = "default-full-trainings-only"  # the baseline of --fidelity low, at equal total cost

Curves: TypeAlias = dict[tuple[str, bool], list[list[float]]]
"""By sampler and head start: the score after each trial, of each run."""


def at_marks(scores: Sequence[float], trials: int) -> dict[int, float]:
    """Return the score at each reported number of trials."""
    marks = [mark for mark in MARKS if mark < trials] + [trials]
    return {mark: scores[min(mark, len(scores)) - 1] for mark in marks}


def summarize(score: str, curves: Curves, trials: int) -> list[dict[str, Any]]:
    """Return the rows of `--json`, one for each sampler, head start and number of trials."""
    rows = []
    for (sampler, head_start), runs in curves.items():
        reported = [at_marks(run, trials) for run in runs]
        for mark in reported[0]:
            values = [found[mark] for found in reported]
            q1, median, q3 = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
            row = {"score": score, "sampler": sampler, "head_start": head_start, "trials": mark}
            rows.append(row | {"median": median, "q1": q1, "q3": q3, "values": values})
    return rows


def compare(curves: Curves, trials: int) -> dict[str, Any]:
    """Compare the default sampler with the best other, at each number of trials.

    Others need a head start, unless they know the costs.
    """
    from scipy.stats import wilcoxon

    ours = curves.get(("default", False))
    others = {
        (name, head_start): runs
        for (name, head_start), runs in curves.items()
        if name != "default" and (head_start or name == SINGLE or SAMPLERS[name].knows_costs)
    }
    if not ours or not others:
        return {}

    def medians(mark: int) -> dict[tuple[str, bool], float]:
        return {k: float(np.median([at_marks(r, trials)[mark] for r in runs])) for k, runs in others.items()}

    marks = list(at_marks(ours[0], trials))
    found: dict[str, Any] = {"at": []}
    for mark in marks:
        best = max(medians(mark), key=lambda key: medians(mark)[key])
        own = [at_marks(run, trials)[mark] for run in ours]
        baseline = [at_marks(run, trials)[mark] for run in others[best]]
        same = np.allclose(own, baseline)
        found["at"].append(
            {
                "trials": mark,
                "best_baseline": best[0],
                "regret": 1.0 - float(np.median(own)),
                "baseline_regret": 1.0 - medians(mark)[best],
                "regret_ratio": (1.0 - float(np.median(own))) / max(1e-9, 1.0 - medians(mark)[best]),
                "p": 1.0 if same else float(wilcoxon(own, baseline, alternative="greater").pvalue),
            }
        )
    if marks[-1] == trials:
        goal = 1.0 - found["at"][-1]["baseline_regret"]
        curve = np.median(np.array(ours), axis=0)
        reached = np.flatnonzero(curve >= goal)
        found["trials_to_best_baseline"] = int(reached[0]) + 1 if len(reached) else None
    return found


def draw(curves: Curves, path: Path, title: str) -> None:
    """Draw the median regret over trials, with quartiles of the default sampler."""
    with figure_axes(path) as axes:
        for (sampler, head_start), runs in sorted(curves.items(), key=lambda item: item[0][0] != "default"):
            if sampler != "default" and not head_start and (sampler, True) in curves:
                continue
            regret = 1.0 - np.array(runs)
            counts = np.arange(1, regret.shape[1] + 1)
            own = sampler == "default"
            label = f"{sampler}, head start" if head_start else sampler
            axes.plot(
                counts, np.median(regret, axis=0), label=label, lw=2.5 if own else 1, zorder=3 if own else 2
            )
            if own:
                axes.fill_between(counts, *np.quantile(regret, [0.25, 0.75], axis=0), alpha=0.25)
        axes.set(
            yscale="log",
            xlabel="trials",
            ylabel="regret: missing share of the exact front's hypervolume",
            title=title,
        )


def text(result: dict[str, Any]) -> str:
    """Return the result as Markdown, with two tables for each score."""
    parts = [
        f"# {result['table']}: accuracy, {', '.join(result['costs'])}",
        f"Hypervolume as a share of the exact front's: median (quartiles) of {result['seeds']} seeds "
        f"from {result['first_seed']} on, {result['workers']} worker(s), fidelity: {result['fidelity']}.",
    ]
    for score in SCORES:
        rows = [row for row in result["results"] if row["score"] == score]
        parts += [f"## Score: {score}", table_of_samplers(rows)]
        against = result["against_best_baseline"][score]
        if against:
            parts.append(table_of_comparison(against["at"]))
        if "trials_to_best_baseline" in against:
            reached = against["trials_to_best_baseline"]
            parts.append(
                f"The default sampler reaches the best baseline's final value in "
                f"{reached or 'more than all'} trials."
            )
    return "\n\n".join(parts)


def table_of_samplers(rows: Sequence[dict[str, Any]]) -> str:
    """Return the scores of each sampler, the best first."""
    marks = sorted({row["trials"] for row in rows})
    by_name: dict[tuple[str, bool], dict[int, dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault((row["sampler"], row["head_start"]), {})[row["trials"]] = row
    lines = [
        [
            name,
            "knows costs" if name in SAMPLERS and SAMPLERS[name].knows_costs else "yes" if started else "no",
        ]
        + [f"{found[m]['median']:.4f} ({found[m]['q1']:.4f}-{found[m]['q3']:.4f})" for m in marks]
        for (name, started), found in sorted(by_name.items(), key=lambda item: -item[1][marks[-1]]["median"])
    ]
    return markdown(["sampler", "head start", *(f"{mark} trials" for mark in marks)], lines)


def table_of_comparison(found: Sequence[dict[str, Any]]) -> str:
    """Return the default sampler's regret and the best baseline's at each number of trials."""
    rows = [
        [a["trials"], a["best_baseline"], f"{a['regret']:.4f}", f"{a['baseline_regret']:.4f}",
         f"{a['regret_ratio']:.2f}", f"{a['p']:.1e}"]
        for a in found
    ]  # fmt: skip
    names = ["trials", "best baseline", "regret", "baseline regret", "ratio", "p (Wilcoxon)"]
    return markdown(names, rows)


def completed_runs(
    runs: Sequence[Run], processes: int, file: Path | None
) -> Iterator[tuple[Run, dict[str, list[float]]]]:
    """Run the searches that are not in the file, add them to it, and yield all of them with their scores."""
    ended = {}
    if file and file.exists():
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            row = json.loads(line)
            if not isinstance(row["scores"], dict) or not row["scores"].keys() >= {*SCORES}:
                raise SystemExit(
                    f"a run in a runs file must have the scores {' and '.join(SCORES)}, got others in line "
                    f"{number} of '{file}', which an earlier version wrote; give a new file"
                )
            ended[json.dumps(row["run"])] = row["scores"]
    texts = {run: json.dumps(asdict(run) | {"table": run.table.name}) for run in runs}
    left = [run for run in runs if texts[run] not in ended]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=20) as pool:
        for run, scores in zip(left, pool.imap(simulate, left), strict=True):
            ended[texts[run]] = scores
            if file:
                with file.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({"run": json.loads(texts[run]), "scores": scores}) + "\n")
            print(
                f"{run.sampler}, head start {run.head_start}, seed {run.seed}: "
                + ", ".join(f"{name} {curve[-1]:.4f}" for name, curve in scores.items()),
                file=sys.stderr,
            )
    yield from ((run, ended[text]) for run, text in texts.items())


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--table", type=Path, required=True, help="a CSV file: x_*, val_accuracy, test_accuracy, costs"
    )
    parser.add_argument("--costs", default="", help="columns, such as params,flops (default: all costs)")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="names, comma-separated")
    parser.add_argument(
        "--head-start", choices=["both", "yes", "no"], default="both", help="of the baselines"
    )
    parser.add_argument("--workers", type=int, default=1, help="parallel trainings, on a simulated clock")
    parser.add_argument(
        "--fidelity", choices=["full", "low"], default="full", help="low: short trainings first"
    )
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--runs", type=Path, help="file of finished runs, to resume")
    parser.add_argument("--label", default="", help="end of the name of the result's files")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.add_argument("--figure", type=Path, help="path of a PNG to write, and of NAME_useful.png")
    parser.add_argument(
        "--keep", action="store_true", help="write JSON, Markdown and PNG to benchmarks/results/"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    options = arguments(words)
    costs = tuple(filter(None, options.costs.split(",")))
    try:
        table = TabularBenchmark(options.table, costs)
    except NasError as error:
        raise SystemExit(str(error)) from None
    if options.fidelity == "low" and not table.has_low:
        raise SystemExit(f"--fidelity low needs the column val_accuracy_low; '{options.table}' has none")
    runs = []
    for name in filter(None, options.samplers.split(",")):
        if name not in SAMPLERS:
            raise SystemExit(f"unknown sampler '{name}'; choose from {', '.join(SAMPLERS)}")
        if modules := missing(name):
            print(f"skipping {name}: {', '.join(modules)} is not installed", file=sys.stderr)
            continue
        if options.fidelity == "low" and name != "default":
            print(f"skipping {name}: it does not use short trainings", file=sys.stderr)
            continue
        started = {"both": (False, True), "yes": (True,), "no": (False,)}[options.head_start]
        for head_start in (False,) if SAMPLERS[name].knows_costs else started:
            run = Run(options.table, table.costs, name, head_start, options.trials, 0)
            run = replace(run, workers=options.workers, fidelity=options.fidelity)
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            runs += [replace(run, seed=seed) for seed in seeds]
            if options.fidelity == "low":
                runs += [replace(run, seed=seed, fidelity="full") for seed in seeds]
    curves: dict[str, Curves] = {score: {} for score in SCORES}
    for run, found in completed_runs(runs, options.processes, options.runs):
        single = options.fidelity == "low" and run.fidelity == "full"
        key = SINGLE if single else run.sampler, run.head_start
        for score in SCORES:
            curves[score].setdefault(key, []).append(found[score])
    result = {
        "table": options.table.name,
        "costs": list(table.costs),
        "seeds": options.seeds,
        "first_seed": options.first_seed,
        "workers": options.workers,
        "fidelity": options.fidelity,
        "results": [row for score in SCORES for row in summarize(score, curves[score], options.trials)],
        "against_best_baseline": {score: compare(curves[score], options.trials) for score in SCORES},
        "conditions": conditions(),
    }
    name = "_".join(["search_quality", options.table.stem.split("_")[0], *table.costs])
    name += f"_{options.workers}_workers" * (options.workers > 1) + "_low" * (options.fidelity == "low")
    name += f"_{options.label}" * bool(options.label)
    if options.figure or options.keep:
        path = options.figure or RESULTS / f"{name}.png"
        title = f"{table.path.name}: {', '.join(table.costs)}"
        draw(curves["all"], path, title)
        draw(curves["useful"], path.with_stem(f"{path.stem}_useful"), f"{title}; useful networks")
    emit(name, result, text(result), options.json, options.keep)


if __name__ == "__main__":
    main()
