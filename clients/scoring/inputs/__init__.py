"""Find what is to be scored: in files, folders, patterns, lists, tables, tar shards and under URLs.

`find` combines the kinds of inputs, of which each has a module. What contains many images is read as a stream.
"""

from camserve.clients.scoring.inputs.files import check_several, find_images
from camserve.clients.scoring.inputs.find import Items, find_items

__all__ = ["Items", "check_several", "find_images", "find_items"]
