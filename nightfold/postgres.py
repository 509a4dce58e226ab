"""The address of a PostgreSQL: checked before anybody connects, for who cannot read it quotes it, and so a part of the password."""

import re

from nightfold.errors import BadPipeline

_HOST = r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?"  # [::1]:5432, h:5432, h, or none; of several, each
_QUOTED = re.compile(r"Failed to connect: .*(in URI\b|URI query parameter|percent-encoded)")


def checked(uri: str, *, connection: str) -> str:
    """The address as the driver takes it.

    Raises BadPipeline, without anything of what it holds, when it is no URI: else a part of its password is taken for a host, or a port.
    """
    login, _, address = uri.partition("://")[2].rpartition("@")
    hosts = re.split("[/?#]", address)[0].split(",")
    unread = re.search(r"[/?#@\[\]]", login) or re.search(r"%(?![0-9A-Fa-f]{2})|%00|\s", uri)
    if "://" not in uri or unread or not all(re.fullmatch(_HOST, host) for host in hosts):
        raise BadPipeline(
            f"connection {connection!r} is no URI: write / ? # @ [ ] % and spaces in user, password and parameters as "
            "%2F %3F %23 %40 %5B %5D %25 %20, and its port in digits"
        )
    return "postgresql" + uri[uri.index("://") :]


def shown(uri: str) -> str:
    """A checked one, fit for a log or an error: user and password gone, and the parameters if there is a password among them."""
    scheme, _, rest = uri.partition("://")
    address, _, query = rest.rpartition("@")[2].partition("?")
    return f"{scheme}://{address}" + (f"?{query}" if query and "password" not in query.lower() else "")


def words(error: Exception) -> str:
    """What the driver says, in one line; not what it quotes of an address that it cannot read."""
    said = " ".join(str(error).split())
    return "the driver cannot read the address" if _QUOTED.search(said) else said
