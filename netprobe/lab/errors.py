"""What the test bed raises."""

from netprobe.errors import NetprobeError


class LabError(NetprobeError):
    """The test bed cannot be built, brought up or taken down."""
