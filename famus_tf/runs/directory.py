"""The run directory: held by one run at a time, made for one set of flags, and refused to any other."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import platform

from famus_tf import errors
from famus_tf.config import text as flag_text
from famus_tf.files import whole_files
from famus_tf.runs import fingerprint, provenance

_LOG = logging.getLogger(__name__)

_LOCK = "lock"
# What systems say whose file systems have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


@contextlib.contextmanager
def held(workdir):
    """Makes the run directory and keeps other runs out of it as long as the context, or the process, lasts.

    The file `lock` says who is there. It is the system that keeps the lock, so one of a process that was killed, or of
    a machine that failed, holds nobody up. Where the file system has no locks a line says so.

    Args:
      workdir: `pathlib.Path`.

    Raises:
      InputError: another run is there, or nothing can be written there.
    """
    made = not workdir.exists()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(workdir)
    except OSError as error:
        raise errors.InputError(
            f"option `workdir`={workdir}: cannot write there ({error.strerror or error})"
        ) from error
    try:
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                (workdir / _LOCK).unlink()
            os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):
                workdir.rmdir()  # where nothing came of it


def _lock(workdir):
    """Descriptor of the locked file, or None where there are no locks."""
    path = workdir / _LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(os.read(descriptor, 4096))
            os.close(descriptor)
            raise errors.InputError(
                f"{workdir}: {holder} is at work there; expected a run directory that no other run uses"
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LOCKS:
                raise
            _LOG.info(f"{workdir}: the file system has no locks; see to it that no other run is there")
            return None
        # Whoever held it before may have taken the file away between the two calls.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        os.close(descriptor)
    os.truncate(descriptor, 0)
    os.write(descriptor, json.dumps({"host": platform.node(), "pid": os.getpid()}).encode())
    return descriptor


def _holder(text):
    try:
        holder = json.loads(text)
        return f"process {int(holder['pid'])} on {holder['host']}"
    except (ValueError, TypeError, KeyError):  # just about to be written
        return "another process"


def begin(workdir, config, data, *, resumed):
    """Writes what the run is made with; to be called when nothing can refuse the start.

    Args:
      workdir: `pathlib.Path`.
      config: `config.Config`.
      data: `fingerprint.Fingerprint`, kept where the run is new or does not know it.
      resumed: whether the run goes on.
    """
    consequence = "nothing was trained"
    if not resumed or not fingerprint.is_known(workdir):
        fingerprint.write(workdir, data)
    path = workdir / "flags.cfg"
    if not resumed or not path.exists() or config.is_longer(path.read_text(encoding="utf-8").splitlines()):
        with whole_files.written(path, consequence) as place:
            place.write_text("\n".join([*config.flag_lines(), ""]), encoding="utf-8")
    whole_files.write_json(workdir / "versions.json", provenance.versions())


def check_new_or_same(workdir, config):
    """Raises, as an InputError, where training cannot begin or go on there: it holds another run, or half of one.

    A run that has ended before its first checkpoint has trained nothing, and holds the folder for no flags.
    """
    trained = any(path.exists() for path in (workdir / "results.json", workdir / "export"))
    if (workdir / "flags.cfg").exists() and not trained and not any(workdir.glob("checkpoints/*")):
        return
    if not check_same_flags(workdir, config, must_exist=False) and any(
        (workdir / name).exists() for name in ("checkpoints", "results.json")
    ):
        raise errors.InputError(f"{workdir}: holds a run without flags.cfg; expected a new or a whole run directory")


def check_same_flags(workdir, config, *, must_exist):
    """Returns whether `flags.cfg` is there; raises where it names other flags than this command, or is damaged."""
    path = workdir / "flags.cfg"
    try:
        saved = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if must_exist:
            raise errors.InputError(f"{workdir}: not a run directory, it has no flags.cfg") from None
        return False
    except OSError as error:
        raise errors.InputError(f"{path}: cannot read it ({error.strerror})") from None
    except UnicodeDecodeError:
        saved = []
    flags = [line for line in saved if flag_text.is_flag_line(line)]
    if not flags or not all(line.lstrip().startswith("-") for line in flags):
        raise errors.InputError(
            f"{path}: damaged; expected the run's flags, one to a line; versions.json has the command that made it"
        )
    difference = config.first_difference(saved)
    if difference:
        raise errors.InputError(f"{workdir}: made with other flags; {difference}; expected another option `workdir`")
    return True


def dtype_policy_of(flags_path):
    """The policy that a run was begun with, from its `flags.cfg`; None where there is no such file.

    Args:
      flags_path: `pathlib.Path` of the run directory's flags.cfg.
    """
    flags = saved_flags(flags_path)
    if flags is None:
        return None
    policy = flags.get("dtype_policy", "float32")
    return None if policy == "auto" else policy


def saved_flags(flags_path):
    """{flag: its text} of a `flags.cfg`; None where there is no such file, or none that can be read.

    Args:
      flags_path: `pathlib.Path`.
    """
    try:
        lines = flags_path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # whoever needs the file will say so
        return None
    return dict(flag_text.name_and_value(line, ()) for line in lines if flag_text.is_flag_line(line))
