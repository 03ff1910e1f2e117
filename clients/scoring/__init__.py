"""Score many images: items in, a row for each, in order, recorded as they are done."""
