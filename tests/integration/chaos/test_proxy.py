"""The fault proxy does what it is told to each request, and nothing else."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos.caller import Caller, Unknown
from tests.chaos.proxy import COPIES_MAX, HERE, Proxy
from tests.chaos.weather import DRIZZLE, FAIR, Fault, Way, Weather
from tests.support.waiting import wait_until

BODY = b"0123456789" * 100


class Upstream:
    """A server that keeps what reached it, and answers with it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < len(BODY):
                    return  # it was cut off
                got.append(body)
                self.send_response(201)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HERE, 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # resets are meant
        self.port = self._server.server_address[1]
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Give a server."""
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    """Give a proxy in front of it."""
    link = Proxy(upstream.port, "test")
    link.start()
    yield link
    link.stop()


def _post(proxy: Proxy, patience_s: float = 5.0) -> bytes:
    answer = Caller(proxy.port, "key").call("POST", "/jobs", BODY, patience_s=patience_s)
    assert answer.status == 201
    return answer.body


def _always(fault: Fault) -> Weather:
    return Weather({fault: 1.0}, longest_s=0.05)


@pytest.mark.parametrize("fault", [None, Fault.DELAY, Fault.DRIBBLE])
def test_a_slow_link_changes_no_byte(proxy: Proxy, upstream: Upstream, fault: Fault | None) -> None:
    """A request that is only slow arrives once, and its answer is whole."""
    proxy.change(FAIR if fault is None else _always(fault))

    assert _post(proxy) == BODY

    assert upstream.got == [BODY]
    assert proxy.statuses == {("POST /jobs", 201): 1}


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.CUT_ANSWER, Fault.HALF_CLOSE])
def test_a_lost_answer_was_a_deed(proxy: Proxy, upstream: Upstream, fault: Fault) -> None:
    """The caller knows nothing, and the request was done."""
    proxy.change(_always(fault))

    with pytest.raises(Unknown):
        _post(proxy)

    assert upstream.got == [BODY]


def test_a_cut_request_is_no_deed(proxy: Proxy, upstream: Upstream) -> None:
    """A request of which a part arrived is not done, and the caller knows nothing."""
    proxy.change(_always(Fault.CUT_REQUEST))

    with pytest.raises(Unknown):
        _post(proxy)

    assert upstream.got == []


def test_a_repeated_request_arrives_more_than_once(proxy: Proxy, upstream: Upstream) -> None:
    """The caller gets one answer, the server gets the same request again."""
    proxy.change(_always(Fault.REPEAT))

    assert _post(proxy) == BODY

    wait_until(lambda: len(upstream.got) > 1)
    assert len(upstream.got) <= 1 + COPIES_MAX
    assert set(upstream.got) == {BODY}


@pytest.mark.parametrize(("way", "deeds"), [(Way.UP, 0), (Way.DOWN, 1)])
def test_a_blocked_way_tells_nobody(proxy: Proxy, upstream: Upstream, way: Way, deeds: int) -> None:
    """What is blocked waits in silence: on the way up nothing is done, on the way down it is."""
    proxy.change(Weather(blocked=frozenset({way})))

    with pytest.raises(Unknown, match="timed out"):
        _post(proxy, patience_s=0.3)

    assert len(upstream.got) == deeds


def test_an_opened_way_lets_through_what_waited(proxy: Proxy, upstream: Upstream) -> None:
    """A caller who is patient gets the answer when the link is good again."""
    proxy.change(Weather(blocked=frozenset(Way)))
    answers: list[bytes] = []
    caller = threading.Thread(target=lambda: answers.append(_post(proxy)))
    caller.start()

    caller.join(0.2)
    assert caller.is_alive()
    proxy.change(FAIR)

    caller.join(5)
    assert answers == [BODY]


def test_a_reset_ends_what_waits(proxy: Proxy) -> None:
    """Connections that were open during a partition may be lost with it."""
    proxy.change(Weather(blocked=frozenset(Way)))
    faults: list[str] = []

    def call() -> None:
        with pytest.raises(Unknown) as caught:
            _post(proxy)
        faults.append(str(caught.value))

    caller = threading.Thread(target=call)
    caller.start()
    caller.join(0.2)
    proxy.change(FAIR, reset=True)

    caller.join(5)
    assert len(faults) == 1
    assert "timed out" not in faults[0]


def test_nobody_behind_it_is_nobody_here() -> None:
    """Without a server the caller is cut off at once, as where nobody listens."""
    server = Upstream()
    server.close()
    link = Proxy(server.port, "test")
    link.start()
    try:
        with pytest.raises(Unknown):
            _post(link)
    finally:
        link.stop()


def test_the_weather_follows_the_draw() -> None:
    """Each fault has its share of the draws, and fair weather has none."""
    weather = Weather({Fault.DELAY: 0.25, Fault.REPEAT: 0.25})

    assert weather.fault(0.0) is Fault.DELAY
    assert weather.fault(0.3) is Fault.REPEAT
    assert weather.fault(0.5) is None
    assert FAIR.fault(0.0) is None
    assert sum(DRIZZLE.rates.values()) < 0.1
