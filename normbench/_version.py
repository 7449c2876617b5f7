"""The version. It has its own file, so that no module imports the package's face."""

__version__ = "0.2.0"
