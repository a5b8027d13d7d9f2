"""Standard and separable convolutions on real data: the two shipped pairs of networks.

    python benchmarks/pairs.py                        writes benchmarks/results/pairs.{md,json}
    python benchmarks/pairs.py --json                 also prints the figures
    python benchmarks/pairs.py --work DIR             resumable: continues an interrupted run

Each network is trained by `nas.training` on the same examples in the same order and evaluated once on the
whole test split. Times are processor times of alternating runs, so they do not depend on the load of the
machine. Reads mnist.npz and cifar10.zip from $NAS_SHARED/data, or downloads both with Keras' loaders.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

THREADS = os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", THREADS)

from nas.architecture import (
    Design,  # imported after the number of threads is set
    network_cost,
)
from nas.backends import build_compiled_model, build_model
from nas.data import DataOptions, Dataset, load_dataset
from nas.device import LatencyOptions
from nas.device.latency import local_device, measure_architecture
from nas.evaluation import Evaluator, Job
from nas.export import export_litert
from nas.space import SearchSpace, shipped_files
from nas.training import TrainingOptions, retrained, train_network

RESULTS = Path(__file__).parent / "results"
SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[2] / "shared")) / "data"
TURNS = 4  # of each timing; the first includes tracing and is not counted


@dataclass(frozen=True)
class Pair:
    standard: str
    separable: str
    file: str
    loader: str
    train_limit: int
    epochs: int
    seeds: tuple[int, ...]
    training: dict[str, float]
    timed: int  # examples in a timed epoch
    claim: str
    normalization: str = "none"  # of both networks; 'none': as shipped

    @property
    def data(self) -> str:
        path = SHARED / self.file
        return str(path) if path.exists() else self.loader


VGG = Pair(
    standard="vgg_small",
    separable="vgg_small_separable",
    file="cifar10.zip",
    loader="cifar10",
    train_limit=1_600,
    epochs=8,
    seeds=(0,),
    training={"batch_size": 32, "learning_rate": 0.0005},
    timed=320,
    claim="75.8% against 75.6% with 6.8 times fewer parameters, after 10 epochs",
)

PAIRS = (
    Pair(
        standard="mnist_cnn",
        separable="mnist_separable_cnn",
        file="mnist.npz",
        loader="mnist",
        train_limit=20_000,
        epochs=5,
        seeds=(0, 1),
        training={"batch_size": 64},
        timed=2_000,
        claim="98.8% against 99.3%, and separable slower to train than standard",
    ),
    VGG,
    replace(VGG, claim="no claim, its networks have no normalization", normalization="between"),
)


def timings(pair: Pair, folder: Path) -> dict[str, dict[str, float]]:
    """Return the median processor seconds per epoch of this project's trainer and of Keras' `fit`."""
    dataset = load_dataset(pair.data, DataOptions(train_limit=pair.timed, validation=0.02))
    saved = dataset.save(folder / "timed" / pair.loader)
    evaluator = Evaluator()
    designs = {name: _design(pair, name) for name in (pair.standard, pair.separable)}
    models = {name: build_compiled_model(made.architecture, made.training) for name, made in designs.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: {"nas": [], "fit": []} for name in designs}
    for epoch in range(1, TURNS + 1):
        for name, design in designs.items():
            own = folder / "timed" / f"{name}-{pair.normalization}"
            job = Job(design, saved, epoch, TURNS, own, own / "checkpoint.npz" if epoch > 1 else None)
            begun = time.process_time()
            evaluator.evaluate(job)
            seconds[name]["nas"].append(time.process_time() - begun)
            size = design.training.batch_size
            begun = time.process_time()
            models[name].fit(dataset.train.x, dataset.train.y, batch_size=size, verbose=0)
            seconds[name]["fit"].append(time.process_time() - begun)
    return {
        name: {how: statistics.median(took[1:]) for how, took in found.items()}
        for name, found in seconds.items()
    }


def latencies(pair: Pair, folder: Path) -> dict[str, dict[str, float]]:
    """Return LiteRT's ms per image with one thread, wall-clock and processor time, minimum of 3 turns."""
    from ai_edge_litert.interpreter import Interpreter

    taken: dict[str, dict[str, list[float]]] = {}
    for turn in range(3):
        for name in (pair.standard, pair.separable):
            architecture = _design(pair, name).architecture
            file = export_litert(architecture, None, folder / f"{name}-{pair.normalization}-{turn}.tflite")
            interpreter = Interpreter(str(file), num_threads=1)
            interpreter.allocate_tensors()
            runs = []
            for _ in range(100):
                begun = time.thread_time()  # with one thread LiteRT runs in the calling thread
                interpreter.invoke()
                runs.append(1000 * (time.thread_time() - begun))
            own = taken.setdefault(name, {"measured": [], "processor": []})
            own["processor"].append(statistics.median(runs))
            own["measured"].append(
                measure_architecture(architecture, LatencyOptions(budget_seconds=2.0)).p50_ms
            )
    return {name: {how: min(values) for how, values in found.items()} for name, found in taken.items()}


