"""All batches of a run, each shared out over the replicas; image files that cannot be read are named or passed over."""

import numpy as np

from famus_tf import distribution, errors
from famus_tf.data import image_files, pipeline, sampling


class Feed:
    """Makes training, meta and evaluation batches, from any step on.

    Of several workers each decodes the files of its own share of a batch.

    Args:
      bundle: `data.bundle.Bundle`.
      strategy: a `tf.distribute.Strategy`.
      bad: `data.bad_images.BadImages`.
      batch_size, meta_batch_size, eval_batch_size: examples of a global batch; the last one is made smaller where the
        set is, and larger where the replicas' shares would not be equal.
      seed: the seed of the run.
      drawn: `data.sampling.Sampling`, of the training examples.

    Attributes:
      steps_per_epoch: training steps in an epoch.
      evaluated: names of the sets in `bundle.held_out` that are evaluated: all but the meta set.

    Raises:
      InputError: an epoch asks for more examples than there are.
    """

    def __init__(self, bundle, strategy, bad, *, batch_size, meta_batch_size, eval_batch_size, seed, drawn):
        self._bundle, self._strategy, self._bad, self._seed = bundle, strategy, bad, seed
        self._sizes = {"train": batch_size, "meta": meta_batch_size}
        self._eval_batch_size = eval_batch_size
        self._evaluations = {}  # made once: to trace one takes longer than to go through a small set
        self._drawn = {"train": drawn, "meta": sampling.NATURAL}
        self.evaluated = tuple(name for name in bundle.held_out if name != "meta")
        self.steps_per_epoch = sampling.steps_per_epoch(len(bundle.train_labels), batch_size, drawn)

    def training(self, first_step, last_step):
        """Batches `(images, labels, index)` of the steps `first_step` <= t < `last_step`."""
        return self._stream("train", self._bundle.train_images, self._bundle.train_labels, first_step, last_step)

    def meta(self, first_step, last_step):
        """The same of the meta set; its steps are the meta steps, counted from 0."""
        return self._stream("meta", self._bundle.meta_images, self._bundle.meta_labels, first_step, last_step)

    def evaluation(self, name):
        """Batches `(images, labels, weight)` of all of one of `bundle.held_out`, in order."""
        examples = self._bundle.held_out[name]
        images, labels = examples.images, examples.labels
        size = min(self._eval_batch_size, len(labels))
        size += -size % self._strategy.num_replicas_in_sync
        share = self._share(images)

        def make(first_batch, bad):
            key = name, first_batch, len(bad)
            if key not in self._evaluations:
                self._evaluations[key] = pipeline.evaluation_batches(
                    images, labels, batch_size=size, first_batch=first_batch, bad=bad, share=share
                )
            return self._evaluations[key]

        def read(first_batch):
            part = pipeline.part(size, share)
            for start in range(first_batch * size, len(labels), size):
                positions = np.arange(start, start + size)[part]
                yield positions[positions < len(labels)]

        return self._shared_out(self._bad.batches(images, make, read), share)

    def _stream(self, stream, images, labels, first_step, last_step):
        try:
            sampling.steps_per_epoch(len(labels), self._sizes[stream], self._drawn[stream])
        except errors.InputError as error:
            raise errors.InputError(f"{stream}: {error}") from error
        bundle, size, drawn, share = self._bundle, self._sizes[stream], self._drawn[stream], self._share(images)

        def make(first, bad):
            return pipeline.batches(
                images,
                labels,
                batch_size=size,
                first_step=first,
                last_step=last_step,
                seed=self._seed,
                stream=stream,
                crop_padding=bundle.crop_padding,
                flip=bundle.flip,
                padding_mode=bundle.padding_mode,
                drawn=drawn,
                bad=bad,
                share=share,
            )

        def read(first):
            bad = self._bad.positions(images)
            for positions, _ in sampling.batches(labels, size, range(first, last_step), self._seed, stream, drawn, bad):
                yield positions[pipeline.part(size, share)]

        return self._shared_out(self._bad.batches(images, make, read, first_step), share)

    def _share(self, images):
        """(k, count) of this worker's part of the batches; arrays are cut after each worker has made them whole."""
        if isinstance(images, image_files.ImageFiles):
            return distribution.position(self._strategy), distribution.num_workers(self._strategy)
        return 0, 1

    def _shared_out(self, batches, share):
        return distribution.batches(self._strategy, batches, whole=share[1] == 1)
