"""The flags of the label report, and of what is done with it."""

import dataclasses

from famus_tf.config import fields

EXPORT_FORMATS = ("saved_model", "keras", "tflite", "onnx")
_FORMATS = fields.Bounds(
    f"names of {', '.join(EXPORT_FORMATS)} joined by commas",
    lambda value: all(name in EXPORT_FORMATS for name in value.split(",")),
)
_FOLDS = fields.Bounds("0, or a whole number above 1", lambda value: value == 0 or value > 1)


@dataclasses.dataclass(frozen=True)
class ReportConfig(fields.FlagGroup):
    """Which labels are not to be trusted, and what becomes of them."""

    label_report: bool = fields.flag(
        True,
        "Write labels.csv and labels.html when training ends: all training labels, the least trusted first. It takes "
        "one pass over the training images; --mode=report writes them later.",
    )
    report_folds: int = fields.flag(
        0,
        "Of the label report: so many plain networks are trained besides, each without one part of the images, and "
        "asked about that part; the list goes by what they say. 0: by what the run itself has learnt of the labels.",
        bounds=_FOLDS,
    )
    marks: str = fields.flag(
        "",
        "Of --mode=clean: marks.csv, as the page labels.html downloads it: what is marked is kept, relabelled or "
        "dropped, whatever --clean_share and --clean_above say.",
        is_path=True,
    )
    clean_share: float = fields.flag(
        0.0,
        "Of --mode=clean: the share of the training labels, the least trusted first, that --clean_action is done to.",
        bounds=fields.FRACTION,
    )
    clean_above: float = fields.flag(
        1.0,
        "Of --mode=clean: --clean_action is done to labels of a higher suspicion than this, as labels.csv has it; with "
        "--clean_share too, to those of either.",
        bounds=fields.FRACTION,
    )
    clean_action: str = fields.flag(
        "drop",
        "Of --mode=clean: drop; or relabel, as the network predicts, and drop those whose label it predicts as it is.",
        ("drop", "relabel"),
    )
    export_format: str = fields.flag(
        "saved_model",
        "What the network is exported as, joined by commas: saved_model, which is always written; keras (model.keras "
        "beside it), tflite (model.tflite, for LiteRT), onnx (model.onnx; needs famus-tf[onnx] installed). Each is "
        "asked about 100 images, and kept where it says the same as the network.",
        bounds=_FORMATS,
    )
    model: str = fields.flag(
        "",
        "Of --mode=evaluate: the folder of a SavedModel that this program has exported, a .keras file with a network, "
        "images to logits, or checkpoint, the run directory's newest one; empty: its export.",
        is_path=True,
    )
    images: str = fields.flag(
        "",
        "Of --mode=predict: a folder, whose images are found in the folders below it too, or a list of paths, one in "
        "each line.",
        is_path=True,
    )
    output: str = fields.flag(
        "", "Of --mode=predict: the file to write; empty: predictions.csv in the present folder.", is_path=True
    )

    @property
    def export_formats(self) -> tuple[str, ...]:
        """The formats besides the SavedModel, each once."""
        wanted = self.export_format.split(",")
        return tuple(name for name in EXPORT_FORMATS[1:] if name in wanted)