def trained(pair: Pair, name: str, seed: int, dataset: Dataset, folder: Path) -> dict[str, float]:
    """Train one network at full length; return its test results."""

    def show(progress: object) -> None:
        print(f"{name}, seed {seed}: {len(progress.curve)} of {pair.epochs} epochs", file=sys.stderr)

    own = f"{name}-{seed}" if pair.normalization == "none" else f"{name}-{pair.normalization}-{seed}"
    options = TrainingOptions(folder / own, pair.epochs, seed=seed, formats=("keras",))
    result = train_network(_design(pair, name), dataset, options, show, name)
    epochs = [row["seconds"] for row in result.progress.curve]
    return {
        "test_accuracy": result.test["test_accuracy"],
        "validation_accuracy": result.values["accuracy"],
        "best_epoch": result.progress.best,
        "seconds_per_epoch": statistics.median(epochs),
    }


def signal(pair: Pair, name: str) -> float:
    """Return the standard deviation of the logits of one batch at Keras' initial weights."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    model = build_model(_design(pair, name).architecture)
    before = keras.Model(model.input, model.layers[-1].input)
    x = load_dataset(pair.data, DataOptions(train_limit=pair.timed)).train.x[:64]
    return float(np.std(np.asarray(before(x.astype("float32"), training=True))))


def _design(pair: Pair, name: str) -> Design:
    data = dict(SearchSpace.load(shipped_files("models")[name]).data)
    if pair.normalization != "none":
        data["block"] = {**data["block"], "normalization": pair.normalization}
    return retrained(SearchSpace(data).design({}), dict(pair.training))


def compare(pair: Pair, folder: Path) -> dict[str, object]:
    dataset = load_dataset(pair.data, DataOptions(train_limit=pair.train_limit))
    timed, latency = timings(pair, folder), latencies(pair, folder)
    runs: dict[str, list[dict[str, float]]] = {pair.standard: [], pair.separable: []}
    for seed in pair.seeds:
        for name, found in runs.items():
            found.append(trained(pair, name, seed, dataset, folder))
    networks = {}
    for name, found in runs.items():
        counted = network_cost(_design(pair, name).architecture)
        networks[name] = {
            "params": counted.params,
            "flops": counted.flops,
            "test_accuracy": statistics.mean(run["test_accuracy"] for run in found),
            "runs": found,
            "seconds_per_epoch": statistics.median(run["seconds_per_epoch"] for run in found),
            "timed_seconds": timed[name],
            "latency_ms": latency[name],
            "logits_at_start": signal(pair, name),
        }
    return {
        "data": pair.loader,
        "train_images": len(dataset.train),
        "validation_images": len(dataset.validation),
        "test_images": len(dataset.test or ()),
        "timed_images": pair.timed,
        "epochs": pair.epochs,
        "seeds": list(pair.seeds),
        "training": pair.training,
        "claim": pair.claim,
        "normalization": pair.normalization,
        "networks": networks,
    }


def markdown(results: dict[str, object]) -> str:
    machine = results["machine"]
    lines = [
        "# Standard and separable convolutions",
        "",
        f"`python benchmarks/pairs.py` on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} thread(s) for training and one for LiteRT; load average {machine['load']:.1f} "
        "while it ran. Ratios are those of processor times of alternating runs, which do not depend on the "
        "load; wall-clock times do, and more so for longer inferences.",
        "",
    ]
    for found in results["pairs"]:
        lines += _section(found)
    return "\n".join(lines)


def _section(found: dict) -> list[str]:
    (standard, one), (separable, two) = found["networks"].items()
    fewer = one["params"] / two["params"]
    step = two["timed_seconds"]["nas"] / one["timed_seconds"]["nas"]
    fit = two["timed_seconds"]["fit"] / one["timed_seconds"]["fit"]
    latency = two["latency_ms"]["processor"] / one["latency_ms"]["processor"]
    runs = len(found["seeds"])
    noise = 196 * (one["test_accuracy"] * (1 - one["test_accuracy"]) * 2 / found["test_images"] / runs) ** 0.5
    rows = [
        ("parameters", f"{one['params']:,}", f"{two['params']:,}", two["params"] / one["params"]),
        ("FLOPs per image", f"{one['flops']:,}", f"{two['flops']:,}", two["flops"] / one["flops"]),
        ("test accuracy", f"{one['test_accuracy']:.2%}", f"{two['test_accuracy']:.2%}", None),
        ("wall-clock seconds per epoch",
         *(f"{n['seconds_per_epoch']:.1f}" for n in (one, two)), None),
        (f"processor seconds for {found['timed_images']:,} images, `nas train`",
         *(f"{n['timed_seconds']['nas']:.2f}" for n in (one, two)), step),
        ("the same, Keras' `model.fit`", *(f"{n['timed_seconds']['fit']:.2f}" for n in (one, two)), fit),
        ("LiteRT, processor ms per image",
         *(f"{n['latency_ms']['processor']:.3f}" for n in (one, two)), latency),
        ("LiteRT, wall-clock ms per image (`nas measure`)",
         *(f"{n['latency_ms']['measured']:.3f}" for n in (one, two)), None),
    ]  # fmt: skip
    rows.append((
        "standard deviation of the logits before training",
        *(f"{n['logits_at_start']:.1g}" for n in (one, two)), None
    ))  # fmt: skip
    title = "" if found["normalization"] == "none" else ", both with batch normalization"
    difference = 100 * (two["test_accuracy"] - one["test_accuracy"])
    seeds = "one seed" if runs == 1 else f"mean of {runs} seeds"
    training = ", ".join(f"{name} {value:g}" for name, value in found["training"].items())
    return [
        f"## {standard} and {separable}{title}, {found['data']}",
        "",
        f"{found['train_images']:,} training images (stratified, the same for both), "
        f"{found['validation_images']:,} for validation, all {found['test_images']:,} test images; "
        f"{found['epochs']} epochs, {training}; {seeds}.",
        "",
        "| measure | standard | separable | ratio |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {a} | {b} | {'' if ratio is None else f'{ratio:.2f}'} |"
            for name, a, b, ratio in rows
        ),
        "",
        f"Claim of the source: {found['claim']}.",
        "",
        f"- Parameters: {fewer:.2f} times fewer.",
        f"- Accuracy: {_accuracy(found, difference, noise)}",
        f"- Training: separable is {_times(step)} with `nas train` and {_times(fit)} with `model.fit`.",
        f"- Inference: separable is {_times(latency)} with "
        f"{one['flops'] / two['flops']:.1f} times fewer FLOPs.",
        "",
    ]


def _accuracy(found: dict, difference: float, noise: float) -> str:
    steps = found["epochs"] * -(-found["train_images"] // found["training"]["batch_size"])
    stuck = [name for name, n in found["networks"].items() if n["test_accuracy"] < 0.12]  # of ten classes
    if stuck:
        return (
            f"{' and '.join(stuck)} stayed at chance level for {steps:,} steps, so the accuracies can't be "
            "compared on this subset. The reason: Keras' initialization includes the channels of a depthwise "
            "kernel in its fan-in, so that each separable layer reduces the signal about ten times, and "
            "no normalization corrects this (see the standard deviation of the logits)."
        )
    return (
        f"separable {abs(difference):.2f} points {'above' if difference >= 0 else 'below'} standard, "
        f"{'within' if abs(difference) <= noise else 'outside'} the sampling error of two networks on "
        f"{found['test_images']:,} test images (±{noise:.2f} points at 95%, without the variance between "
        "seeds)."
    )


def _times(ratio: float) -> str:
    return f"{1 / ratio:.2f} times faster" if ratio < 1 else f"{ratio:.2f} times slower"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--work", type=Path, help="folder of the trainings, for resuming (default: temporary)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are written")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    out = options.out.absolute()
    work = (options.work or Path(tempfile.mkdtemp(prefix="pairs-"))).absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)  # MLflow writes the record of the trainings here
    machine = {
        "processor": local_device(LatencyOptions()).processor,
        "cores": os.cpu_count(),
        "threads": int(THREADS),
        "python": platform.python_version(),
    }
    results: dict[str, object] = {"machine": machine, "pairs": []}
    out.mkdir(parents=True, exist_ok=True)
    for pair in PAIRS:
        results["pairs"].append(compare(pair, work))
        machine["load"] = os.getloadavg()[2]  # of the last 15 minutes
        (out / "pairs.json").write_text(json.dumps(results, indent=1) + "\n")
        (out / "pairs.md").write_text(markdown(results))
    if options.json:
        print(json.dumps(results, indent=1))
    print(f"wrote {out / 'pairs.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
