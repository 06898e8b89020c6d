"""How far labels and guesses are believed by their losses (Albert et al., WACV 2023, sections 3.2 and 3.3)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.methods import clean_split


def judged(logits: np.ndarray, labels: np.ndarray, guesses: np.ndarray, threshold: float, seed: int) -> np.ndarray:
    """How far the guess for each noisy label is believed, float32 [N] in [0, 1]; -1 where the label is believed.

    Args:
      logits: float [N, c]; where there is NaN the label is believed.
      labels: given labels, int [N].
      guesses: distributions float [N, c]; rows of 0 where there is none yet, which are believed as they come.
      threshold: above which probability of the larger losses a label is noisy.
      seed: of the fits.
    """
    losses = softmax.cross_entropy(tf.constant(labels), tf.constant(logits)).numpy()
    clean, mixture = clean_split.clean_probability(losses, seed % 2**32)
    noisy = np.isfinite(clean) & (1.0 - clean > threshold) & (mixture is not None)
    weights = np.where(noisy, 1.0, -1.0).astype(np.float32)
    guessed = noisy & (guesses.sum(axis=1) > 0)
    if guessed.sum() > 1:
        pseudo = softmax.cross_entropy(tf.constant(guesses[guessed]), tf.constant(logits[guessed])).numpy()
        weights[guessed] = clean_split.clean_probability(pseudo, seed % 2**32)[0]
    return weights
