"""A method as Keras knows a model: `compile`, `fit`, `evaluate`, `save`, `export`; what it cannot heed it refuses."""

from __future__ import annotations

import inspect
import types
import warnings
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.methods import averaged, example_weights, fit_data
from famus_tf.networks import logits as network_logits


class KerasModel(keras.Model):
    """The side of `base.Method` that Keras sees.

    A subclass has `networks`, those that are `evaluated`, `trained_variables` and `step`.
    """

    needs_meta_batches = False

    def __init__(self, **kwargs: Any) -> None:
        # The networks cast their images themselves.
        super().__init__(**{"autocast": False, **kwargs})
        # Plain objects, which become part of no checkpoint.
        self._example_weights: example_weights.ExampleWeights | None = None
        self._compiled = types.SimpleNamespace(arguments={})

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "sgd",
        metrics: list[Any] | None = None,
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """Takes the optimizer and builds its variables; call it in the strategy's scope.

        Args:
          optimizer: of `trained_variables`.
          metrics: Keras metrics of (labels, logits); objects, not names, under a strategy with several replicas.
          auto_scale_loss: whether the optimizer of networks that compute in float16 scales the loss.
          **kwargs: passed on to `keras.Model.compile`, such as `steps_per_execution`.

        Raises:
          InputError: metrics by name under several replicas, or a loss, which is the method's own.
        """
        if replicas.count() > 1 and any(isinstance(metric, str) for metric in metrics or []):
            # Keras makes a metric from its name while it traces the step, too late for a second replica.
            raise errors.InputError(
                f"metrics={metrics} under a strategy: expected objects, as keras.metrics.SparseCategoricalAccuracy()"
            )
        self._refuse("compile", ("loss", "loss_weights", "weighted_metrics"), kwargs, "loss=famus_tf.losses.Focal()")
        kwargs.setdefault("jit_compile", False)  # XLA made the step slower on CPUs, and does not run on two replicas
        optimizer = keras.optimizers.get(optimizer)
        if (
            auto_scale_loss
            and self._computes_in_float16()
            and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        ):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        super().compile(optimizer=optimizer, metrics=metrics, auto_scale_loss=False, **kwargs)
        self._compiled.arguments = {"optimizer": optimizer, "metrics": metrics, **kwargs}
        self.optimizer.build(self.trained_variables)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation: the attributes of the same names."""
        names = ["name"]
        for kind in type(self).__mro__[: type(self).__mro__.index(KerasModel)]:
            # What a constructor takes as **kwargs is its base's.
            parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
            names += [name for name in parameters if name not in ("self", "kwargs", *names)]
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """The inverse of `get_config`."""
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects))

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was called with, for `save`."""
        return {name: keras.saving.serialize_keras_object(value) for name, value in self._compiled.arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """The inverse of `get_compile_config`, for `keras.models.load_model`."""
        if config:
            self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """`trained_variables`: Keras hands them to `optimizer` at the end of `fit`, for their moving averages."""
        return self.trained_variables

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The same."""
        return self.trained_variables

    @property
    def num_classes(self) -> int:
        """c, the number of logits."""
        return network_logits.num_classes(self.networks[0])

    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        *,
        meta_data: Any = None,
        meta_batch_size: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does.

        Args:
          x, y: images and labels as arrays; or in x batches, as the class says.
          batch_size, epochs: as in Keras. With a meta set batches are whole, at most as large as the set.
          meta_data: trusted `(images, labels)` as arrays, or batches of them in a `tf.data.Dataset`; for methods with
            a meta-learner, where x has not both.
          meta_batch_size: m; `batch_size` unless given.
          **kwargs: as in Keras.

        Raises:
          InputError: arguments that a method cannot heed, arrays or batches that cannot be trained on, or an epoch
            whose loss is no number.
        """
        self._refuse("fit", ("sample_weight", "class_weight"), kwargs, "loss=famus_tf.losses.ClassWeighted(...)")
        self._check_ready()
        options = {"batch_size": batch_size, "meta_batch_size": meta_batch_size}
        given = self._batches(x, y, meta_data, options, kwargs)
        validation = kwargs.get("validation_data")
        if validation is not None:
            kwargs["validation_data"] = fit_data.validation(validation, self.num_classes)
        callbacks = kwargs.pop("callbacks", None) or []
        checks = (fit_data.StopAtNaN(), fit_data.StopAtStrangers())
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for check in checks:
                callbacks.append(check)
        else:
            several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
            callbacks = [*several, *checks]
        with fit_data.explained():
            return super().fit(**given, epochs=epochs, callbacks=callbacks, **kwargs)

    def evaluate(  # type: ignore[override]
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """As `keras.Model.evaluate`: mean cross-entropy and the compiled metrics."""
        kwargs["sample_weight"] = fit_data.as_weights(kwargs.get("sample_weight"))
        if "_use_cached_eval_dataset" not in kwargs:  # that of `fit` has been looked through
            x, y = fit_data.evaluated(x, y, self.num_classes)
        with fit_data.explained():
            return super().evaluate(x, y, batch_size, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """One step on a batch of images and labels; of a meta set too, x is a pair of pairs."""
        weights = ("sample_weight", "class_weight")
        self._refuse("train_on_batch", weights, kwargs, "loss=famus_tf.losses.ClassWeighted(...)")
        with fit_data.explained():
            return super().train_on_batch(x, y, **kwargs)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save`, in Keras's own format; InputError for HDF5, from which a method does not come back."""
        if str(filepath).endswith((".h5", ".hdf5")):
            raise errors.InputError(f"save({str(filepath)!r}): HDF5 keeps no method; expected a name ending in .keras")
        super().save(filepath, *args, **kwargs)

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        """Exports the network, or of two networks the mean of their logits, as `keras.Model.export` does."""
        return averaged.as_functional(self.evaluated).export(filepath, *args, **kwargs)

    def keep_example_weights(self, num_examples: int) -> None:
        """Keeps each example's weight in `fit`, which does so by itself for arrays.

        Args:
          num_examples: N; the batches' `index` counts from 0 to N - 1.
        """
        kept = self._example_weights
        if kept is None or kept.num_examples != num_examples:
            with self.distribute_strategy.scope():
                self._example_weights = example_weights.ExampleWeights(num_examples)
            self.train_function = None  # traced with another one

    @property
    def example_weights_(self) -> np.ndarray:
        """The weight of each training example in its last step, float32 [N]: 1 is its weight in a plain mean.

        NaN for an example that had no step yet. A label that is wrong tends to 0.

        Raises:
          AttributeError: none are kept.
        """
        if self._example_weights is None:
            raise AttributeError(
                "example_weights_: none are kept; expected fit(images, labels) on arrays, or keep_example_weights(N) "
                "and batches with an index"
            )
        weights = self._example_weights.numpy()
        if np.isnan(weights).all() and int(self.optimizer.iterations) > 0:
            warnings.warn(
                f"example_weights_: no step had an example of index 0 to {len(weights) - 1}, all weights are NaN",
                stacklevel=2,
            )
        return weights

    def train_step(self, data: Any) -> dict[str, Any]:
        """Keras's hook for `fit`: one step, then the running means of this epoch."""
        self._keep_weights(self.step(data))
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Keras's hook for `evaluate`: mean cross-entropy and the compiled metrics on `(images, labels[, weight])`."""
        images, labels, weight = fit_data.evaluated_part(data)
        logits = self(images, training=False)
        self._means["loss"].update_state(softmax.cross_entropy(labels, logits), sample_weight=weight)
        logs = self.compute_metrics(images, labels, logits, sample_weight=weight)
        return {name: value for name, value in logs.items() if name == "loss" or name not in self._means}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: all is built before; Keras's trial step would average the first batch over the replicas."""

    def _flatten_metrics_in_order(self, logs):
        """Keras's: the loss, then the metrics; each once, although Keras has a mean of that name too."""
        values = [logs["loss"], *(value for name, value in logs.items() if name != "loss")]
        return values if len(values) > 1 else values[0]

    def _refuse(self, function, names, options, instead):
        """Takes those of the options that are None out, and raises InputError where one is not."""
        for name in names:
            if options.pop(name, None) is not None:
                other = f". A meta-learner takes another loss, as in famus_tf.MWNet({instead})"
                raise errors.InputError(
                    f"{function}({name}=...): {type(self).__name__} has its own loss and weighs the examples itself; "
                    f"expected none{other if hasattr(self, 'meta_learner') else ''}"
                )

    def _check_ready(self):
        if not self.compiled:
            raise errors.InputError(f"fit before compile: expected {type(self).__name__}.compile(optimizer) first")
        if self.num_classes < 2:
            raise errors.InputError(
                f"network {self.networks[0].name!r} has 1 output, whose softmax is always 1: expected one for each "
                "class, 2 for two classes"
            )

    def _batches(self, x, y, meta_data, sizes, options):
        """The arguments x, y, sample_weight and batch_size of Keras's `fit`."""
        if meta_data is not None and not self.needs_meta_batches:
            raise errors.InputError(f"meta_data: {type(self).__name__} has no meta step here; expected none")
        classes, size = self.num_classes, sizes["batch_size"]
        known = None if y is None else fit_data.arrays(x, y, classes, "training data")
        if known is not None:
            self.keep_example_weights(len(known))
            self._check_examples(len(known))
        if meta_data is None:
            if known is None:
                return {"x": fit_data.checked(x, classes), "batch_size": size}
            if self.needs_meta_batches:
                raise errors.InputError(
                    "fit(images, labels) without meta_data: expected trusted examples, meta_data=(images, labels)"
                )
            # Keras hands it on as the third part of the batch, which is the index here.
            index = np.arange(len(known), dtype=np.int64)
            return {"x": known.images, "y": known.labels, "sample_weight": index, "batch_size": size}
        if known is None and not isinstance(x, tf.data.Dataset):
            raise errors.InputError(
                f"meta_data with x a {type(x).__name__}: expected arrays x and y, or a tf.data.Dataset"
            )
        if options.get("validation_split"):
            raise errors.InputError("validation_split with meta_data: expected validation_data=(images, labels)")
        if not isinstance(meta_data, tf.data.Dataset):
            meta_data = fit_data.arrays(*_two(meta_data), classes, "meta_data")
        shuffle = options.pop("shuffle", True)
        pairs = fit_data.pairs(known or x, meta_data, **sizes, shuffle=shuffle, num_classes=classes)
        return {"x": pairs, "shuffle": False}

    def _check_examples(self, count):
        """Raises InputError where the method cannot do with so many training examples."""

    def _keep_weights(self, records):
        if self._example_weights is not None:
            self._example_weights.record(records["index"], records["example_weight"])

    def _computes_in_float16(self):
        layers = [layer for network in self.networks for layer in network._flatten_layers()]
        return any(layer.compute_dtype == "float16" for layer in layers)


def _two(meta_data):
    if not isinstance(meta_data, tuple | list) or len(meta_data) != 2:
        raise errors.InputError("meta_data: expected (images, labels), or a tf.data.Dataset of such batches")
    return meta_data
