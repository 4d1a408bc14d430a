"""Pure: matchers on file paths, URLs and addresses: within, path_glob, host, url_glob, cidr.

What each reads, and when readings must agree, is in `paths`, `urls` and `addresses`. A value that cannot be read is a
wrong type, so that a deny fires and an allow does not match.
"""

from __future__ import annotations

from typing import Any, Final

from policylayer.policy import addresses, paths, urls
from policylayer.policy.ast import Matcher
from policylayer.policy.codes import Code
from policylayer.policy.matchers import BUILDERS, Check, Site, texts
from policylayer.policy.matchers_text import checked_globs
from policylayer.policy.truth import Truth
from policylayer.policy.values import Context

_PER_STEP: Final = 2
"""Characters of an escaped text that are decoded in one step."""


def _is_affordable(value: str, ctx: Context) -> bool:
    """Whether a text may still be read: one without escapes is read at once."""
    return ("%" not in value and "\\" not in value) or ctx.spend(len(value) // _PER_STEP)


def _on_path(check: paths.PathCheck, site: Site) -> Check:
    wrong = site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        if type(value) is not str or not _is_affordable(value, ctx):
            return wrong
        answer = paths.agreed(check, value, ctx.question.server.cwd)
        return wrong if answer is None else answer

    return on_value


def within(matcher: Matcher, site: Site) -> Check:
    """In one of the directories, or one of them."""
    directories = texts(matcher, site)
    for directory in directories:
        if not directory.startswith("/") or directory.startswith("//") or "\0" in directory:
            raise site.refuse(
                Code.RELATIVE_PATH, matcher.span, f"`{directory}` is not an absolute directory", "begin it with one `/`"
            )
    return _on_path(paths.within(directories), site)


def path_glob(matcher: Matcher, site: Site) -> Check:
    """A glob over the resolved path."""
    patterns = checked_globs(matcher, site)
    for pattern in patterns:
        if not pattern.startswith(("/", "**")):
            raise site.refuse(
                Code.RELATIVE_PATH, matcher.span, f"`{pattern}` matches no absolute path", "begin it with `/` or `**`"
            )
    return _on_path(paths.path_glob(patterns), site)


def host(matcher: Matcher, site: Site) -> Check:
    """The host of a URL."""
    wanted = tuple(_host(text, matcher, site) for text in texts(matcher, site))
    wrong = site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        url = urls.parse(value) if type(value) is str else None
        return wrong if url is None else any(pattern.matches(url.host) for pattern in wanted)

    return on_value


def _host(text: str, matcher: Matcher, site: Site) -> urls.HostPattern:
    pattern = urls.host_pattern(text)
    if pattern is None:
        message = f"`{text}` is not a host"
        raise site.refuse(Code.BAD_URL, matcher.span, message, "a name, an address, `*.name`, or a lone `*`")
    return pattern


def url_glob(matcher: Matcher, site: Site) -> Check:
    """A URL by its parts."""
    wanted = tuple(_url(text, matcher, site) for text in texts(matcher, site))
    wrong = site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        url = urls.parse(value) if type(value) is str and _is_affordable(value, ctx) else None
        answer = None if url is None else urls.agreed(wanted, url)
        return wrong if answer is None else answer

    return on_value


def _url(text: str, matcher: Matcher, site: Site) -> urls.UrlPattern:
    pattern = urls.url_pattern(text)
    if pattern is None:
        message = f"`{text}` is not a URL glob"
        raise site.refuse(Code.BAD_URL, matcher.span, message, "as in `https://*.example.com/reports/**`")
    return pattern


def cidr(matcher: Matcher, site: Site) -> Check:
    """An IP address in one of the networks."""
    networks = []
    for text in texts(matcher, site):
        network = addresses.read_network(text)
        if network is None:
            message = f"`{text}` is not a network"
            raise site.refuse(Code.BAD_CIDR, matcher.span, message, "as in `10.0.0.0/8`, without host bits")
        networks.append(network)
    inside, wrong = addresses.contains(tuple(networks)), site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        address = addresses.read(value) if type(value) is str else None
        return wrong if address is None else inside(address)

    return on_value


BUILDERS.update({"within": within, "path_glob": path_glob, "host": host, "url_glob": url_glob, "cidr": cidr})
