"""What all losses share."""


class Loss:
    """A loss that Keras can save with a meta-learner: `get_config` gives its constructor's arguments."""

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)
