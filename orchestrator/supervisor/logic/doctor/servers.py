"""The way to each server: its name, its port, its encryption, its clock, and whom it knows."""

from collections.abc import Iterator
from shlex import quote
from typing import Final

from orchestrator.supervisor.logic.doctor.facts import Facts, Route
from orchestrator.supervisor.logic.doctor.finding import Finding, ok, problem, unseen, warning

SKEW_S: Final = 60.0
"""As much as a worker says nothing about."""
_DAY_S: Final = 86_400.0
SOON_S: Final = 14 * _DAY_S
"""A certificate that is renewed by itself is, by then."""


def routes(facts: Facts) -> Iterator[Finding]:
    """Say how far one gets to each server."""
    if facts.configuration is None and not facts.routes:
        yield unseen("server", "no server is known")
    for route in facts.routes:
        yield _way(route, facts)
        if route.ahead_s is not None:
            yield _clock(route)
        if route.expires_in_s is not None and route.expires_in_s < SOON_S:
            days = route.expires_in_s / _DAY_S
            seen = f"the certificate of {route.url} ends in {days:.0f} days"
            yield warning("server", seen, f"renew it where {route.host} is served")


def _way(route: Route, facts: Facts) -> Finding:
    whom = f"{route.url} ({', '.join(route.workers)})" if route.workers else route.url
    if route.resolve_fault is not None:
        seen = f"{whom}: the name {route.host} leads nowhere: {route.resolve_fault}"
        return problem("server", seen, f"getent hosts {quote(route.host)}  – {_edit(facts)}")
    if route.connect_fault is not None:
        at = ", ".join(route.addresses)
        seen = f"{whom}: no connection to {at}: {route.connect_fault}{_proxy(facts)}"
        return problem("server", seen, f"start the server, open the way to it, or {_edit(facts)}")
    if route.encryption_fault is not None:
        return problem(
            "server",
            f"{whom}: its encryption is refused: {route.encryption_fault}",
            f"openssl s_client -connect {_door(route)}  – shows its certificate; a private "
            "authority belongs into this machine's certificate store",
        )
    if route.answer_fault is not None:
        seen = f"{whom}: no orchestrator answers there: {route.answer_fault}"
        return problem("server", seen, f"curl -v {quote(route.url)}/api/health")
    how = "over TLS" if route.expires_in_s is not None else "without encryption"
    return ok("server", f"{whom} answers {how} ({', '.join(route.addresses)})")


def _door(route: Route) -> str:
    rest = route.url.partition("://")[2].partition("/")[0]
    return rest if ":" in rest.rpartition("]")[2] else f"{rest}:443"


def _edit(facts: Facts) -> str:
    path = "the configuration" if facts.configuration is None else facts.configuration.path
    return f"correct server_url in {path}"


def _proxy(facts: Facts) -> str:
    names = facts.around[0].proxies
    return f" ({', '.join(names)} is set, and no proxy is ever used)" if names else ""


def _clock(route: Route) -> Finding:
    ahead = route.ahead_s or 0.0
    if abs(ahead) < SKEW_S:
        return ok("clock", f"less than a minute from that of {route.url}")
    way = "ahead of" if ahead > 0 else "behind"
    return problem(
        "clock",
        f"this machine is {abs(ahead):.0f} s {way} {route.url}: times of jobs are wrong",
        "timedatectl set-ntp true  – on whichever of the two is wrong",
    )


def proxies(facts: Facts) -> Iterator[Finding]:
    """Say which proxies are named, because none of them is used."""
    around, note = facts.around
    if around.proxies:
        names = ", ".join(around.proxies)
        seen = f"{names} is set; no proxy is used, servers are called directly{note}"
    else:
        seen = f"no variable of the orchestrator names one{note}"
    yield ok("proxy", seen)


def tokens(facts: Facts) -> Iterator[Finding]:
    """Say which worker's token its server does not know."""
    known = 0
    for each in facts.tokens:
        if each.verdict == "accepted":
            known += 1
        elif each.verdict == "refused":
            seen = f"{each.worker}: {each.url} does not know its token"
            yield problem("token", seen, f"enrol {each.worker} again and edit {each.place}")
        else:
            yield unseen("token", f"{each.worker}: {each.url} could not be asked: {each.why}")
    if known:
        yield ok("token", f"{known} known to the server")


def port(facts: Facts) -> Iterator[Finding]:
    """Say whether the embedded server will find its port free."""
    wanted = facts.wanted
    if wanted is None or wanted.server is None or facts.status is not None:
        return
    if facts.port_taken is not None:
        yield problem(
            "port",
            f"something else listens at {facts.port_taken} already",
            f"ss -ltnp 'sport = :{wanted.server.port}'  – stop it, or choose another server.listen",
        )
    else:
        yield ok("port", f"{wanted.server.host}:{wanted.server.port} is free for the server")
