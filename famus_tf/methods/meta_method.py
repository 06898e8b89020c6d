"""The Keras side of Algorithm 1 in `famus.py`: theta, eta, their optimizers, when a step is a meta step, records."""

import functools
import warnings
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import given_label, softmax
from famus_tf.meta import example_scores, layers, scores, segments, selectors, validation_mean
from famus_tf.methods import base, meta_checks

# More of the cost than this in one segment, and next to nothing can be saved.
_WHOLE = 0.9
# The variant of a step that measures the layers; that of others is the lowest segment with a selected layer.
_MEASURING = "measuring"


class MetaMethod(base.Method):
    """A network with a meta-learner and a selector; see `famus.FaMUS`, whose base it is.

    Args:
      network: `keras.Model`, images [n, height, width, channels] -> logits [n, c]. One that is not functional, or is
        one block, is trained as exactly, but nothing is saved; a warning says so.
      meta_learner: a `meta.learners.MetaLearner`.
      selector: one of `meta.selectors`.
      weight_decay: L2 coefficient added to the gradient of Actual-Train for every trainable variable.
      meta_every: k; every k-th step, from the first that may be, is a meta step.
      meta_from: number of plain steps on equally weighted examples before it.
      validation_momentum: as in `meta.validation_mean`.

    Raises:
      InputError: the network is neither functional nor built, has several inputs or outputs, or nothing to train.
    """

    def __init__(
        self, network, meta_learner, selector, weight_decay, meta_every, meta_from=0, validation_momentum=0.0, **kwargs
    ):
        super().__init__(weight_decay, **kwargs)
        meta_checks.check_precision(network, meta_learner)
        self.network = network
        self.meta_learner = meta_learner
        self.selector = selector
        self.meta_every = meta_every
        self.meta_from = meta_from
        self._chain = _Chain(network)
        meta_checks.check_classes(meta_learner, self.num_classes)
        self._with_meta = True
        self._measures = isinstance(selector, selectors.AgreementSelector)
        self.record_meta_gradient = False
        self.mark = lambda stage, tensors: None
        meta_learner.create_variables()
        selector.create_variables(self._chain.layers)
        self.validation_momentum = validation_momentum
        self.validation_mean = validation_mean.ValidationMean(validation_momentum)
        self.validation_mean.create_variables(self.segments)
        if self._chain.synchronised and not isinstance(selector, selectors.STATIC):
            warnings.warn(
                f"network {network.name!r} has synchronised BatchNorm, whose sums over replicas cannot be left out at "
                "run time: the selection saves nothing; expected synchronized=False, or a FixedBlock",
                stacklevel=3,
            )
        count = len(self._chain.layers)
        self.layer_costs = self.add_weight(shape=(count,), trainable=False, name="layer_costs")
        self.layer_costs.assign([layer.cost for layer in self._chain.layers])
        if meta_learner.starts_at_zero and selector.learned:
            width = sum(layer.width for layer in self._chain.layers)
            self._last_pooled = self.add_weight(
                shape=(width,),
                initializer="zeros",
                trainable=False,
                name="last_pooled_gradient",
                aggregation="only_first_replica",  # all replicas hold the same sum
            )
        names = ["loss"]
        if meta_learner.has_meta_step:
            names += ["meta_loss", "selected_layers", "lowest_layer"]
        self._keep_means(names + [f"trust_{name}" for name in meta_learner.beliefs_about])

    @property
    def networks(self):
        """The one network, in a list."""
        return [self.network]

    @property
    def trained_variables(self):
        """The network's trainable variables, from the input to the output."""
        return self._chain.variables

    @property
    def needs_meta_batches(self):
        """Whether the meta-learner has anything to learn."""
        return self.meta_learner.has_meta_step

    @property
    def segments(self):
        """The network's `meta.segments.Segment`s, from the input to the output."""
        return self._chain.segments

    @property
    def gated_layers(self):
        """The layers l = 1..L that a selector decides on, `meta.layers.GatedLayer`s from the input to the output."""
        return self._chain.layers

    def compile(  # type: ignore[override]  # its second argument is what it was before there was `base.Method`
        self,
        optimizer: str | keras.optimizers.Optimizer = "sgd",
        meta_optimizer: keras.optimizers.Optimizer | None = None,
        sampler_optimizer: keras.optimizers.Optimizer | None = None,
        metrics: list[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Takes the three optimizers and builds their variables; call it in the strategy's scope.

        Args:
          optimizer: of w; its learning rate is alpha of the virtual step too.
          meta_optimizer: of theta (beta); default Adam at 1e-3.
          sampler_optimizer: of eta (delta); default SGD at 0.1 with momentum 0.9, as in the paper.
          metrics: Keras metrics of (labels, logits); objects, not names, under a strategy with several replicas.
          **kwargs: passed on to `keras.Model.compile`, such as `steps_per_execution`.

        Raises:
          InputError: what is given for the second or the third is no optimizer, such as a loss by position.
        """
        meta_checks.check_optimizers(meta_optimizer=meta_optimizer, sampler_optimizer=sampler_optimizer)
        super().compile(optimizer=optimizer, metrics=metrics, **kwargs)
        if (self._has_plain_steps or self._has_variants) and self.steps_per_execution > 1:
            selector = f", selector={type(self.selector).__name__}" if self._has_variants else ""
            raise errors.InputError(
                f"meta_every={self.meta_every}, meta_from={self.meta_from}{selector} with "
                f"steps_per_execution={self.steps_per_execution}: expected 1 of the last"
            )
        if self.meta_learner.has_meta_step:
            self.meta_learner.compile(keras.optimizers.get(meta_optimizer or keras.optimizers.Adam(1e-3)))
        if self.meta_learner.has_meta_step and self.selector.learned:
            fallback = keras.optimizers.SGD(0.1, momentum=0.9)
            self.sampler_optimizer = keras.optimizers.get(sampler_optimizer or fallback)
            self.sampler_optimizer.build(self.selector.trainable_variables)
        self._compiled.arguments |= {"meta_optimizer": meta_optimizer, "sampler_optimizer": sampler_optimizer}

    @property
    def optimizers(self):
        """Dict name -> optimizer: "base", and where they are needed "meta" and "sampler"."""
        optimizers = {"base": self.optimizer, "meta": getattr(self.meta_learner, "optimizer", None)}
        optimizers["sampler"] = getattr(self, "sampler_optimizer", None)
        return {name: optimizer for name, optimizer in optimizers.items() if optimizer is not None}

    def _check_examples(self, count):
        meta_checks.check_examples(self.meta_learner, count)

    def is_meta_step(self, step):
        """Whether the step of that number, counted from 0, is a meta step."""
        later = step - self.meta_from
        return self.meta_learner.has_meta_step and later >= 0 and later % self.meta_every == 0

    def variant_of(self, step=None):
        """With an `AgreementSelector` "measuring", or the segment of the lowest layer of its set; else None.

        The first meta step measures, and after it the first in each `every` steps.
        """
        if not self._has_variants:
            return None
        step = int(self.optimizer.iterations.numpy()) if step is None else step
        later = step - self.meta_from
        every = self.selector.every
        if later // every != (later - self.meta_every) // every:
            return _MEASURING
        # Asked anew in each step: who loads weights in between may have changed the set.
        return self.selector.present_lowest_segment()

    @property
    def _has_plain_steps(self):
        return self.meta_learner.has_meta_step and (self.meta_every > 1 or self.meta_from > 0)

    @property
    def _has_variants(self):
        return self.meta_learner.has_meta_step and self._measures

    def train_step(self, data):
        """Keras's hook for `fit`: one step of the algorithm, then the running means of this epoch."""
        self._keep_weights(self.step(data, with_meta=self._with_meta))
        return self.get_metrics_result()

    def make_train_function(self, force=False):
        """Keras's hook for `fit`; with plain steps or variants there are several functions, by the step's number."""
        several = self._has_plain_steps or self._has_variants
        if not several or (self.train_function is not None and not force):
            super().make_train_function(force)
            return
        functions = {}

        def train_function(iterator):
            step = int(self.optimizer.iterations.numpy())
            self._with_meta = self.is_meta_step(step)  # read where it is traced, as the variant is
            self.variant = self.variant_of(step) if self._with_meta else None
            kind = self._with_meta, self.variant
            if kind not in functions:
                super(MetaMethod, self).make_train_function(force=True)
                functions[kind] = self.train_function
                self.train_function = train_function
            try:
                return functions[kind](iterator)
            finally:
                self.variant = None

        self.train_function = train_function

    def _apply_to_sampler(self, tape, gates, gate_gradient):
        """eta' from the derivative of the sampler's objective by the gates, through their straight-through gradient."""
        eta = self.selector.trainable_variables
        # Every replica holds the same gates, and the optimizer sums over the replicas.
        gradients = tape.gradient(gates, [v.value for v in eta], output_gradients=gate_gradient / replicas.count())
        self.sampler_optimizer.apply(gradients, eta)

    def _measure(self, batch, meta_batch):
        """Has an `AgreementSelector` measure the layers and choose anew, where the step is one for it.

        Returns:
          Dict of the records of that, empty in other steps.
        """
        # Eagerly each step can ask for itself; a graph that is made for no variant measures nothing.
        variant = self.variant_of() if self.variant is None and tf.executing_eagerly() else self.variant
        if variant != _MEASURING:
            return {}
        if meta_batch.images.shape[0] == 1 and replicas.count() == 1:
            raise errors.InputError("a meta batch of 1 with AgreementSelector, which compares two halves: expected 2")
        first, second = self.layer_scores(*batch[:2], *meta_batch[:2])
        self.mark("layer scores", [first, second])
        given = getattr(batch.labels, "targets", batch.labels)  # of mixed labels
        classes = softmax.as_distributions(given, tf.zeros([1, self.num_classes], first.dtype))
        return {"repeatability": self.selector.observe(first, second, classes, self.layer_costs.value)}

    def layer_scores(self, images, labels, meta_images, meta_labels):
        """How far each layer trusts each example by either half of a meta batch (`meta.scores`); nothing changes.

        Args:
          images, labels, meta_images, meta_labels: this replica's shares of both batches.

        Returns:
          Two tensors [n, L], s_li = <u_l, g_li> at the present weights, every example with its own, unweighted loss.
        """
        step = tf.convert_to_tensor(self.optimizer.iterations)

        def losses(logits):
            return self.meta_learner.losses(logits, labels, step)

        halves = scores.half_gradients(self.segments, meta_images, functools.partial(self.validation_loss, meta_labels))
        return scores.layer_scores(self.segments, self.gated_layers, images, losses, halves)

    def _lowest_segment(self, gates):
        """The lowest segment with a selected layer: an int where the step's variant says it, or the selector knows."""
        return self.variant if isinstance(self.variant, int) else self.selector.lowest_segment(gates)

    def _training_loss(self, labels):
        """The function (logits, theta) -> L_tra on a batch with those labels, at the present number of steps."""
        step = tf.convert_to_tensor(self.optimizer.iterations)
        return lambda logits, theta: self.meta_learner.loss(logits, labels, theta, step)

    def _plain_loss(self, labels):
        """The same in a step without a meta update: until `meta_from` every example weighs the same."""
        step = tf.convert_to_tensor(self.optimizer.iterations)
        weighted = self._training_loss(labels)

        def alike(logits, theta):
            del theta
            return self.meta_learner.plain_loss(logits, labels, step)

        if not self.meta_from:
            return weighted
        if not self.meta_learner.carries_theta:  # all its later steps are meta steps
            return alike
        early = step < self.meta_from
        return lambda logits, theta: tf.where(early, alike(logits, theta), weighted(logits, theta))

    def _last_step(self):
        """The number of optimizer steps before the update that has been made."""
        every = getattr(self.optimizer, "gradient_accumulation_steps", None)
        if not every:
            return tf.convert_to_tensor(self.optimizer.iterations) - 1
        return (tf.convert_to_tensor(self.optimizer._iterations) - 1) // every

    def _virtual_learning_rate(self):
        """alpha of Virtual-Train, a scalar: that of the meta-learner where it has one, else that of w, scaled."""
        learner = self.meta_learner
        rate = learner.virtual_learning_rate
        rate = tf.convert_to_tensor(self.optimizer.learning_rate if rate is None else rate)
        return rate if learner.virtual_scale == 1 else learner.virtual_scale * rate

    def _pool(self, gradients):
        """The gradients of all variables after Avg-Pool, list over layers of float32 [D_l]."""
        return [layers.avg_pool(layer, gradients) for layer in self.gated_layers]

    def _remembered_pool(self):
        """The pooled gradients of the last Actual-Train, list over layers of float32 [D_l]; zeros before the first."""
        if not self.selector.learned:
            return None
        return tf.split(self._last_pooled.value, [layer.width for layer in self.gated_layers])

    def _remember_pool(self, pooled):
        self._last_pooled.assign(tf.concat(pooled, axis=0))

    def _records(self, batch, logits, theta, loss, gates=None, meta=None):
        """What a step returns; updates the running means of the epoch and the compiled metrics, and what is remembered.

        Args:
          batch: `meta.batches.Batch`.
          logits: [n, c] at w.
          theta: with which w was trained.
          loss: this replica's share of L_tra.
          gates, meta: of a meta step, `famus._Gates` and `famus._Meta`.
        """
        step = self._last_step()
        weights = self.meta_learner.example_weights(logits, batch.labels, theta, step)
        if meta is None and self.meta_from:
            weights = tf.where(step < self.meta_from, tf.ones_like(weights), weights)
        records = {"index": batch.index, "example_weight": weights, "loss": loss}
        self._means["loss"].update_state(loss * replicas.count())
        if meta is not None:
            lowest = layers.lowest_selected(gates.r)
            self._means["meta_loss"].update_state(meta.loss * replicas.count())
            self._means["selected_layers"].update_state(tf.reduce_sum(gates.r))
            self._means["lowest_layer"].update_state(lowest)
            records |= {"gates": gates.r, "lowest_layer": lowest, "meta_loss": meta.loss}
            if self.record_meta_gradient:
                learnt = meta.theta_gradient[: len(meta.theta_gradient) - self.meta_learner.fixed_parts]
                flat = tf.concat([tf.reshape(part, [-1]) for part in learnt], axis=0) if learnt else tf.zeros([0])
                records["meta_gradient"] = replicas.all_reduce_sum(flat)
        for name, value in self.meta_learner.beliefs(theta).items():
            self._means[f"trust_{name}"].update_state(value)
        found = None if meta is None else self._scores(batch.labels, logits, meta.logit_tangent, step)
        self.meta_learner.remember(batch.index, batch.labels, logits, found, step)
        records |= given_label.rows(batch.labels, logits) | ({} if found is None else {"score": found})
        self.compute_metrics(None, batch.labels, logits)
        return records

    def trust(self):
        """As `Method.trust`."""
        return self.meta_learner.trust()

    def _scores(self, labels, logits, logit_tangent, step):
        """The standardised meta score of each example of a step, float32 [n]."""
        logits = softmax.at_least_float32(logits)
        losses = functools.partial(self.meta_learner.losses, labels=labels, step=step)
        found = example_scores.scores(losses, logits, logit_tangent)
        return tf.cast(example_scores.standardised(found), tf.float32)


class _Chain:
    """The segments with their layers and variables, kept out of Keras's sight: their variables are the network's."""

    def __init__(self, network):
        functional = segments.as_functional(network)
        self.segments = segments.find_segments(functional)
        self.layers = layers.find_gated_layers(self.segments)
        self._warn_of_large_segment(network, functional)
        self.variables = [variable for segment in self.segments for variable in segment.variables]
        # The sums over replicas inside such a network may not stand in a conditional.
        self.synchronised = replicas.count() > 1 and any(
            getattr(layer, "synchronized", False) for layer in network._flatten_layers()
        )

    def _warn_of_large_segment(self, network, functional):
        largest = max(range(len(self.segments)), key=lambda index: self.segments[index].cost)
        kernels = sum(len(variable.shape) > 1 for variable in self.segments[largest].variables)
        share = self.segments[largest].cost
        if functional is not network:
            reason = f"is a {type(network).__name__}, whose graph of layers is not known"
        elif share > _WHOLE and kernels > 3:
            reason = f"has {share:.0%} of its cost between two places where it is one tensor wide"
        else:
            return
        warnings.warn(
            f"network {network.name!r} {reason}: its meta gradient is exact and costs the same whatever is selected, a "
            "step up to 3.3 times a plain one; expected a functional keras.Model of blocks",
            stacklevel=5,
        )
