"""What a callback of a link raises on a batch that makes no sense: the link it came over is made anew."""


class BadRecord(ValueError):
    """A record whose lengths lie, or that names what cannot be."""
