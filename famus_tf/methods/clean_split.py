"""Co-divide: a Gaussian mixture over the losses tells examples whose label is probably right from the others.

Source: Algorithm 2 of the paper, which takes it from Li et al., "DivideMix" (ICLR 2020), section 3.1. A network learns
right labels before wrong ones, so for a while the losses of the right ones are the smaller.
"""

import dataclasses
import warnings

import numpy as np
from sklearn import exceptions, metrics
from sklearn import mixture as sklearn_mixture

from famus_tf import errors

# Losses that differ by a few roundings of float32 are equal: the order of a sum decides about their last bits.
_ROUNDING = 8 * float(np.finfo(np.float32).eps)
# A component with less than this many examples has one of them or none, and no variance of its own.
_LEAST_HELD = 1.5


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Two Gaussians over min-max scaled losses; component 0, with the smaller mean, is the clean one.

    Attributes:
      means, variances: of the scaled losses.
      weights: of the components, sum 1.
      low, high: the losses that became 0 and 1.
    """

    means: tuple[float, float]
    variances: tuple[float, float]
    weights: tuple[float, float]
    low: float
    high: float

    def density(self, losses):
        """Density of each component times its weight, per unit of (unscaled) loss: the two integrate to 1 together.

        Args:
          losses: float [k].

        Returns:
          float64 [2, k].
        """
        scaled = (np.asarray(losses, np.float64) - self.low) / (self.high - self.low)
        means, variances, weights = (
            np.array(part)[:, np.newaxis] for part in (self.means, self.variances, self.weights)
        )
        gaussians = np.exp(-((scaled - means) ** 2) / (2 * variances)) / np.sqrt(2 * np.pi * variances)
        return weights * gaussians / (self.high - self.low)


def clean_probability(losses, seed):
    """Posterior probability that an example belongs to the component with the smaller losses.

    The mixture and its settings are those of DivideMix. The posterior is the plain one, as there: it need not fall with
    the loss, and where the noisy component is much the wider one, the very smallest losses can be nearer to it.

    Args:
      losses: float [N], NaN for examples that were not scanned; infinite ones count as the largest finite one.
      seed: int in [0, 2^32), for the start of the fit.

    Returns:
      (float32 [N], `Mixture`); the probability is NaN for examples that were not scanned. Where two components say
      nothing, the mixture is None and the probability 0.5: fewer than two finite losses, all equal but for float32's
      rounding, a component with only one example or none, or parameters that are not finite.
    """
    losses = np.asarray(losses, np.float64)
    scanned = ~np.isnan(losses)
    probability = np.where(scanned, np.float32(0.5), np.float32(np.nan))
    finite = losses[np.isfinite(losses)]
    if len(finite) < 2:
        return probability, None
    low, high = float(finite.min()), float(finite.max())
    if high - low <= _ROUNDING * max(abs(low), abs(high)):
        return probability, None
    scaled = (np.clip(losses[scanned], low, high) - low) / (high - low)
    model = sklearn_mixture.GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with warnings.catch_warnings():
        # Ten iterations often end before the tolerance is met, and are enough.
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        model.fit(scaled[:, np.newaxis])
    parameters = np.stack([model.means_[:, 0], model.covariances_[:, 0, 0], model.weights_])
    if not np.isfinite(parameters).all() or model.weights_.min() * len(scaled) < _LEAST_HELD:
        return probability, None
    order = np.argsort(parameters[0], kind="stable")
    probability[scanned] = model.predict_proba(scaled[:, np.newaxis])[:, order[0]]
    return probability, Mixture(*(tuple(row) for row in parameters[:, order].tolist()), low, high)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The scanned examples in two: the pseudo-clean set, whose labels are trusted, and the others.

    Attributes:
      clean_probability: float32 [N], NaN for examples that were not scanned.
      clean: bool [N], the pseudo-clean set; false for examples that were not scanned.
      fallback: empty where the threshold decided, else one sentence that says why it did not.
    """

    clean_probability: np.ndarray
    clean: np.ndarray
    fallback: str

    @property
    def scanned(self):
        """bool [N]: which examples are in one of the two sets."""
        return ~np.isnan(self.clean_probability)

    @property
    def clean_index(self):
        """Positions of the pseudo-clean set, int64, rising."""
        return np.flatnonzero(self.clean).astype(np.int64)

    @property
    def noisy_index(self):
        """Positions of the scanned examples outside the pseudo-clean set, int64, rising."""
        return np.flatnonzero(self.scanned & ~self.clean).astype(np.int64)


