"""All batches of a run, each shared out over the replicas; image files that cannot be read are named or passed over."""

import numpy as np
import tensorflow as tf

from famus_tf.data.batches import batch_spec, pipeline, sampling
from famus_tf.data.images import image_files
from famus_tf.devices import cluster as clusters
from famus_tf.devices import sharing


class Feed:
    """Makes training, meta and evaluation batches, from any step on.

    Of several workers each decodes the files of its own share of a batch.

    Args:
      dataset: `data.dataset.Dataset`.
      strategy: a `tf.distribute.Strategy`.
      bad: `bad_images.BadImages`.
      batch_size, meta_batch_size, eval_batch_size: examples of a global batch; the last one is made smaller where the
        set is, and larger where the replicas' shares would not be equal.
      seed: the seed of the run.
      drawn: `sampling.Sampling`, of the training examples.

    Attributes:
      num_examples: N, the number of training examples.
      batch_size: examples of a global training batch.
      steps_per_epoch: training steps in an epoch.
      evaluated: names of the sets in `dataset.held_out` that are evaluated: all but the meta set.

    Raises:
      InputError: an epoch asks for more examples than there are.
    """

    def __init__(self, dataset, strategy, bad, *, batch_size, meta_batch_size, eval_batch_size, seed, drawn):
        self._dataset = dataset
        self._strategy = strategy
        self._bad = bad
        self._seed = seed
        self._sizes = {"train": batch_size, "meta": meta_batch_size}
        self.batch_size = batch_size
        self._eval_batch_size = eval_batch_size
        self._evaluations = {}  # made once: to trace one takes longer than to go through a small set
        self._on_host = None
        self._drawn = {"train": drawn, "meta": sampling.NATURAL}
        self.evaluated = tuple(name for name in dataset.held_out if name != "meta")
        self.num_examples = len(dataset.train_labels)
        self.steps_per_epoch = sampling.steps_per_epoch(len(dataset.train_labels), batch_size, drawn)

    def training(self, first_step, last_step):
        """Batches `(images, labels, index)` of the steps `first_step` <= t < `last_step`."""
        return self._named("train", self._dataset.train_images, self._dataset.train_labels, first_step, last_step)

    def meta(self, first_step, last_step):
        """The same of the meta set; its steps are the meta steps, counted from 0."""
        return self._named("meta", self._dataset.meta_images, self._dataset.meta_labels, first_step, last_step)

    def evaluation(self, name):
        """Batches `(images, labels, weight)` of all of one of `dataset.held_out`, in order."""
        examples = self._dataset.held_out[name]
        return self._in_order(name, examples.images, examples.labels, None)

    def scan(self, subset=None):
        """The same of the training examples at those positions, with the labels they are given; None: of all."""
        images = self._train_images()
        return self._in_order("train" if subset is None else None, images, self._dataset.train_labels, subset)

    def sample(self, epoch):
        """Positions of as many training examples as an epoch has, drawn for that epoch; None where it has all."""
        drawn = self._drawn["train"]
        labels = self._dataset.train_labels
        if not drawn.batches_per_epoch:
            return None
        return np.sort(sampling.epoch_order(labels, self._sizes["train"], self._seed, "sample", epoch, drawn))

    def drawn(self, stream, subset, size, first_step, last_step, *, views=1, values=None):
        """Batches drawn from some of the training examples, each once before any comes again.

        Args:
          stream: what they are for.
          subset: their positions, int [k].
          size: examples in a global batch.
          first_step, last_step: steps of this stream.
          views: as in `batch_spec.BatchSpec`.
          values: float32 [N], a number for each training example that comes with it; None for none.

        Returns:
          Iterator of `(images, labels[, values], index)`.
        """
        spec = self._spec(stream, size, subset=subset, views=views)
        return self._stream(spec, self._train_images(), self._dataset.train_labels, first_step, last_step, values)

    def _train_images(self):
        """Files, or all of them in one tensor: a new one for each epoch's batches would take memory and time."""
        if isinstance(self._dataset.train_images, image_files.ImageFiles):
            return self._dataset.train_images
        if self._on_host is None:
            with tf.device("CPU:0"):
                self._on_host = tf.constant(self._dataset.train_images)
        return self._on_host

    def _in_order(self, name, images, labels, subset):
        """All examples, or those of the subset, once and not augmented; kept under their name."""
        count = len(labels if subset is None else subset)
        size = min(self._eval_batch_size, count)
        size += -size % self._strategy.num_replicas_in_sync
        share = self._share(images)

        def make(first_batch, bad):
            key = name, first_batch, len(bad)
            if name is None or key not in self._evaluations:
                batches = pipeline.evaluation_batches(
                    images, labels, batch_size=size, first_batch=first_batch, bad=bad, share=share, subset=subset
                )
                if name is None:
                    return batches
                self._evaluations[key] = batches
            return self._evaluations[key]

        def read(first_batch):
            part = share.rows(size)
            positions = np.arange(count) if subset is None else subset
            for start in range(first_batch * size, count, size):
                rows = np.arange(start, start + size)[part]
                yield positions[rows[rows < count]]

        return self._shared_out(self._bad.batches(images, make, read), share)

    def _named(self, stream, images, labels, first_step, last_step):
        spec = self._spec(stream, self._sizes[stream], sampling=self._drawn[stream])
        return self._stream(spec, images, labels, first_step, last_step)

    def _spec(self, stream, size, **options):
        names = ("crop_padding", "flip", "padding_mode", "strong")
        augmentation = {name: getattr(self._dataset, name) for name in names}
        return batch_spec.BatchSpec(stream, size, self._seed, **augmentation, **options)

    def _stream(self, spec, images, labels, first_step, last_step, values=None):
        spec.check(len(labels))
        share = self._share(images)

        def make(first, bad):
            made = pipeline.training_batches(images, labels, spec, first, last_step, bad, share)
            if values is None:
                return made
            known = tf.constant(values)
            return made.map(lambda images, labels, index: (images, labels, tf.gather(known, index), index))

        def read(first):
            bad = self._bad.positions(images)
            steps = range(first, last_step)
            drawn = sampling.batch_positions(
                labels, spec.size, steps, spec.seed, spec.stream, spec.sampling, bad, spec.subset
            )
            for positions, _ in drawn:
                yield positions[share.rows(spec.size)]

        return self._shared_out(self._bad.batches(images, make, read, first_step), share)

    def _share(self, images):
        """This worker's part of the batches; arrays are cut after each worker has made them whole."""
        if isinstance(images, image_files.ImageFiles):
            return batch_spec.Share(clusters.position(self._strategy), clusters.num_workers(self._strategy))
        return batch_spec.WHOLE

    def _shared_out(self, batches, share):
        return sharing.distribute_batches(self._strategy, batches, whole=share == batch_spec.WHOLE)
