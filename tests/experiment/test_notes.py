"""Sentences for the user: how long they may be, and what workers beside the chief keep to themselves."""

import logging

import tensorflow as tf

from famus_tf.experiment import notes


def test_long_ones_are_cut(capsys):
    notes.say(["a" * 100_000, "short"])
    first, second = capsys.readouterr().out.splitlines()
    assert len(first) < 2100 and first.endswith("a" * 300) and "characters ...]" in first and second == "short"


def test_kept_quiet_only_warnings_are_printed(capsys):
    notes.show()
    logger = logging.getLogger("famus_tf.data.somewhere")
    with notes.kept_quiet():
        notes.say(["said"])
        logger.info("noted")
        logger.warning("seen here alone")
    notes.say(["said after"])
    logger.info("noted after")
    assert capsys.readouterr().out.splitlines() == ["seen here alone", "said after", "noted after"]


def test_tensorflow_says_nothing_of_graphs_that_are_traced_by_design():
    notes.show()
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = tf.get_logger()
    logger.addHandler(handler)
    try:
        function = tf.function(lambda number: number)
        for number in range(12):
            function(number)
        logger.warning("another matter")
    finally:
        logger.removeHandler(handler)
    assert said == ["another matter"]
