"""A reply that sends the request to another address: said to the user, never followed with a key or with prompts.

Pure functions. calls/batch follows one for a download, by itself and without the key.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

REDIRECTS = (301, 302, 303, 307, 308)


def redirected(url: str, location: str, status: int) -> str:
    """What a redirected request means for a person: the new address, in the form in which a config names it."""
    try:
        old, new = urlsplit(url), urlsplit(urljoin(url, location))
    except ValueError:
        return f"{urlsplit(url).hostname} sends requests on to an address that can't be read ({status})."
    suffix = _common_suffix(old.path, new.path)
    return (
        f"{_host(old)} sends requests on to {_shown(new)} ({status}). Neither the key nor the prompts were sent there: if that "
        f"is the right server, write {_shown(new, suffix)} in distil.yaml instead of {_shown(old, suffix)}."
    )


def same_origin(url: str, other: str) -> bool:
    """Whether two addresses are one server: scheme, host and port."""
    return _origin(urlsplit(url)) == _origin(urlsplit(other))


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _common_suffix(old: str, new: str) -> str:
    """The parts that two paths end with alike: /v1/chat/completions and /api/v1/chat/completions -> the first."""
    shared = list[str]()
    for mine, other in zip(reversed(old.split("/")[1:]), reversed(new.split("/")[1:]), strict=False):
        if mine != other or mine == "v1":
            break
        shared.insert(0, mine)
    return "/" + "/".join(shared) if shared else ""


def _shown(parts: SplitResult, suffix: str = "") -> str:
    """Without what may be secret: user, password, query."""
    return f"{parts.scheme}://{_host(parts)}{parts.path.removesuffix(suffix)}"


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
