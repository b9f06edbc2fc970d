"""Own what can be wrong with where webhooks go: targets that cannot be reached, routes that nothing or two of them could take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatekeeper.settings.addresses import of_the_web, own_listener
from gatekeeper.settings.sections import Route, Server, Settings

_Mistake = tuple[str, str]
_IDS = ("phone_number_id", "waba_id")


def forward_mistakes(settings: Settings) -> Iterator[_Mistake]:
    """Yield each mistake in `[webhook]` about forwarding, with its key path."""
    webhook = settings.webhook
    yield from _targets(webhook.forwards, settings.server)
    taken: dict[tuple[str, str], int] = {}
    for n, route in enumerate(webhook.route):
        if not (route.phone_number_id or route.waba_id):
            yield f"$.webhook.route[{n}]", "names no phone_number_id and no waba_id"
        yield from _ids(route, n, taken)
        if not webhook.routed(n) or route.forward_to == "":
            yield f"$.webhook.route[{n}].forward_to", "names no target"
        else:
            yield from _targets(webhook.routed(n), settings.server)


def _targets(forwards: Iterable[tuple[str, str]], server: Server) -> Iterator[_Mistake]:
    seen: set[str] = set()
    for key, url in forwards:
        if not of_the_web(url):
            yield f"$.webhook.{key}", "an http:// or https:// URL"
        elif own := own_listener(server, url):
            yield f"$.webhook.{key}", f"the gate's own address ($.server.{own})"
        elif url in seen:
            yield f"$.webhook.{key}", "named above"
        seen.add(url)


def _ids(route: Route, n: int, taken: dict[tuple[str, str], int]) -> Iterator[_Mistake]:
    """Yield the mistakes in a route's ids; *taken* says which route had each of them first."""
    for kind in _IDS:
        mine: set[str] = set()
        for m, one in enumerate(getattr(route, kind)):
            key = f"$.webhook.route[{n}].{kind}[{m}]"
            first = taken.setdefault((kind, one), n)
            if not (one.isascii() and one.isdigit()):
                yield key, "an id of digits"
            elif one in mine:
                yield key, "named above"
            elif first != n:
                yield key, f"also named by route[{first}]"
            mine.add(one)
