"""What can go wrong with the embedded servers. A message is one line with the mend (or the log's last lines)."""


class PlatformError(Exception):
    """A server could not be started, stopped or used."""


class PortTaken(PlatformError):
    """Somebody else listens on a port that we are told to use: names the setting."""


class NotReady(PlatformError):
    """A server did not answer within its time limit, or ended: names its log."""
