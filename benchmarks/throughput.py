"""Trials per hour of Keras Tuner, an Optuna script and `nas`: same networks, data, epochs and batch size.

    python benchmarks/throughput.py                                    # the embedded digits, 5 epochs
    python benchmarks/throughput.py --data fashion_mnist.npz --train-limit 10000 --epochs 3
    python benchmarks/throughput.py --max-params 20000                 # small networks only

Each contender runs in a separate process, timed from start to end: importing TensorFlow counts, because users
wait for it. All train in float32 with Adam at a constant learning rate and batches of 64, and validate after
each epoch. All run with their defaults: Keras Tuner and the script with TensorFlow's number of threads and
choice of oneDNN, `nas` with its number of workers and its record in MLflow.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _common import (
    Outcome,
    Task,
    absolute_path,
    common_parser,
    conditions,
    draw_networks,
    emit,
    median,
    run_child,
    table,
)

Report = Callable[[str, float, float], None]
"""Called after each trial with the network, its validation accuracy and the seconds of the trial."""


def keras_tuner(task: Task, report: Report) -> None:
    """Train the networks with Keras Tuner's RandomSearch, as in its guide."""
    import keras_tuner as kt

    from nas.backends import build_compiled_model

    dataset, space = task.load()
    designs = [space.design(setting) for setting in task.settings]

    class Networks(kt.HyperModel):
        """The k-th value that the oracle draws represents the k-th network."""

        def __init__(self) -> None:
            super().__init__()
            self.drawn: dict[float, int] = {}
            self.searching = False

        def build(self, hp: kt.HyperParameters) -> Any:
            value = hp.Float("network", 0.0, 1.0)
            index = self.drawn.setdefault(value, len(self.drawn)) if self.searching else 0
            return build_compiled_model(designs[index].architecture, designs[index].training)

        def fit(self, hp: kt.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            history = super().fit(hp, model, *args, **kwargs)
            index = self.drawn[hp.get("network")]
            accuracy = history.history["val_accuracy"][-1]
            report(designs[index].key, accuracy, time.perf_counter() - begun)
            return history

    hypermodel = Networks()
    tuner = kt.RandomSearch(
        hypermodel, objective="val_accuracy", max_trials=len(designs), directory="tuner", seed=task.seed
    )
    hypermodel.searching = True
    train, validation = dataset.train, dataset.validation
    tuner.search(
        train.x,
        train.y,
        validation_data=(validation.x, validation.y),
        epochs=task.epochs,
        batch_size=designs[0].training.batch_size,
        verbose=0,
    )


def optuna_script(task: Task, report: Report) -> None:
    """Train the networks with a script that follows the guides of Optuna and Keras."""
    import keras
    import optuna

    from nas.backends import build_compiled_model

    dataset, space = task.load()
    designs = [space.design(setting) for setting in task.settings]
    train, validation = dataset.train, dataset.validation

    def objective(trial: optuna.Trial) -> tuple[float, int]:
        keras.backend.clear_session()
        design = designs[trial.suggest_int("network", 0, len(designs) - 1)]
        begun = time.perf_counter()
        model = build_compiled_model(design.architecture, design.training)
        history = model.fit(
            train.x,
            train.y,
            validation_data=(validation.x, validation.y),
            epochs=task.epochs,
            batch_size=design.training.batch_size,
            verbose=0,
        )
        accuracy = history.history["val_accuracy"][-1]
        report(design.key, accuracy, time.perf_counter() - begun)
        return accuracy, model.count_params()

    study = optuna.create_study(directions=["maximize", "minimize"])
    for index in range(len(designs)):
        study.enqueue_trial({"network": index})
    study.optimize(objective, n_trials=len(designs))


def nas_search(task: Task, report: Report) -> None:
    """Train the networks in a search that starts from them and has no other trials.

    The most expensive come first, so that the workers end at nearly the same time.
    """
    from nas.architecture import network_cost
    from nas.executors import worker_count
    from nas.searching import SearchOptions, Status, prepare_search

    workers = worker_count()
    options = SearchOptions.parse(
        {
            "data": task.data,
            "train_limit": task.train_limit,
            "objectives": ("accuracy", "params"),
            "engine": "optuna",
            "sampler": "random",
            "trials": len(task.settings),
            "epochs": task.epochs,
            "halving": False,
            "seed": task.seed,
        }
    )
    prepared = prepare_search(task.space, options, name="throughput", workers=workers)
    flops = {
        index: network_cost(prepared.screen.space.design(s).architecture).flops
        for index, s in enumerate(task.settings)
    }
    start = tuple(task.settings[index] for index in sorted(flops, key=lambda index: -flops[index]))
    prepared.plan = prepared.plan.model_copy(update={"start": start})
    reported: set[int] = set()

    def show(status: Status) -> None:
        for number in status.trials.keys() - reported:
            trial = status.trials[number]
            if trial.state != "complete":
                raise RuntimeError(f"trial {number} is {trial.state}: {trial.reason}")
            report(trial.design.key, trial.values["accuracy"], sum(trial.seconds.values()))
            reported.add(number)

    result = prepared.run(show)
    print(json.dumps({"workers": workers, "seconds": result.status.seconds}), flush=True)


def constant_rate(space: str, folder: Path) -> str:
    """Write a copy of a space's file with a constant learning rate, which all contenders support."""
    from nas.space import SearchSpace

    data = SearchSpace.load(space).data
    data["training"] = {**data.get("training", {}), "schedule": "constant"}
    path = folder / f"{Path(space).stem}.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")  # JSON is YAML
    return str(path)


