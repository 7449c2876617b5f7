"""The version, apart from the package's face, so that nothing imports upward."""

__version__ = "0.1.0"
