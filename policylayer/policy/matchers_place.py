"""Pure: matchers on file paths, URLs and addresses: within, path_glob, host, url_glob, cidr.

What each reads, and when readings must agree, is in `paths`, `urls` and `addresses`. A value that cannot be read is a
wrong type, so that a deny fires and an allow does not match.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from policylayer.policy import addresses, paths, urls
from policylayer.policy.ast import Matcher, Span
from policylayer.policy.codes import Code
from policylayer.policy.matchers import BUILDERS, Check, Site, made_of_each
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

    def directory(text: str, span: Span) -> str:
        if text.startswith("/") and not text.startswith("//") and "\0" not in text:
            return text
        message = f"`{text}` is not an absolute directory"
        raise site.refuse(Code.RELATIVE_PATH, span, message, "begin it with one `/`")

    return _on_path(paths.within(made_of_each(matcher, site, directory)), site)


def path_glob(matcher: Matcher, site: Site) -> Check:
    """A glob over the resolved path."""
    checked_globs(matcher, site)

    def pattern(text: str, span: Span) -> str:
        if text.startswith(("/", "**")):
            return text
        message = f"`{text}` matches no absolute path"
        raise site.refuse(Code.RELATIVE_PATH, span, message, "begin it with `/` or `**`")

    return _on_path(paths.path_glob(made_of_each(matcher, site, pattern)), site)


def host(matcher: Matcher, site: Site) -> Check:
    """The host of a URL."""
    wanted = made_of_each(matcher, site, partial(_host, site))
    wrong = site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        url = urls.parse(value) if type(value) is str else None
        return wrong if url is None else any(pattern.matches(url.host) for pattern in wanted)

    return on_value


def _host(site: Site, text: str, span: Span) -> urls.HostPattern:
    pattern = urls.host_pattern(text)
    if pattern is None:
        message = f"`{text}` is not a host"
        raise site.refuse(Code.BAD_URL, span, message, "a name, an address, `*.name`, or a lone `*`")
    return pattern


def url_glob(matcher: Matcher, site: Site) -> Check:
    """A URL by its parts."""
    wanted = made_of_each(matcher, site, partial(_url, site))
    wrong = site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        url = urls.parse(value) if type(value) is str and _is_affordable(value, ctx) else None
        answer = None if url is None else urls.agreed(wanted, url)
        return wrong if answer is None else answer

    return on_value


def _url(site: Site, text: str, span: Span) -> urls.UrlPattern:
    pattern = urls.url_pattern(text)
    if pattern is None:
        message = f"`{text}` is not a URL glob"
        raise site.refuse(Code.BAD_URL, span, message, "as in `https://*.example.com/reports/**`")
    return pattern


def cidr(matcher: Matcher, site: Site) -> Check:
    """An IP address in one of the networks."""

    def network(text: str, span: Span) -> addresses.Network:
        found = addresses.read_network(text)
        if found is None:
            message = f"`{text}` is not a network"
            raise site.refuse(Code.BAD_CIDR, span, message, "as in `10.0.0.0/8`, without host bits")
        return found

    inside, wrong = addresses.contains(made_of_each(matcher, site, network)), site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        address = addresses.read(value) if type(value) is str else None
        return wrong if address is None else inside(address)

    return on_value


BUILDERS.update({"within": within, "path_glob": path_glob, "host": host, "url_glob": url_glob, "cidr": cidr})
