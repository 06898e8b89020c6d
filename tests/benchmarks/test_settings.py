"""The settings' way through a command line, and those of the steps in which the sampler settles."""

import argparse
import dataclasses

import pytest

from benchmarks import settings


def parse(*arguments):
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    return settings.from_arguments(parser.parse_args(arguments))


def test_settings_survive_the_command_line():
    given = settings.Settings("wrn28_10", 24, 1, 100, "digits", 8, 2, 5, 50, 12, 4, "kept", 0.05, 0.7)
    # Every field is away from its default, so that none can be forgotten.
    defaults = dataclasses.astuple(settings.Settings())
    assert all(mine != default for mine, default in zip(dataclasses.astuple(given), defaults, strict=True))
    assert parse(*given.arguments()) == given
    assert parse() == settings.Settings()


@pytest.mark.parametrize("argument", ["--batch_size=0", "--batch_size=-1", "--settle_steps=x", "--meta_batch_size=-4"])
def test_numbers_that_cannot_be(argument):
    with pytest.raises(SystemExit):
        parse(argument)


@pytest.mark.parametrize(("meta_batch_size", "share", "expected"), [(0, 1.0, 16), (8, 1.0, 8), (8, 0.25, 4)])
def test_meta_batch(meta_batch_size, share, expected):
    assert settings.Settings(batch_size=16, meta_batch_size=meta_batch_size).meta_size(share) == expected


def test_while_settling():
    given = settings.Settings(image_size=32, batch_size=16, meta_batch_size=8)
    assert given.while_settling() == given
    smaller = dataclasses.replace(given, settle_image_size=8, settle_batch_size=4).while_settling()
    assert (smaller.image_size, smaller.batch_size, smaller.meta_size()) == (8, 4, 4)
