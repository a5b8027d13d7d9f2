"""Trials an hour: the same networks, data, epochs and batches by Keras Tuner, by an Optuna script, by `nas`.

    python benchmarks/throughput.py                                    # the embedded digits, 5 epochs
    python benchmarks/throughput.py --data fashion_mnist.npz --train-limit 10000 --epochs 3
    python benchmarks/throughput.py --max-params 20000                 # small networks alone

Each contender runs in a process of its own, from its start to its end: importing TensorFlow counts, as its
users wait for it. All train in float32 with Adam at a constant rate and batches of 64 and judge on the
validation split after each epoch. Keras Tuner and the script run as they come: TensorFlow with its own
number of threads and its own choice of oneDNN. `nas` runs as it comes too: its number of workers, its
record in MLflow.
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
    arguments,
    conditions,
    emit,
    located,
    median,
    networks,
    run_child,
    table,
)

Report = Callable[[str, float, float], None]
"""Called after each trial with the network, the validation accuracy, and the trial's seconds."""


def keras_tuner(task: Task, report: Report) -> None:
    """Train the networks by Keras Tuner's RandomSearch, as its guide has it."""
    import keras_tuner as kt

    from nas.backends import build_compiled_model

    dataset, space = task.load()
    designs = [space.design(setting) for setting in task.settings]

    class Networks(kt.HyperModel):
        """The k-th value that the oracle draws stands for the k-th network."""

        def __init__(self) -> None:
            super().__init__()
            self.drawn: dict[float, int] = {}
            self.searching = False

        def build(self, hp: kt.HyperParameters) -> Any:
            value = hp.Float("network", 0.0, 1.0)
            place = self.drawn.setdefault(value, len(self.drawn)) if self.searching else 0
            return build_compiled_model(designs[place].architecture, designs[place].training)

        def fit(self, hp: kt.HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            history = super().fit(hp, model, *args, **kwargs)
            place = self.drawn[hp.get("network")]
            accuracy = history.history["val_accuracy"][-1]
            report(designs[place].key, accuracy, time.perf_counter() - begun)
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
    """Train the networks by the script that Optuna's and Keras' guides lead to."""
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
    for place in range(len(designs)):
        study.enqueue_trial({"network": place})
    study.optimize(objective, n_trials=len(designs))


def nas_search(task: Task, report: Report) -> None:
    """Train the networks by a search that starts from them and has no further trials.

    The costliest come first, so that no worker is left alone for long at the end.
    """
    from nas.architecture import network_cost
    from nas.executors import default_workers
    from nas.searching import Status, prepare_search

    workers = default_workers()
    asked = {
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
    prepared = prepare_search(task.space, asked, name="throughput", workers=workers)
    flops = {
        place: network_cost(prepared.screen.space.design(s).architecture).flops
        for place, s in enumerate(task.settings)
    }
    start = tuple(task.settings[place] for place in sorted(flops, key=lambda place: -flops[place]))
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
    """Write a space's file anew for a constant learning rate, which is what all contenders can do."""
    from nas.space import SearchSpace

    data = SearchSpace.load(space).data
    data["training"] = {**data.get("training", {}), "schedule": "constant"}
    path = folder / f"{Path(space).stem}.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")  # JSON is YAML
    return str(path)


CONTENDERS = {"keras_tuner": keras_tuner, "optuna_script": optuna_script, "nas": nas_search}


def contend(name: str, task: Task, out: Path) -> None:
    """Run one contender in this process, with a line in `out` for each trial."""
    with out.open("a", encoding="utf-8", buffering=1) as lines:

        def report(network: str, accuracy: float, seconds: float) -> None:
            line = {"network": network, "accuracy": accuracy, "seconds": seconds, "ended": time.time()}
            lines.write(json.dumps(line) + "\n")

        CONTENDERS[name](task, report)


def measured(outcome: Outcome, task: Task) -> dict[str, Any]:
    """Give a run's figures; raises RuntimeError where it did not train all networks."""
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


def where_time_went(folder: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Give the shares of the workers' time in the last search, from the first trial's start to the end."""
    said = [line for line in (folder / "said.txt").read_text(encoding="utf-8").split("\n") if line[:1] == "{"]
    told = json.loads(said[-1])
    whole = told["workers"] * (runs[-1]["seconds"] - runs[-1]["start_up_seconds"])
    names = ("build", "trace", "train", "validate", "save")
    shares = {name: told["seconds"].get(name, 0.0) / whole for name in names}
    return {**shares, "else": 1.0 - sum(shares.values())}


def compare(task: Task, repeats: int) -> dict[str, Any]:
    """Run all contenders in turn, so many times; give the medians and the ratios."""
    where = conditions()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    shares: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(repeats):
            order = list(CONTENDERS)
            order = order[repeat % 3 :] + order[: repeat % 3]
            for name in order:
                folder = Path(scratch, f"{repeat}-{name}")
                runs[name].append(measured(run_child(__file__, name, task, folder), task))
                print(f"repeat {repeat + 1}, {name}: {runs[name][-1]['seconds']:.0f} s", file=sys.stderr)
                if name == "nas":
                    shares = where_time_went(folder, runs[name])
    medians = {
        name: {key: median(run[key] for run in made) for key in made[0]} for name, made in runs.items()
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
    result["conditions"] = where
    return result


def text_of(result: Mapping[str, Any]) -> str:
    """Write the result for a reader."""
    task = result["task"]
    limit = f", {task['train_limit']:,} training images" if task["train_limit"] else ""
    most = f" of at most {task['max_params']:,} parameters" if task["max_params"] else ""
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
    head = ("contender", "trials an hour", "without start-up", "start-up (s)", "a trial (s)", "mean accuracy")
    return "\n\n".join(
        (
            f"# Trials an hour: {task['data']}{limit}, {task['epochs']} epochs",
            f"`nas search` does {result['ratio_keras_tuner']:.2f} x the trials an hour of Keras Tuner and "
            f"{result['ratio_optuna_script']:.2f} x those of the Optuna script "
            f"({result['ratio_keras_tuner_without_start_up']:.2f} x and "
            f"{result['ratio_optuna_script_without_start_up']:.2f} x without start-up).",
            f"{task['trials']} networks of {task['space']}{most}, batches of {task['batch_size']}, medians "
            f"of {task['repeats']} interleaved runs of whole processes. TensorFlow's own threads and oneDNN "
            "for the others, one single-threaded worker a core for nas.",
            table(head, rows),
            f"The workers' time in nas, from the first trial's start to the end: {shares}.",
        )
    )


def main() -> None:
    """Parse, compare, print."""
    parser = arguments(__doc__, CONTENDERS)
    parser.add_argument("--data", default="digits", help="digits, or a file such as fashion_mnist.npz")
    parser.add_argument("--train-limit", type=int, help="so many training examples")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--max-params", type=int, help="only networks of at most so many parameters")
    given = parser.parse_args()
    if given.contender:
        contend(given.contender, Task.read(given.task), Path(given.out))
        return
    with tempfile.TemporaryDirectory() as folder:
        space = constant_rate(given.space, Path(folder))
        task = Task(located(given.data), given.train_limit, space, given.epochs, given.seed)
        settings = networks(task.load()[1], given.trials, given.seed, given.max_params)
        result = compare(replace(task, settings=tuple(settings)), given.repeats)
    result["task"]["max_params"] = given.max_params
    name = f"throughput-{result['task']['data']}" + f"-{given.max_params}" * bool(given.max_params)
    emit(name, result, text_of(result), given.json, not given.no_keep)


if __name__ == "__main__":
    main()
