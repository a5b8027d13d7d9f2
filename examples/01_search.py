"""Search a space, print the front, and return the network at its knee as a Keras model.

Run it with `.venv/bin/python examples/01_search.py`. It takes about a minute and writes to `mlruns/`.
"""

import nas


def main(trials: int = 8, epochs: int = 9, workers: int | None = None) -> None:
    result = nas.search("xception_like", data="digits", trials=trials, epochs=epochs, workers=workers)
    for trial in result.front:
        accuracy, params = trial.values["accuracy"], trial.values["params"]
        print(f"trial {trial.number}: {accuracy:.1%} with {params:,.0f} parameters")

    found = nas.find(result.name)
    knee = found.pick("knee")
    model = found.model(knee)  # a compiled Keras model with the weights of the trial
    model.summary()


if __name__ == "__main__":  # worker processes import this file
    main()
