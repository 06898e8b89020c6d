"""The meta-learners with FaMUS around them, as option `method` names them: from flags to a compiled method."""

from famus_tf.meta import learners, selectors
from famus_tf.methods import famus


def cross_entropy(setting):
    """Plain training: no meta step."""
    return _build(setting, lambda: learners.CrossEntropy(setting.loss))


def mw_net(setting):
    """Meta-Weight-Net."""
    return _build(setting, lambda: learners.MWNet(**_of_weights(setting)))


def cmw_net(setting):
    """Class-aware Meta-Weight-Net."""
    families = setting.method.class_families
    return _build(setting, lambda: learners.CMWNet(setting.class_sizes, families, **_of_weights(setting)))


def _of_weights(setting):
    return {
        "normalize": setting.method.normalize_weights,
        "weight_decay": setting.optimization.meta_weight_decay,
        "seed": setting.seed,
        "loss": setting.loss,
    }


def soft_labels(setting):
    """Given labels mixed with running predictions."""
    return _build(
        setting,
        lambda: learners.SoftLabels(
            setting.num_examples,
            setting.num_classes,
            setting.method.memory_momentum,
            weight_decay=setting.optimization.meta_weight_decay,
            seed=setting.seed,
            loss=setting.loss,
        ),
    )


def l2r(setting):
    """Learning to Reweight."""
    return _build(setting, lambda: learners.L2R(setting.loss))


def jamal(setting):
    """Class-balanced weights, corrected for each example of the batch (improved L2R)."""
    beta = setting.class_balanced_beta
    sizes, size = setting.class_sizes, setting.optimization.batch_size
    return _build(setting, lambda: learners.Jamal(sizes, size, beta, setting.baselines.jamal_step, loss=setting.loss))


def mlc(setting):
    """Meta Label Correction."""
    rate = setting.optimization.virtual_learning_rate or None
    return _build(setting, lambda: learners.MLC(setting.num_classes, rate))


def memory_weight_net(setting):
    """Running means of each example, mixed as the probes among them teach, all alike without any; and an emphasis."""
    inputs = ("score", "probability", "loss")
    rule = "probes" if setting.num_probes else "fixed"
    return _build(
        setting,
        lambda: _remembering(
            setting, inputs, rule, setting.num_classes, emphasis=learners.MWNet(**_of_weights(setting))
        ),
    )


def running_score(setting):
    """Running means of the meta score and of the label's probability, both alike."""
    return _build(setting, lambda: _remembering(setting, ("score", "probability")))


def running_probability(setting):
    """The running mean of the label's probability: no meta step."""
    return _build(setting, lambda: _remembering(setting, ("probability",)))


def _remembering(setting, inputs, rule="fixed", num_classes=0, emphasis=None):
    flags = setting.method
    return learners.MemoryWeightNet(
        setting.num_examples,
        inputs,
        rule,
        setting.num_probes,
        num_classes,
        emphasis=emphasis,
        sharpness=flags.memory_sharpness,
        momentum=flags.memory_momentum,
        normalize=flags.normalize_weights,
        loss=setting.loss,
    )


def make_selector(flags, seed):
    """Which layers carry the meta gradient, one of `meta.selectors`; `flags` is a `config.method.MethodConfig`."""
    block = int(flags.block) if flags.block.removeprefix("-").isdecimal() else flags.block
    makers = {
        "all": selectors.AllLayers,
        "sampler": lambda: selectors.GradientSampler(
            flags.expected_layers, seed=seed, objective=flags.selection_objective
        ),
        "random": lambda: selectors.RandomLayers(flags.expected_layers, seed=seed),
        "block": lambda: selectors.FixedBlock(block),
        "agreement": lambda: selectors.AgreementSelector(
            flags.agreement_every, flags.agreement_price, per_class=flags.agreement_per_class
        ),
    }
    return makers[flags.selector]()


def _build(setting, make_learner):
    flags = setting.method
    method = famus.FaMUS(
        setting.make_network(0),
        meta_learner=make_learner(),
        selector=make_selector(flags, setting.seed),
        lambda_r=flags.lambda_r,
        lambda_g=flags.lambda_g,
        lambda_cost=flags.lambda_cost,
        weight_decay=setting.optimization.weight_decay,
        schedule=flags.schedule,
        meta_every=flags.meta_every,
        meta_from=setting.meta_from,
        validation_momentum=flags.validation_momentum,
        validation_loss=setting.validation_loss,
    )
    method.record_meta_gradient = setting.record_meta_gradient
    method.compile(
        optimizer=setting.optimizer,
        meta_optimizer=setting.meta_optimizer,
        sampler_optimizer=setting.sampler_optimizer,
        metrics=setting.metrics,
    )
    return method
