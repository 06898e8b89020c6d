"""A run that pauses after some of its steps, so that something can be measured there and then."""

from famus_tf.data import probes
from famus_tf.devices import strategy as strategies
from famus_tf.errors import InputError
from famus_tf.experiment import build_data, build_run
from famus_tf.training import step as training_step


class PausedRun:
    """The training of a command line, on one device, without evaluation and run directory.

    Args:
      config: `config.Config`.

    Attributes:
      dataset: `data.dataset.Dataset`.
      method: a compiled `methods.base.Method`.
      steps_per_epoch: training steps in an epoch.
      total: steps of the whole run.
    """

    def __init__(self, config):
        self._config = config
        self._strategy = strategies.make_strategy("one_device")
        dataset = build_data.make_dataset(config.data, config.run.seed)
        self.dataset = probes.with_probes(dataset, config.probe_share, config.run.seed)
        self.steps_per_epoch = build_data.steps_per_epoch(config.optimization, self.dataset)
        self.total = config.optimization.train_steps or config.optimization.epochs * self.steps_per_epoch
        self.method = build_run.make_method(config, build_run.make_supervision(config, self.dataset))

    @property
    def epochs(self):
        """Whole epochs of the run."""
        return self.total // self.steps_per_epoch

    def train_epochs(self, epochs):
        """Trains, and yields (epoch, step, records of the steps since the last pause) after each of `epochs`.

        Args:
          epochs: increasing list of int, those of `--at`.

        Raises:
          InputError: the run has fewer epochs.
        """
        if epochs[-1] > self.epochs:
            raise InputError(f"--at={epochs[-1]}: expected at most the {self.epochs} epochs of the run")
        steps = self.train([epoch * self.steps_per_epoch for epoch in epochs])
        return ((step // self.steps_per_epoch, step, records) for step, records in steps)

    def batches_behind_the_end(self, count):
        """So many pairs of a training and a meta batch that the run does not train on, a list."""
        return list(self._pairs(self.total, self.total + count))

    def train(self, steps):
        """Trains, and yields (steps done, records of the steps since the last pause) at each of `steps`.

        Args:
          steps: increasing list of int.

        Raises:
          InputError: the run has fewer steps.
        """
        if steps[-1] > self.total:
            raise InputError(f"--steps={steps[-1]}: expected at most the {self.total} steps of the run")
        step = training_step.compile_step(self._strategy, self.method)
        records = []
        for done, (training, meta) in enumerate(self._pairs(0, steps[-1]), start=1):
            with_meta = self.method.is_meta_step(done - 1)
            variant = self.method.variant_of(done - 1) if with_meta else None
            records.append(training_step.gather(step(training, meta if with_meta else None, variant)[0]))
            if done in steps:
                yield done, records
                records = []

    def _pairs(self, first, last):
        config = self._config
        feed = build_data.make_feed(
            config.optimization, self.dataset, self._strategy, config.run.seed, config.run.eval_batch_size
        )
        return zip(feed.training(first, last), feed.meta(first, last), strict=True)
