"""The proxies that the environment names in http_proxy, https_proxy, all_proxy and no_proxy; urllib3 ignores them."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass


def proxy_for(url: str, proxies: Mapping[str, str]) -> tuple[str | None, dict[str, str] | None]:
    """Choose the proxy for `url` and the header for the user and password in its address.

    Raises ValueError where one of the two is no address; without the proxy's, which may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("url must begin with http:// or https://")
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2], dict(proxies)):
        return None, None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_address(proxy):  # the client would leave a traceback behind
        right = "http://host:port, with user:password@ before the host if need be, and %2F for a / in those"
        raise ValueError(f"{parts.scheme}_proxy: must be {right}")
    userinfo = urlsplit(proxy).netloc.rpartition("@")[0]
    return proxy, {"Proxy-Authorization": f"Basic {_basic(unquote(userinfo))}"} if userinfo else None


def _is_address(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bad port or a bad IPv6 address
        return False


def passwords(proxy: str) -> list[str]:
    """Name the texts that would give away the password in a proxy's address, as written and as sent."""
    userinfo = re.match(r"(?:[^/]*//)?(.*)@", proxy, re.DOTALL)
    if userinfo is None:
        return []
    texts = [userinfo[1], unquote(userinfo[1])]
    return [*map(_basic, texts), *texts, *(text.partition(":")[2] for text in texts)]


def _basic(userinfo: str) -> str:
    return base64.b64encode(userinfo.encode(errors="surrogateescape")).decode()
