"""The one exception that stands for a mistake in what the user gave."""


class InputError(ValueError):
    """Something given by the user cannot be used: a flag, a file, a data set, a network.

    The message is one sentence that names what was found and what is expected. `famus_tf.main` prints it without a
    traceback and exits with status 2.
    """
