"""The training step and the validation step of one network: two TensorFlow functions, traced once.

They compute the same as `model.fit` of the Keras model; a test compares the loss curves. They are faster
because they use raw operations instead of Keras' layers, keep all trained weights in one variable that one
fused optimizer operation updates, and normalize a batch in one operation. They keep no moving statistics of
batch normalization: these are computed from training examples before a validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, assert_never

import numpy as np

from nas.architecture import Design, Layer, Shape, Training
from nas.backends import ForwardMode, TargetScale, forward, initial_weights, weight_specs
from nas.errors import EvaluationError
from nas.evaluation.checkpoint import State
from nas.evaluation.losses import Mixture, Truth, answer_losses
from nas.evaluation.weight_vector import WeightVector
from nas.tensorflow_imports import import_tensorflow

__all__ = ["Trainer", "without_graph_optimizer"]

BETA_1, BETA_2, RHO, SGD_MOMENTUM, OPTIMIZER_EPSILON = 0.9, 0.999, 0.9, 0.9, 1e-7  # Keras' defaults
SLOTS = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}
"""Number of moving averages of each optimizer."""


@contextmanager
def without_graph_optimizer() -> Iterator[None]:
    """Run functions without TensorFlow's graph optimizer.

    It improves nothing in a training step, and takes a third of the time from the start of the trace to the
    end of the first step.
    """
    tf = import_tensorflow()
    options = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **options})


class Trainer:
    """One network and its weights, trained batch by batch.

    `class_weights`: factor of the training loss of an example by its class, None for 1. `ignore_label`: the
    label of pixels that are excluded from loss and metrics (segmentation). `scale`: of the numbers
    (regression). `frozen_norm`: batch normalization keeps its weights and uses its moving statistics, for
    fine-tuning.
    """

    def __init__(
        self,
        design: Design,
        dtype: Any,
        *,
        validation_batch: int = 256,
        class_weights: Sequence[float] | None = None,
        ignore_label: int | None = None,
        scale: TargetScale | None = None,
        frozen_norm: bool = False,
    ) -> None:
        tf = import_tensorflow()
        architecture = design.architecture
        self.layers: Sequence[Layer] = architecture.layers
        self.training: Training = design.training
        self.task, self.classes = architecture.task, architecture.classes
        self.ignore_label, self.frozen_norm = ignore_label, frozen_norm
        self.class_weights, self.scale = class_weights, scale
        self.specs = weight_specs(self.layers)
        fixed = [spec.is_statistic or (frozen_norm and spec.is_norm) for spec in self.specs]
        self._trained = WeightVector(self.specs, [i for i, is_fixed in enumerate(fixed) if not is_fixed])
        self._fixed = WeightVector(self.specs, [i for i, is_fixed in enumerate(fixed) if is_fixed])
        zeros = np.zeros(sum(self._trained.sizes), np.float32)
        self._slots = [tf.Variable(zeros, trainable=False) for _ in range(SLOTS[self.training.optimizer])]
        self.validation_batch = validation_batch
        self.train_traced = self.test_traced = False
        self.steps = 0
        self.seed = 0
        self._sum: Any = None  # of the trained weights after each step, while they are averaged
        self._summed = 0
        self._last: np.ndarray | None = None  # the trained weights, while their average takes their place
        shape = (None, *architecture.input_shape)
        batch = [
            tf.TensorSpec(shape, tf.float32 if self.training.changes_inputs else dtype),
            tf.TensorSpec((None, *self._label_shape(architecture.input_shape)), self.label_dtype),
            tf.TensorSpec((3,), tf.float32),
            tf.TensorSpec((2,), tf.uint64),
        ]
        if self.training.mixup:
            batch.append(Mixture(tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)))
        self._train = tf.function(self._train_step, batch, autograph=False)
        self._test = tf.function(self._test_step, [tf.TensorSpec(shape, dtype), batch[1]], autograph=False)

    @property
    def label_dtype(self) -> type[np.int32 | np.float32]:
        """The type of the labels of a batch."""
        return np.float32 if self.task == "regression" else np.int32

    def _label_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one example's label."""
        if self.task == "segmentation":
            return input_shape[:2]
        return (self.classes,) if self.task in ("multi_label", "regression") else ()

    def initial_state(self, seed: int) -> State:
        """Return the state before the first step."""
        weights = initial_weights(self.specs, seed)
        return State([spec.name for spec in self.specs], self.scale.fold(weights) if self.scale else weights)

    def restore(self, state: State, seed: int, train_on: bool = False) -> None:
        """Set the weights of a state, or with `train_on` those from which training continues.

        Raises EvaluationError if it is of another network.
        """
        expected = {spec.name: spec.shape for spec in self.specs}
        found = {name: value.shape for name, value in zip(state.names, state.weights, strict=True)}
        if expected != found:
            name, shape = min(expected.items() ^ found.items())
            raise EvaluationError(
                f"a checkpoint must be of the same network, got one that differs at {name} {shape}; "
                "train from the start"
            )
        weights = self.scale.unfold(state.weights) if self.scale else state.weights
        self._trained.assign(weights)
        self._fixed.assign(weights)
        self._sum = self._last = None
        size = sum(self._trained.sizes)
        fits = [slot.shape for slot in state.slots] == [(size,)] * len(self._slots)
        for number, slot in enumerate(self._slots):
            slot.assign(state.slots[number] if fits else np.zeros(size, np.float32))
        if train_on and fits and state.last is not None:
            self._trained.variable.assign(state.last)
        self.steps = state.steps if fits else 0
        self.seed = seed

    def state(self, epochs: int) -> State:
        """Return the state after a number of epochs."""
        values: dict[int, np.ndarray] = {}
        for vector in (self._trained, self._fixed):
            values |= dict(zip(vector.indices, vector.arrays(), strict=True))
        weights = [values[index] for index in range(len(values))]
        return State(
            names=[spec.name for spec in self.specs],
            weights=self.scale.fold(weights) if self.scale else weights,
            slots=[slot.numpy() for slot in self._slots],
            steps=self.steps,
            epochs=epochs,
            last=self._last,
        )

    def train_batch(
        self, x: np.ndarray, y: np.ndarray, rate: float, mixture: Mixture | None = None
    ) -> np.ndarray:
        """Take one step at a learning rate and return the sums of loss, correct answers and answers.

        For regression, absolute errors stand in the place of correct answers. `x` as in the data set, or
        float32 if training changes its inputs; `y` of `label_dtype`. `mixture`: the other examples if the
        training has mixup.
        """
        self.steps += 1
        numbers = np.array([rate, BETA_1**self.steps, BETA_2**self.steps], np.float32)
        noise = np.array([self.seed, self.steps], np.uint64)
        extra = () if mixture is None else (mixture,)
        self.train_traced = True
        sums: np.ndarray = self._train(x, y, numbers, noise, *extra).numpy()
        if self._sum is not None:
            self._sum.assign_add(self._trained.variable)
            self._summed += 1
        return sums

    def begin_average(self) -> None:
        """Begin to average the trained weights over the following steps."""
        zeros = np.zeros(sum(self._trained.sizes), np.float32)
        self._sum, self._summed = import_tensorflow().Variable(zeros, trainable=False), 0

    def use_average(self) -> None:
        """Replace the trained weights by their average, until a state is restored.

        While the learning rate is high, the last weights are a noisy sample around their average, by which
        networks rank more as after their full training (benchmarks/fidelity.py; arXiv:1803.05407).
        """
        if self._sum is not None and self._summed:
            self._last = self._trained.variable.numpy()
            self._trained.variable.assign(self._sum / self._summed)
        self._sum = None

    def test_batch(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return predicted classes, losses and, of two classes, scores; or the fields of `PixelAnswers`; or
        logits (or standardized numbers) and losses.
        """
        self.test_traced = True
        return tuple(part.numpy() for part in self._test(x, y))

    def recompute_statistics(self, x: np.ndarray) -> None:
        """Set the moving statistics to those of examples (n, ...), as in the data set, with these weights.

        Moving averages lag behind the weights, so that they misjudge a network that was trained for a few
        hundred steps. The statistics are averaged over batches: the mean of means, and the mean of variances
        plus the variance of means (Wu and Johnson, arXiv:2105.07576, section 3). Frozen ones stay.
        """
        if self.frozen_norm or not self._fixed.sizes:
            return
        tf = import_tensorflow()
        size = max(self.training.batch_size, self.validation_batch)
        values = {
            **self._trained.split(self._trained.variable.read_value()),
            **self._fixed.split(self._fixed.variable.read_value()),
        }
        batches = [x[start : start + size] for start in range(0, len(x), size)]
        mode = ForwardMode(batch_statistics=True)
        found = [forward(self.layers, values, tf.cast(batch, tf.float32), mode)[1] for batch in batches]
        shares = np.array([len(batch) for batch in batches]) / len(x)
        means, parts = np.empty(0), []
        for spec in self._fixed.specs:
            rows = np.array([statistics[spec.name][0].numpy() for statistics in found], np.float64)
            if pixels := found[0][spec.name][1]:  # an unbiased variance, after its mean
                counts = pixels * np.array([len(batch) for batch in batches])
                rows = rows * (1.0 - 1.0 / counts)[:, None] + (means - shares @ means) ** 2
            else:
                means = rows
            parts.append(shares @ rows)
        self._fixed.variable.assign(np.concatenate(parts).astype(np.float32))

    def _train_step(self, x: Any, y: Any, numbers: Any, noise: Any, mixture: Mixture | None = None) -> Any:
        tf = import_tensorflow()
        raw = tf.raw_ops
        x = raw.Cast(x=x, DstT=tf.float32)
        flat = self._trained.variable.read_value()
        values = {**self._trained.split(flat), **self._fixed.split(self._fixed.variable.read_value())}
        logits, _ = forward(self.layers, values, x, ForwardMode(not self.frozen_norm, noise))
        truth = self._truth(y)._replace(smoothing=self.training.label_smoothing, mixture=mixture)
        losses, correct, counted = answer_losses(logits, truth)
        if self.class_weights is not None:
            by_class = tf.constant(self.class_weights, tf.float32)
            weights = tf.gather(by_class, y)
            if mixture is not None:
                others = tf.gather(by_class, mixture.labels)
                weights = mixture.shares * weights + (1.0 - mixture.shares) * others
            losses *= weights
        total = raw.Sum(input=losses, axis=[0])
        answers = raw.Sum(input=counted, axis=[0])
        loss = raw.DivNoNan(x=total, y=answers)
        gradient = tf.gradients(loss, flat)[0]
        self._update(gradient, numbers)
        return raw.Pack(values=[total, raw.Sum(input=correct, axis=[0]), answers])

    def _test_step(self, x: Any, y: Any) -> tuple[Any, ...]:
        tf = import_tensorflow()
        raw = tf.raw_ops
        x = raw.Cast(x=x, DstT=tf.float32)
        flat, fixed = self._trained.variable.read_value(), self._fixed.variable.read_value()
        values = {**self._trained.split(flat), **self._fixed.split(fixed)}
        logits, _ = forward(self.layers, values, x, ForwardMode(False))
        losses, correct, counted = answer_losses(logits, self._truth(y))
        if self.task in ("multi_label", "regression"):
            return logits, losses
        if self.task == "binary":
            scores = tf.reshape(logits, [-1])
            return tf.cast(scores > 0, tf.int32), losses, scores
        predicted = tf.argmax(logits, -1, tf.int32)
        if self.task == "classification":
            scores = (logits[:, 1] - logits[:, 0],) if self.classes == 2 else ()
            return (predicted, losses, *scores)
        images = tf.shape(y)[0]
        parts = (losses, correct, counted, y, predicted)
        losses, correct, counted, y, predicted = (tf.reshape(part, [images, -1]) for part in parts)

        def by_class(pixels: Any, classes: Any) -> Any:
            cells = classes + self.classes * tf.range(images)[:, None]
            sums = tf.math.unsorted_segment_sum(pixels, cells, images * self.classes)
            return tf.reshape(sums, [images, self.classes])

        truth = tf.where(counted > 0, y, 0)
        hits = by_class(correct, truth)
        unions = by_class(counted, truth) + by_class(counted, predicted) - hits
        return (*(tf.reduce_sum(part, 1) for part in (losses, correct, counted)), hits, unions)

    def _truth(self, y: Any) -> Truth:
        return Truth(self.task, self.classes, y, self.ignore_label, scale=self.scale)

    def _update(self, gradient: Any, numbers: Any) -> None:
        """Apply the optimizer; `numbers`: learning rate, BETA_1**steps, BETA_2**steps."""
        raw = import_tensorflow().raw_ops
        variable = self._trained.variable
        slots = [slot.handle for slot in self._slots]
        rate, power_1, power_2 = raw.Unpack(value=numbers, num=3)
        optimizer, decay = self.training.optimizer, self.training.weight_decay
        if decay and optimizer in ("adamw", "sgd"):
            variable.assign_sub(variable.read_value() * (rate * decay))
        match optimizer:
            case "adam" | "adamw":
                raw.ResourceApplyAdam(
                    var=variable.handle, m=slots[0], v=slots[1], beta1_power=power_1, beta2_power=power_2,
                    lr=rate, beta1=BETA_1, beta2=BETA_2, epsilon=OPTIMIZER_EPSILON, grad=gradient,
                )  # fmt: skip
            case "sgd":
                raw.ResourceApplyKerasMomentum(
                    var=variable.handle, accum=slots[0], lr=rate, grad=gradient, momentum=SGD_MOMENTUM,
                    use_nesterov=True,
                )  # fmt: skip
            case "rmsprop":
                raw.ResourceApplyRMSProp(
                    var=variable.handle, ms=slots[0], mom=slots[1], lr=rate, rho=RHO, momentum=0.0,
                    epsilon=OPTIMIZER_EPSILON, grad=gradient,
                )  # fmt: skip
            case _:
                assert_never(optimizer)