CONTENDERS = {"keras_tuner": keras_tuner, "optuna_script": optuna_script, "nas": nas_search}


def contend(name: str, task: Task, out: Path) -> None:
    """Run one contender in this process; write a line to `out` for each trial."""
    with out.open("a", encoding="utf-8", buffering=1) as lines:

        def report(network: str, accuracy: float, seconds: float) -> None:
            line = {"network": network, "accuracy": accuracy, "seconds": seconds, "ended": time.time()}
            lines.write(json.dumps(line) + "\n")

        CONTENDERS[name](task, report)


def run_figures(outcome: Outcome, task: Task) -> dict[str, Any]:
    """Return the figures of a run; raise RuntimeError if it did not train all networks once."""
    trained = {line["network"] for line in outcome.lines}
    if len(trained) != len(task.settings) or len(outcome.lines) != len(task.settings):
        raise RuntimeError(
            f"{len(task.settings)} networks must be trained once, got {len(outcome.lines)} trials"
        )
    first = min(line["ended"] - line["seconds"] for line in outcome.lines)
    start_up = first - outcome.started
    count = len(task.settings)
    return {
        "seconds": outcome.seconds,
        "start_up_seconds": start_up,
        "trials_per_hour": 3600 * count / outcome.seconds,
        "trials_per_hour_without_start_up": 3600 * count / (outcome.seconds - start_up),
        "mean_accuracy": sum(line["accuracy"] for line in outcome.lines) / count,
        "trial_seconds": sum(line["seconds"] for line in outcome.lines) / count,
    }


