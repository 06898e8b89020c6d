"""The blocks of a network by the names of its layers, wherever the segments are cut."""

import re

from famus_tf.meta import segments as segment_chain

# stage1_block2_conv1, conv2_block1_1_conv, block_3_expand, block1a_dwconv, block35_1_mixed, inner/block2/conv.
_NUMBER = re.compile(r"_\d+(?![a-z0-9])")
_BLOCK = re.compile(r"(?:^|.*?[^a-z0-9])block_?\d+[a-z]?(?![a-z0-9])")


def find_blocks(segments, layers):
    """The name of the block that each gated layer belongs to.

    A name up to `block` and its number names a block: stage1_block2_conv1 is of stage1_block2. All layers between the
    same two places where the network is one tensor wide are of that block, whatever their names are: so are the
    convolutions of Keras's InceptionResNetV2, whose names have no block. In a network without such names the layers
    between two of those places are a block if one has a kernel, with what follows up to the next one.

    Args:
      segments: list of `segments.Segment`.
      layers: list, from the input to the output, of (name of the layer, list of its variables).

    Returns:
      List of str, "" where a layer belongs to no block, as the stem and what stands between blocks. The last layer, the
      classifier, belongs to none.
    """
    pieces = [piece for segment in segments for piece in segment_chain.pieces(segment.model)]
    piece_of = {}
    for number, piece in enumerate(pieces):
        for operation in piece:
            piece_of |= {id(variable): number for variable in getattr(operation, "trainable_variables", [])}
    where = [piece_of[id(variables[0])] for _, variables in layers]
    names = {operation.name for piece in pieces for operation in piece} | {name for name, _ in layers}
    block_of = _blocks_by_name(names)
    if any(block_of.values()):
        of_piece = [_only({block_of[operation.name] for operation in piece}) for piece in pieces]
        names_of_blocks = [block_of[name] or of_piece[piece] for (name, _), piece in zip(layers, where, strict=True)]
    else:
        names_of_blocks = _blocks_by_kernel(layers, where)
    return [*names_of_blocks[:-1], ""]


def _blocks_by_kernel(layers, where):
    """For each layer the name of the first layer with a kernel in its piece; without one, the block before it."""
    first_kernel = {}
    for (name, variables), piece in zip(layers, where, strict=True):
        if any(len(variable.shape) > 1 for variable in variables):
            first_kernel.setdefault(piece, name)
    names_of_blocks = []
    latest = ""
    for piece in where:
        latest = first_kernel.get(piece, latest)
        names_of_blocks.append(latest)
    return names_of_blocks


def _blocks_by_name(names):
    """{name of a layer: name of its block, or ""}.

    A second number is part of the block's name where all names of the block have one: block35_1_conv and block35_2_conv
    are of two blocks, conv2_block1_1_conv and conv2_block1_add of one.
    """
    matches = {name: _BLOCK.match(name) for name in names}
    matches = {name: match for name, match in matches.items() if match}
    rests = {name: name[match.end() :] for name, match in matches.items()}
    unnumbered = {matches[name].group() for name, rest in rests.items() if not _NUMBER.match(rest)}
    block_of = dict.fromkeys(names, "")
    for name, match in matches.items():
        block = match.group()
        block_of[name] = block if block in unnumbered else block + _NUMBER.match(rests[name]).group()
    return block_of


def _only(names):
    """The one name in a set that is not "", or "" where there are none or several."""
    named = names - {""}
    return named.pop() if len(named) == 1 else ""
