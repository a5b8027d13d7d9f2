"""Networks in MLflow's model registry: versions, alias and card, and `mlflow models serve`, which answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.architecture import Architecture, Design
from nas.backends import initial_weights, load_litert, trained_litert_bytes, weight_specs
from nas.data import Signature
from nas.errors import InputError, RecordError
from nas.export import ExportOptions, LitertOptions, export_files, export_litert
from nas.record import NetworkModel, check_model_name, register_model
from nas.record.mlflow_store import connect, create_store

ARCHITECTURE = Architecture.from_dict({"input_shape": [8, 8, 1], "classes": 3, "stages": [{"width": 4}]})
SIGNATURE = Signature(
    task="classification", input_shape=(8, 8, 1), classes=("a", "b", "c"), feeding={"channels": "grey"}
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a network's file, whose record has a run for it: the folder and the id of the run."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        store = create_store()
        run = store.client.create_run(store.experiment_id)
    export_litert(ARCHITECTURE, None, folder / "best" / "model.tflite", signature=SIGNATURE)
    (folder / "best" / "labels.txt").write_text("a\nb\nc\n")
    return folder, run.info.run_id


@pytest.fixture
def network(project, monkeypatch):
    """The network of the project, which is the working folder."""
    folder, run_id = project
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    example = np.full((8, 8, 1), 100, np.uint8)
    file, labels = folder / "best" / "model.tflite", folder / "best" / "labels.txt"
    return NetworkModel(file, SIGNATURE, (3,), "# A card\n", run_id, (labels,), example, {"trial": "7"})


@pytest.mark.trains  # loads MLflow's models
def test_each_registration_is_a_version_and_the_last_one_the_candidate(network, capfd):
    first = register_model("photos", network)
    other = export_litert(
        ARCHITECTURE, None, network.file.with_name("other.tflite"), LitertOptions("float16")
    )
    card = "# Long\n" + 6000 * "x"
    second = register_model("photos", NetworkModel(other, SIGNATURE, (3,), card, network.run_id))
    assert (first.uri, second.uri) == ("models:/photos/1", "models:/photos/2")
    client = connect().client
    assert client.get_model_version_by_alias("photos", "candidate").version == 2
    version = client.get_model_version("photos", "1")
    assert (version.description, version.run_id) == ("# A card\n", network.run_id)
    assert version.tags == {"trial": "7"}
    long = client.get_model_version("photos", "2").description
    assert len(long) == 5000
    assert long.endswith("(The rest is in model_card.md among the model's files.)")
    assert not client.search_logged_models([connect().experiment_id])
    files = [path.name for path in Path("mlruns/artifacts").rglob("artifacts/*.tflite")]
    assert {"model.tflite", "other.tflite"} <= set(files)
    assert capfd.readouterr() == ("", "")


@pytest.mark.trains
def test_integer_and_keras_files_are_loaded_from_the_registry(network, monkeypatch):
    import mlflow

    x = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype(np.float32)
    weights = initial_weights(weight_specs(ARCHITECTURE.layers), seed=0)
    folder = network.file.parent
    keras = export_files(Design.from_dict(ARCHITECTURE.to_dict()), weights, folder / "k", ExportOptions())[
        "keras"
    ]
    integers = folder / "integers.tflite"
    export_litert(ARCHITECTURE, weights, integers, LitertOptions("int8", x, integer_io=True))
    expected = load_litert(trained_litert_bytes(ARCHITECTURE, weights))(x)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlruns/mlflow.db")
    for file, tolerance in ((keras, 1e-5), (integers, 0.05)):
        model = replace(network, file=file)
        loaded = mlflow.pyfunc.load_model(register_model("loaded", model).uri)
        np.testing.assert_allclose(loaded.predict(x), expected, atol=tolerance)
        assert loaded.metadata.metadata["classes"] == ["a", "b", "c"]


@pytest.mark.trains
def test_mlflow_serves_the_model(network):
    register_model("served", network)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/served@candidate"]
    address = f"http://127.0.0.1:{port}"
    with Path("served.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db",
                # MLflow starts uvicorn by its name.
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(f"{address}/ping", server)
        x = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1))
        found = _post(f"{address}/invocations", {"inputs": x.tolist()})
        np.testing.assert_allclose(
            found["predictions"], load_litert(network.file.read_bytes())(x.astype(np.float32)), atol=1e-6
        )
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(180):
        assert server.poll() is None, Path("served.log").read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(Path("served.log").read_text())


def _post(address: str, data: object) -> dict[str, object]:
    request = urllib.request.Request(address, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_a_registry_that_is_away_is_one_sentence_and_the_files_stay(network, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RecordError, match=r"record at http://127\.0\.0\.1:9 cannot be .*: nothing answers"):
        register_model("photos", network)
    assert network.file.exists()


def test_a_network_that_mlflow_does_not_have_is_refused(network):
    unknown = NetworkModel(network.file, SIGNATURE, (3,), "", "")
    with pytest.raises(RecordError, match="waits to be delivered to MLflow; run nas sync first"):
        register_model("photos", unknown)
    source = NetworkModel(network.file.with_suffix(".py"), SIGNATURE, (3,), "", network.run_id)
    with pytest.raises(InputError, match=r"is a \.tflite or \.keras file, got 'model.py'; add --fo"):
        register_model("photos", source)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", "x" * 101, "a\nb", " a"])
def test_impossible_names_are_refused(name):
    with pytest.raises(InputError, match="the name of a registered model must be letters"):
        check_model_name(name)


def test_usual_names_are_taken():
    for name in ("photos", "my model", "a.b-c_d", "Größe"):
        check_model_name(name)
