"""DESIGN's cost model: one step counted in forward passes of the network on the training batch.

A forward pass is 1, a backward pass 2, a Jacobian-vector product 2, a step of plain training 3. What runs over the meta
batch counts m / n of that, what stops at the lowest selected layer counts the share of the network traversed.
"""

PLAIN_UNITS = 3.0


def traversed_share(segment_costs, lowest):
    """The share of the network's cost at or above segment `lowest` (0: the whole, len: nothing).

    Args:
      segment_costs: list of `Segment.cost`, from the input to the output.
      lowest: int.
    """
    return sum(segment_costs[lowest:]) / sum(segment_costs)


def units(*, share, meta_ratio=1.0, schedule="three_stage", virtual_backward=True, meta_every=1):
    """Forward passes of one step with a meta gradient, on average over `meta_every` steps.

    Args:
      share: of the network's cost that Meta-Train traverses backward and forward in tangent mode, in [0, 1].
      meta_ratio: m / n.
      schedule: "three_stage" (Algorithm 1) or "one_loop", whose look-ahead is the real step.
      virtual_backward: False for L2R in three stages: theta starts at 0, so that w_hat = w.
      meta_every: a meta step on every so many steps, plain weighted ones between.
    """
    forward = 1.0
    actual_backward = 2.0
    virtual = 2.0 if schedule == "three_stage" and virtual_backward else 0.0
    meta = meta_ratio * (1.0 + 2.0 * share)
    tangent = 2.0 * share
    meta_step = forward + virtual + meta + tangent + actual_backward
    return (meta_step + (meta_every - 1) * PLAIN_UNITS) / meta_every
