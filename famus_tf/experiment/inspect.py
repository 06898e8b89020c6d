"""`--mode=inspect`: what the data are."""

from famus_tf.config import command_line
from famus_tf.experiment import build_data, notes
from famus_tf.reports import inspection, same_images


def inspect(config):
    """Prints what the data are and writes a picture of examples; nothing is trained."""
    # Not decoded: it tells of all files that cannot be read, not of the first.
    dataset = build_data.make_dataset(config.data, config.run.seed, decode=False)
    print(inspection.describe(dataset), flush=True)
    if config.probe_share:
        print(f"of the meta set a share of {config.probe_share:g} is trained on instead, --probe_share")
    notes.say(dataset.cautions())
    files = inspection.scan_files(dataset)
    if files:
        print(inspection.describe_files(files))
    if config.data.near_duplicates:
        found = same_images.write_look_alikes(config.run.workdir, dataset, build_data.progress_bar)
        print(command_line.with_flags(found))
    said = same_images.write_conflicts(config.run.workdir, dataset.conflicts)
    print(said, end="\n" if said else "")
    print(f"examples with their labels: {inspection.write(config.run.workdir, dataset, config.run.seed, files)}")