def worker_time_shares(folder: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the shares of the workers' time in the last search, from the start of the first trial."""
    output = (folder / "output.txt").read_text(encoding="utf-8").split("\n")
    status = json.loads([line for line in output if line[:1] == "{"][-1])
    total = status["workers"] * (runs[-1]["seconds"] - runs[-1]["start_up_seconds"])
    names = ("build", "trace", "train", "statistics", "validate", "save")
    shares = {name: status["seconds"].get(name, 0.0) / total for name in names}
    return {**shares, "else": 1.0 - sum(shares.values())}


def compare(task: Task, repeats: int) -> dict[str, Any]:
    """Run all contenders alternately, `repeats` times each; return medians and ratios."""
    environment = conditions()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    shares: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(repeats):
            order = list(CONTENDERS)
            order = order[repeat % 3 :] + order[: repeat % 3]
            for name in order:
                folder = Path(scratch, f"{repeat}-{name}")
                runs[name].append(run_figures(run_child(__file__, name, task, folder), task))
                print(f"repeat {repeat + 1}, {name}: {runs[name][-1]['seconds']:.0f} s", file=sys.stderr)
                if name == "nas":
                    shares = worker_time_shares(folder, runs[name])
    medians = {
        name: {key: median(run[key] for run in repeated) for key in repeated[0]}
        for name, repeated in runs.items()
    }
    result: dict[str, Any] = {"benchmark": "throughput", "medians": medians, "runs": runs}
    for name in ("keras_tuner", "optuna_script"):
        for suffix in ("", "_without_start_up"):
            key = f"trials_per_hour{suffix}"
            ratios = [ours[key] / theirs[key] for ours, theirs in zip(runs["nas"], runs[name], strict=True)]
            result[f"ratio_{name}{suffix}"] = median(ratios)
    result["nas_worker_time_shares"] = {name: round(share, 4) for name, share in shares.items()}
    result["task"] = {
        "data": Path(task.data).stem,
        "train_limit": task.train_limit,
        "space": Path(task.space).stem,
        "epochs": task.epochs,
        "trials": len(task.settings),
        "batch_size": 64,
        "repeats": repeats,
    }
    result["conditions"] = environment
    return result


def text_of(result: Mapping[str, Any]) -> str:
    """Return the result as Markdown."""
    task = result["task"]
    limit = f", {task['train_limit']:,} training images" if task["train_limit"] else ""
    bound = f" of at most {task['max_params']:,} parameters" if task["max_params"] else ""
    rows = [
        (
            name.replace("_", " "),
            f"{run['trials_per_hour']:,.0f}",
            f"{run['trials_per_hour_without_start_up']:,.0f}",
            f"{run['start_up_seconds']:.1f}",
            f"{run['trial_seconds']:.2f}",
            f"{run['mean_accuracy']:.3f}",
        )
        for name, run in result["medians"].items()
    ]
    shares = ", ".join(f"{name} {share:.1%}" for name, share in result["nas_worker_time_shares"].items())
    head = (
        "contender",
        "trials per hour",
        "without start-up",
        "start-up (s)",
        "seconds per trial",
        "mean accuracy",
    )
    return "\n\n".join(
        (
            f"# Trials per hour: {task['data']}{limit}, {task['epochs']} epochs",
            f"`nas search` completes {result['ratio_keras_tuner']:.2f} x the trials per hour of Keras Tuner "
            f"and {result['ratio_optuna_script']:.2f} x those of the Optuna script "
            f"({result['ratio_keras_tuner_without_start_up']:.2f} x and "
            f"{result['ratio_optuna_script_without_start_up']:.2f} x without start-up).",
            f"{task['trials']} networks of {task['space']}{bound}, batches of {task['batch_size']}, medians "
            f"of {task['repeats']} interleaved runs of whole processes. The others use TensorFlow's default "
            "threads and oneDNN, nas one single-threaded worker per core.",
            table(head, rows),
            f"The workers' time in nas from the start of the first trial to the end: {shares}.",
        )
    )


def main() -> None:
    """Parse the options, compare the contenders, and print the result."""
    parser = common_parser(__doc__, CONTENDERS)
    parser.add_argument("--data", default="digits", help="digits, or a file such as fashion_mnist.npz")
    parser.add_argument("--train-limit", type=int, help="number of training examples")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--max-params", type=int, help="upper bound of the networks' parameters")
    options = parser.parse_args()
    if options.contender:
        contend(options.contender, Task.read(options.task), Path(options.out))
        return
    with tempfile.TemporaryDirectory() as folder:
        space = constant_rate(options.space, Path(folder))
        task = Task(absolute_path(options.data), options.train_limit, space, options.epochs, options.seed)
        settings = draw_networks(task.load()[1], options.trials, options.seed, options.max_params)
        result = compare(replace(task, settings=tuple(settings)), options.repeats)
    result["task"]["max_params"] = options.max_params
    name = f"throughput-{result['task']['data']}" + f"-{options.max_params}" * bool(options.max_params)
    emit(name, result, text_of(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