def lower_half(count, least_clean, least_noisy, what):
    """Size of the half that `split` takes where nothing else will do, rounded up.

    Args:
      count: number of examples.
      least_clean, least_noisy: fewest examples that this half and the other may have.
      what: the examples, for the error.

    Raises:
      InputError: a half is too few.
    """
    lower, upper = count - count // 2, count // 2
    if lower < least_clean or upper < least_noisy:
        raise errors.InputError(
            f"{what}: expected at least {least_clean:,} clean and {least_noisy:,} others, and halves have {lower:,} "
            f"and {upper:,}"
        )
    return lower


def split(losses, probability, threshold, least_clean, least_noisy, seed):
    """Takes as clean what has a probability above the threshold, or half of the examples where that leaves too few.

    The half, rounded up, has the lowest losses; equal ones come in a random order, so that it is a random half where
    the losses are constant. The release falls back too, to the larger half of the probabilities, at sizes that are
    constants of its data set (fewer than 64 or more than 45,000 of 50,000).

    Args:
      losses: float [N], as `clean_probability` took them.
      probability: float32 [N], as it returned them.
      threshold: in [0, 1); an example exactly at it is not clean.
      least_clean, least_noisy: fewest examples that the pseudo-clean set and the others may have.
      seed: int, for the order of equal losses.

    Returns:
      `Split`.

    Raises:
      InputError: even half of the scanned examples is too few.
    """
    probability = np.asarray(probability, np.float32)
    scanned = np.flatnonzero(~np.isnan(probability))
    clean = probability > np.float32(threshold)  # of one type: float32(0.6) is above float64's 0.6
    above = int(clean.sum())
    below = len(scanned) - above
    if above >= least_clean and below >= least_noisy:
        return Split(probability, clean, "")
    what = f"{len(scanned):,} scanned examples, {above:,} of them with a clean probability above {threshold:g}"
    lower = lower_half(len(scanned), least_clean, least_noisy, what)
    ties = np.random.default_rng(seed).permutation(len(scanned))
    order = np.lexsort((ties, np.asarray(losses)[scanned]))
    clean = np.zeros(len(probability), bool)
    clean[scanned[order[:lower]]] = True
    if above < least_clean:
        reason = f"{above:,} of {len(scanned):,} examples have a clean probability above {threshold:g}"
    else:
        reason = f"{below:,} of {len(scanned):,} examples have a clean probability of {threshold:g} or less"
    fewest = least_clean if above < least_clean else least_noisy
    return Split(probability, clean, f"{reason}, fewer than {fewest:,}: the half with the lowest losses is taken")


def quality(split, is_clean):
    """How well a split tells right labels from wrong ones, over the scanned examples.

    Args:
      split: `Split`.
      is_clean: bool [N], true where the label is right; None where nobody knows.

    Returns:
      Dict that JSON can hold: sizes `clean` and `noisy`, `fallback`; where the truth is known also `auc` (area under
      the ROC curve of the clean probability), `precision` and `recall` of the pseudo-clean set, None where undefined.
    """
    summary = {"clean": len(split.clean_index), "noisy": len(split.noisy_index), "fallback": split.fallback}
    if is_clean is None:
        return summary
    scanned = split.scanned
    truth = np.asarray(is_clean, bool)[scanned]
    right = int((truth & split.clean[scanned]).sum())
    both = truth.any() and not truth.all()
    return summary | {
        "auc": float(metrics.roc_auc_score(truth, split.clean_probability[scanned])) if both else None,
        "precision": right / summary["clean"] if summary["clean"] else None,
        "recall": right / int(truth.sum()) if truth.any() else None,
    }
