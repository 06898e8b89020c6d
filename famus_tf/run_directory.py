"""The run directory: made for one set of flags, and refused to any other."""

import os

from famus_tf import errors, provenance, summaries


def open_for(workdir, config):
    """Makes the run directory and writes `flags.cfg` and `versions.json`, or checks that it is this command's."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not os.access(workdir, os.W_OK):
            raise PermissionError(13, "Permission denied")
        if not check_same_flags(workdir, config, must_exist=False):
            if any((workdir / name).exists() for name in ("checkpoints", "results.json")):
                raise errors.InputError(
                    f"{workdir}: holds a run without flags.cfg; expected a new or a whole run directory"
                )
            (workdir / "flags.cfg").write_text("\n".join([*config.flag_lines(), ""]))
        summaries.write_json(workdir / "versions.json", provenance.versions())
    except OSError as error:
        raise errors.InputError(f"--workdir={workdir}: cannot write there ({error.strerror or error})") from error


def check_same_flags(workdir, config, *, must_exist):
    """Returns whether `flags.cfg` is there; raises where it names other flags than this command."""
    try:
        saved = (workdir / "flags.cfg").read_text().splitlines()
    except FileNotFoundError:
        if must_exist:
            raise errors.InputError(f"{workdir}: not a run directory, it has no flags.cfg") from None
        return False
    except OSError as error:
        raise errors.InputError(f"{workdir / 'flags.cfg'}: cannot read it ({error.strerror})") from None
    difference = config.first_difference(saved)
    if difference:
        raise errors.InputError(f"{workdir}: made with other flags; {difference}; expected another --workdir")
    return True
