"""The flags of a run: what to do, where to keep it, with which network, on which devices."""

import dataclasses

from famus_tf.config import fields

# The names of `famus_tf.networks.BUILDERS`, which loads TensorFlow; a test holds them equal.
NETWORKS = ("small_preact", "preact_resnet18", "wrn40_2", "wrn28_10", "resnet32", "resnet50", "inception_resnet_v2")
AUTO = "auto"
_NETWORK = fields.Bounds(
    f"one of {', '.join(NETWORKS)}, auto, or a path ending in .keras",
    lambda value: value in (*NETWORKS, AUTO) or value.endswith(".keras"),
)


@dataclasses.dataclass(frozen=True)
class RunConfig(fields.FlagGroup):
    """What to do, where to keep it, with which network, on which devices."""

    mode: str = fields.flag(
        "train",
        "What to do: train (and evaluate along the way), evaluate the run directory's SavedModel on the test set, "
        "export the newest checkpoint's network as a SavedModel, inspect the data (counts, noise, a picture of "
        "examples with their labels), prepare a scaled copy of large images, report which labels are not to be "
        "trusted, by the newest checkpoint, clean: write lists without them, which --dataset=list takes, or "
        "predict: say what the exported network sees in the images of a folder.",
        ("train", "evaluate", "export", "inspect", "prepare", "report", "clean", "predict"),
    )
    workdir: str = fields.flag(
        "",
        "The run directory: checkpoints, TensorBoard logs, results.json and flags.cfg. Empty: runs/<name of the flag "
        "file>, or the run directory itself where its own flags.cfg is the flag file.",
        is_path=True,
    )
    network: str = fields.flag(
        AUTO,
        f"The network, images to logits, weights w: one of {', '.join(NETWORKS)}; or the path of a .keras file with a "
        "functional network of your own. Training starts at the file's weights; raw images, 0..255, go in, and "
        "normalising them is that network's own part. auto: of folder and list by the images' size, their number and "
        "the device, said when the run starts; else small_preact.",
        bounds=_NETWORK,
        is_path=True,
    )
    seed: int = fields.flag(
        0, "Seed of the initial weights, the label noise, the meta set, batches and gates.", bounds=fields.SEED
    )
    strategy: str = fields.flag(
        "auto",
        "Devices: one_device, mirrored (all visible GPUs, else all logical CPUs), auto (mirrored where there are "
        "several GPUs), or multi_worker (this process is one of several that TF_CONFIG or Slurm names).",
        ("auto", "one_device", "mirrored", "multi_worker"),
    )
    worker_timeout: float = fields.flag(
        600.0,
        "Seconds that the workers of --strategy=multi_worker wait until all of them have been started.",
        bounds=fields.POSITIVE,
    )
    dtype_policy: str = fields.flag(
        "float32",
        "Number types of the network: float32; mixed_bfloat16 (layers compute in bfloat16; variables, logits, losses, "
        "meta-learner and samplers stay float32); or auto: mixed_bfloat16 where it is measured to be faster when the "
        "run starts, and what it was from then on. A network from a .keras file keeps the policy saved in it.",
        ("float32", "mixed_bfloat16", "auto"),
    )
    jit_compile: bool = fields.flag(
        False, "Compile the training step with XLA; on one device. Slower than without it on most CPUs."
    )
    checkpoint_every: int = fields.flag(
        200, "Training steps between two checkpoints; one is written at each epoch's end too.", bounds=fields.COUNT
    )
    summary_every: int = fields.flag(20, "Training steps between two TensorBoard summaries.", bounds=fields.COUNT)
    pretrained: str = fields.flag(
        "none",
        "Of resnet50 and inception_resnet_v2: none; imagenet, Keras's weights, fetched once; or the path of a file of "
        "such weights. Images are then normalised as those weights want it.",
        is_path=True,
    )
    init_from: str = fields.flag(
        "",
        "Weights that training starts from: a run directory whose training has ended, its export, or a .keras file, of "
        "the same network. A classifier of another number of classes is drawn anew, and that of the second of two "
        "networks. The run directory keeps a copy.",
        is_path=True,
    )
    eval_batch_size: int = fields.flag(500, "Images per batch in evaluation.", bounds=fields.COUNT)
    log_meta_gradient: bool = fields.flag(
        False,
        "Fetch the meta gradient in every meta step and log its variance and norm over each epoch (Fig. 4): in "
        "TensorBoard and in results.json. Not for l2r.",
    )
    log_stage_times: bool = fields.flag(
        False,
        "Time the stages of a step (Fig. 1b) before the first step and after the last, where there is a meta step; "
        "with unlabelled images, after the last alone: in TensorBoard and in results.json.",
    )
