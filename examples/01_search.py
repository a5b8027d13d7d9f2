"""Search a space, look at the front, and take the knee's network to train further.

Run it with `.venv/bin/python examples/01_search.py`; it takes about a minute, and writes to `mlruns/`.
"""

import nas


def main(trials: int = 8, epochs: int = 9) -> None:
    result = nas.search("xception_like", data="digits", trials=trials, epochs=epochs)
    for trial in result.front:
        accuracy, params = trial.values["accuracy"], trial.values["params"]
        print(f"trial {trial.number}: {accuracy:.1%} with {params:,.0f} parameters")

    found = nas.find(result.name)
    knee = found.pick("knee")
    model = found.model(knee)  # an ordinary compiled Keras model, with the weights found
    model.summary()


if __name__ == "__main__":  # worker processes import this file
    main()
