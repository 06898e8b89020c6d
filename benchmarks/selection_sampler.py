"""What the paper's sampler would choose if repeatability were its objective: Gumbel-softmax gates, trained on that."""

import keras
import tensorflow as tf

from famus_tf.meta import gumbel, objectives


def learnt(between, within, costs, price, steps=400, rate=0.1, temperature=5.0, seed=0):
    """The most probable gates after some steps up rho(r) - price * L_cost(r), by the straight-through gradient of r.

    Every gate has two numbers of its own, so that no descriptor can be what it lacks; L_cost is
    `objectives.reaching_cost`.

    Args:
      between, within: float64 [L, L], as from `repeatability.moments`.
      costs: float [L], `GatedLayer.cost`.
      price: how much rho a cost of 1 must add.
      steps, rate: of Adam, whose gradient is the mean over 8 samples.
      temperature: of the Gumbel-softmax.
      seed: of its noise.

    Returns:
      bool [L]; the most probable gate alone where none is more often on than off.
    """
    size = len(costs)
    between, within, costs = (tf.cast(one, tf.float64) for one in (between, within, costs))
    logits = tf.Variable(tf.zeros([size, 2], tf.float64))
    optimizer = keras.optimizers.Adam(rate)

    def objective(noise):
        r = gumbel.gumbel_softmax(logits, noise, temperature)[:, 1]
        variance = tf.tensordot(r, tf.linalg.matvec(within, r), 1)
        rho = tf.math.divide_no_nan(tf.tensordot(r, tf.linalg.matvec(between, r), 1), variance)
        return price * objectives.reaching_cost(r, costs) - rho

    @tf.function(autograph=False)
    def step(number):
        noise = gumbel.sample_gumbel([8, size, 2], tf.stack([tf.constant(seed), number]))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.map_fn(objective, noise, fn_output_signature=tf.float64))
        optimizer.apply([tape.gradient(loss, logits)], [logits])

    for number in range(steps):
        step(tf.constant(number))
    margins = (logits[:, 1] - logits[:, 0]).numpy()
    return margins >= min(margins.max(), 1e-9)
