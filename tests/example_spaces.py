"""Small spaces of every notation: stages as a mapping, stages as a list, and a decoder."""

from nas.architecture import read_yaml
from nas.space import SearchSpace

MAPPING = """
stem: {width: {choice: [4, 8]}, stride: {choice: [1, 2]}}
stages: {count: {range: [1, 3, 1]}, width: 4, growth: {range: [1, 2, 0.5]}}
block:
  conv: {choice: [standard, separable], per: stage}
  convs: {choice: [1, 2]}
  residual: {choice: [none, identity, projection]}
  bias: {choice: [true, false]}
  shrink: {choice: [none, max_pool, strided], per: stage}
  groups: [1, 2, 2]
head: {dense: [{choice: [0, 6]}, 5], dropout: {choice: [0.0, 0.5]}}
training: {learning_rate: {choice: [0.001, 0.01]}, optimizer: {choice: [adam, sgd]}}
"""

LISTED = """
block: {normalization: {choice: [none, before, between]}, kernel_size: [1, 3]}
stages:
- {width: {choice: [8, 16]}, blocks: {choice: [1, 2]}}
- {width: {choice: [8, 16]}, convs: {choice: [1, 2]}, dropout: {choice: [0.0, 0.1]}}
head: {pooling: {choice: [flatten, global_max]}, dense: {choice: [0, 7]}}
"""

DECODER = """
task: segmentation
stages: {count: {choice: [1, 2, 3]}, width: 4, growth: {choice: [1, 2]}}
block: {shrink: {choice: [strided, max_pool, none], per: stage}, dropout: {choice: [0.0, 0.2]}}
decoder: {skip: {choice: [none, add, concat]}, upsample: {choice: [transposed, interpolated]}}
head: {kernel_size: {choice: [1, 3]}, dropout: {choice: [0.0, 0.2]}}
"""

TEXTS = {"mapping": MAPPING, "list": LISTED, "decoder": DECODER}


def space_of(text, input_shape=(8, 8, 3), classes=4):
    """Return the space of a YAML text, bound to a data set."""
    space = SearchSpace(read_yaml(text, "the space"), "'it.yaml'")
    return space.bind(input_shape, classes, space.data.get("task", "classification"))
