"""`--mode=inspect`: what the data are."""

from famus_tf.experiment import build_data
from famus_tf.reports import inspection


def inspect(config):
    """Prints what the data are and writes a picture of examples; nothing is trained."""
    # Not decoded: it tells of all files that cannot be read, not of the first.
    bundle = build_data.make_bundle(config.data, config.run.seed, decode=False)
    print(inspection.describe(bundle), flush=True)
    files = inspection.scan_files(bundle)
    if files:
        print(inspection.describe_files(files))
    print(f"examples with their labels: {inspection.write(config.run.workdir, bundle, config.run.seed, files)}")
