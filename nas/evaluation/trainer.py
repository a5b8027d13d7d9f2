"""The training step and the validation step of one network: two TensorFlow functions, traced once.

They compute what `model.fit` computes with `nas.backends.keras_model.compiled`; a test compares the loss curves. What
makes them cheap: raw operations instead of Keras' layers, all trained weights in one variable that
one fused optimizer operation updates, batch normalization as one operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nas.architecture import NORM_MOMENTUM, Design, Layer, Training
from nas.backends import ForwardMode, WeightSpec, forward, initial_weights, weight_specs
from nas.errors import EvaluationError
from nas.evaluation.augmentation import augmented
from nas.evaluation.checkpoint import State

__all__ = ["Trainer", "graphs_as_written"]

BETA_1, BETA_2, RHO, SGD_MOMENTUM, OPTIMIZER_EPSILON = 0.9, 0.999, 0.9, 0.9, 1e-7  # Keras' defaults
SLOTS = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}


@contextmanager
def graphs_as_written() -> Iterator[None]:
    """Run functions without TensorFlow's graph optimizer, which finds nothing to improve in a training step.

    It would take a third of the time from the trace to the end of the first step.
    """
    import tensorflow as tf

    options = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **options})


class _Vector:
    """Some of a network's weights, one after the other in one variable."""

    def __init__(self, listed: Sequence[WeightSpec], places: Sequence[int]) -> None:
        import tensorflow as tf

        self.places = places
        self.listed = [listed[place] for place in places]
        self.sizes = [int(np.prod(weight.shape)) for weight in self.listed]
        self.variable = tf.Variable(np.zeros(sum(self.sizes), np.float32), trainable=False)

    def named(self, flat: Any) -> dict[str, Any]:
        """Cut the variable's value into tensors by name; kernels of signals get a height of 1."""
        import tensorflow as tf

        if not self.sizes:
            return {}
        parts = tf.raw_ops.SplitV(value=flat, size_splits=self.sizes, axis=0, num_split=len(self.sizes))
        values = {}
        for weight, part in zip(self.listed, parts, strict=True):
            shape = (1, *weight.shape) if len(weight.shape) == 3 else weight.shape
            values[weight.name] = (
                part if len(shape) == 1 else tf.raw_ops.Reshape(tensor=part, shape=list(shape))
            )
        return values

    def arrays(self) -> list[np.ndarray]:
        ends = np.cumsum(self.sizes)[:-1]
        parts = np.split(self.variable.numpy(), ends) if self.sizes else []
        return [part.reshape(weight.shape) for part, weight in zip(parts, self.listed, strict=True)]

    def assign(self, values: Sequence[np.ndarray]) -> None:
        chosen = [np.ravel(values[place]) for place in self.places]
        self.variable.assign(np.concatenate([np.empty(0, np.float32), *chosen]).astype(np.float32))


