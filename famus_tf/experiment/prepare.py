"""`--mode=prepare`: a scaled copy of the images."""

from famus_tf.data.copies import resized_copy
from famus_tf.data.sets import by_name
from famus_tf.experiment import build_data


def prepare(config):
    """Writes a copy of the data set's images, scaled down, which training reads by itself."""
    data = config.data
    source = by_name.load_source(data)
    if not resized_copy.is_any_larger(source):
        print(
            f"{data.data_dir}: nothing to do: no image is larger than the {source.train_images.transform.resize} "
            "pixels that training scales the shorter side to, so it reads them as they are"
        )
        return
    report = resized_copy.make(
        source,
        data.data_dir,
        data.prepared_dir,
        skip_bad=data.on_bad_image == "skip",
        progress=build_data.progress_bar,
    )
    place = data.prepared_dir or resized_copy.default_folder(data.data_dir, source.train_images.transform.resize)
    print(
        f"{place}: {report.scaled:,} images scaled, {report.copied:,} that are not larger copied; of these "
        f"{report.renewed:,} anew, as the original has changed; {report.there:,} were there; {report.outside:,} lie "
        f"outside of {data.data_dir} and stay as they are, {len(report.broken):,} cannot be read and are left out"
    )