class Trainer:
    """Holds one network with its weights and trains it batch by batch.

    `ignore_label`: the label of pixels that count for nothing (segmentation). `frozen_norm`: batch
    normalization stays as it is and at inference, as for fine-tuning.
    """

    def __init__(
        self,
        design: Design,
        dtype: Any,
        *,
        validation_batch: int = 256,
        ignore_label: int | None = None,
        frozen_norm: bool = False,
    ) -> None:
        import tensorflow as tf

        architecture = design.architecture
        self.layers: Sequence[Layer] = architecture.layers
        self.training: Training = design.training
        self.task, self.classes = architecture.task, architecture.classes
        self.ignore_label, self.frozen_norm = ignore_label, frozen_norm
        self.weights = weight_specs(self.layers)
        fixed = [weight.is_statistic or (frozen_norm and weight.is_norm) for weight in self.weights]
        self._trained = _Vector(self.weights, [place for place, held in enumerate(fixed) if not held])
        self._fixed = _Vector(self.weights, [place for place, held in enumerate(fixed) if held])
        zeros = np.zeros(sum(self._trained.sizes), np.float32)
        self._slots = [tf.Variable(zeros, trainable=False) for _ in range(SLOTS[self.training.optimizer])]
        self.validation_batch = validation_batch
        self.train_traced = self.test_traced = False
        self.steps = 0
        self.seed = 0
        labels = (None, *architecture.input_shape[:2]) if self.task == "segmentation" else (None,)
        batch = [
            tf.TensorSpec((None, *architecture.input_shape), dtype),
            tf.TensorSpec(labels, tf.int32),
        ]
        controls = [tf.TensorSpec((3,), tf.float32), tf.TensorSpec((2,), tf.uint64)]
        if self.augments:
            controls.append(tf.TensorSpec((None, 8), tf.float32))
        self._train = tf.function(self._train_step, [*batch, *controls], autograph=False)
        self._test = tf.function(self._test_step, batch, autograph=False)

    @property
    def augments(self) -> bool:
        """Whether images are changed at random in training."""
        return bool(self.training.flip or self.training.rotation or self.training.zoom)

    def initial(self, seed: int) -> State:
        """Give the state before the first step."""
        values = initial_weights(self.weights, seed)
        return State([weight.name for weight in self.weights], values)

    def restore(self, state: State, seed: int) -> None:
        """Go on from a state; raises EvaluationError where it is another network's."""
        expected = {weight.name: weight.shape for weight in self.weights}
        given = {name: value.shape for name, value in zip(state.names, state.weights, strict=True)}
        if expected != given:
            odd = next(iter(sorted(expected.items() ^ given.items())))
            raise EvaluationError(
                f"a checkpoint must be of the same network, got one that differs at {odd[0]} {odd[1]}; "
                "train from the start"
            )
        self._trained.assign(state.weights)
        self._fixed.assign(state.weights)
        size = sum(self._trained.sizes)
        fits = [slot.shape for slot in state.slots] == [(size,)] * len(self._slots)
        for number, slot in enumerate(self._slots):
            slot.assign(state.slots[number] if fits else np.zeros(size, np.float32))
        self.steps = state.steps if fits else 0
        self.seed = seed

    def state(self, epochs: int) -> State:
        """Give what a checkpoint holds after this many epochs."""
        values: dict[int, np.ndarray] = {}
        for vector in (self._trained, self._fixed):
            values |= dict(zip(vector.places, vector.arrays(), strict=True))
        return State(
            names=[weight.name for weight in self.weights],
            weights=[values[place] for place in range(len(values))],
            slots=[slot.numpy() for slot in self._slots],
            steps=self.steps,
            epochs=epochs,
        )

    def train_batch(self, x: np.ndarray, y: np.ndarray, rate: float, change: np.ndarray | None) -> np.ndarray:
        """Take one step at a learning rate; gives the sums of loss, right answers and answers.

        `x` as the data set holds it, `y` int32, `change`: where `augments`, a transform for each image.
        """
        self.steps += 1
        numbers = np.array([rate, BETA_1**self.steps, BETA_2**self.steps], np.float32)
        noise = np.array([self.seed, self.steps], np.uint64)
        extra = () if change is None else (change,)
        self.train_traced = True
        sums: np.ndarray = self._train(x, y, numbers, noise, *extra).numpy()
        return sums

    def test_batch(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the same sums at inference, and for segmentation how often each class was taken for which."""
        self.test_traced = True
        sums, confusion = self._test(x, y)
        return sums.numpy(), confusion.numpy()

    def _train_step(self, x: Any, y: Any, numbers: Any, noise: Any, change: Any = None) -> Any:
        import tensorflow as tf

        x = tf.raw_ops.Cast(x=x, DstT=tf.float32)
        if change is not None:
            x = augmented(x, change)
        flat = self._trained.variable.read_value()
        fixed = self._fixed.variable.read_value()
        values = {**self._trained.named(flat), **self._fixed.named(fixed)}
        how = ForwardMode(True, self.frozen_norm, noise)
        logits, statistics = forward(self.layers, values, x, how)
        losses, right, counted = self._judged(logits, y)
        total = tf.raw_ops.Sum(input=losses, axis=[0])
        answers = tf.raw_ops.Sum(input=counted, axis=[0])
        loss = tf.raw_ops.DivNoNan(x=total, y=answers)
        gradient = tf.gradients(loss, flat)[0]
        self._update(gradient, numbers)
        if statistics:
            self._follow(fixed, statistics, x)
        return tf.raw_ops.Pack(values=[total, tf.raw_ops.Sum(input=right, axis=[0]), answers])

    def _test_step(self, x: Any, y: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        x = tf.raw_ops.Cast(x=x, DstT=tf.float32)
        flat, fixed = self._trained.variable.read_value(), self._fixed.variable.read_value()
        values = {**self._trained.named(flat), **self._fixed.named(fixed)}
        logits, _ = forward(self.layers, values, x, ForwardMode(False))
        losses, right, counted = self._judged(logits, y)
        sums = tf.raw_ops.Pack(values=[tf.raw_ops.Sum(input=v, axis=[0]) for v in (losses, right, counted)])
        if self.task != "segmentation":
            return sums, tf.constant(0)
        taken = tf.argmax(tf.reshape(logits, [-1, self.classes]), -1, tf.int32)
        truth = tf.reshape(y, [-1])
        cells = tf.where(counted > 0, truth * self.classes + taken, self.classes**2)
        return sums, tf.math.bincount(cells, minlength=self.classes**2 + 1)[:-1]

    def _judged(self, logits: Any, y: Any) -> tuple[Any, Any, Any]:
        """Give for each answer, as flat vectors: its loss, whether it is right, whether it counts."""
        import tensorflow as tf

        raw = tf.raw_ops
        if self.task == "binary":
            logits = raw.Reshape(tensor=logits, shape=[-1])
            truth = raw.Cast(x=y, DstT=tf.float32)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits)
            right = raw.Cast(x=raw.Equal(x=logits > 0, y=truth > 0), DstT=tf.float32)
            return losses, right, raw.OnesLike(x=right)
        if self.task == "segmentation":
            logits = raw.Reshape(tensor=logits, shape=[-1, self.classes])
            y = raw.Reshape(tensor=y, shape=[-1])
        taken = raw.ArgMax(input=logits, dimension=-1, output_type=tf.int32)
        right = raw.Cast(x=raw.Equal(x=taken, y=y), DstT=tf.float32)
        if self.ignore_label is None:
            counted = raw.OnesLike(x=right)
            return raw.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=y).loss, right, counted
        counted = raw.Cast(x=y != self.ignore_label, DstT=tf.float32)
        known = tf.where(y == self.ignore_label, 0, y)
        losses = raw.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=known).loss
        return losses * counted, right * counted, counted

    def _update(self, gradient: Any, numbers: Any) -> None:
        import tensorflow as tf

        raw = tf.raw_ops
        variable = self._trained.variable
        slots = [slot.handle for slot in self._slots]
        rate, power_1, power_2 = raw.Unpack(value=numbers, num=3)
        name, decay = self.training.optimizer, self.training.weight_decay
        if decay and name in ("adamw", "sgd"):
            variable.assign_sub(variable.read_value() * (rate * decay))
        match name:
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

    def _follow(self, fixed: Any, statistics: Mapping[str, tuple[Any, int]], x: Any) -> None:
        """Move the moving means and variances; the operation's variance is unbiased, Keras' is not."""
        import tensorflow as tf

        batch = tf.raw_ops.Cast(x=tf.shape(x)[0], DstT=tf.float32)
        seen = tf.concat([statistics[weight.name][0] for weight in self._fixed.listed], 0)
        shares = [
            np.full(size, 1 / statistics[weight.name][1] if statistics[weight.name][1] else 0.0, np.float32)
            for weight, size in zip(self._fixed.listed, self._fixed.sizes, strict=True)
        ]
        seen = seen * (1.0 - np.concatenate(shares) / batch)
        self._fixed.variable.assign(fixed * np.float32(NORM_MOMENTUM) + seen * np.float32(1 - NORM_MOMENTUM))
